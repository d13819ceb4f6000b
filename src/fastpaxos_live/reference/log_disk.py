"""The log as it goes to disk: write groups at growing positions. PML 4.2 (the persistent log), 5.1.

Invariants:
 1. Groups lie without gaps; each starts at a multiple of GROUP_ALIGN.
 2. At most one group is being written; frames appended meanwhile collect in the open group.
 3. A frame appended now is durable when `durable_group` reaches the `group` it was appended to.
"""

from struct import Struct

from xxhash import xxh64_intdigest

from .limits import GROUP_ALIGN, GROUP_BYTES_MAX
from .log_frame import GROUP_MAGIC, HEADER_BYTES, PROMISED, VERSION, BadFrame, Frame, frame_decode, frame_length

_GROUP = Struct("<QIBBBBIIQQQQQ")


class LogDisk:
    """Positions in bytes from the log's beginning."""

    __slots__ = (
        "seed", "replica", "incarnation", "base", "frames", "size", "group", "durable_group", "durable_position",
        "vouched", "writing", "writing_end", "sync", "limit",
    )

    def __init__(self, seed: int, replica: int, incarnation: int) -> None:
        self.seed = seed
        self.replica = replica
        self.incarnation = incarnation
        self.base = 0  # position of the open group
        self.frames: list[bytes] = []  # of the open group
        self.size = 0  # bytes of those frames
        self.group = 1  # index of the open group
        self.durable_group = 0
        self.durable_position = 0
        self.vouched = 0  # where the last durable group begins: nothing behind it says that it was durable
        self.writing = 0  # index of the group being written, 0 if none
        self.writing_end = 0
        self.sync = False  # the open group holds a promise, which is synced whatever the policy
        self.limit = 0  # the log may grow up to here by what can be refused; 0: there is no limit

    def append(self, frame: bytes) -> int:
        """Adds a frame to the open group; returns the position it will have."""
        position = self.base + HEADER_BYTES + self.size
        self.frames.append(frame)
        self.size += len(frame)
        if frame[13] == PROMISED:
            self.sync = True
        return position

    def frontier(self) -> int:
        """The group whose durability covers everything appended so far."""
        return self.group if self.frames else self.group - 1

    def backlog(self) -> int:
        """Bytes not yet durable."""
        return self.base + self.size - self.durable_position

    def full(self, size: int) -> bool:
        """Is there no room for a frame with so many bytes in it?"""
        return 0 < self.limit < self.base + self.size + size + 2 * HEADER_BYTES + GROUP_ALIGN

    def drain(self, promised: int, chosen: int) -> tuple[int, bytes, bool] | None:
        """Closes the open group and hands it out: position, bytes, must be synced."""
        if self.writing or not self.frames:
            return None
        length = HEADER_BYTES + self.size + (-self.size) % GROUP_ALIGN
        assert length <= GROUP_BYTES_MAX
        header = _GROUP.pack(
            0, GROUP_MAGIC, VERSION, 0, self.replica, 0, length, self.incarnation, self.base, self.size, promised,
            self.durable_position, chosen,
        )[8:]
        checksum = xxh64_intdigest(header, self.seed).to_bytes(8, "little")
        data = checksum + header + b"".join(self.frames) + bytes((-self.size) % GROUP_ALIGN)
        out = (self.base, data, self.sync)
        self.base += length
        self.writing = self.group
        self.writing_end = self.base
        self.group += 1
        self.frames = []
        self.size = 0
        self.sync = False
        return out

    def durable(self, position: int) -> bool:
        """True if that completes the group under way."""
        if not self.writing or position < self.writing_end:
            return False
        self.durable_group = self.writing
        self.vouched = self.durable_position
        self.durable_position = self.writing_end
        self.writing = 0
        return True

    def parse(self, data: bytes | memoryview, at: int) -> tuple[int, list[tuple[int, Frame]], int, int]:
        """The group at `data[at:]`, which must be the one at position `base`, on replay.

        Returns its length, its frames with the position of each, the promise and the chosen mark of its header;
        length 0 if it is not whole and valid.
        """
        bad: tuple[int, list[tuple[int, Frame]], int, int] = 0, [], 0, 0
        if len(data) - at < HEADER_BYTES:
            return bad
        (checksum, magic, version, _, replica, _, length, _, position, size, promised, _, chosen) = (
            _GROUP.unpack_from(data, at)
        )
        if (
            magic != GROUP_MAGIC or version != VERSION or replica != self.replica or position != self.base
            or length > GROUP_BYTES_MAX or length != HEADER_BYTES + size + (-size) % GROUP_ALIGN
            or len(data) - at < length
            or xxh64_intdigest(data[at + 8 : at + HEADER_BYTES], self.seed) != checksum
        ):
            return bad
        frames = []
        cursor = at + HEADER_BYTES
        end = cursor + size
        try:
            while cursor < end:
                n = frame_length(self.seed, data, cursor)
                if not n or cursor + n > end:
                    return bad
                frames.append((self.base + cursor - at, frame_decode(self.seed, data, cursor, n)))
                cursor += n
        except BadFrame:
            return bad
        if any(data[end : at + length]):
            return bad
        return length, frames, promised, chosen

    def replayed(self, length: int) -> None:
        """The group just parsed is part of the log."""
        self.vouched = self.base
        self.base += length
        self.durable_position = self.base
