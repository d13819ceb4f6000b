"""Requests out of a stream of bytes: RESP arrays of bulk strings, and inline commands.

Nothing is scanned twice when bytes trickle in, and a request that is too large is skipped without
being kept. What counts are its bytes as they arrive, lengths and line ends included: whoever bounds what he reads
of a connection can know that a request fits."""

from .db_ops import parse_integer
from .limits import ARGUMENTS_MAX, BULK_BYTES_MAX, INLINE_BYTES_MAX, REQUEST_SLACK

MORE, REQUEST, TOO_LARGE, BROKEN = range(4)

_BLANKS = b" \t\n\v\f\r"
_ENDS = b" \t\n\r"  # of a word outside quotes; the other blanks only separate
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}
_HEX = b"0123456789abcdefABCDEF"
TLS_HELLO = b"\x16\x03"  # a record of the handshake, of any version
_NONE = -1  # no bulk string begun


class Unbalanced(Exception):
    """A quote in an inline command that is not closed, or that is closed in the middle of a
    word."""


class Parser:
    """The parser of one connection."""

    def __init__(self, value_bytes_max: int, request_bytes_max: int | None = None) -> None:
        """The largest argument of a request, and the largest request, as it arrives (None: REQUEST_SLACK more)."""
        self.args: list[bytes] = []  # of the last REQUEST
        self.consumed = 0  # bytes from `start` that the owner may drop now
        self.error = b""  # what was wrong, after BROKEN; empty: it is no Redis client, and is told nothing
        self.value_bytes_max = value_bytes_max
        self.request_bytes_max = value_bytes_max + REQUEST_SLACK if request_bytes_max is None else request_bytes_max
        self._at = 0  # where parsing goes on, from `start`
        self._begun = 0  # where the request under way begins, from `start`
        self._left = 0  # arguments still to come; 0 between requests
        self._finish()

    def next(self, data: bytearray, start: int) -> int:
        """Take the next request from `data[start:]`. After any answer but BROKEN the owner moves
        its start by `consumed` and, unless that was MORE, calls again; after BROKEN nothing more
        may be asked."""
        self.consumed = 0
        while True:
            if not self._left:
                state = self._first_line(data, start)
            elif self._bulk == _NONE:
                state = self._bulk_line(data, start)
            else:
                state = self._bulk_bytes(data, start)
            if state is not None:
                break
        self.consumed = self._at
        if state == MORE and self._left and not self._skipping:
            self.consumed = self._begun  # the request is kept until it is whole, what went before it is not
        self._at -= self.consumed
        self._begun = 0
        return state

    def under_way(self) -> bool:
        """Are `args` those of a request that is not whole yet?"""
        return self._left > 0

    def forget(self) -> None:
        """Keep nothing of the request under way; nothing more is parsed."""
        self.args = []
        self._left = 0

    def _finish(self) -> None:
        # Between requests. `_scanned` bytes after `_at` hold no end of line.
        self._scanned = 0
        self._bulk = _NONE  # size of the bulk string begun
        self._total = 0  # bytes of the request so far, as they arrive
        self._skipping = False

    def _broken(self, error: bytes) -> int:
        self.error = b"Protocol error: " + error.translate(bytes.maketrans(b"\0\r\n", b"   "))
        return BROKEN

    def _line(self, data: bytearray, start: int, end: bytes) -> int:
        # Position of `end` relative to `_at`, or -1. A line that is too long is INLINE_BYTES_MAX +
        # 1.
        at = start + self._at
        found = data.find(end, at + self._scanned, at + INLINE_BYTES_MAX + 1)
        if found >= 0:
            return found - at
        self._scanned = min(len(data) - at, INLINE_BYTES_MAX + 1)
        return self._scanned if self._scanned > INLINE_BYTES_MAX else -1

    def _count(self, data: bytearray, start: int, name: bytes) -> tuple[int | None, int | None]:
        # A line of one marker byte and a number: (state, number). Both bytes of the line end must
        # be there.
        size = self._line(data, start, b"\r")
        if size > INLINE_BYTES_MAX:
            return self._broken(b"too big %b count string" % name), None
        at = start + self._at
        if size < 0 or len(data) - at < size + 2:
            return MORE, None
        return None, parse_integer(data[at + 1 : at + size])

    def _first_line(self, data: bytearray, start: int) -> int | None:
        at = start + self._at
        if at == len(data):
            return MORE
        if data[at] != ord("*"):
            return self._inline(data, start)
        state, count = self._count(data, start, b"mbulk")
        if state is not None:
            return state
        if count is None or count > ARGUMENTS_MAX:
            return self._broken(b"invalid multibulk length")
        after = data.index(b"\r", at) + 2 - start
        self._finish()
        if count > 0:
            self.args = []
            self._left = count
            self._begun = self._at
            self._total = after - self._at
        self._at = after
        return None

    def _inline(self, data: bytearray, start: int) -> int | None:
        if data.startswith(TLS_HELLO[:1], start + self._at):  # it has no end of line, and is no reason to wait for one
            if len(data) - start - self._at < len(TLS_HELLO):
                return MORE
            if data.startswith(TLS_HELLO, start + self._at):
                return BROKEN
        size = self._line(data, start, b"\n")
        if size > INLINE_BYTES_MAX:
            return self._broken(b"too big inline request")
        if size < 0:
            return MORE
        at = start + self._at
        line = bytes(data[at : at + size].removesuffix(b"\r"))
        self._at += size + 1
        self._finish()
        try:
            self.args = split(line)
        except Unbalanced:
            return self._broken(b"unbalanced quotes in request")
        return REQUEST if self.args else None

    def _bulk_line(self, data: bytearray, start: int) -> int | None:
        state, size = self._count(data, start, b"bulk")
        if state is not None:
            return state
        at = start + self._at
        if data[at] != ord("$"):
            return self._broken(b"expected '$', got '%c'" % data[at])
        if size is None or not 0 <= size <= BULK_BYTES_MAX:
            return self._broken(b"invalid bulk length")
        after = data.index(b"\r", at) + 2 - start
        self._total += after - self._at + size + 2
        self._at = after
        self._scanned = 0
        self._bulk = size
        if size > self.value_bytes_max or self._total > self.request_bytes_max:
            self._skipping = True
            self.args = []
        if self._skipping:
            self._bulk += 2
        return None

    def _bulk_bytes(self, data: bytearray, start: int) -> int | None:
        # The two bytes behind a bulk string are not looked at, as in Redis.
        at = start + self._at
        room = len(data) - at
        if self._skipping:
            part = min(room, self._bulk)
            self._at += part
            self._bulk -= part
            if self._bulk:
                return MORE
        elif room < self._bulk + 2:
            return MORE
        else:
            self.args.append(bytes(data[at : at + self._bulk]))
            self._at += self._bulk + 2
        self._bulk = _NONE
        self._left -= 1
        if self._left:
            return None
        state = TOO_LARGE if self._skipping else REQUEST
        self._finish()
        return state


def split(line: bytes) -> list[bytes]:
    """The words of an inline command, by the quoting rules of Redis; a NUL ends the line. Raises
    Unbalanced."""
    line = line.partition(b"\0")[0] + b"\0"
    words: list[bytes] = []
    at = 0
    while True:
        while line[at] in _BLANKS:
            at += 1
        if not line[at]:
            return words
        at, word = _word(line, at)
        words.append(word)


def _word(line: bytes, at: int) -> tuple[int, bytes]:
    # Reads up to the blank or NUL behind the word.
    word = bytearray()
    while line[at] and line[at] not in _ENDS:
        if line[at] in b"\"'":
            at = _quoted(line, at, word)
            if line[at] and line[at] not in _BLANKS:
                raise Unbalanced
            break
        word.append(line[at])
        at += 1
    return at, bytes(word)


def _quoted(line: bytes, at: int, word: bytearray) -> int:
    # Adds what is in the quotes that open at `at` to `word`; returns the position behind the
    # closing one.
    quote = line[at]
    at += 1
    while line[at] != quote:
        if not line[at]:
            raise Unbalanced
        if line[at] == ord("\\") and quote == ord('"') and line[at + 1]:
            digits = line[at + 2 : at + 4]
            if (
                line[at + 1] == ord("x")
                and len(digits) == 2
                and digits[0] in _HEX
                and digits[1] in _HEX
            ):
                word.append(int(digits, 16))
                at += 4
                continue
            at += 1
            word.append(_ESCAPES.get(line[at], line[at]))
        elif line[at] == ord("\\") and quote == ord("'") and line[at + 1] == ord("'"):
            at += 1
            word.append(line[at])
        else:
            word.append(line[at])
        at += 1
    return at + 1
