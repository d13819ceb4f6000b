"""Who else connects: clients that vanish in every state, and strangers that mean no good."""

import asyncio
import random
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tests.cell.pauses_history import History

from fastpaxos_live.log.handshake import NONCE_BYTES, short_frame
from fastpaxos_live.reference import log_frame
from fastpaxos_live.testing import HOST, Cell, request

GONE_S = 1.0  # after which nothing is left of a client that is gone
LIVING = ("01", "08")  # states of a server's side in /proc/net/tcp: established, and closed by the client alone
BIG_BYTES, BIG_READS = 1 << 20, 200
MANY, MOST, RARELY = 50_000, 850_000, 0.5  # arguments; the most take 12 MB, which is not asked each time
CELL_ID = 4711  # of the kit's cells: strangers may know it
IDLE_MAX = 100  # sockets that stay open and say nothing, at each port


class World(Protocol):
    """What is known of the run."""

    cell: Cell
    history: History
    counts: Counter[str]
    stopped: dict[int, list[tuple[float, float]]]

    def now(self) -> float:
        """Monotonic seconds."""

    def held_up(self, replica: int, since: float) -> float:
        """For how long that replica was stopped, or this process did not run, since then."""


def states() -> Iterator[tuple[str, bytes]]:
    """What a client has sent when it goes."""
    write = request(b"SET", b"gone", b"x" * 1000)
    yield "idle", b""
    yield "in the middle of a request", write[: len(write) // 2]
    yield "in the middle of many arguments", b"*%d\r\n$3\r\nDEL\r\n" % MANY + b"$1\r\nx\r\n" * (MANY // 2)
    if random.random() < RARELY:
        yield "before the last of many arguments", b"*%d\r\n$3\r\nDEL\r\n" % (MOST + 2) + b"$8\r\nxxxxxxxx\r\n" * MOST
    yield "with writes under way", write * 32
    yield "in calls", request(b"CONFIG", b"GET", b"*") * 64
    yield "full", request(b"SET", b"big", b"x" * BIG_BYTES) + request(b"GET", b"big") * BIG_READS
    yield "full behind a write", write + request(b"GET", b"big") * BIG_READS + write * 10


class Goners:
    """Each connects, says something, reads nothing, and goes by FIN or RST: a second later its socket is closed."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        while True:
            for name, data in states():
                await asyncio.sleep(random.uniform(0.1, 0.4))
                replica = random.choice(self._world.cell.running())
                task = asyncio.create_task(self._one(name, data, replica, self._world.cell.pid(replica)))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _one(self, name: str, data: bytes, replica: int, pid: int) -> None:
        port = self._world.cell.ports[replica]
        try:
            own = await self._leave(port, data)
        except (OSError, TimeoutError):
            return  # nobody was there to be left
        left, waited = self._world.now(), _waited_s(pid)
        while True:
            held_up = self._world.held_up(replica, left) + _waited_s(pid) - waited
            if (rest := left + GONE_S + held_up - self._world.now()) <= 0:
                break
            await asyncio.sleep(rest)
        if replica not in self._world.cell.running() or self._world.cell.pid(replica) != pid:
            return  # it went itself
        self._world.counts["gone"] += 1
        if _lives(port, own):
            self._world.history.violation("client that is gone and stays", f"{name}, at r{replica}")

    async def _leave(self, port: int, data: bytes) -> int:
        """The port that the client had. Raises OSError."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(sock, (HOST, port))
            own = sock.getsockname()[1]
            with suppress(TimeoutError):
                await asyncio.wait_for(loop.sock_sendall(sock, data), 0.5)
            await asyncio.sleep(random.uniform(0.0, 0.3))
            if random.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return own


def _waited_s(pid: int) -> float:
    """For how long that process has waited for a processor so far."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it went itself


def _lives(port: int, other: int) -> bool:
    """Does the server's side of that connection still exist?"""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if int(local.partition(":")[2], 16) == port and int(remote.partition(":")[2], 16) == other:
            return state in LIVING
    return False


def frame() -> bytes:
    """A frame with the right checksums, and numbers out of reach."""
    huge = (1 << 64) - 1
    kind = random.randint(1, 40)
    number = random.choice((0, 1, huge, random.getrandbits(64)))
    value = log_frame.value_encode(CELL_ID, huge, huge, (1 << 32) - 1, random.randint(0, 3), random.randbytes(40))
    return log_frame.frame_encode(
        CELL_ID, kind, random.randint(0, 9), random.choice((0, 1, (1 << 16) - 1)), number, number, number, 1, number,
        payload=random.choice((b"", value, random.randbytes(100))),
    )  # fmt: skip


def greeting() -> bytes:
    """What begins as a replica does: a challenge, perhaps a proof that is none, and a HELLO with a number far ahead."""
    i = random.randint(1, 3)
    parts = [
        short_frame(log_frame.CHALLENGE, random.randbytes(NONCE_BYTES)),
        short_frame(log_frame.PROOF, random.randbytes(32)),
        log_frame.frame_encode(
            0, log_frame.HELLO, i, 1, instance=(1 << 64) - 1, extra=CELL_ID, flags=random.randint(0, 2),
            payload=b"r%d" % i,
        ),
    ]  # fmt: skip
    return b"".join(parts[random.randint(0, 2) : random.randint(1, 3)])


GARBAGE: tuple[Callable[[], bytes], ...] = (
    lambda: random.randbytes(random.randint(1, 4096)),
    lambda: b"\0" * 200,
    lambda: b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n",
    lambda: b"GET /" + b"x" * 20_000,
    lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(200),
    lambda: b"*1000000000\r\n$1000000000\r\n",
    lambda: b"$-5\r\n*-7\r\n",
    frame,
    greeting,
)


class Strangers:
    """They say what nobody should, or nothing at all, at every port of every replica."""

    def __init__(self, world: World) -> None:
        self._counts = world.counts
        cell = world.cell
        self._ports = [*cell.ports.values(), *cell.peer_ports.values(), *cell.admin_ports.values()]
        self._idle: dict[int, deque[socket.socket]] = {port: deque() for port in self._ports}

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(random.expovariate(20))
                port = random.choice(self._ports)
                with suppress(OSError, TimeoutError):
                    await self._call(port)
        finally:
            for sockets in self._idle.values():
                for sock in sockets:
                    sock.close()

    async def _call(self, port: int) -> None:
        self._counts["strangers"] += 1
        sock = socket.socket()
        sock.setblocking(False)
        kept = self._idle[port]
        kept.append(sock)
        if len(kept) > IDLE_MAX:
            kept.popleft().close()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(0.2):
            await loop.sock_connect(sock, (HOST, port))
            if random.random() < 0.5:
                await loop.sock_sendall(sock, random.choice(GARBAGE)())
