"""Connections between replicas: who calls whom, the handshake, and calling again.

The lower id calls, once for each channel. A socket whose handshake is done goes to the edge, which
reports here when the connection is lost.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Coroutine
from random import random
from typing import Any

import structlog

from ..log.handshake import (
    CHANNELS,
    Greeter,
    Hello,
    Refused,
    decode_hello,
    encode_hello,
    hello_length,
)
from ..reference.log_frame import HEADER_BYTES
from .sockets import Listener, address_text, error_text, tune

log = structlog.get_logger()

HANDSHAKE_S = 2.0
GREETINGS_MAX = 64  # strangers that may be in a handshake at a time
COMPLAINTS_MAX = 256  # remembered, so that each is made once
REDIAL_MIN_S = 0.02
REDIAL_MAX_S = 0.5
STEADY_S = 1.0  # a connection that lived this long was a good one: call again at once
USER_TIMEOUT_MS = 3000  # unacknowledged bytes this old: the connection is dead, whatever TCP hopes
KEEPALIVE_S = 1  # an idle channel is tried this often, and dead after the same time-out


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
        self._greeting = 0
        self._complaints: set[tuple[str, str]] = set()
        self._listener = Listener(loop, addresses[own - 1], self._on_socket)

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
            hello = self._greeter.own_hello(channel, self._counter)
            await self._loop.sock_sendall(sock, encode_hello(hello))
            answer = await self._receive(sock)
            self._greeter.accept(answer, dialled=peer)
            if (answer.channel, answer.counter) != (channel, hello.counter):
                raise Refused("it answers another call")
        except BaseException:
            sock.close()
            raise
        return sock

    def _on_socket(self, sock: socket.socket, address: tuple) -> None:
        if self._greeting >= GREETINGS_MAX:
            sock.close()
            return
        self._greeting += 1
        self._spawn(self._greet(sock, address_text(address)))

    async def _greet(self, sock: socket.socket, place: str) -> None:
        # The answer is sent before the verdict, so that both sides can name what is wrong.
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                _tune_peer(sock)
                hello = await self._receive(sock)
                answer = self._greeter.own_hello(hello.channel, hello.counter)
                await self._loop.sock_sendall(sock, encode_hello(answer))
            self._greeter.accept(hello)
        except (OSError, Refused) as error:
            sock.close()
            if isinstance(error, Refused):
                self._complain(place.rpartition(":")[0], str(error))
        except BaseException:
            sock.close()
            raise
        else:
            self._adopt(sock, hello.replica, hello.channel)
        finally:
            self._greeting -= 1

    async def _receive(self, sock: socket.socket) -> Hello:
        header = await self._exactly(sock, HEADER_BYTES)
        return decode_hello(header + await self._exactly(sock, hello_length(header) - HEADER_BYTES))

    async def _exactly(self, sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = await self._loop.sock_recv(sock, size - len(data))
            if not part:
                raise OSError("the connection was closed in the handshake")
            data += part
        return data

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
