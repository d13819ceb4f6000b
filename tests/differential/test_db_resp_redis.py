"""Replies byte for byte as those of a real redis-server, in RESP2 and RESP3."""

import time
from collections.abc import Iterator
from random import Random

import pytest
from tests.differential.resp_requests import Sensible, request
from tests.differential.witness import Redis, redis_server

from fastpaxos_live import _probe
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.server.glob import glob

VALUE_BYTES_MAX = 1 << 20
PROBES = pytest.mark.parametrize(
    "probe_class", [reference_probe.Probe, _probe.Probe], ids=["reference", "compiled"]
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as free:
        yield free


@pytest.fixture
def redis(port: int) -> Iterator[Redis]:
    connection = Redis(port)
    assert connection.ask(b"FLUSHALL") == b"+OK\r\n"
    yield connection
    connection.close()


def is_close(a: bytes, b: bytes) -> bool:
    """Integers that are two seconds apart at most, whether they are s or ms; negative ones have to
    be equal."""
    x, y = int(a[1:]), int(b[1:])
    return x == y if min(x, y) < 0 else abs(x - y) <= 2000


@PROBES
@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_random_requests(probe_class, resp: int, seed: int, redis: Redis) -> None:
    if resp == 3:
        redis.ask(b"HELLO", b"3")
    probe = probe_class(1, VALUE_BYTES_MAX, resp)
    requests = Sensible(Random(seed), int(time.time() * 1000))
    for _ in range(1500):
        args = requests.args()
        expected = redis.ask(*args)
        reply = probe.feed(request(*args), int(time.time() * 1000))
        if requests.is_time(args) and reply[:1] == expected[:1] == b":":
            assert is_close(reply, expected), args
        else:
            assert reply == expected, args


def test_patterns(redis: Redis) -> None:
    random = Random(5)
    names = sorted({bytes(random.choices(b"ab-^]", k=random.randrange(1, 7))) for _ in range(150)})
    for name in names:
        redis.ask(b"SET", name, b"")
    for _ in range(1500):
        pattern = bytes(random.choices(b"ab*?[^]-\\", weights=(4, 4, 3, 1, 3, 1, 3, 2, 1), k=random.randrange(10)))
        redis.send(request(b"KEYS", pattern))
        found = sorted(redis.reply()[:-2].partition(b"\r\n")[2] for _ in range(int(redis.line()[1:])))
        matches = glob(pattern)
        assert found == [name for name in names if matches(name)], pattern


LINES = [
    b"PING",
    b"ping hello",
    b"  SET  a  b  ",
    b"GET a",
    b"SET \"a b\" 'c d'",
    b'GET "a b"',
    b'ECHO "\\x41\\n\\r\\t\\b\\a\\q\\"\\\\"',
    b"ECHO 'it\\'s \\n'",
    b'ECHO ""',
    b"ECHO a\vb\fc",
    b'ECHO "\\xZZ"',
    b'ECHO ab"cd"',
    b"nosuch one two",
    b"nosuch",
    b"",
    b"   ",
    b'"" x',
    b"ECHO \xff\xfe",
    b"ECHO a\rb",
]


@PROBES
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_inline_requests(probe_class, end: bytes, redis: Redis) -> None:
    data = end.join(LINES) + end
    probe = probe_class(1, VALUE_BYTES_MAX, 2)
    redis.send(data + request(b"ECHO", b"the end"))
    expected = b""
    while not expected.endswith(b"the end\r\n"):
        expected += redis.reply()
    assert probe.feed(data + request(b"ECHO", b"the end"), 1) == expected


UNKNOWN = [
    [b"nosuch"],
    [b"NoSuch", b"a", b"b"],
    [b"no\r\nsuch", b"x\ny"],
    [b"n" * 200, b"a" * 200, b"b"],
    [b""],
    [b"nosuch", b"a" * 100, b"b" * 100, b"c"],
    [b"no\0such", b"a\0b"],
    [b"nosuch", b"", b"", b"a" * 120, b"b"],
    [b"nosuch", b"a" * 125, b"b"],
    [b"nosuch", *[b"a"] * 50],
    [b"GETX", b"a"],
]


@PROBES
@pytest.mark.parametrize("args", UNKNOWN)
def test_unknown_commands(probe_class, args: list[bytes], redis: Redis) -> None:
    assert probe_class(1, VALUE_BYTES_MAX, 2).feed(request(*args), 1) == redis.ask(*args)


OPTIONS = [
    [b"SET", b"k", b"v", b"EX", b"1000", b"EX", b"2000"],
    [b"SET", b"k", b"v", b"KEEPTTL", b"EX", b"1"],
    [b"SET", b"k", b"v", b"EX"],
    [b"SET", b"k", b"v", b"EX", b"0"],
    [b"SET", b"k", b"v", b"PXAT", b"-1"],
    [b"SET", b"k", b"v", b"PXAT", b"1"],
    [b"SET", b"k", b"v", b"NX", b"XX"],
    [b"SET", b"k", b"v", b"PERSIST"],
    [b"SET", b"k", b"v", b"NX", b"GET"],
    [b"SET", b"k", b"v", b"XX", b"NX", b"GET"],
    [b"SET", b"k", b"v", b"EX", b"x"],
    [b"GETEX", b"k", b"EX", b"0"],
    [b"GETEX", b"nokey", b"EX", b"0"],
    [b"GETEX", b"nokey", b"EX", b"x"],
    [b"GETEX", b"nokey", b"EX"],
    [b"GETEX", b"k", b"PX", b"x"],
    [b"SET", b"k", b"v", b"ex\0at", b"1000"],
    [b"EXPIRE", b"k", b"1000", b"nx\0"],
    [b"GETEX", b"k", b"NX"],
    [b"GETEX", b"k", b"PERSIST", b"EX", b"1"],
    [b"GETEX", b"k", b"EXAT", b"1"],
    [b"SETEX", b"k", b"0", b"v"],
    [b"PSETEX", b"k", b"-1", b"v"],
    [b"SETEX", b"k", b"9223372036854775807", b"v"],
    [b"EXPIRE", b"k", b"9223372036854775807"],
    [b"PEXPIRE", b"k", b"9223372036854775807"],
    [b"EXPIRE", b"k", b"1", b"NX", b"GT"],
    [b"MSET", b"a"],
    [b"EXPIRE", b"k", b"1", b"GT", b"LT"],
    [b"EXPIRE", b"k", b"1", b"wh\nat\r\n"],
    [b"EXPIRE", b"k", b"x", b"NX"],
    [b"EXPIRE", b"k", b"-1"],
    [b"EXPIREAT", b"k", b"-9223372036854775808"],
    [b"MSETNX", b"a", b"b", b"c"],
    [b"PEXPIREAT", b"k", b"-9223372036854775808"],
    [b"EXPIREAT", b"k", b"9223372036854775"],
    [b"DECRBY", b"n", b"-9223372036854775808"],
    [b"INCRBY", b"n", b"9223372036854775807"],
    [b"PING", b"a", b"b"],
    [b"PEXPIREAT", b"k", b"9223372036854775807"],
]


@PROBES
@pytest.mark.parametrize("args", OPTIONS, ids=repr)
def test_options(probe_class, args: list[bytes], redis: Redis) -> None:
    probe = probe_class(1, VALUE_BYTES_MAX, 2)
    for step in (
        [b"SET", b"k", b"old", b"PXAT", b"33000000000000"],
        [b"SET", b"n", b"5"],
        args,
        [b"GET", b"k"],
    ):
        assert probe.feed(request(*step), int(time.time() * 1000)) == redis.ask(*step), step
    for key in (b"k", b"n"):
        expected = redis.ask(b"PEXPIRETIME", key)
        assert is_close(probe.feed(request(b"PEXPIRETIME", key), int(time.time() * 1000)), expected)


BROKEN = [
    b"*1\r\n+PING\r\n",
    b"*x\r\n",
    b"*\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n\r\nx\r\n",
    b"*3000000000\r\n",
    b"*1\r\n$01\r\n",
    b'ECHO "a\r\n',
    b"ECHO 'a\n",
    b'ECHO "a"b\n',
    b"x" * 70_000,
    b"*" + b"1" * 70_000,
    b"*1\r\n$" + b"1" * 70_000,
    b"*99999999999999999999\r\n",
]


@PROBES
@pytest.mark.parametrize("data", BROKEN, ids=lambda data: repr(data[:20]))
def test_protocol_errors(probe_class, data: bytes, redis: Redis) -> None:
    probe = probe_class(1, VALUE_BYTES_MAX, 2)
    start = request(b"PING") + b"*0\r\n*-1\r\n\r\n"
    redis.send(start + data)
    assert probe.feed(start + data, 1) == redis.reply() + redis.reply()
    assert redis.reply() == b""


@PROBES
def test_half_sent_lines_wait_as_in_redis(probe_class, redis: Redis) -> None:
    probe = probe_class(1, VALUE_BYTES_MAX, 2)
    for part in (b"*2", b"\r", b"\n$4\r\nEC", b"HO\r\n$3\r", b"\nab", b"c\r"):
        assert probe.feed(part, 1) == b""
        redis.send(part)
    redis.send(b"\n")
    assert probe.feed(b"\n", 1) == redis.reply() == b"$3\r\nabc\r\n"
