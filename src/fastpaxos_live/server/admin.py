"""Admin HTTP of one replica: GET /status and /profile for tools, GET /healthz for whatever watches processes.

A connection is for one request, which has to come soon; only so many are open at a time, and the oldest makes room for
one more. So whoever opens connections and says nothing keeps nobody out for long, and no descriptors.
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import structlog

from .._api import Replica
from .config import CellConfig
from .edges import EdgeFailed
from .info import failures_tolerated
from .sockets import Listener

CONNECTIONS_MAX = 32
REQUEST_S = 5.0  # from the connection to the end of the reply
HEAD_BYTES_MAX = 8 << 10  # of a request with its headers

STATUSES = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip

log = structlog.get_logger()

Answer = tuple[int, str]  # status and text; JSON if it begins with a brace


class Admin:
    """Serves on the replica's admin address."""

    def __init__(
        self, replica: Replica, cell: CellConfig, name: str, counters: Callable[[], dict[str, Any]]
    ) -> None:
        self.replica = replica
        self.counters = counters
        self.cell = cell
        self.me = cell.replica(name)
        self._routes: dict[str, Callable[[], Answer]] = {
            "/status": lambda: (200, json.dumps(self.status())),
            "/profile": lambda: (200, json.dumps(self.profile())),
            "/healthz": self.health,
        }
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._tasks: dict[asyncio.Task[None], None] = {}  # of the connections, oldest first

    def start(self) -> None:
        """Begins to listen. Raises EdgeFailed when the address can't be used."""
        try:
            self._listener = Listener(self._loop, self.me.admin, self._on_socket)
        except OSError as error:
            raise EdgeFailed(error.strerror or str(error)) from None
        self._listener.start()

    async def stop(self) -> None:
        """Stops listening and closes the connections."""
        if self._listener is not None:
            self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_socket(self, sock: socket.socket, address: tuple) -> None:
        if len(self._tasks) >= CONNECTIONS_MAX:
            oldest = next(iter(self._tasks))
            del self._tasks[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._serve(sock))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._forget(done, sock))

    def _forget(self, task: asyncio.Task[None], sock: socket.socket) -> None:
        self._tasks.pop(task, None)
        sock.close()

    async def _serve(self, sock: socket.socket) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                reply = self._reply(await self._head(sock))
                await self._loop.sock_sendall(sock, reply)
        except (OSError, TimeoutError):
            pass  # it is gone, or says nothing

    async def _head(self, sock: socket.socket) -> bytes:
        # The request up to the empty line, as far as it came or may be.
        head = b""
        while b"\r\n\r\n" not in head and len(head) <= HEAD_BYTES_MAX:
            part = await self._loop.sock_recv(sock, HEAD_BYTES_MAX)
            if not part:
                break
            head += part
        return head

    def _reply(self, head: bytes) -> bytes:
        status, text = self._answer(head)
        body = text.encode("utf-8", "surrogateescape")
        kind = "application/json" if text.startswith("{") else "text/plain"
        lines = (
            f"HTTP/1.1 {status} {STATUSES[status]}", f"Content-Type: {kind}; charset=utf-8",
            f"Content-Length: {len(body)}", "Connection: close", "\r\n",
        )  # fmt: skip
        return "\r\n".join(lines).encode() + (b"" if head.startswith(b"HEAD ") else body)

    def _answer(self, head: bytes) -> Answer:
        if len(head) > HEAD_BYTES_MAX:
            return 431, f"a request has at most {HEAD_BYTES_MAX} bytes\n"
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(words) != 3 or b"\r\n\r\n" not in head or not words[2].startswith(b"HTTP/1."):
            return 400, "this is no request of HTTP/1.1\n"
        if words[0] not in (b"GET", b"HEAD"):
            return 405, "there is nothing but GET\n"
        route = self._routes.get(words[1].partition(b"?")[0].decode("latin-1"))
        if route is None:
            return 404, "there are /status, /profile and /healthz\n"
        try:
            return route()
        except Exception:  # nobody else has to suffer
            log.exception("an admin request failed")
            return 500, "internal error\n"

    def profile(self) -> dict[str, Any]:
        """The edge's counters, when they were read, and the operations until then."""
        status = self.replica.status()
        return {
            "replica": self.me.name,
            "time_ns": time.monotonic_ns(),
            "operations": status["operations"] + status["reads"],
            **self.counters(),
        }

    def health(self) -> Answer:
        """200 while this replica votes and knows a master, else 503; the body says which."""
        status = self.replica.status()
        if not status["voting"]:
            return 503, "does not vote\n"
        if not status["master"]:
            return 503, "no master\n"
        return 200, "ok\n"

    def status(self) -> dict[str, Any]:
        """The replica's own status, with names for ids."""
        status = self.replica.status()
        replicas = self.cell.replicas
        return {
            **status,
            "cell": self.cell.name,
            "replica": self.me.name,
            "master": replicas[status["master"] - 1].name if status["master"] else None,
            "last_master": replicas[status["last_master"] - 1].name if status["last_master"] else None,
            "heard": [replicas[member - 1].name for member in status["heard"]],
            "followers": {replicas[id - 1].name: what for id, what in status["followers"].items()},
            "linked": [replicas[id - 1].name for id in status["linked"]],
            "fsync": str(self.cell.fsync),
            "failures_configured": len(replicas) - self.cell.quorum,
            "failures_tolerated": failures_tolerated(status, self.cell),
        }
