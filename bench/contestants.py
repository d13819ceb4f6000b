"""Who is measured: a cell with either core, and redis-server alone; every write on disk."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastpaxos_live.testing import HOST, Cell, connect, free_ports, wait_until

REPLICAS = 3


@dataclass(frozen=True)
class Contestant:
    """`port` says where clients should send to now: of a cell, its master's."""

    name: str
    port: Callable[[], int]


@contextmanager
def redis_alone(directory: Path) -> Iterator[Contestant]:
    """redis-server with an append-only file that is synced before each reply."""
    (port,) = free_ports(1)
    directory.mkdir()
    command = ["redis-server", "--bind", HOST, "--port", str(port), "--dir", str(directory)]
    command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: connect(port).ping(), "redis-server")
        yield Contestant("redis alone", lambda: port)
    finally:
        process.kill()
        process.wait()


@contextmanager
def cell(directory: Path, core: str) -> Iterator[Contestant]:
    """Three replicas on this machine, each write on the disks of a majority before its reply."""
    with Cell(directory, replicas=REPLICAS, core=core) as cell:
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
