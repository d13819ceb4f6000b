"""What a write can't be faster than: a sync of its bytes beside two other processes, and round trips on loopback.

And what no tail can be shorter than: the stalls of the machine.

As a program, `python -m bench.floor sync FILE BYTES SECONDS` or `echo PORT`: the processes beside.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from fastpaxos_live.testing import HOST

from . import build, machine
from .load import LoadError

NEIGHBOURS = 2  # the followers of a cell of three
NEIGHBOUR_S = 3600.0  # they end by themselves if whoever started them could not
ROUND_TRIP_BYTES = 64
START_S = 30.0
BUSY = 2  # threads that look for stalls
STALL_US = 100  # shorter gaps are interrupts


def sync_us(directory: Path, size: int, seconds: float) -> np.ndarray:
    """Microseconds of each small append with fdatasync, made for that long to a file that is full of zeros."""
    return np.array(list(_syncs(directory / "sync", size, seconds))) / 1000


def sync_beside_us(directory: Path, size: int, seconds: float) -> np.ndarray:
    """The same while other processes do the same in files of their own."""
    with ExitStack() as stack:
        for i in range(NEIGHBOURS):
            file = directory / f"neighbour{i}"
            arguments = ["sync", str(file), str(size), str(NEIGHBOUR_S)]
            stack.enter_context(_beside(arguments))
            _wait_for(file)
        return sync_us(directory, size, seconds)


def round_trip_us(seconds: float) -> np.ndarray:
    """Microseconds of each of many round trips to another process, made for about that long. Raises LoadError."""
    clocked = _clocked()
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(START_S)
        with _beside(["echo", str(listener.getsockname()[1])]):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                first = clocked.round_trips(connection.fileno(), 100, ROUND_TRIP_BYTES)
                count = max(100, int(seconds * 1e9 / np.median(first)))
                return clocked.round_trips(connection.fileno(), count, ROUND_TRIP_BYTES) / 1000


def stalled_share(seconds: float) -> float:
    """The share of the time that two threads, busy without a pause, did not run, in gaps of STALL_US at least.

    Two is what a cell has at half of its peak: its master and the load. Raises LoadError.
    """
    clocked, during_ns = _clocked(), int(seconds * 1e9)
    with ThreadPoolExecutor(BUSY) as pool:
        running = [pool.submit(clocked.stalled_ns, during_ns, STALL_US * 1000) for _ in range(BUSY)]
        return sum(one.result() for one in running) / (BUSY * during_ns)


def _clocked() -> ModuleType:
    try:
        return build.module("clocked")
    except build.BuildError as error:
        raise LoadError(str(error)) from None


def _syncs(path: Path, size: int, seconds: float) -> Iterator[int]:
    end = time.monotonic() + seconds
    for taken in machine.syncs_ns(path, size):
        yield taken
        if time.monotonic() >= end:
            return


@contextmanager
def _beside(arguments: list[str]) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.floor", *arguments]
    started = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
    try:
        yield
    finally:
        started.kill()
        started.wait()


def _wait_for(file: Path) -> None:
    """Until a neighbour has filled its file and syncs."""
    deadline = time.monotonic() + START_S
    while not file.exists() or file.stat().st_size < machine.SYNC_FILE_BYTES or file.read_bytes()[:1] != b"x":
        if time.monotonic() > deadline:
            raise LoadError("a process that should sync beside does not start")
        time.sleep(0.01)


def main(what: str, *arguments: str) -> None:
    if what == "sync":
        file, size, seconds = arguments
        for _ in _syncs(Path(file), int(size), float(seconds)):
            pass
    else:
        with socket.create_connection((HOST, int(arguments[0]))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _clocked().echo(connection.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
