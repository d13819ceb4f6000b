"""What clients were told, and what they may be told from then on.

A register is a key that one connection alone writes, with a number that grows; its value names it. So a reply to a
read says of itself whether it belongs there, whether it is newer than what was known when the read was sent, and
whether it was ever written. A counter is incremented by one connection alone, which therefore knows each reply.
"""

import time
from collections import Counter, deque
from dataclasses import dataclass, field

LIVE_KEYS = 300  # registers that all connections read: the newest
EXAMPLES_MAX = 5  # of each kind of violation, with words
NOT_DONE = (b"TRYAGAIN", b"MOVED", b"CLUSTERDOWN")

Reply = tuple[bytes, object]  # the first byte, and a simple string, an integer, bytes or None, or a list of replies


class Garbled(Exception):
    """What came is no reply."""


@dataclass(slots=True, eq=False)
class Request:
    """One that was sent: `key` is a register, a counter, or the text of an ECHO; `number` what a SET writes."""

    command: bytes
    keys: tuple[bytes, ...]
    at: float
    number: int = 0
    floors: tuple[int, ...] = ()  # the least number that each key may show
    done: bool = False


def parse(data: bytearray, at: int) -> tuple[Reply, int] | None:
    """The reply at `at` and where the next begins; None while it is not complete. Raises Garbled."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, line, at = bytes(data[at : at + 1]), bytes(data[at + 1 : end]), end + 2
    if kind in (b"+", b"-"):
        return (kind, line), at
    try:
        number = int(line)
    except ValueError:
        raise Garbled(repr(kind + line[:40])) from None
    if kind == b":":
        return (kind, number), at
    if number < 0 and kind in (b"$", b"*"):
        return (kind, None), at
    if kind == b"$":
        if len(data) < at + number + 2:
            return None
        return (kind, bytes(data[at : at + number])), at + number + 2
    if kind != b"*":
        raise Garbled(repr(kind + line[:40]))
    items = []
    for _ in range(number):
        if (found := parse(data, at)) is None:
            return None
        items.append(found[0])
        at = found[1]
    return (kind, items), at


def value(key: bytes, number: int, padding: int) -> bytes:
    """What a register holds."""
    return b"%s=%d;%s" % (key, number, b"x" * padding)


@dataclass
class History:
    """All that is known of all keys, and what was wrong."""

    sent: dict[bytes, int] = field(default_factory=dict)  # the last number written to a register
    floor: dict[bytes, int] = field(default_factory=dict)  # acknowledged, or seen by a read
    refused: set[tuple[bytes, int]] = field(default_factory=set)
    shown: set[tuple[bytes, int]] = field(default_factory=set)  # numbers that reads saw before their answer came
    counted: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # least and most that a counter may be
    live: deque[bytes] = field(default_factory=lambda: deque(maxlen=LIVE_KEYS))
    violations: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def violation(self, kind: str, text: str) -> None:
        """Something is wrong: counted, and told of the first few."""
        self.violations[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES_MAX:
            examples.append(f"{time.strftime('%H:%M:%S')} {text}")

    def write(self, key: bytes) -> int:
        """The number that the next write of this register has."""
        number = self.sent[key] = self.sent.get(key, 0) + 1
        return number

    def acknowledged(self, request: Request) -> None:
        """A write took effect."""
        (key,) = request.keys
        self.floor[key] = max(self.floor.get(key, 0), request.number)
        self.shown.discard((key, request.number))

    def not_done(self, request: Request) -> None:
        """A write was refused: nobody may ever see it."""
        mark = (request.keys[0], request.number)
        self.refused.add(mark)
        if mark in self.shown:
            self.violation("refused write is visible", f"{mark} was read before its refusal")

    def read(self, key: bytes, floor: int, found: object) -> str:
        """Judges what a read of a register shows; "" or what kind of violation it is."""
        if found is None:
            return "lost write" if floor else ""
        name, _, rest = bytes(found).partition(b"=") if isinstance(found, bytes) else (b"", b"", b"")
        digits = rest.partition(b";")[0]
        if name != key or not digits.isdigit():
            return "wrong reply"
        number = int(digits)
        if number < floor:
            return "lost write"
        if number > self.sent.get(key, 0):
            return "value that nobody wrote"
        if (key, number) in self.refused:
            return "refused write is visible"
        if number > self.floor.get(key, 0):
            self.floor[key] = number
            self.shown.add((key, number))
        return ""
