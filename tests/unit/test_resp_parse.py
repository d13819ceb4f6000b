"""Requests out of a stream: limits, skipping, and the cost of trickling."""

import pytest
from tests.differential.resp_requests import request

from fastpaxos_live import _probe
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.limits import (
    ARGUMENTS_MAX,
    BULK_BYTES_MAX,
    INLINE_BYTES_MAX,
    REQUEST_SLACK,
)
from fastpaxos_live.reference.resp_parse import (
    BROKEN,
    MORE,
    REQUEST,
    TOO_LARGE,
    Parser,
    Unbalanced,
    split,
)

PROBES = pytest.mark.parametrize(
    "probe_class", [reference_probe.Probe, _probe.Probe], ids=["reference", "compiled"]
)


def take(parser: Parser, data: bytearray) -> int:
    """One answer, with the input moved on."""
    state = parser.next(data, 0)
    del data[: parser.consumed]
    return state


def test_requests_one_after_the_other() -> None:
    parser = Parser(1000)
    data = bytearray(request(b"a", b"") + b"\r\n*0\r\nb c\r\n" + request(b"d") + b"*1\r\n$")
    assert take(parser, data) == REQUEST
    assert parser.args == [b"a", b""]
    assert take(parser, data) == REQUEST
    assert parser.args == [b"b", b"c"]
    assert take(parser, data) == REQUEST
    assert parser.args == [b"d"]
    assert take(parser, data) == MORE
    assert data == b"*1\r\n$"


def test_input_that_starts_elsewhere_each_time() -> None:
    data = request(b"SET", b"key", b"value")
    parser = Parser(1000)
    for end in range(len(data)):
        assert parser.next(bytearray(end) + data[:end], end) == MORE
        assert parser.consumed == 0
    assert parser.next(bytearray(3) + data, 3) == REQUEST
    assert parser.args == [b"SET", b"key", b"value"]
    assert parser.consumed == len(data)


class Counted(bytearray):
    """Counts the bytes that are looked at."""

    seen = 0

    def find(self, what: bytes, start: int, end: int) -> int:
        found = super().find(what, start, end)
        Counted.seen += (found if found >= 0 else min(end, len(self))) - start
        return found


@pytest.mark.parametrize(
    "whole", [request(*[b"x"] * 2000), b"echo " + b"x" * 60_000 + b"\n", request(b"x" * 60_000)]
)
def test_bytes_that_trickle_are_looked_at_once(whole: bytes) -> None:
    parser = Parser(1 << 20)
    data = Counted()
    Counted.seen = 0
    for i, byte in enumerate(whole):
        data.append(byte)
        assert parser.next(data, 0) == (REQUEST if i == len(whole) - 1 else MORE)
    assert 0 < Counted.seen <= 2 * len(whole)


@PROBES
def test_many_arguments_byte_by_byte(probe_class) -> None:
    """Parsing this from its start with each byte would take hours."""
    probe = probe_class(1, 1000, 2)
    data = request(b"DEL", *[b"x"] * 40_000)
    for i in range(len(data) - 1):
        assert probe.feed(data[i : i + 1], 1) == b""
    assert probe.feed(data[-1:], 1) == b":0\r\n"


@PROBES
@pytest.mark.parametrize("piece", [1000, 65_536, 10_000_000])
def test_what_is_too_large_is_not_kept(probe_class, piece: int) -> None:
    probe = probe_class(1, 1000, 2)
    data = request(b"SET", b"k", b"x" * 3_000_000, b"EX", b"10") + request(b"ECHO", b"next")
    replies = b""
    for at in range(0, len(data), piece):
        replies += probe.feed(data[at : at + piece], 1)
        assert probe.waiting() < 100
    assert replies == b"-TOO_LARGE\r\n$4\r\nnext\r\n"
    assert probe.state()[0] == 0


@PROBES
def test_the_largest_argument(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    assert probe.feed(request(b"SET", b"k", b"x" * 1000), 1) == b"+OK\r\n"
    assert probe.feed(request(b"SET", b"k", b"x" * 1001), 1) == b"-TOO_LARGE\r\n"


def request_of(size: int, part: int) -> bytes:
    """A DEL of so many bytes as it arrives, with arguments of about `part` bytes."""
    name = b"*%d\r\n$3\r\nDEL\r\n"
    each = len(b"$%d\r\n\r\n" % part) + part
    count = (size - len(name % 9_000_000)) // each
    last = size - len(name % (count + 1)) - (count - 1) * each
    tail = next(n for n in range(last) if len(b"$%d\r\n\r\n" % n) + n >= last)
    data = name % (count + 1) + (b"$%d\r\n%b\r\n" % (part, b"k" * part)) * (count - 1)
    data += b"$%d\r\n%b\r\n" % (tail, b"k" * tail)
    assert len(data) == size
    return data


@PROBES
@pytest.mark.parametrize("part", [1, 8, 1000, 1 << 16])
def test_the_largest_request(probe_class, part: int) -> None:
    largest = 1 << 17
    bound = largest + REQUEST_SLACK
    probe = probe_class(1, largest, 2)
    for size, fits in ((bound - 1, True), (bound, True), (bound + 1, False), (4 * bound, False), (bound, True)):
        assert probe.feed(request_of(size, part), 1) == (b":0\r\n" if fits else b"-TOO_LARGE\r\n"), size
        assert probe.waiting() == 0


@PROBES
def test_what_goes_before_a_request_is_not_kept_with_it(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    part = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nva"
    assert probe.feed(b"\r\n" * 50_000 + b"*0\r\n" * 50_000 + part, 1) == b""
    assert probe.waiting() == len(part)
    assert probe.feed(b"lue\r\n", 1) == b"+OK\r\n"
    assert probe.feed(request(b"GET", b"k"), 1) == b"$5\r\nvalue\r\n"


@PROBES
def test_bounds_of_what_is_garbage(probe_class) -> None:
    count, bulk = b"*%d\r\n", b"*1\r\n$%d\r\n"
    length = b"-ERR Protocol error: invalid multibulk length\r\n"
    size = b"-ERR Protocol error: invalid bulk length\r\n"
    inline = b"-ERR Protocol error: too big inline request\r\n"
    for data, reply in [
        (count % ARGUMENTS_MAX, b""),
        (count % (ARGUMENTS_MAX + 1), length),
        (count % -(1 << 63), b""),
        (count % (-(1 << 63) - 1), length),
        (count % ((1 << 63) - 1), length),
        (bulk % BULK_BYTES_MAX, b""),
        (bulk % (BULK_BYTES_MAX + 1), size),
        (b"x" * INLINE_BYTES_MAX, b""),
        (b"x" * (INLINE_BYTES_MAX + 1), inline),
        (b"\r\n" * INLINE_BYTES_MAX, b""),
        (b"x" * (INLINE_BYTES_MAX + 1) + b"\n", inline),
    ]:
        assert probe_class(1, 1000, 2).feed(data, 1) == reply


@PROBES
def test_garbage_behind_something_too_large(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    assert probe.feed(b"*3\r\n$2000\r\n" + b"x" * 2002 + b"$1\r\na\r\n", 1) == b""
    assert probe.waiting() == 0
    assert probe.feed(b"+1\r\n", 1) == b"-ERR Protocol error: expected '$', got '+'\r\n"
    assert probe.feed(request(b"PING"), 1) == b"", "nothing is read behind garbage"


@PROBES
def test_empty_lines_are_not_kept(probe_class) -> None:
    probe = probe_class(1, 1000, 2)
    for _ in range(100):
        assert probe.feed(b"\r\n*0\r\n*-1\r\n \r\n", 1) == b""
        assert probe.waiting() == 0


def test_states_of_an_oversized_request() -> None:
    parser = Parser(10)
    data = bytearray(b"*2\r\n$11\r\nabc")
    assert take(parser, data) == MORE
    assert data == b""
    data += b"defghijk\r\n$1\r\n"
    assert take(parser, data) == MORE
    data += b"x\r"
    assert take(parser, data) == MORE
    data += b"\n*x\r\n"
    assert take(parser, data) == TOO_LARGE
    assert take(parser, data) == BROKEN
    assert parser.error == b"Protocol error: invalid multibulk length"


@pytest.mark.parametrize(
    "line, words",
    [
        (b"", []),
        (b" \t", []),
        (b"a b", [b"a", b"b"]),
        (b'""', [b""]),
        (b"a'b c'", [b"ab c"]),
        (b'"\\x4a\\n\\q\\\\" x', [b"J\nq\\", b"x"]),
        (b"'\\'\\n'", [b"'\\n"]),
        (b"a\0b", [b"a"]),
        (b"a\vb", [b"a\vb"]),
        (b'"\\x4"', [b"x4"]),
    ],
)
def test_words(line: bytes, words: list[bytes]) -> None:
    assert split(line) == words


@pytest.mark.parametrize("line", [b'"', b"'", b'"a"b', b"'a'b", b'"a\\"', b'"a\0"', b'a "b'])
def test_unbalanced_quotes(line: bytes) -> None:
    with pytest.raises(Unbalanced):
        split(line)
