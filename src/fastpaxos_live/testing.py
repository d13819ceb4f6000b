"""Test kit: a cell of real processes on loopback ports, to crash, pause and restart.

    with Cell(tmp_path) as cell:
        cell.client(cell.master()).set("key", "value")
        cell.kill(cell.master())
        cell.wait_ready()

Replicas are named by their id, 1..n. The kit needs redis-py (`pip install redis`).
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

T = TypeVar("T")

HOST = "127.0.0.1"
# A lease for tests in which the master must stay the same while the machine is overloaded.
LONG_LEASE = {"replica_ms": 4000, "master_ms": 3500}
WAIT_S = 60.0  # a busy machine elects in seconds; only a cell that never will takes this long
LOG_TAIL_BYTES = 4000
PORTS_FROM, PORTS_TO = 10_000, 60_000

_reserved: deque[socket.socket] = deque(maxlen=256)  # the oldest are given back


def wait_until(condition: Callable[[], T], what: str, timeout: float = WAIT_S) -> T:
    """Polls `condition` until its value is true, and returns that value.

    A client's error (nobody listens, time-out, error reply) counts as not yet. Raises
    AssertionError, which names `what`, after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        trouble = ""
        try:
            if value := condition():
                return value
        except (redis.RedisError, OSError) as error:
            trouble = f" (last: {error})"
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}{trouble}")
        time.sleep(0.02)


def free_ports(count: int, offsets: Sequence[int] = (0,)) -> list[int]:
    """Consecutive loopback ports nobody listens on; those `offsets` above them are free as well.

    They lie below the range from which the kernel takes the ports of outgoing connections, and
    other processes are not given them by this kit as long as this one runs, so that nobody takes
    one while its replica is down.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    above = ephemeral if ephemeral > 2 * PORTS_FROM else PORTS_TO
    chooser = random.SystemRandom()
    while True:
        first = chooser.randrange(PORTS_FROM, above - count - max(offsets))
        ports = list(range(first, first + count))
        if _reserve([port + offset for offset in offsets for port in ports]):
            return ports


def _reserve(ports: list[int]) -> bool:
    """True when all were free, and are now marked as taken."""
    marks = []
    for port in ports:
        mark = socket.socket(socket.AF_UNIX)
        marks.append(mark)
        try:
            mark.bind(f"\0fastpaxos-port-{port}")  # the kernel frees it with the process
        except OSError:
            break
        if not _is_free(port):
            break
    else:
        _reserved.extend(marks)
        return True
    for mark in marks:
        mark.close()
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def connect(port: int, timeout: float = WAIT_S, **options: Any) -> redis.Redis:
    """A redis-py client that never repeats a command, so that an unknown outcome shows as one."""
    return redis.Redis(
        HOST,
        port,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        **options,
    )


class Closed(ConnectionError):
    """The other side closed the connection."""


class Connection:
    """A client that says exactly what the test wants, right or wrong, and reads replies one by one.

    `receive_buffer` bounds the bytes that the kernel takes for it (0: the system's default).
    """

    def __init__(self, port: int, timeout: float = WAIT_S, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((HOST, port))
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Sends these bytes as they are."""
        self.socket.sendall(data)

    def reply(self) -> bytes:
        """A simple string, error or integer with its first byte; of a bulk string its content;
        b"$-1" or b"_" for none. Raises Closed.
        """
        try:
            line = self._file.readline()
            if not line.endswith(b"\r\n"):
                raise Closed
            if line[:1] != b"$" or line == b"$-1\r\n":
                return line[:-2]
            bulk = self._file.read(int(line[1:]) + 2)
            if len(bulk) < int(line[1:]) + 2:
                raise Closed
            return bulk[:-2]
        except ConnectionError:
            raise Closed from None

    def ask(self, *arguments: bytes) -> bytes:
        """Sends one request and returns its reply."""
        self.send(request(*arguments))
        return self.reply()

    def is_closed(self) -> bool:
        """Reads what is left; true when the other side closes within the time-out."""
        try:
            while self._file.read(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Closes this side."""
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def request(*arguments: bytes) -> bytes:
    """A request in RESP."""
    parts = [b"*%d\r\n" % len(arguments)]
    parts += [b"$%d\r\n%s\r\n" % (len(argument), argument) for argument in arguments]
    return b"".join(parts)


class Cell:
    """A cell of `replicas` processes, each a `fastpaxos-live serve`, all files below `directory`.

    `core` is "cython" or "python"; `fsync` the cell's policy; `limits` and `lease` become the
    tables of these names; `env` adds variables to the environment of single replicas, by id;
    `with_parent` ends the replicas with the thread that started them, even if that is killed;
    without `secret` the cell has none. A second Cell on the same directory continues with the data
    (on other ports). On leaving the context its processes are killed; when that is due to an
    exception, what they printed is shown.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        replicas: int = 3,
        core: str = "cython",
        fsync: str = "always",
        limits: Mapping[str, int] | None = None,
        lease: Mapping[str, int] | None = None,
        env: Mapping[int, Mapping[str, str]] | None = None,
        with_parent: bool = False,
        secret: bool = True,
    ) -> None:
        self.directory = Path(directory)
        self.ids = range(1, replicas + 1)
        self.core = core
        ports = free_ports(3 * replicas)
        self.ports = dict(zip(self.ids, ports, strict=False))
        self.peer_ports = dict(zip(self.ids, ports[replicas:], strict=False))
        self.admin_ports = dict(zip(self.ids, ports[2 * replicas :], strict=False))
        self.config = self.directory / "cell.toml"
        self._env = env or {}
        self._with_parent = with_parent
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(self._toml(fsync, limits or {}, lease or {}, secret))

    def _toml(self, fsync: str, limits: Mapping[str, int], lease: Mapping[str, int], secret: bool) -> str:
        lines = ["[cell]", 'name = "test"', "id = 4711", f"fsync = {json.dumps(fsync)}"]
        lines += ['secret = "secret"'] if secret else []
        # Small log files: a test cell is formatted in a moment, and meets their borders.
        limits = {"segment_bytes": 4 << 20, **limits}
        for name, table in (("limits", limits), ("lease", lease)):
            lines += ["", f"[{name}]", *(f"{key} = {value}" for key, value in table.items())]
        for i in self.ids:
            lines += [
                "",
                "[[replica]]",
                f'name = "r{i}"',
                f'client = "{HOST}:{self.ports[i]}"',
                f'peer = "{HOST}:{self.peer_ports[i]}"',
                f'admin = "{HOST}:{self.admin_ports[i]}"',
                f"data = {json.dumps(str(self.data(i)))}",
            ]
        return "\n".join(lines) + "\n"

    def data(self, i: int) -> Path:
        """Directory of replica i's files."""
        return self.directory / f"r{i}"

    def config_of(self, i: int) -> Path:
        """The configuration that replica i is started with; a subclass may give each its own."""
        return self.config

    def log(self, i: int) -> Path:
        """File with everything that replica i printed."""
        return self.directory / f"r{i}.log"

    # --- processes

    def start(self, *ids: int) -> None:
        """Starts these replicas, or all; an empty directory is formatted first."""
        for i in ids or self.ids:
            command = [
                sys.executable,
                "-m",
                "fastpaxos_live",
                "serve",
                "--config",
                str(self.config_of(i)),
            ]
            command += ["--name", f"r{i}", "--core", self.core]
            command += ["--with-parent"] if self._with_parent else []
            self.data(i).mkdir(exist_ok=True)
            if not any(self.data(i).iterdir()):
                command.append("--new")
            with self.log(i).open("ab") as log:
                self._processes[i] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self._env.get(i, {})},
                )

    def kill(self, *ids: int) -> None:
        """SIGKILL to these replicas, or to all at once, and waits until they are gone."""
        victims = [self._processes.pop(i) for i in ids or list(self._processes)]
        for process in victims:
            process.kill()
        for process in victims:
            process.wait()

    def stop(self, i: int, how: signal.Signals = signal.SIGTERM) -> int:
        """Sends SIGTERM (or SIGINT) to replica i; returns its exit code."""
        self._processes[i].send_signal(how)
        return self.wait_end(i)

    def wait_end(self, i: int) -> int:
        """Waits until replica i has ended; returns its exit code."""
        process = self._processes.pop(i)
        try:
            return process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"r{i} did not end within {WAIT_S:g} s") from None

    def restart(self, *ids: int) -> None:
        """Kills those of these replicas (or of all) that run, and starts them again."""
        ids = ids or tuple(self.ids)
        if running := [i for i in ids if i in self._processes]:
            self.kill(*running)
        self.start(*ids)

    def pause(self, i: int) -> None:
        """SIGSTOP: replica i keeps its memory and connections and does nothing."""
        self._processes[i].send_signal(signal.SIGSTOP)

    def resume(self, i: int) -> None:
        """SIGCONT after `pause`."""
        self._processes[i].send_signal(signal.SIGCONT)

    def pid(self, i: int) -> int:
        """Process id of replica i."""
        return self._processes[i].pid

    def running(self) -> list[int]:
        """Ids of the replicas that were started and not killed or stopped since."""
        return sorted(self._processes)

    def memory(self, i: int) -> int:
        """Resident bytes of replica i's process."""
        status = Path(f"/proc/{self.pid(i)}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))

    def check_alive(self) -> None:
        """Raises AssertionError if a replica ended by itself."""
        for i, process in self._processes.items():
            if process.poll() is not None:
                raise AssertionError(f"r{i} ended by itself with code {process.returncode}")

    # --- clients

    def client(self, i: int, **options: Any) -> redis.Redis:
        """A redis-py client of replica i; see `connect`."""
        return connect(self.ports[i], **options)

    def info(self, i: int) -> dict[str, Any]:
        """INFO of replica i."""
        with self.client(i, timeout=2.0) as client:
            return client.info()

    def master(self) -> int:
        """Id of the replica that serves as master; waits for one."""
        return wait_until(self._find_master, "a master")

    def _find_master(self) -> int:
        self.check_alive()
        epochs = {}
        for i in self.running():
            try:
                info = self.info(i)
            except (redis.RedisError, OSError):
                continue  # it starts, or is paused
            if info["serving"]:
                epochs[i] = info["epoch"]
        return max(epochs, key=epochs.__getitem__, default=0)

    def wait_ready(self) -> int:
        """Waits until a master answers a write, and returns its id."""

        def serves() -> int:
            master = self._find_master()
            if master:
                with self.client(master, timeout=5.0) as client:
                    client.set("fastpaxos:ready", "1")
                    client.delete("fastpaxos:ready")
            return master

        return wait_until(serves, "a master that answers writes")

    def wait_equal(self) -> None:
        """Waits until all running replicas have applied the same instance and hold the same data.

        Nothing may be written meanwhile.
        """

        def equal() -> bool:
            self.check_alive()
            infos = [self.info(i) for i in self.running()]
            return len({(info["instance_applied"], info["state_sum"]) for info in infos}) == 1

        wait_until(equal, "replicas with equal state")

    # --- context

    def show_logs(self) -> None:
        """Prints the end of what each replica printed."""
        for i in self.ids:
            if self.log(i).exists():
                tail = self.log(i).read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
                print(f"--- r{i}, port {self.ports[i]}\n{tail}", flush=True)

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready()
            self.wait_equal()
        except BaseException:
            self.kill()
            self.show_logs()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if kind is not None:
            self.show_logs()
