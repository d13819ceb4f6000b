"""What single clients may cost a cell of real processes: on both edges, at the master and through another replica."""

import socket
from collections.abc import Iterator

import pytest
from tests.cell.memory import fits, grown

from fastpaxos_live.testing import LONG_LEASE, Cell, Connection, request, wait_until

MIB = 1 << 20


@pytest.fixture(scope="module", params=["cython", "python"])
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    folder = tmp_path_factory.mktemp(request.param)
    limits = {"segment_bytes": 64 << 20}
    with Cell(folder, core=request.param, fsync="never", limits=limits, lease=LONG_LEASE) as cell:
        yield cell
        cell.check_alive()


@pytest.fixture(params=["master", "follower"])
def me(request: pytest.FixtureRequest, cell: Cell) -> int:
    master = cell.wait_ready()
    return master if request.param == "master" else next(i for i in cell.ids if i != master)


def test_a_pipeline_that_is_written_whole_before_its_replies_are_read(cell: Cell, me: int) -> None:
    """As redis-py's pipeline(transaction=False) does it; more each way than the system's buffers hold."""
    size, count = 100_000, 160
    data = b"".join(
        request(b"SET", b"k", b"%d" % i * (size // len(b"%d" % i))) + request(b"GET", b"k") for i in range(count))
    with Connection(cell.ports[me], timeout=60) as client:
        client.send(data)
        for i in range(count):
            assert client.reply() == b"+OK"
            assert client.reply() == b"%d" % i * (size // len(b"%d" % i))


def test_a_long_reply(cell: Cell, me: int) -> None:
    with Connection(cell.ports[me]) as client:
        assert client.ask(b"SET", b"k", b"x" * (5 * MIB)) == b"+OK"
        client.send(request(b"MGET", *[b"k"] * 8) + request(b"MGET", *[b"k"] * 13))
        assert client.reply() == b"*8"
        assert all(client.reply() == b"x" * (5 * MIB) for _ in range(8))
        assert client.reply() == b"-ERR reply too large: at most 67108864 bytes of values"


def test_strangers_are_noted(cell: Cell) -> None:
    me = cell.wait_ready()
    for said, reason in (
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nSET stranger 1\r\n", "it speaks HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "it speaks TLS"),
    ):
        with Connection(cell.ports[me]) as client:
            client.send(said)
            assert client.is_closed()
        wait_until(lambda reason=reason: reason in cell.log(me).read_text(), "a line in the log")
    assert not cell.client(me).exists("stranger")


def test_a_half_close_at_another_replica(cell: Cell) -> None:
    master = cell.wait_ready()
    me = next(i for i in cell.ids if i != master)
    with Connection(cell.ports[me]) as client:
        client.send(request(b"SET", b"a", b"1") + request(b"GET", b"a") + request(b"PING"))
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.reply() for _ in range(3)] == [b"+OK", b"1", b"+PONG"]
        assert client.is_closed()


def test_memory_of_large_requests_goes_back(cell: Cell, me: int) -> None:
    if cell.core == "python":
        return  # there it is Python that keeps memory
    for before, after in grown(cell, me, 24, 4 * MIB):
        assert fits(before, after), f"{before >> 20} MiB became {after >> 20} MiB"
