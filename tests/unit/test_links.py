"""Connections between replicas: real sockets on loopback, two or three `Links` in one event loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from fastpaxos_live.log.handshake import (
    CHANNELS,
    NONCE_BYTES,
    Greeter,
    Handshake,
    Hello,
    Terms,
    handshake_key,
    short_frame,
)
from fastpaxos_live.reference.log_frame import CHALLENGE, HELLO, frame_encode
from fastpaxos_live.server import links as links_module
from fastpaxos_live.server.links import Links
from fastpaxos_live.testing import HOST, free_ports

CELL = 7
NAMES = ["r1", "r2", "r3"]
SECRET = bytes(range(32))
KEY = handshake_key(CELL, SECRET)
WAIT_S = 20.0


class Node:
    """The links of one replica; `sockets` has what would go to its edge, newest last."""

    def __init__(
        self, own: int, addresses: list[tuple[str, int]], names: list[str] = NAMES, cell: int = CELL,
        counter: int = 0, key: bytes = KEY,
    ) -> None:
        self.sockets: dict[tuple[int, int], list[socket.socket]] = {}
        greeter = Greeter(Terms(cell, tuple(names), key, {}), own, 1)
        loop = asyncio.get_running_loop()
        self.links = Links(loop, greeter, own, addresses, counter, self.adopt)
        self.links.start()

    def adopt(self, sock: socket.socket, peer: int, channel: int) -> None:
        self.sockets.setdefault((peer, channel), []).append(sock)

    def count(self, peer: int, channel: int = 0) -> int:
        return len(self.sockets.get((peer, channel), []))

    async def close(self) -> None:
        await self.links.close()
        for sockets in self.sockets.values():
            for sock in sockets:
                sock.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def addresses(count: int = 3) -> list[tuple[str, int]]:
    return [(HOST, port) for port in free_ports(count)]


def run(test: Callable[[], Awaitable[None]]) -> list[dict[str, Any]]:
    # Runs it; returns what was logged.
    with capture_logs() as logs:
        asyncio.run(test())
    return [dict(line) for line in logs]


def hello(replica: int, name: str, counter: int, names: list[str] = NAMES, **more: Any) -> Hello:
    # Of a caller of replica 2.
    made = Hello(CELL, replica, name, 1, {"members": ",".join(names)}, counter=counter, called=2)
    return made._replace(**more)


async def call(address: tuple[str, int], own: Hello) -> tuple[socket.socket, Hello]:
    # A caller of its own: returns its socket and the answer.
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, address)
    handshake = Handshake(KEY, own, bytes(NONCE_BYTES), calls=True)
    await loop.sock_sendall(sock, handshake.begin())
    while handshake.wanted:
        await loop.sock_sendall(sock, handshake.feed(await loop.sock_recv(sock, handshake.wanted)))
    assert handshake.peer is not None
    return sock, handshake.peer


async def ends(sock: socket.socket) -> bool:
    # Does the other side close it?
    async with asyncio.timeout(WAIT_S):
        try:
            return await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        except ConnectionError:
            return True


def test_both_channels_of_every_pair() -> None:
    async def test() -> None:
        places = addresses()
        nodes = [Node(own, places) for own in (1, 2, 3)]
        for own, node in enumerate(nodes, 1):
            for peer in {1, 2, 3} - {own}:
                for channel in range(CHANNELS):
                    await until(lambda: node.count(peer, channel))  # noqa: B023
        for (peer, _), (sock,) in nodes[0].sockets.items():
            assert sock.getpeername() == places[peer - 1]
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for node in nodes:
            await node.close()

    assert run(test) == []


def test_both_ends_notice_a_peer_that_vanishes() -> None:
    async def test() -> None:
        places = addresses(2)
        nodes = [Node(own, places, NAMES[:2]) for own in (1, 2)]
        for node, peer in zip(nodes, (2, 1), strict=True):
            await until(lambda: node.count(peer, 1))  # noqa: B023
            (sock,) = node.sockets[peer, 1]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == links_module.KEEPALIVE_S
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == links_module.USER_TIMEOUT_MS
        for node in nodes:
            await node.close()

    run(test)


def test_it_calls_again_when_a_connection_is_lost() -> None:
    async def test() -> None:
        places = addresses(2)
        first = Node(1, places, NAMES[:2])
        second = Node(2, places, NAMES[:2])
        for round in range(1, 4):
            await until(lambda: first.count(2) == second.count(1) == round)  # noqa: B023
            first.sockets[2, 0][-1].close()
            first.links.lost(2, 0)
        await until(lambda: second.count(1) == 4)
        assert first.count(2, 1) == 1
        await first.close()
        await second.close()

    assert run(test) == []


def test_no_trouble_of_its_own_ends_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    troubles = [RuntimeError("can't start new thread"), MemoryError()]

    async def test() -> None:
        places = addresses(2)
        loop = asyncio.get_running_loop()
        getaddrinfo = loop.getaddrinfo

        async def short(*args: Any, **more: Any) -> Any:
            if troubles:
                raise troubles.pop()
            return await getaddrinfo(*args, **more)

        monkeypatch.setattr(loop, "getaddrinfo", short)
        nodes = [Node(own, places, NAMES[:2]) for own in (1, 2)]
        await until(lambda: all(nodes[0].count(2, channel) for channel in range(CHANNELS)))
        for node in nodes:
            await node.close()

    reasons = {line["reason"] for line in run(test)}
    assert reasons >= {"MemoryError()"}


def test_it_calls_until_the_other_is_there_and_complains_once() -> None:
    async def test() -> None:
        places = addresses(2)
        first = Node(1, places, NAMES[:2])
        await asyncio.sleep(10 * links_module.REDIAL_MIN_S)  # some calls in vain
        second = Node(2, places, NAMES[:2])
        await until(lambda: first.count(2, 0) and first.count(2, 1))
        await first.close()
        await second.close()

    (line,) = run(test)
    assert line["reason"] == "Connection refused"


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (hello(1, "r1", 5, cell_id=8), "cell mismatch: got 8, want 7"),
        (hello(4, "r4", 5), "unknown replica 'r4' (id 4), expected one of [r1 (id 1), "),
        (hello(1, "rX", 5), "unknown replica 'rX' (id 1), expected one of [r1 (id 1), "),
        (hello(2, "r2", 5), "it is r2, as this replica: two run, or an address is wrong"),
        (hello(3, "r3", 5), "replica r3 must wait to be called: the lower id calls"),
        (hello(1, "r1", 5, channel=2), "unknown channel 2"),
        (hello(1, "r1", 5, NAMES[:2]), "members mismatch: r1 has r1,r2, this replica has r1,r2,r3"),
    ],
)
def test_the_wrong_ones_are_refused_with_one_line(own: Hello, reason: str) -> None:
    async def test() -> None:
        places = addresses()
        node = Node(2, places)
        for again in range(5):
            sock, answer = await call(places[1], own._replace(counter=5 + again))
            assert (answer.cell_id, answer.replica, answer.name) == (CELL, 2, "r2")
            assert await ends(sock)
            sock.close()
        assert node.sockets == {}
        await node.close()

    lines = [line for line in run(test) if line["address"] == HOST]  # not those of its own calls
    assert len(lines) == 1
    assert lines[0]["reason"].startswith(reason)


def test_a_caller_of_another_cell_is_told_by_both_sides() -> None:
    async def test() -> None:
        places = addresses(2)
        first = Node(1, places, NAMES[:2], cell=8)
        second = Node(2, places, NAMES[:2])
        await asyncio.sleep(20 * links_module.REDIAL_MIN_S)
        assert first.sockets == second.sockets == {}
        await first.close()
        await second.close()

    reasons = sorted(line["reason"] for line in run(test))
    assert reasons == ["cell mismatch: got 7, want 8", "cell mismatch: got 8, want 7"]


def test_the_newest_connection_wins() -> None:
    async def test() -> None:
        places = addresses(2)
        node = Node(2, places, NAMES[:2])
        older, _ = await call(places[1], hello(1, "r1", 10, NAMES[:2]))
        newer, _ = await call(places[1], hello(1, "r1", 12, NAMES[:2]))
        await until(lambda: node.count(1) == 2)
        for late in (11, 12, 3):
            sock, _ = await call(places[1], hello(1, "r1", late, NAMES[:2]))
            assert await ends(sock)
            sock.close()
        assert node.count(1) == 2
        assert node.sockets[1, 0][-1].getpeername() == newer.getsockname()
        older.close()
        newer.close()
        await node.close()

    (line,) = run(test)
    assert line["reason"].startswith("connection 11 of r1 is not newer than 12")


def test_a_name_that_does_not_resolve() -> None:
    async def test(lines: list[Any]) -> None:
        node = Node(1, [addresses(1)[0], ("no-such-host.invalid", 1)], NAMES[:2])
        await until(lambda: lines)
        await node.close()

    with capture_logs() as lines:
        asyncio.run(test(lines))
    assert lines[0]["address"] == "no-such-host.invalid:1"
    assert lines[0]["reason"] in ("Name or service not known", "no answer") or "Temporary" in lines[0]["reason"]


def test_one_with_another_secret_is_told_by_both_sides() -> None:
    async def test() -> None:
        places = addresses(2)
        first = Node(1, places, NAMES[:2], key=handshake_key(CELL, None))
        second = Node(2, places, NAMES[:2])
        await until(lambda: len(lines) >= 2)
        assert first.sockets == second.sockets == {}
        await first.close()
        await second.close()

    with capture_logs() as lines:
        asyncio.run(test())
    said = {line["address"] == HOST: line["reason"] for line in lines}
    assert said == {
        True: "it does not know this cell's secret (it is of another cell, or has another secret file)",
        False: "it does not accept this replica's proof (it is of another cell, or has another secret file)",
    }


def test_an_older_version_is_named_where_it_calls_and_where_it_is_called() -> None:
    """It begins with a HELLO, and closes the connection on anything else."""

    async def test() -> None:
        places = addresses(2)
        old = socket.create_server(places[0])
        old.setblocking(False)
        first = Node(2, places, NAMES[:2])
        loop = asyncio.get_running_loop()
        with socket.create_connection(places[1]) as sock:
            sock.setblocking(False)
            await loop.sock_sendall(sock, frame_encode(0, HELLO, 1, 1, instance=1, extra=CELL, payload=b"r1"))
            assert await ends(sock)
        await first.close()
        caller = Node(1, [addresses(1)[0], places[0]], NAMES[:2])
        sock, _ = await loop.sock_accept(old)
        await loop.sock_recv(sock, 64)
        sock.close()  # with something unread
        await until(lambda: len(lines) >= 2)
        await caller.close()
        old.close()

    with capture_logs() as lines:
        asyncio.run(test())
    assert [line["reason"] for line in lines[:2]] == [
        "it speaks as an older version of this program does: update it",
        "it closed the connection unasked: it is busy, or an older version of this program",
    ]


@pytest.mark.parametrize("says", [b"", short_frame(CHALLENGE, bytes(NONCE_BYTES)), bytes(10)])
def test_however_many_prove_nothing_a_peer_gets_in(monkeypatch: pytest.MonkeyPatch, says: bytes) -> None:
    monkeypatch.setattr(links_module, "HANDSHAKE_S", 1000.0)  # they would stay

    async def test() -> None:
        places = addresses(2)
        second = Node(2, places, NAMES[:2])
        idle = []
        for _ in range(500):
            idle.append(socket.create_connection(places[1]))
            idle[-1].sendall(says)
            await asyncio.sleep(0)
        await until(lambda: len(second.links._greetings) == links_module.GREETINGS_MAX)
        first = Node(1, places, NAMES[:2])
        await until(lambda: first.count(2, 0) and first.count(2, 1) and second.count(1, 0) and second.count(1, 1))
        for sock in idle:
            sock.close()
        await until(lambda: not second.links._greetings)
        await first.close()
        await second.close()

    (line,) = run(test)
    assert line["reason"] == "it opens many connections and proves nothing on them"


def test_one_address_takes_no_place_of_another() -> None:
    async def test() -> None:
        places = addresses(2)
        second = Node(2, places, NAMES[:2])
        other = socket.create_connection(places[1], source_address=("127.0.0.2", 0))
        await until(lambda: second.links._greetings)
        crowd = [socket.create_connection(places[1]) for _ in range(3 * links_module.GREETINGS_MAX)]
        await until(lambda: sum(is_closed(sock) for sock in crowd) == 2 * links_module.GREETINGS_MAX + 1)
        assert not is_closed(other)
        for sock in (other, *crowd):
            sock.close()
        await second.close()

    run(test)


def is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_who_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "HANDSHAKE_S", 0.1)

    async def test() -> None:
        places = addresses(2)
        second = Node(2, places, NAMES[:2])
        with socket.create_connection(places[1]) as sock:
            sock.setblocking(False)
            assert await ends(sock)
        await second.close()

    assert run(test) == []
