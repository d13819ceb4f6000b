"""A client that is gone is soon gone in the replica, whatever it waited for: on both edges, with real sockets."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from fastpaxos_live.testing import Cell, Connection, request, wait_until

MIB = 1 << 20
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of a socket whose close sends RST
# Clients are told to be patient: without its end being noticed a client would be there for a minute.
LIMITS = {"wait_master_ms": 60_000, "write_timeout_ms": 60_000}
GONE_S = 5.0  # a second, on a machine with little else to do
PART = request(b"SET", b"unread", b"x" * 40_000)
LEASE = {"replica_ms": 2000, "master_ms": 1700}  # a master that is paused for a moment stays the master


@pytest.fixture(scope="module", params=["cython", "python"])
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    with Cell(tmp_path_factory.mktemp(request.param), core=request.param, limits=LIMITS, lease=LEASE) as cell:
        with cell.client(cell.master()) as client:
            client.set("large", b"x" * MIB)
        yield cell
        cell.check_alive()


def sockets(cell: Cell, me: int) -> int:
    """Descriptors of sockets that the process has."""
    count = 0
    for file in Path(f"/proc/{cell.pid(me)}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += os.readlink(file).startswith("socket:")
    return count


def present(cell: Cell, me: int) -> tuple[int, int]:
    return int(cell.info(me)["connected_clients"]), sockets(cell, me)


@contextmanager
def paused(cell: Cell, *ids: int) -> Iterator[None]:
    for i in ids:
        cell.pause(i)
    try:
        yield
    finally:
        for i in ids:
            cell.resume(i)


def idle(cell: Cell, stack: ExitStack, client: Connection, me: int) -> None:
    assert client.ask(b"PING") == b"+PONG"


def mid_request(cell: Cell, stack: ExitStack, client: Connection, me: int) -> None:
    client.send(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1000000\r\nx")


def send_unread(cell: Cell, client: Connection, me: int) -> None:
    """More than is read of a client that has to wait, and not more than the kernel takes for it."""
    client.send(PART * 2)
    assert cell.info(me)  # what came before is read by now
    client.send(PART)


def full(cell: Cell, stack: ExitStack, client: Connection, me: int) -> None:
    client.send(request(b"GET", b"large") * 20)
    assert client.socket.recv(1)
    send_unread(cell, client, me)


def lingering(cell: Cell, stack: ExitStack, client: Connection, me: int) -> None:
    client.send(request(b"GET", b"large") * 8 + request(b"QUIT"))
    assert client.socket.recv(1)


def in_flight(cell: Cell, stack: ExitStack, client: Connection, me: int) -> None:
    stack.enter_context(paused(cell, *(other for other in cell.ids if other != me)))
    client.send(request(b"SET", b"a", b"1") + request(b"GET", b"a"))
    send_unread(cell, client, me)


def forwarded(cell: Cell, stack: ExitStack, client: Connection, me: int) -> None:
    stack.enter_context(paused(cell, cell.master()))
    client.send(request(b"SET", b"a", b"1") + request(b"GET", b"a"))
    send_unread(cell, client, me)


def without_a_master(cell: Cell, stack: ExitStack, client: Connection, me: int) -> None:
    stack.enter_context(paused(cell, *(other for other in cell.ids if other != me)))
    wait_until(lambda: not cell.info(me)["master"], "no master to be known")
    client.send(request(b"SET", b"a", b"1") + request(b"GET", b"a"))
    send_unread(cell, client, me)


STATES = [idle, mid_request, full, lingering, in_flight, forwarded, without_a_master]


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_client_that_is_gone(cell: Cell, state, how: str) -> None:
    master = cell.wait_ready()
    me = next(i for i in cell.ids if i != master) if state is forwarded else master
    before = present(cell, me)
    with ExitStack() as stack, Connection(cell.ports[me], timeout=0.5, receive_buffer=4096) as client:
        state(cell, stack, client, me)
        if state is not lingering:  # which ends by itself, later
            assert int(cell.info(me)["connected_clients"]) == before[0] + 1
        if how == "FIN":
            client.socket.shutdown(socket.SHUT_WR)  # not read from, either: as a peer that is cut off
        else:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
        wait_until(lambda: present(cell, me)[0] == before[0], "the client to be gone", GONE_S)
        if state not in (in_flight, forwarded, without_a_master):  # there links are lost, too
            wait_until(lambda: present(cell, me) == before, "its descriptor to be gone", GONE_S)


def test_all_replies_after_a_half_close(cell: Cell) -> None:
    """As `printf ... | nc -N` does it."""
    master = cell.wait_ready()
    for me in cell.ids:
        with Connection(cell.ports[me]) as client:
            client.send(request(b"SET", b"a", b"%d" % me) + request(b"GET", b"a") + request(b"CLIENT", b"GETNAME"))
            client.send(request(b"GET", b"large") * 30)
            client.socket.shutdown(socket.SHUT_WR)
            assert [client.reply() for _ in range(3)] == [b"+OK", b"%d" % me, b"$-1"]
            assert all(client.reply() == b"x" * MIB for _ in range(30))
            assert client.is_closed()
    assert cell.master() == master


def test_a_steady_reader_after_a_half_close(cell: Cell) -> None:
    """What the system keeps for it lasts for seconds; meanwhile the replica has nothing to send."""
    with Connection(cell.ports[cell.wait_ready()]) as client:
        client.send(request(b"GET", b"large") * 20)
        client.socket.shutdown(socket.SHUT_WR)
        left = 20 * len(b"$%d\r\n%b\r\n" % (MIB, b"x" * MIB))
        until = time.monotonic() + 4
        while left and (data := client.socket.recv(50_000)):
            left -= len(data)
            if time.monotonic() < until:
                time.sleep(0.05)
        assert left == 0


def test_a_slow_reader_after_a_half_close(cell: Cell) -> None:
    with Connection(cell.ports[cell.wait_ready()], receive_buffer=4096) as client:
        client.send(request(b"GET", b"large") * 8)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(8):
            assert client.reply() == b"x" * MIB
        assert client.is_closed()
