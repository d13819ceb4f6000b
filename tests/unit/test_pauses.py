"""The clients of tests/cell/pauses.py see what is wrong, and nothing else."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from tests.cell.pauses_clients import OWED_MAX, TASTES, Connection, Kind
from tests.cell.pauses_history import Garbled, History, parse, value


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True


class World:
    """A cell of two that nobody runs."""

    def __init__(self) -> None:
        self.history = History()
        self.ports = {1: 7001, 2: 7002}
        self.master = 1
        self.open: set[Connection] = set()
        self.moves: list[int] = []
        self.counts: Counter[str] = Counter()

    def now(self) -> float:
        return 5.0

    def connection(self, kind: Kind = Kind.forwarded) -> Connection:
        made = Connection(self, kind, 2, self.moves.append)
        made.connection_made(Wire())
        return made


@pytest.fixture
def world() -> World:
    return World()


def owe(connection: Connection, command: bytes, *keys: bytes, number: int = 0) -> None:
    connection._owe(command, keys, number)


def write(world: World, connection: Connection, key: bytes = b"k") -> int:
    number = world.history.write(key)
    owe(connection, b"SET", key, number=number)
    return number


def bulk(data: bytes | None) -> bytes:
    return b"$-1\r\n" if data is None else b"$%d\r\n%s\r\n" % (len(data), data)


def test_parse() -> None:
    data = bytearray(b"+OK\r\n-ERR x\r\n:12\r\n$-1\r\n$3\r\na\r\n\r\n*2\r\n$1\r\nb\r\n*-1\r\n*0\r\n")
    found, at = [], 0
    while at < len(data):
        reply = parse(data, at)
        assert reply is not None
        found.append(reply[0])
        at = reply[1]
    assert found == [
        (b"+", b"OK"), (b"-", b"ERR x"), (b":", 12), (b"$", None), (b"$", b"a\r\n"),
        (b"*", [(b"$", b"b"), (b"*", None)]), (b"*", []),
    ]  # fmt: skip
    whole = b"*2\r\n$3\r\nabc\r\n:5\r\n"
    assert [parse(bytearray(whole[:size]), 0) for size in range(len(whole))] == [None] * len(whole)
    for text in (b"x\r\n", b"$x\r\n", b"?1\r\n"):
        with pytest.raises(Garbled):
            parse(bytearray(text), 0)


def test_right_replies_in_pieces(world: World) -> None:
    connection = world.connection()
    assert write(world, connection) == 1
    owe(connection, b"GET", b"k")
    owe(connection, b"MGET", b"k", b"none")
    owe(connection, b"INCR", b"n")
    owe(connection, b"ECHO", b"token")
    data = b"+OK\r\n" + bulk(value(b"k", 1, 9)) + b"*2\r\n" + bulk(value(b"k", 1, 9)) + bulk(None) + b":1\r\n"
    for byte in data + bulk(b"token"):
        connection.data_received(bytes([byte]))
    assert world.history.violations == {}
    assert not connection.owed
    assert world.history.floor == {b"k": 1}


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        (b"GET", bulk(value(b"other", 1, 0)), "wrong reply"),
        (b"GET", b"+OK\r\n", "wrong reply"),
        (b"GET", bulk(b""), "wrong reply"),
        (b"GET", bulk(None), "lost write"),
        (b"GET", bulk(value(b"k", 1, 0)), "lost write"),
        (b"GET", bulk(value(b"k", 4, 0)), "value that nobody wrote"),
        (b"MGET", b"*2\r\n", None),
        (b"MGET", b"*2\r\n" + bulk(None) + bulk(None), "wrong reply"),
        (b"MGET", b"*1\r\n" + bulk(None), "lost write"),
        (b"SET", bulk(None), "wrong reply"),
        (b"SET", b":1\r\n", "wrong reply"),
        (b"INCR", b":2\r\n", "written twice"),
        (b"INCR", b":0\r\n", "lost write"),
        (b"INCR", b"+OK\r\n", "wrong reply"),
        (b"ECHO", bulk(b"another"), "wrong reply"),
        (b"GET", b"-MOVED 1 127.0.0.1:7001\r\n", "wrong reply"),
        (b"GET", b"-ERR something\r\n", "wrong reply"),
        (b"GET", b"!\r\n", "wrong reply"),
        (b"GET", b"-UNKNOWN x\r\n+OK\r\n", "reply too many"),
    ],
)
def test_wrong_replies(world: World, command: bytes, reply: bytes, kind: str | None) -> None:
    connection = world.connection()
    for _ in range(3):
        write(world, connection)
    connection.data_received(b"+OK\r\n+OK\r\n")  # the third may be there or not
    connection.owed.pop()
    owe(connection, command, b"k")
    connection.data_received(reply)
    assert [*world.history.violations] == ([kind] if kind else [])


def test_a_reply_too_many(world: World) -> None:
    connection = world.connection()
    connection.data_received(b"+OK\r\n")
    assert [*world.history.violations] == ["reply too many"]


def test_replies_that_moved_by_one_are_all_wrong(world: World) -> None:
    connection = world.connection()
    for token in (b"a", b"b", b"c", b"d"):
        owe(connection, b"ECHO", token)
    connection.data_received(b"".join(map(bulk, (b"b", b"c", b"d"))))
    assert world.history.violations == {"wrong reply": 3}
    # Such a connection says nothing of what is stored.
    write(world, connection)
    connection.data_received(bulk(b"e") + b"+OK\r\n")
    assert world.history.floor == {}


@pytest.mark.parametrize("order", ["read first", "refused first"])
def test_a_refused_write_may_not_be_seen(world: World, order: str) -> None:
    writer, reader = world.connection(), world.connection()
    write(world, writer)
    owe(reader, b"GET", b"k")
    steps = [lambda: reader.data_received(bulk(value(b"k", 1, 0))), lambda: writer.data_received(b"-TRYAGAIN x\r\n")]
    for step in steps if order == "read first" else reversed(steps):
        step()
    assert world.history.violations == {"refused write is visible": 1}


def test_an_unknown_write_may_be_seen_or_not(world: World) -> None:
    writer, reader = world.connection(), world.connection()
    write(world, writer)
    owe(writer, b"INCR", b"n")
    writer.data_received(b"-UNKNOWN the master changed\r\n")
    assert writer.unknown_at == 5.0
    writer.connection_lost(None)
    for found in (None, value(b"k", 1, 0)):
        owe(reader, b"GET", b"k")
        reader.data_received(bulk(found))
    assert world.history.violations == {}
    assert [*world.history.counted.values()] == [(0, 1)]
    # Once it was seen it may not go again.
    owe(reader, b"GET", b"k")
    reader.data_received(bulk(None))
    assert world.history.violations == {"lost write": 1}


def test_moved(world: World) -> None:
    connection = world.connection(Kind.moved)
    connection.slots()
    owe(connection, b"GET", b"k")
    connection.data_received(b"*0\r\n-MOVED 77 127.0.0.1:7001\r\n")
    assert world.moves == [1]
    assert world.history.violations == {}


def test_bursts_keep_the_limit_and_never_wait(world: World) -> None:
    made = [world.connection() for _ in TASTES]
    for connection in made:
        for _ in range(200):
            connection.burst()
    assert sorted(len(one.owed) for one in made) == sorted(limit for limit, _ in TASTES)
    assert max(len(one.owed) for one in made) == OWED_MAX
    commands = {one.command for connection in made for one in connection.owed}
    assert commands == {b"SET", b"INCR", b"GET", b"MGET", b"ECHO"}


def test_what_is_sent_is_what_is_owed(world: World) -> None:
    connection = world.connection()
    while len(connection.owed) == 0:
        connection.burst()
    wire = connection._transport
    assert isinstance(wire, Wire)
    expected = [[one.command, *one.keys] for one in connection.owed]
    at = 0
    for words in expected:
        found = parse(bytearray(wire.written), at)
        assert found is not None
        (_, items), at = found
        assert [item[1] for item in items][: len(words)] == words
    assert at == len(wire.written)


def test_examples_are_few() -> None:
    history = History()
    for n in range(20):
        history.violation("wrong reply", str(n))
    assert history.violations["wrong reply"] == 20
    assert len(history.examples["wrong reply"]) == 5
