"""Which requests are reads, writes, answered at once, or left to Python."""

import pytest

from fastpaxos_live import _probe
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.db_ops import (
    FLAG_ABSOLUTE,
    FLAG_GET,
    FLAG_GT,
    FLAG_NX,
    FLAG_RELATIVE,
    OP_DEL,
    OP_EXISTS,
    OP_EXPIRE,
    OP_GET,
    OP_GETEX,
    OP_INCRBY,
    OP_MSET,
    OP_SET,
    op_decode,
)
from fastpaxos_live.reference.resp_fast import CALL, READ, REPLY, WRITE

PROBES = pytest.mark.parametrize(
    "probe_class", [reference_probe.Probe, _probe.Probe], ids=["reference", "compiled"]
)


@PROBES
@pytest.mark.parametrize(
    "line, kind, operation",
    [
        (b"get k", READ, (OP_GET, 0, 0, [(b"k", b"")])),
        (b"TOUCH a b", READ, (OP_EXISTS, 0, 0, [(b"a", b""), (b"b", b"")])),
        (b"GETEX k", READ, (OP_GET, 0, 0, [(b"k", b"")])),
        (b"GETEX k PERSIST", WRITE, (OP_GETEX, 0, 0, [(b"k", b"")])),
        (b"SET k v", WRITE, (OP_SET, 0, 0, [(b"k", b"v")])),
        (
            b"set k v ex 5 nx get",
            WRITE,
            (OP_SET, FLAG_RELATIVE | FLAG_NX | FLAG_GET, 5000, [(b"k", b"v")]),
        ),
        (b"SET k v PXAT 5", WRITE, (OP_SET, FLAG_ABSOLUTE, 5, [(b"k", b"v")])),
        (b"SETEX k 5 v", WRITE, (OP_SET, FLAG_RELATIVE, 5000, [(b"k", b"v")])),
        (b"MSET a 1 b 2", WRITE, (OP_MSET, 0, 0, [(b"a", b"1"), (b"b", b"2")])),
        (b"UNLINK a b", WRITE, (OP_DEL, 0, 0, [(b"a", b""), (b"b", b"")])),
        (b"DECRBY n 5", WRITE, (OP_INCRBY, 0, -5, [(b"n", b"")])),
        (b"DECR n", WRITE, (OP_INCRBY, 0, -1, [(b"n", b"")])),
        (b"EXPIREAT k -5 GT", WRITE, (OP_EXPIRE, FLAG_ABSOLUTE | FLAG_GT, -5000, [(b"k", b"")])),
    ],
)
def test_operations(probe_class, line: bytes, kind: int, operation: tuple) -> None:
    found, data = probe_class(1, 1000, 2).encode(line + b"\n")
    assert found == kind
    assert op_decode(data, 0) == operation


@PROBES
@pytest.mark.parametrize(
    "line, reply",
    [
        (b"PING", b"+PONG\r\n"),
        (b"PING x", b"$1\r\nx\r\n"),
        (b"ECHO x", b"$1\r\nx\r\n"),
        (b"GET", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"SET k v NX XX", b"-ERR syntax error\r\n"),
        (b"NOSUCH *", b"-ERR unknown command 'NOSUCH', with args beginning with: '*' \r\n"),
    ],
)
def test_replies(probe_class, line: bytes, reply: bytes) -> None:
    assert probe_class(1, 1000, 2).encode(line + b"\n") == (REPLY, reply)


@PROBES
@pytest.mark.parametrize(
    "line", [b"hello 3", b"CONFIG", b"Client ID", b"FPL.CELL", b"fpl.anything x", b"WAIT 1 1", b"KEYS *"]
)
def test_calls(probe_class, line: bytes) -> None:
    assert probe_class(1, 1000, 2).encode(line + b"\n") == (CALL, b"")


@PROBES
@pytest.mark.parametrize(
    "name", [b"FPL", b"FPLX", b"GE", b"GETS", b"GET\\0", b"x" * 17, b"A" * 1000]
)
def test_not_quite_a_command(probe_class, name: bytes) -> None:
    kind, reply = probe_class(1, 1000, 2).encode(name + b" k\n")
    assert kind == REPLY
    assert reply.startswith(b"-ERR unknown command '")
