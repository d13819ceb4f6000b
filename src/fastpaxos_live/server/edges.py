"""What the two edges have in common: their hooks, their clock, and the choice between them."""

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from socket import socket
from typing import Any, NamedTuple, Protocol

from .._api import Replica
from ..log.files import LACKS

# Which module drives which core. The plain edge can drive both, but nothing is gained by that.
EDGES = {"cython": "._edge", "python": ".plain"}


RETRY_S = 1.0  # before what there was no room for is tried again
LINGER_S = 10.0  # how long a connection that is to be closed may take to read its last reply
# A client that sends no more may still read: it has this long at a time to take something. With what it takes to notice
# its end a client that is gone is so within a second. One that waits for a reply gets no more: what it sent is the same
# as of one that is gone, and only a reply would tell. Redis waits for nobody who sends no more.
GONE_S = 0.7


class EdgeFailed(Exception):
    """The process must end at once: the text is one line that says why."""


def report(loop: asyncio.AbstractEventLoop, error: Exception) -> None:
    """An unexpected exception in an edge or its replica: the process must end."""
    loop.call_exception_handler({"message": "the edge failed", "exception": error, "fatal": True})


class Hooks(NamedTuple):
    """What an edge calls; all of it on the loop's thread."""

    # (connection, arguments) -> reply, or (reply, close after it): what Python answers
    handle_call: Callable[[int, list[bytes]], tuple[Any, ...]]
    on_open: Callable[[int, str], None]  # a client came: (connection, "host:port")
    on_close: Callable[[int], None]  # it is gone
    on_peer_lost: Callable[[int, int], None]  # the connection of (replica, channel) is gone
    on_failed: Callable[[EdgeFailed], None]  # at most once; the edge does nothing any more
    on_room: Callable[[str], None]  # the log can't grow for this reason, or it can again ("")
    on_complaint: Callable[[int, int], None]  # a connection is ended for its own fault: (it, place in COMPLAINTS)
    keep_span: Callable[[int], None]  # makes durable how long grants may last; in a thread, one at a time


class Edge(Protocol):
    """Joins a replica to sockets, disk and clock."""

    clients: int  # connections open now

    def start(self) -> None:
        """Take the first turn. The replica has been started."""

    def adopt_client(self, sock: socket, address: str) -> None:
        """Serve this connection; the edge owns the socket from now on."""

    def adopt_peer(self, sock: socket, peer: int, channel: int) -> None:
        """The handshake is done; an older connection of the channel is closed without a word."""

    def profile(self) -> dict[str, Any]:
        """Counters since the start, as GET /profile shows them; empty where nothing is counted."""

    async def stop(self) -> None:
        """Stop feeding, finish and sync the disk writes, close everything. Raises EdgeFailed."""


class SpanKeeper:
    """Makes durable how long grants may last, where a replica wants that; the loop does not wait for the disk."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, replica: Replica, hooks: Hooks, fed: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        """`fed` is called before the replica is told, `failed` when it can't be."""
        self._loop = loop
        self._replica = replica
        self._hooks = hooks
        self._fed = fed
        self._failed = failed
        self._keeping: asyncio.Task[None] | None = None

    def look(self) -> None:
        """After a turn."""
        if self._keeping is None and (span := self._replica.span_wanted()):
            self._keeping = self._loop.create_task(self._keep(span))

    async def _keep(self, span: int) -> None:
        try:
            await self._loop.run_in_executor(None, self._hooks.keep_span, span)
        except Exception as error:
            # Nothing is granted meanwhile. What there is a lack of, threads among it, may be there later.
            if isinstance(error, RuntimeError) or isinstance(error, OSError) and error.errno in LACKS:
                self._keeping = self._loop.create_task(self._again())
                return
            self._failed(f"how long grants may last can't be written: {getattr(error, 'strerror', None) or error!r}")
            return
        self._keeping = None
        self._fed()
        self._replica.span_kept(span)

    async def _again(self) -> None:
        await asyncio.sleep(RETRY_S)
        self._keeping = None
        self._fed()

    async def stop(self) -> None:
        """Waits for what is under way."""
        while self._keeping is not None and not self._keeping.done():
            await self._keeping


def load_edge(core: str) -> Callable[..., Edge]:
    """The class of the edge for the core of that name ("cython" or "python")."""
    edge: Callable[..., Edge] = import_module(EDGES[core], __package__).Edge
    return edge


def boot_us() -> int:
    """CLOCK_BOOTTIME: it never jumps, and goes on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def wall_ms() -> int:
    """Wall-clock time; it may jump."""
    return time.time_ns() // 1_000_000
