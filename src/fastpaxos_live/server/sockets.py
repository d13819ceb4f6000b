"""Listening sockets that survive a lack of descriptors, and the options of connections."""

import asyncio
import os
import resource
import socket
from collections.abc import Callable

import structlog

log = structlog.get_logger()

ACCEPTS_MAX = 64  # connections taken in one go, so that a flood of them can't starve the others
BACKLOG = 1024
FILES_RESERVED = 128  # descriptors kept for peers, the log and administration
PAUSE_S = 0.5  # how long to accept nothing when the process or the machine has run out of something
KEEPALIVE_S = 300  # silence after which the kernel asks whether the other side is still there


def resolve(host: str, port: int) -> tuple[int, tuple]:
    """(family, address) of the first address of `host`; may ask a name server. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


def error_text(error: OSError) -> str:
    """What the system says, without what the library adds."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def address_text(address: tuple) -> str:
    """ "host:port" as Redis shows it."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tune(sock: socket.socket, keepalive_s: int = KEEPALIVE_S) -> None:
    """Options of any connection: non-blocking, no delay of small packets, the dead are noticed."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, keepalive_s // 3))


def raise_file_limit(clients_max: int) -> int:
    """Let the process open files for so many clients; returns for how many there are enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients_max + FILES_RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return clients_max
    allowed = max(1, soft - FILES_RESERVED)
    log.warning("clients_max lowered: the process may not open more files", clients_max=allowed)
    return allowed


class Listener:
    """Accepts connections and hands each over as a non-blocking socket with its address."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: tuple[str, int],
        on_socket: Callable[[socket.socket, tuple], None], accepts_max: int = ACCEPTS_MAX,
    ) -> None:
        """Binds and listens. Raises OSError whose text names the address."""
        self._loop = loop
        self._accepts_max = accepts_max
        self._on_socket = on_socket
        self._retry: asyncio.TimerHandle | None = None
        self._short = False  # the last accept failed
        try:
            self._socket = _listen(address)
        except OSError as error:
            text = f"can't listen on {address_text(address)}: {error_text(error)}"
            raise OSError(error.errno, text) from None

    def start(self) -> None:
        """Begin (or go on) to accept."""
        self._retry = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(self._accepts_max):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._short = False
            try:
                tune(sock)
                self._on_socket(sock, address)
            except OSError as error:  # it is gone already, or there is no place for it
                log.warning("a connection was not taken", reason=error_text(error))
                sock.close()

    def _pause(self, error: OSError) -> None:
        # Descriptors or memory are used up, or the network is in trouble: once more, later.
        if not self._short:
            log.warning("can't accept connections for a moment", reason=error_text(error))
        self._short = True
        self._loop.remove_reader(self._socket.fileno())
        self._retry = self._loop.call_later(PAUSE_S, self.start)

    def close(self) -> None:
        """Stop accepting."""
        if self._retry is not None:
            self._retry.cancel()
        else:
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


def _listen(address: tuple[str, int]) -> socket.socket:
    family, place = resolve(*address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(place)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
