"""The record of a run: one hash over every call of a replica's interface, and on request a line for each."""

import re
from collections.abc import Callable, Iterable
from struct import Struct

from xxhash import xxh64

from ..reference import log_frame, log_machines

EVENTS = (
    "start", "crash", "clock", "turn", "open_peer", "feed_peer", "close_peer", "open_client", "feed_client",
    "close_client", "durable", "read_done", "to_peer", "to_client", "to_disk", "want_read", "fault",
    "limit_log",
    "want_span", "span_kept",
)
(
    START, CRASH, CLOCK, TURN, OPEN_PEER, FEED_PEER, CLOSE_PEER, OPEN_CLIENT, FEED_CLIENT,
    CLOSE_CLIENT, DURABLE, READ_DONE, TO_PEER, TO_CLIENT, TO_DISK, WANT_READ, FAULT,
    LIMIT_LOG,
    WANT_SPAN, SPAN_KEPT,
) = range(len(EVENTS))

FRAMES = {
    getattr(log_frame, name): name
    for name in (
        "ACCEPT ACK BEAT ECHO WHERE ASK ANSWER PROPOSE ENTRY PROMISE REFUSE FETCH LEARN FETCHED FORWARD REPLIES "
        "HANGUP HELLO PROMISED"
    ).split()
}

HASH_AT_ONCE = 256  # pieces: one call for many is cheaper

_EVENT = Struct("<QBBQQ")
_HEADER = Struct("<13xBBBIIQQQQQ")  # a frame's header from its type on: docs/design.md
_GAPS = re.compile(rb"[^\x21-\x7e]+")

STATES = {
    f"{machine}.state": getattr(log_machines, f"{machine.upper()}_STATES")
    for machine in dict.fromkeys(row.partition(".")[0] for row in log_machines.ROWS)
}
NUMBERS = {"promised", "reign", "number", "seen"}  # variables that are sequence numbers

RowTaken = tuple[int, str, str, dict[str, tuple[int, int]]]
"""One of `drain_rows`."""

Fields = tuple[int, int, int, int, int, int, int, int, int, int]
"""Of a frame: type, sender, flags, length, incarnation, number, instance, mark, sent, extra."""


def frames_of(data: bytes) -> list[tuple[int, int, Fields]]:
    """(start, end, fields) of each whole frame that `data` begins with; nothing is verified."""
    at, size = 0, len(data)
    if size >= log_frame.HEADER_BYTES:
        fields = _HEADER.unpack_from(data)
        if fields[3] == size:  # as mostly
            return [(0, size, fields)]
    frames = []
    while at + log_frame.HEADER_BYTES <= size:
        fields = _HEADER.unpack_from(data, at)
        end = at + fields[3]
        if end > size or end <= at:
            break
        frames.append((at, end, fields))
        at = end
    return frames


def headers_of(data: bytes) -> list[Fields]:
    """The fields alone of those frames."""
    if len(data) >= log_frame.HEADER_BYTES:
        fields = _HEADER.unpack_from(data)
        if fields[3] == len(data):
            return [fields]
    return [fields for _, _, fields in frames_of(data)]


class Trace:
    """Hashes events; with `show`, also passes one legible line an event to it, and with `rows` one a row taken."""

    def __init__(self, show: Callable[[str], None] | None = None, rows: bool = False) -> None:
        self._hash = xxh64()
        self._waiting: list[bytes] = []  # to be hashed
        self._show = show
        self.with_rows = rows and show is not None

    def event(self, now: int, replica: int, event: int, a: int = 0, b: int = 0, data: bytes = b"") -> None:
        """An event at true time `now` (us) at `replica` (0: the whole cell); `a` and `b` depend on the event."""
        waiting = self._waiting
        waiting.append(_EVENT.pack(now, replica, event, a, b))
        if data:
            waiting.append(data)
        if len(waiting) >= HASH_AT_ONCE:
            self._hash.update(b"".join(waiting))
            waiting.clear()
        if self._show is not None:
            self._show(line(now, replica, event, a, b, data))

    def rows(self, now: int, replica: int, rows: Iterable[RowTaken]) -> None:
        """Rows that a replica took in the turn at `now`. They follow from the events: they are not hashed."""
        if self._show is not None:
            for row in rows:
                self._show(row_line(now, replica, *row))

    def digest(self) -> str:
        """16 hexadecimal digits."""
        self._hash.update(b"".join(self._waiting))
        self._waiting.clear()
        return self._hash.hexdigest()


def number_text(number: int) -> str:
    """A sequence number as round.replica.incarnation."""
    return f"{number >> 24}.{number >> 16 & 255}.{number & 65535}"


def frame_text(fields: Fields) -> str:
    """A frame's name and the fields that matter."""
    kind, _, flags, length, _, number, instance, mark, sent, extra = fields
    name = FRAMES.get(kind, str(kind))
    return f"{name}(n={number_text(number)} i={instance} m={mark} s={sent} x={extra} f={flags} {length}B)"


def line(now: int, replica: int, event: int, a: int, b: int, data: bytes) -> str:
    """One event in fixed columns: time (s), replica, event, two integers, what the bytes are."""
    if event in (FEED_PEER, TO_PEER):
        detail = " ".join(frame_text(fields) for _, _, fields in frames_of(data)) or f"{len(data)} bytes"
    elif event in (FEED_CLIENT, TO_CLIENT, FAULT):
        detail = _GAPS.sub(b" ", data[:160]).decode("ascii")
    else:
        detail = f"{len(data)} bytes" if data else ""
    return f"{now / 1e6:10.6f} r{replica} {EVENTS[event]:<12} {a:>14} {b:>8}  {detail}".rstrip()


def value_text(name: str, value: int) -> str:
    """The value of a machine's variable: a state by its name, a sequence number by its parts."""
    if name in STATES:
        return STATES[name][value]
    return number_text(value) if name.partition(".")[2] in NUMBERS else str(value)


def row_line(now: int, replica: int, boot: int, row: str, message: str, changed: dict[str, tuple[int, int]]) -> str:
    """A row taken, in the columns of `line`: the replica's own clock, and what changed."""
    detail = " ".join(
        f"{name}={value_text(name, before)}->{value_text(name, after)}" for name, (before, after) in changed.items())
    return f"{now / 1e6:10.6f} r{replica} {'row':<12} {boot:>14} {'':>8}  {row}({message}) {detail}".rstrip()
