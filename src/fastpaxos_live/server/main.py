"""The process of one replica: from the data directory to the sockets, and back in good order."""

import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import structlog
import uvloop

from .._api import Replica
from .._select import load_core
from ..log.datadir import DataDir, Identity, open_data_dir
from ..log.handshake import COUNTER_SHIFT, Greeter
from ..log.startup import REFUSALS, start_up
from ..log.storage import Storage
from .admin import Admin
from .commands import Commands
from .complaints import Complaints
from .config import CellConfig, ReplicaConfig, cell_terms, replica_config
from .edges import EdgeFailed, Hooks, boot_us, load_edge, wall_ms
from .files import OsDirectory, kernel_boot_id
from .lines import one_line
from .links import Links
from .memory import give_back
from .rows import RowLog
from .secret import cell_secret
from .sockets import Listener, address_text, raise_file_limit

log = structlog.get_logger()

STOP_S = 10.0  # how long the last write and sync may take
PROGRESS_S = 2.0  # a replay longer than this says how far it is, and again after as long
CLIENTS_FULL = b"-ERR max number of clients reached\r\n"


class ServeError(Exception):
    """The replica can't start; the text is one line."""


class Stopped(Exception):
    """It was asked to stop before it served."""


class StopRequest:
    """SIGINT and SIGTERM, noticed from now on, also while the log is replayed."""

    def __init__(self) -> None:
        self._asked = False
        self._then: Callable[[], object] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        first, self._asked = not self._asked, True
        if first and self._then is not None:
            self._then()

    def check(self) -> None:
        """Raise Stopped if there was one."""
        if self._asked:
            raise Stopped

    def on_request(self, then: Callable[[], object]) -> None:
        """Call `then` once when there is one, between any two lines, or now if there was one."""
        self._then = then
        if self._asked:
            then()


def run(config: CellConfig, name: str, *, new: bool, core: str, log_level: str = "info") -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code. `new` formats the data directory."""
    configure_logging(log_level)
    give_back()
    structlog.contextvars.bind_contextvars(replica=name)
    stop = StopRequest()
    try:
        uvloop.run(serve(config, name, stop, new=new, core=core))
    except Stopped:
        log.info("stopped before it served")
    except (ServeError, *REFUSALS) as error:
        print(f"fastpaxos-live: {one_line(str(error))}", file=sys.stderr)
        return 1
    return 0


def configure_logging(level: str = "info") -> None:
    """One line an event on stderr, from that level on."""
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(
                key_order=["timestamp", "level", "replica", "event"], drop_missing=True
            ),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


async def serve(
    config: CellConfig, name: str, stop: StopRequest, *, new: bool, core: str
) -> None:
    """One replica, until it shall stop. When it must not go on, the process ends at once.

    Raises Stopped, and ServeError, ConfigError or one of REFUSALS when it can't start.
    """
    me = config.replica(name)
    secret = cell_secret(config, new=new)
    identity = Identity(config.id, config.name, me.id, me.name)
    data_dir = open_data_dir(
        OsDirectory(me.data), identity, new=new, fsync=str(config.fsync), disk_id=secrets.randbits(64),
        segment_bytes=config.limits.segment_bytes,
    )
    try:
        await _serve(config, me, secret, data_dir, stop, core)
    except EdgeFailed as error:
        log.critical(f"FATAL {error}")
        sys.stderr.flush()
        os._exit(1)  # at once: nothing may wait for a thread that hangs in a broken disk
    finally:
        data_dir.close()


async def _serve(
    config: CellConfig, me: ReplicaConfig, secret: bytes | None, data_dir: DataDir, stop: StopRequest, core: str
) -> None:
    boot_id = kernel_boot_id()
    replica_class = load_core(core).Replica

    def make_replica(incarnation: int) -> Replica:
        settings = replica_config(config, me.name, secrets.randbits(64), incarnation, secret)
        settings["silence_us"] = data_dir.meta.lease_us
        replica: Replica = replica_class(settings)
        return replica

    began = time.monotonic()
    try:
        storage, replica, found = start_up(data_dir, boot_id, make_replica, Lock(), replay_progress(stop))
    except OSError as error:
        raise ServeError(f"the log can't be read: {error}") from None
    if found.tail != "clean":
        log.warning("the end of the log was cut", tail=found.tail, position=found.position)
    log.info("log replayed", position=found.position, seconds=round(time.monotonic() - began, 3))
    greeter = Greeter(cell_terms(config, secret), me.id, data_dir.meta.incarnation)
    process = Process(config, me, greeter, data_dir, storage, replica, found.position, core)
    process.open_admin()
    with _marking(data_dir):
        data_dir.begin(str(config.fsync), boot_id, config.lease.replica_ms * 1000)
    await process.run(stop)
    with _marking(data_dir):
        data_dir.end()
    log.info("stopped")


@contextmanager
def _marking(data_dir: DataDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgeFailed(f"data directory {data_dir.directory.path}: {error}") from None


def replay_progress(stop: StopRequest) -> Callable[[int, int], None]:
    """What watches a replay: it raises Stopped, and now and then says how far it is."""
    told = time.monotonic()

    def progress(position: int, end: int) -> None:
        nonlocal told
        stop.check()
        if time.monotonic() - told >= PROGRESS_S:
            told = time.monotonic()
            log.info("replaying the log", position=position, end=end)

    return progress


class Process:
    """Everything that runs while a replica serves."""

    def __init__(
        self, config: CellConfig, me: ReplicaConfig, greeter: Greeter, data_dir: DataDir, storage: Storage,
        replica: Replica, position: int, core: str,
    ) -> None:
        """Binds the addresses. Raises ServeError."""
        self.loop = asyncio.get_running_loop()
        self.me = me
        self.replica = replica
        self.storage = storage
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.failed: EdgeFailed | None = None  # the first one, also while it stops
        self.commands = Commands(replica, config, me.name)
        self.admin = Admin(replica, config, me.name, lambda: self.edge.profile())
        self.rows = RowLog(self.loop, replica)
        self.complaints = Complaints(self._address)
        self.clients_max = raise_file_limit(config.limits.clients_max)
        counter = (data_dir.meta.boots + 1) << COUNTER_SHIFT
        peers: list[tuple[str, int]] = [member.peer for member in config.replicas]
        try:
            self.listener = Listener(self.loop, me.client, self._on_client)
            self.links = Links(self.loop, greeter, me.id, peers, counter, self._on_peer)
        except OSError as error:
            raise ServeError(error.strerror or str(error)) from None
        hooks = Hooks(
            self.commands.handle, self.commands.on_open, self.commands.on_close, self.links.lost, self._fail,
            self._on_room, self.complaints.tell, data_dir.keep_span,
        )
        self.edge = load_edge(core)(
            self.loop, replica, len(peers), me.id, storage, position, config.fsync, hooks
        )

    def open_admin(self) -> None:
        """Bind the last address. Raises ServeError."""
        try:
            self.admin.start()
        except EdgeFailed as error:
            raise ServeError(str(error)) from None

    async def run(self, stop: StopRequest) -> None:
        """Serve until it shall stop, in good order. Raises EdgeFailed."""
        self.loop.set_exception_handler(self._on_exception)
        stop.on_request(lambda: self.loop.call_soon_threadsafe(self._end))
        self.rows.start()
        self.replica.start(boot_us(), wall_ms())
        self.edge.start()
        self.links.start()
        self.listener.start()
        log.info("serving", client=str(self.me.client), peer=str(self.me.peer), pid=os.getpid())
        await self.ended
        log.info("stopping")
        self.listener.close()
        await self.links.close()
        await self.admin.stop()
        try:
            async with asyncio.timeout(STOP_S):
                await self.edge.stop()
        except TimeoutError:
            raise EdgeFailed(f"the disk did not finish within {STOP_S:.0f} s") from None
        self.rows.stop()
        if self.failed is not None:
            raise self.failed  # while it stopped
        self.storage.close()

    def _on_client(self, sock: Any, address: tuple) -> None:
        if self.edge.clients < self.clients_max:
            self.edge.adopt_client(sock, address_text(address))
            return
        self.commands.counters.rejected += 1
        try:
            sock.send(CLIENTS_FULL)
        except OSError:
            pass  # it is gone already
        sock.close()

    def _on_peer(self, sock: Any, peer: int, channel: int) -> None:
        self.edge.adopt_peer(sock, peer, channel)

    def _address(self, conn: int) -> str:
        client = self.commands.clients.get(conn)
        return client.address if client is not None else "at another replica"

    def _on_room(self, reason: str) -> None:
        if reason:
            log.error("no new log file can be made, writes will be refused", reason=reason)
        else:
            log.info("there is room for the log again")

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, error: EdgeFailed) -> None:
        self.failed = self.failed or error
        if not self.ended.done():
            self.ended.set_exception(error)

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # An unexpected exception in a callback. What comes of the edge says so, and ends the process: the replica's
        # state can't be trusted any more. Nothing else is worth more than a line.
        error = context.get("exception")
        if isinstance(error, OSError) and ("transport" in context or "protocol" in context):
            return  # a connection that broke, which is nothing unexpected
        log.error(context["message"], exc_info=error)
        if context.get("fatal"):
            self._fail(EdgeFailed(f"unexpected error: {error!r}"))
