"""Who is measured: cells with either core, redis-server alone and with replicas, each with its data on one disk."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastpaxos_live.server.config import Limits
from fastpaxos_live.testing import HOST, Cell, connect, free_ports, wait_until

REPLICAS = 3
SHIPPED = {"segment_bytes": Limits().segment_bytes}  # the test kit's cells have small log files


@dataclass(frozen=True)
class Contestant:
    """`port` says where clients should send to now: of a cell, its master's."""

    name: str
    port: Callable[[], int]


@contextmanager
def process(command: Sequence[str], log: Path, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the background, killed in the end; what it prints goes to `log`."""
    with log.open("ab") as file:
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=cwd)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def redis_server(directory: Path, *options: str) -> Iterator[int]:
    """redis-server with an append-only file that is synced before each reply, and these options; its port."""
    (port,) = free_ports(1)
    directory.mkdir()
    command = ["redis-server", "--bind", HOST, "--port", str(port), "--dir", str(directory)]
    command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always", *options]
    with process(command, directory / "log"):
        wait_until(lambda: connect(port).ping(), "redis-server")
        yield port


@contextmanager
def redis_alone(directory: Path) -> Iterator[Contestant]:
    """redis-server without replicas."""
    with redis_server(directory) as port:
        yield Contestant("redis alone", lambda: port)


@contextmanager
def redis_replicated(directory: Path, replicas: int = REPLICAS - 1) -> Iterator[Contestant]:
    """redis-server with replicas that follow it and have synced append-only files as well."""
    directory.mkdir()
    with ExitStack() as stack:
        port = stack.enter_context(redis_server(directory / "master"))
        for i in range(replicas):
            stack.enter_context(redis_server(directory / f"replica{i + 1}", "--replicaof", HOST, str(port)))
        wait_until(lambda: connect(port).wait(replicas, 1000) == replicas, "Redis replicas that follow")
        yield Contestant("redis", lambda: port)


@contextmanager
def cell(directory: Path, core: str, replicas: int = REPLICAS) -> Iterator[Contestant]:
    """Replicas on this machine, each write on the disks of a majority before its reply."""
    with Cell(directory, replicas=replicas, core=core, limits=SHIPPED, with_parent=True) as cell:
        name = {"cython": "compiled", "python": "reference"}[core]
        yield Contestant(name, lambda: cell.ports[cell.master()])


@contextmanager
def all_contestants(directory: Path) -> Iterator[list[Contestant]]:
    """Starts all of them, with data below `directory`; they idle while another is measured."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(cell(directory / "compiled", "cython")),
            stack.enter_context(cell(directory / "reference", "python")),
            stack.enter_context(redis_alone(directory / "redis")),
        ]
