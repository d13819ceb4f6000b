"""Connections between replicas: who calls whom, the handshake, and calling again.

The lower id calls, once for each channel. A socket whose handshake is done goes to the edge, which
reports here when the connection is lost.

Anybody may connect to the peer port, and hold a place there for a while. Places are few; when all are taken the next
one to come gets that of the oldest who has proved nothing, of the address that has most of them. So nobody keeps a
peer out: one that is not slower than 64 others needs no luck.
"""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from random import random
from secrets import token_bytes
from typing import Any

import structlog

from ..log.handshake import CHANNELS, NONCE_BYTES, Greeter, Handshake, Hello, Refused
from .sockets import Listener, address_text, error_text, tune

log = structlog.get_logger()

HANDSHAKE_S = 2.0
GREETINGS_MAX = 64  # callers that may be in a handshake at a time
ACCEPTS_MAX = 8  # in one go, so that a flood doesn't push out who could not yet say anything
COMPLAINTS_MAX = 256  # remembered, so that each is made once
REDIAL_MIN_S = 0.02
REDIAL_MAX_S = 0.5
STEADY_S = 1.0  # a connection that lived this long was a good one: call again at once
USER_TIMEOUT_MS = 3000  # unacknowledged bytes this old: the connection is dead, whatever TCP hopes
KEEPALIVE_S = 1  # an idle channel is tried this often, and dead after the same time-out


class Greeting:
    """A caller in its handshake."""

    __slots__ = ("sock", "host", "task", "handshake")

    def __init__(self, sock: socket.socket, host: str, handshake: Handshake) -> None:
        self.sock: socket.socket | None = sock  # None: it has gone to the edge
        self.host = host
        self.handshake = handshake
        self.task: asyncio.Task[None] | None = None


class Links:
    """All peer connections of one replica, up to their handshake."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, greeter: Greeter, own: int,
        addresses: list[tuple[str, int]], counter: int,
        adopt: Callable[[socket.socket, int, int], None],
    ) -> None:
        """`addresses` by id - 1; calls are numbered above `counter`. Raises OSError."""
        self._loop = loop
        self._greeter = greeter
        self._own = own
        self._addresses = addresses
        self._counter = counter
        self._adopt = adopt
        self._lost: dict[tuple[int, int], asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._greetings: list[Greeting] = []  # the oldest first
        self._complaints: set[tuple[str, str]] = set()
        self._listener = Listener(loop, addresses[own - 1], self._on_socket, ACCEPTS_MAX)

    def start(self) -> None:
        """Accept calls, and call all replicas with a higher id."""
        self._listener.start()
        for peer in range(self._own + 1, len(self._addresses) + 1):
            for channel in range(CHANNELS):
                self._spawn(self._keep(peer, channel))

    def lost(self, peer: int, channel: int) -> None:
        """The edge says that this connection is gone."""
        if (event := self._lost.get((peer, channel))) is not None:
            event.set()

    async def close(self) -> None:
        """Accept and call no more; what the edge has stays."""
        self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _keep(self, peer: int, channel: int) -> None:
        # Calls until there is a connection, waits until it is lost, and begins again.
        delay = REDIAL_MIN_S
        while True:
            began = self._loop.time()
            place = address_text(self._addresses[peer - 1])
            try:
                async with asyncio.timeout(HANDSHAKE_S):
                    sock = await self._call(peer, channel)
            except TimeoutError:
                self._complain(place, "no answer")
            except OSError as error:
                self._complain(place, error_text(error))
            except Refused as error:
                self._complain(place, str(error))
            except Exception as error:  # for want of a thread or of memory, say: it is not given up for that
                self._complain(place, repr(error))
            else:
                self._complaints = {each for each in self._complaints if each[0] != place}
                event = self._lost[peer, channel] = asyncio.Event()
                self._adopt(sock, peer, channel)
                await event.wait()
            if self._loop.time() - began > STEADY_S:
                delay = REDIAL_MIN_S
            await asyncio.sleep(delay * (0.5 + random() / 2))
            delay = min(delay * 2, REDIAL_MAX_S)

    async def _call(self, peer: int, channel: int) -> socket.socket:
        host, port = self._addresses[peer - 1]
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            _tune_peer(sock)
            await self._loop.sock_connect(sock, address)
            self._counter += 1
            handshake = self._greeter.call(peer, channel, self._counter, token_bytes(NONCE_BYTES))
            await self._loop.sock_sendall(sock, handshake.begin())
            self._greeter.accept(await self._shake(sock, handshake), dialled=peer)
        except BaseException:
            sock.close()
            raise
        return sock

    def _on_socket(self, sock: socket.socket, address: tuple) -> None:
        if len(self._greetings) >= GREETINGS_MAX:
            self._make_place()
        host = address_text(address).rpartition(":")[0]
        greeting = Greeting(sock, host, self._greeter.answer(token_bytes(NONCE_BYTES)))
        self._greetings.append(greeting)
        greeting.task = self._spawn(self._greet(sock, greeting))
        greeting.task.add_done_callback(lambda _: self._greeted(greeting))

    def _make_place(self) -> None:
        # Ends the oldest of those that have proved nothing, if there are any, and of the address that has most of them.
        unproved = [greeting for greeting in self._greetings if not greeting.handshake.proved] or self._greetings
        counts = Counter(greeting.host for greeting in unproved)
        most = max(counts.values())
        oldest = next(greeting for greeting in unproved if counts[greeting.host] == most)
        self._complain(oldest.host, "it opens many connections and proves nothing on them")
        self._greetings.remove(oldest)
        assert oldest.task is not None
        oldest.task.cancel()

    async def _greet(self, sock: socket.socket, greeting: Greeting) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                _tune_peer(sock)
                hello = await self._shake(sock, greeting.handshake)
            self._greeter.accept(hello)
        except OSError:
            return
        except Refused as error:
            self._complain(greeting.host, str(error))
            return
        greeting.sock = None
        self._adopt(sock, hello.replica, hello.channel)

    def _greeted(self, greeting: Greeting) -> None:
        # The end of `_greet`, also if it was ended before it began.
        if greeting in self._greetings:
            self._greetings.remove(greeting)
        if greeting.sock is not None:
            greeting.sock.close()

    async def _shake(self, sock: socket.socket, handshake: Handshake) -> Hello:
        while handshake.wanted:
            try:
                data = await self._loop.sock_recv(sock, handshake.wanted)
            except ConnectionError:  # as where it closed with something unread
                data = b""
            if not data:
                raise OSError(handshake.end_text())
            if said := handshake.feed(data):
                await self._loop.sock_sendall(sock, said)
        assert handshake.peer is not None
        return handshake.peer

    def _complain(self, place: str, reason: str) -> None:
        # Once for each reason, whatever its numbers, until there is a connection: a peer that is
        # down for an hour is one line, not thousands.
        complaint = place, re.sub(r"\b\d+\b", "#", reason)
        if complaint not in self._complaints:
            if len(self._complaints) >= COMPLAINTS_MAX:
                self._complaints.clear()
            self._complaints.add(complaint)
            log.warning("no connection to a peer", address=place, reason=reason)


def _tune_peer(sock: socket.socket) -> None:
    tune(sock, KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
