"""The plain edge: asyncio protocols and two worker threads drive a replica through `_api.Replica`.

A turn: everything that arrives in one iteration of the loop is fed at once and the turn is taken in
the next one; then its outputs start, the disk first because the others must wait for it.
"""

import asyncio
import fcntl
import select
import sys
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from heapq import heappop, heappush
from socket import socket
from typing import Any

from .._api import Replica
from ..log.handshake import CHANNELS
from ..log.storage import NoRoom, Storage, StorageError, log_damaged
from .config import FsyncPolicy
from .edges import GONE_S, LINGER_S, RETRY_S, EdgeFailed, Hooks, SpanKeeper, boot_us, report, wall_ms
from .sockets import error_text

CLIENT_BUFFER_BYTES = 1 << 20  # in a transport and not yet sent; above it nothing is drained
PEER_BUFFER_BYTES = 4 << 20
WATCH_S = 0.2  # between two looks at the connections that are not read from


def guarded(work: Callable[..., Any]) -> Callable[..., Any]:
    """A method of the edge, or of one of its parts, that the loop calls: what it raises ends the process."""

    @wraps(work)
    def call(self: Any, *arguments: Any) -> Any:
        try:
            return work(self, *arguments)
        except Exception as error:
            edge: Edge = self if isinstance(self, Edge) else self.edge
            edge.halted = True
            report(edge.loop, error)
            return None

    return call


class Edge:
    """One replica's sockets, disk and clock; see `edges.Edge`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, replica: Replica, replicas: int, own: int,
        storage: Storage, position: int, fsync: FsyncPolicy, hooks: Hooks,
    ) -> None:
        """`position` is where the log ends; `replicas` and `own` say who the peers are."""
        self.loop = loop
        self.replica = replica
        self.hooks = hooks
        self.clients = 0
        self.halted = False
        self.disk = Disk(self, storage, fsync)
        self.watch = Watch(loop)
        self.spans = SpanKeeper(loop, replica, hooks, self.touch, self.fail)
        self._connections: dict[int, Client] = {}
        self._free: list[int] = []
        self._links: dict[tuple[int, int], Peer] = {}
        self._turning = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0

    def start(self) -> None:
        """Take the first turn."""
        self.touch()

    def adopt_client(self, sock: socket, address: str) -> None:
        """Serve this connection; the edge owns the socket from now on."""
        conn = heappop(self._free) if self._free else self.clients
        self.clients += 1
        client = self._connections[conn] = Client(self, conn)
        self.touch()
        self.replica.open_client(conn)
        self.hooks.on_open(conn, address)
        self._connect(client, sock)

    def adopt_peer(self, sock: socket, peer: int, channel: int) -> None:
        """The handshake is done; an older connection of the same channel is closed."""
        old = self._links.pop((peer, channel), None)
        self.touch()
        if old is not None:
            self.replica.close_peer(peer, channel)
            old.abort()
        link = self._links[peer, channel] = Peer(self, peer, channel)
        self.replica.open_peer(peer, channel)
        self._connect(link, sock)

    def profile(self) -> dict[str, Any]:
        """Nothing: a clock read in Python would cost more than what it measures."""
        return {}

    async def stop(self) -> None:
        """Stop feeding, finish and sync the disk writes, close everything. Raises EdgeFailed."""
        self.halted = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self.spans.stop()
            await self.disk.finish()
        finally:
            for connection in [*self._connections.values(), *self._links.values()]:
                connection.abort()

    def fail(self, reason: str) -> None:
        """Something happened that must never be tried again."""
        if not self.halted:
            self.halted = True
            self.hooks.on_failed(EdgeFailed(reason))

    def touch(self) -> None:
        """Something is about to be fed: there will be a turn."""
        if not self._turning and not self.halted:
            self._turning = True
            self.replica.clock(boot_us(), wall_ms())
            self.loop.call_soon(self._turn)

    def forget_client(self, conn: int) -> None:
        """The connection is gone."""
        del self._connections[conn]
        heappush(self._free, conn)
        self.clients -= 1
        self.touch()
        self.replica.close_client(conn)
        self.hooks.on_close(conn)

    def forget_peer(self, link: "Peer") -> None:
        """The connection is gone, unless a newer one has replaced it long ago."""
        if self._links.get((link.peer, link.channel)) is link:
            del self._links[link.peer, link.channel]
            self.touch()
            self.replica.close_peer(link.peer, link.channel)
            self.hooks.on_peer_lost(link.peer, link.channel)

    def _connect(self, protocol: "Connection", sock: socket) -> None:
        async def connect() -> None:
            try:
                await self.loop.connect_accepted_socket(lambda: protocol, sock)
            except OSError as error:
                sock.close()
                protocol.connection_lost(error)
            except BaseException:
                sock.close()
                raise

        protocol.task = self.loop.create_task(connect())

    @guarded
    def _turn(self) -> None:
        self._turning = False
        if self.halted:
            return
        self._answer_calls()
        self.replica.turn(boot_us(), wall_ms())
        for conn, what in self.replica.drain_complaints():
            self.hooks.on_complaint(conn, what)
        self.disk.start_write()
        for link in self._links.values():
            link.drain()
        for conn in self.replica.drain_clients():
            if (client := self._connections.get(conn)) is not None:
                client.drain()
        self.disk.start_reads()
        self.spans.look()
        if self._answer_calls():
            self.touch()
        self._arm()

    def _answer_calls(self) -> bool:
        # An answer resumes the parsing of its connection, so more calls may follow: those of the
        # next turn.
        answered = False
        while calls := self.replica.drain_calls():
            answered = True
            for conn, arguments in calls:
                self.replica.answer(conn, *self.hooks.handle_call(conn, arguments))
        return answered

    def _arm(self) -> None:
        at = self.replica.wakeup()
        delay_us = at - boot_us()
        if delay_us <= 0:
            self.touch()
        elif self._timer is None or at < self._timer_us:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_later(delay_us / 1e6, self._on_timer)
            self._timer_us = at

    def _on_timer(self) -> None:
        self._timer = None
        self.touch()


class Connection(asyncio.Protocol, ABC):
    """What clients and peers have in common: a transport that may be full."""

    limit: int

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.task: asyncio.Task[None] | None = None
        self.transport: Any = None
        self.blocked = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(high=self.limit)
        self.resume_writing()

    def pause_writing(self) -> None:
        self.blocked = True

    @guarded
    def resume_writing(self) -> None:
        self.blocked = False
        if not self.edge.halted:
            self.edge.touch()
            self.drain()

    @abstractmethod
    def drain(self) -> None:
        """Write what the replica has for this connection, unless the transport is full."""

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()


class Client(Connection):
    """A connection of a client."""

    limit = CLIENT_BUFFER_BYTES

    def __init__(self, edge: Edge, conn: int) -> None:
        super().__init__(edge)
        self.conn = conn
        self.file = -1
        self.reading = True
        self.closing = False
        self._hung_up = self._lost = False
        self._written = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.file = transport.get_extra_info("socket").fileno()
        super().connection_made(transport)

    @guarded
    def data_received(self, data: bytes) -> None:
        if not self.edge.halted and not self.closing:
            self.edge.touch()
            self.edge.replica.feed_client(self.conn, data)
            self._regulate()

    @guarded
    def eof_received(self) -> bool:
        if not self.edge.halted and not self.closing:
            self.edge.touch()
            self.edge.replica.end_client(self.conn)
            self._regulate()
        self.hung_up()
        return True  # there may be replies to come

    def hung_up(self) -> None:
        """The client sends no more: it has a moment at a time to take what is left for it."""
        if not self._hung_up:
            self._hung_up = True
            self._keep_watch()

    def _keep_watch(self) -> None:
        self.edge.loop.call_later(GONE_S, self._end_watch, self._taken())

    def _taken(self) -> int:
        # What the system still keeps is not taken: it may be megabytes.
        size = bytearray(4)
        fcntl.ioctl(self.file, termios.TIOCOUTQ, size)
        return self._written - int(self.transport.get_write_buffer_size()) - int.from_bytes(size, sys.byteorder)

    def _end_watch(self, taken: int) -> None:
        if self._lost or self.edge.halted:
            return
        if taken != self._taken():
            self._keep_watch()
        else:
            self.transport.abort()

    @guarded
    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.edge.watch.discard(self)
        if not self.edge.halted:
            self.edge.forget_client(self.conn)

    def drain(self) -> None:
        if self.transport is None or self.closing:
            return
        replica = self.edge.replica
        ends = replica.is_closing(self.conn)
        # The last output is taken even by a full transport: its time is counted from now on. Of any other a part at a
        # time, since the replica counts only what it still has.
        while (ends or not self.blocked) and (data := replica.drain_client(self.conn, CLIENT_BUFFER_BYTES)):
            self.transport.write(data)
            self._written += len(data)
        if ends:
            self._close()
        else:
            self._regulate()

    def _close(self) -> None:
        self.closing = True
        self.edge.watch.add(self)
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.edge.loop.call_later(LINGER_S, self.transport.abort)

    def _regulate(self) -> None:
        # Read on, or stop until the replica wants more: it is all the same whether the client
        # takes its replies.
        wants = self.edge.replica.wants_client(self.conn)
        if wants != self.reading:
            self.reading = wants
            if wants:
                self.edge.watch.discard(self)
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
                self.edge.watch.add(self)


class Watch:
    """Notices the end of clients that are not read from: their transports don't."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._poll = select.poll()
        self._clients: dict[int, Client] = {}  # by descriptor
        self._timer: asyncio.TimerHandle | None = None

    def add(self, client: Client) -> None:
        """To be called when it is not read from any more."""
        self._clients[client.file] = client
        self._poll.register(client.file, select.POLLRDHUP)
        if self._timer is None:
            self._timer = self._loop.call_later(WATCH_S, self._look)

    def discard(self, client: Client) -> None:
        """It is read from, or gone."""
        if self._clients.pop(client.file, None) is not None:
            self._poll.unregister(client.file)

    def _look(self) -> None:
        for file, events in self._poll.poll(0):
            client = self._clients[file]
            if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):  # nobody is there any more
                self.discard(client)
                client.transport.abort()
            else:
                self._poll.modify(file, 0)
                client.hung_up()
        self._timer = self._loop.call_later(WATCH_S, self._look) if self._clients else None


class Peer(Connection):
    """One channel of another replica."""

    limit = PEER_BUFFER_BYTES

    def __init__(self, edge: Edge, peer: int, channel: int) -> None:
        super().__init__(edge)
        assert channel < CHANNELS
        self.peer = peer
        self.channel = channel

    @guarded
    def data_received(self, data: bytes) -> None:
        if self.edge.halted or self.edge._links.get((self.peer, self.channel)) is not self:
            return
        self.edge.touch()
        # Sampled after the bytes came: a grant must never seem older than its frame.
        self.edge.replica.clock(boot_us(), wall_ms())
        if not self.edge.replica.feed_peer(self.peer, self.channel, data):
            self.transport.abort()

    @guarded
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.edge.halted:
            self.edge.forget_peer(self)

    def drain(self) -> None:
        if not self.blocked and (data := self.edge.replica.drain_peer(self.peer, self.channel)):
            self.transport.write(data)


class Disk:
    """Writes in one thread, reads and the preparation of files in another. Errors are fatal, NoRoom apart."""

    def __init__(self, edge: Edge, storage: Storage, fsync: FsyncPolicy) -> None:
        self.edge = edge
        self._storage = storage
        self._fsync = fsync
        self._writer = ThreadPoolExecutor(1, "log-writer")
        self._reader = ThreadPoolExecutor(1, "log-reader")
        try:
            for pool in (self._writer, self._reader):
                pool.submit(int)  # its thread is there from now on
        except RuntimeError as error:
            raise EdgeFailed(f"no thread for the log: {error}") from None
        self._writing: asyncio.Future[Any] | None = None
        self._syncing: asyncio.TimerHandle | None = None
        self._prepared = 0
        self._preparing = False
        self._lacking = False  # the next file can't be prepared for now
        self._retries: set[asyncio.TimerHandle] = set()

    def start_write(self) -> None:
        """Hand the next group to the writer, unless it is at work."""
        if self._writing is not None or (group := self.edge.replica.drain_disk()) is None:
            return
        self._hand_over(*group)

    def _hand_over(self, position: int, data: bytes, must_sync: bool) -> None:
        self._writing = self._run(
            self._writer, lambda: self._write(position, data, must_sync),
            lambda _: self._written(position + len(data)),
            lambda: self._hand_over(position, data, must_sync),
        )

    def _write(self, position: int, data: bytes, must_sync: bool) -> None:
        self._storage.write(position, data)
        if must_sync or self._fsync.kind == "always":
            self._storage.sync()

    def _written(self, end: int) -> None:
        self._writing = None
        self.edge.touch()
        self.edge.replica.durable(end)
        if self.edge.halted:
            return
        if not self._preparing:
            self._told(None)
        if self._fsync.kind == "interval" and self._syncing is None:
            self._syncing = self.edge.loop.call_later(self._fsync.interval_ms / 1e3, self._sync)
        number, inside = divmod(end, self._storage.segment_bytes)
        if inside > self._storage.segment_bytes // 2 and self._prepared <= number:
            self._prepared = number + 1
            self._prepare(number + 1)

    def _prepare(self, number: int) -> None:
        self._preparing = True
        self._run(
            self._reader, lambda: self._storage.prepare(number), lambda _: self._did_prepare(),
            lambda: self._prepare(number),
        )

    def _did_prepare(self) -> None:
        self._preparing = False
        self._told(None)

    def _told(self, lack: NoRoom | None) -> None:
        # What came of an attempt to prepare the next file.
        if self.edge.halted or (lack is None and not self._lacking):
            return
        self.edge.touch()
        self.edge.replica.limit_log(0 if lack is None else self._storage.limit)
        if self._lacking != (lack is not None):
            self._lacking = lack is not None
            self.edge.hooks.on_room("" if lack is None else error_text(lack))

    def _sync(self) -> None:
        self._syncing = None
        self._run(self._writer, self._storage.sync, lambda _: None)

    def start_reads(self) -> None:
        """Hand the reads that the replica wants to the reader, in order."""
        for position, size in self.edge.replica.drain_reads():
            then = partial(self._read_done, position)
            self._run(self._reader, partial(self._read, position, size), then)

    def _read(self, position: int, size: int) -> bytes:
        try:
            return self._storage.read(position, size)
        except OSError:
            return b""

    def _read_done(self, position: int, data: bytes) -> None:
        if not self.edge.halted:
            self.edge.touch()
            if damaged := self.edge.replica.read_done(position, data):
                self.edge.fail(str(log_damaged(damaged)))

    def _run(
        self, executor: ThreadPoolExecutor, work: Callable[[], Any], then: Callable[[Any], None],
        again: Callable[[], None] | None = None,
    ) -> asyncio.Future[Any]:
        # `again` is called a while after there was no room.
        future = self.edge.loop.run_in_executor(executor, work)

        def done(finished: asyncio.Future[Any]) -> None:
            if not finished.cancelled():
                self._finished(finished, then, again)

        future.add_done_callback(done)
        return future

    @guarded
    def _finished(
        self, finished: asyncio.Future[Any], then: Callable[[Any], None], again: Callable[[], None] | None
    ) -> None:
        if (error := finished.exception()) is None:
            then(finished.result())
        elif isinstance(error, NoRoom) and again is not None:
            self._told(error)
            if not self.edge.halted:
                self._retries = {retry for retry in self._retries if retry.when() > self.edge.loop.time()}
                self._retries.add(self.edge.loop.call_later(RETRY_S, again))
        elif isinstance(error, StorageError):
            self.edge.fail(str(error))
        else:
            self.edge.fail(f"the log can't be written: {_reason(error)}")

    async def finish(self) -> None:
        """Write what is under way and what is left, and sync everything. Raises EdgeFailed."""
        for later in (*self._retries, self._syncing):
            if later is not None:
                later.cancel()
        loop = self.edge.loop
        try:
            with suppress(NoRoom):  # a group for which there is no room is dropped: nobody was told of it
                if self._writing is not None:
                    await self._writing
                while (group := self.edge.replica.drain_disk()) is not None:
                    position, data, _ = group
                    await loop.run_in_executor(self._writer, self._storage.write, position, data)
                    self.edge.replica.durable(position + len(data))
            await loop.run_in_executor(self._writer, self._storage.sync)
            await loop.run_in_executor(self._reader, int)  # what it does with a file is done
        except OSError as error:
            raise EdgeFailed(f"the log can't be written: {_reason(error)}") from None
        finally:
            self._writer.shutdown(wait=False)
            self._reader.shutdown(wait=False)


def _reason(error: BaseException) -> str:
    return error_text(error) if isinstance(error, OSError) else repr(error)
