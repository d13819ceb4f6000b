"""Replay of the log at start, and the verdict about its tail.

Behind the last valid group there may be
  * only zeros: the log ends there;
  * a valid prefix of a group and then zeros: torn. The write was cut short, and nobody was told of
    its group. It is cut;
  * other bytes: doubtful. They may have held a promise that was given. They are cut too, which is
    a fault not handled yet;
  * any of these, and behind it a group that says "this was durable": corruption. Nothing is cut;
  * a whole group that says what can't be: corruption, too;
  * the end of the last file, or a group that goes on behind it: a file is lost, since `Storage` makes
    the next one before that. Nothing is cut.
What is cut must be zeroed and synced before anything is appended.
"""

from collections.abc import Callable
from struct import Struct
from typing import Literal, NamedTuple, Protocol

from xxhash import xxh64_intdigest

from ..reference.limits import GROUP_ALIGN, GROUP_BYTES_MAX
from ..reference.log_frame import (
    GROUP_MAGIC,
    HEADER_BYTES,
    VERSION,
    BadFrame,
    frame_decode,
    frame_length,
)

CHUNK_BYTES = 4 << 20  # one read; a multiple of GROUP_ALIGN, so that no group header is split

_GROUP = Struct("<QIBBBBIIQQQQQ")
_MAGIC_BYTES = GROUP_MAGIC.to_bytes(4, "little")
_MAGIC_AT = 8

Read = Callable[[int, int], bytes]  # (position, size) -> exactly that many bytes
Progress = Callable[[int, int], None]  # (position, end) after each read


class LogCorrupt(Exception):
    """What was durable can't be read back: the replica must not start. The text is one line."""


class Replays(Protocol):
    """The part of a replica that recovery drives."""

    def feed_log(self, data: bytes) -> int: ...


class Group(NamedTuple):
    """The fields of a group header that matter here; docs/design.md has the table."""

    replica: int
    length: int  # with header and padding
    position: int
    frames: int  # bytes of frames
    durable: int


class Recovery(NamedTuple):
    """Where the log ends: the next group goes to `position`, once up to `dirty` all is zeroed."""

    position: int
    dirty: int  # equal to `position` when the tail is clean
    tail: Literal["clean", "torn", "doubtful"]
    last: int  # where the last group begins: nothing after it says whether that one was durable


def group_header(data: bytes, at: int, cell_id: int) -> Group | None:
    """The group header at `at`, None unless it is a valid one."""
    if len(data) - at < HEADER_BYTES:
        return None
    fields = _GROUP.unpack_from(data, at)
    checksum, magic, version, _, replica, _, length, _, position, frames, _, durable, _ = fields
    if magic != GROUP_MAGIC or version != VERSION:
        return None
    if xxh64_intdigest(data[at + 8 : at + HEADER_BYTES], cell_id) != checksum:
        return None
    if length % GROUP_ALIGN or not HEADER_BYTES + frames <= length <= GROUP_BYTES_MAX:
        return None
    return Group(replica, length, position, frames, durable)


def recover(
    replica: Replays, read: Read, end: int, cell_id: int, replica_id: int,
    progress: Progress | None = None,
) -> Recovery:
    """Feed the log at positions 0..`end` to `replica`, and judge what follows its last group.

    Raises LogCorrupt.
    """
    position, last = _replay(replica, read, end, cell_id, progress)
    if end and _reaches(read, position, end, cell_id):
        raise LogCorrupt(f"lost state: replica {replica_id} has the log up to position {end}, the next file is missing")
    if _is_whole(read, position, end, cell_id, replica_id):
        raise LogCorrupt(
            f"log corrupt at position {position} of replica {replica_id}: a whole group there can't be replayed, "
            "which no replica of this version writes"
        )
    dirty, witness = _scan(read, position, end, cell_id, replica_id)
    if witness is not None:
        raise LogCorrupt(
            f"log corrupt at position {position} of replica {replica_id}: no valid group there; "
            f"a later group at {witness.position} says it was durable up to {witness.durable}"
        )
    if dirty == position:
        return Recovery(position, position, "clean", last)
    torn = _is_torn(read, position, dirty, end, cell_id)
    return Recovery(position, dirty, "torn" if torn else "doubtful", last)


def _replay(
    replica: Replays, read: Read, end: int, cell_id: int, progress: Progress | None
) -> tuple[int, int]:
    # Returns the position of the first byte that belongs to no valid group, and where the last group begins.
    position, size = 0, CHUNK_BYTES
    fed, start = b"", 0  # what was consumed last, and its position
    while position < end:
        data = read(position, min(size, end - position))
        consumed = replica.feed_log(data)
        if consumed:
            fed, start = data[:consumed], position
        position += consumed
        if progress is not None:
            progress(position, end)
        if consumed:
            size = CHUNK_BYTES
            continue
        group = group_header(data, 0, cell_id)
        if group is None or group.length <= len(data):
            break
        if position + group.length > end:
            break
        size = group.length  # a group larger than a chunk: once more, with all of it
    return position, start + _last_group(fed, cell_id)


def _last_group(data: bytes, cell_id: int) -> int:
    # Where in whole groups the last one begins.
    at = last = 0
    while (group := group_header(data, at, cell_id)) is not None:
        at, last = at + group.length, at
    return last


def _reaches(read: Read, position: int, end: int, cell_id: int) -> bool:
    # Does the log, or a group that begins at its end, reach the end of the files?
    group = group_header(read(position, min(HEADER_BYTES, end - position)), 0, cell_id)
    return position + (group.length if group is not None and group.position == position else 0) >= end


def _scan(
    read: Read, position: int, end: int, cell_id: int, replica_id: int
) -> tuple[int, Group | None]:
    # Returns the end of the last byte behind `position` that is not zero, and the first later group
    # that claims that something at or behind `position` was durable.
    dirty = start = position
    while start < end:
        data = read(start, min(CHUNK_BYTES, end - start))
        used = 0 if data == bytes(len(data)) else len(data.rstrip(b"\0"))  # mostly zeros, which this sees sooner
        if used:
            dirty = start + used
        at = data.find(_MAGIC_BYTES)
        while at >= 0:
            header = at - _MAGIC_AT
            if header >= 0 and (start + header) % GROUP_ALIGN == 0:
                group = group_header(data, header, cell_id)
                if (
                    group is not None and group.replica == replica_id
                    and group.position == start + header and group.durable > position
                ):
                    return dirty, group
            at = data.find(_MAGIC_BYTES, at + 1)
        start += len(data)
    return dirty, None


def _is_whole(read: Read, position: int, end: int, cell_id: int, replica_id: int) -> bool:
    # Is there a group with nothing wrong but what it says?
    group = group_header(read(position, min(HEADER_BYTES, end - position)), 0, cell_id)
    if group is None or group.position != position or group.replica != replica_id or position + group.length > end:
        return False
    data = read(position, group.length)
    at, last = HEADER_BYTES, HEADER_BYTES + group.frames
    try:
        while at < last:
            length = frame_length(cell_id, data, at)
            if not length or at + length > last:
                return False
            frame_decode(cell_id, data, at, length)
            at += length
    except BadFrame:
        return False
    return group.length - last < GROUP_ALIGN and not any(data[last:])


def _is_torn(read: Read, position: int, dirty: int, end: int, cell_id: int) -> bool:
    # Is what lies at position..dirty the beginning of a group, sound up to the point where zeros
    # begin?
    data = read(position, min(HEADER_BYTES, end - position))
    if dirty < position + HEADER_BYTES:
        return data[_MAGIC_AT : _MAGIC_AT + 4] == _MAGIC_BYTES or dirty <= position + _MAGIC_AT + 4
    group = group_header(data, 0, cell_id)
    if group is None or group.position != position:
        return False
    if dirty > position + HEADER_BYTES + group.frames:
        return False
    data = read(position, min(group.length, end - position))
    at, cut = HEADER_BYTES, dirty - position
    while at + HEADER_BYTES <= cut:
        try:
            length = frame_length(cell_id, data, at)
            if at + length > cut:
                return at + length <= HEADER_BYTES + group.frames
            frame_decode(cell_id, data, at, length)
        except BadFrame:
            return False
        at += length
    return at < HEADER_BYTES + group.frames
