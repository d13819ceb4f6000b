"""Our own source of load, loadgen.pyx: for a time instead of a count, at a fixed rate if asked, reads and writes mixed.

It speaks RESP. Sockets that are connected already may speak ZooKeeper's protocol: see zookeeper.py.
"""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from fastpaxos_live.testing import HOST, request

from . import build
from .load import KEYS, LoadError, Shape

KEY = b"key:%012d"  # as redis-benchmark names them
CONNECT_S = 10.0
DRAIN_S = 10.0  # how long replies are waited for after the end
BUFFERS_MAX = 1 << 30  # bytes of all requests under way
WAIT_MS = 10_000  # after which WAIT gives up

# How far the middle of a histogram's bucket may be from what it stands for.
RELATIVE_ERROR = 1 / 256


@dataclass(frozen=True)
class Load:
    """What is asked: `rate` requests/s, or 0 for as many as get answered; a share of them reads.

    With `wait_replicas`, each burst ends with a WAIT for so many, and counts as answered with that.
    """

    shape: Shape
    read_share: float = 0.0
    value_bytes: int = 100
    keys: int = KEYS
    rate: float = 0.0
    wait_replicas: int = 0

    def requests(self) -> list[tuple[bytes, int]]:
        """The write and the read, each with the place of its key's digits."""
        key = KEY % 0
        write = request(b"SET", key, b"x" * self.value_bytes)
        read = request(b"GET", key)
        return [(text, text.index(key) + len(b"key:")) for text in (write, read)]


@dataclass(frozen=True)
class Measured:
    """What came out: a row for writes and one for reads in `counts`, by the buckets that start at `lowest_ns`."""

    lowest_ns: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]
    max_ns: Sequence[int]
    elapsed_s: float
    cpu_share: float  # of one processor, taken by the generator: near 1 it is the bottleneck
    errors: int  # error replies; in no histogram
    first_error: str
    misses: int  # reads of keys that are not there
    late: int  # due, but not answered in the end; in the histogram with their age
    lost: int  # connections that the server closed

    @cached_property
    def answered(self) -> int:
        """Requests with a good reply."""
        return int(self.counts.sum()) - self.late

    @property
    def rps(self) -> float:
        """Good replies a second."""
        return self.answered / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def percentile_ms(self, percent: float, rows: slice = slice(None)) -> float:
        """The middle of the bucket that holds this percentile; 0.0 if there is none."""
        counts = self.counts[rows].sum(axis=0)
        total = int(counts.sum())
        if total == 0:
            return 0.0
        rank = min(total, int(np.ceil(total * percent / 100)))
        index = int(np.searchsorted(np.cumsum(counts), max(1, rank)))
        low = int(self.lowest_ns[index])
        high = int(self.lowest_ns[index + 1]) - 1 if index + 1 < len(self.lowest_ns) else low
        return min((low + high) / 2, max(self.max_ns[rows])) / 1e6

    def flawless(self, what: str) -> Self:
        """Itself. Raises LoadError, which begins with `what`, if there were errors or lost connections."""
        if self.errors or self.lost:
            raise LoadError(f"{what}: {self.errors} errors ({self.first_error}), {self.lost} connections lost")
        return self

    def figures(self) -> dict[str, float]:
        """For a row of a result."""
        return {
            "rps": self.rps,
            "p50_ms": self.percentile_ms(50),
            "p99_ms": self.percentile_ms(99),
            "p999_ms": self.percentile_ms(99.9),
            "max_ms": max(self.max_ns) / 1e6,
            "errors": self.errors,
            "late": self.late,
            "generator_cpu": self.cpu_share,
        }


def measure(port: int, load: Load, seconds: float, host: str = HOST) -> Measured:
    """Loads the server on `port` for that long. Raises LoadError when it can't be reached or answers nothing."""
    check(load)
    tail = request(b"WAIT", b"%d" % load.wait_replicas, b"%d" % WAIT_MS) if load.wait_replicas else b""
    with ExitStack() as stack:
        sockets = [stack.enter_context(_connect(host, port)) for _ in range(load.shape.clients)]
        return drive(sockets, load.requests(), load, seconds, tail=tail)


def check(load: Load) -> None:
    """Raises LoadError when more would be under way than memory should hold."""
    asked = load.shape.clients * load.shape.depth * max(len(text) for text, _ in load.requests())
    if asked > BUFFERS_MAX:
        raise LoadError(f"{load.shape} with values of {load.value_bytes} bytes needs {asked >> 20} MiB of buffers")


def drive(
    sockets: Sequence[socket.socket],
    requests: list[tuple[bytes, int]],
    load: Load,
    seconds: float,
    tail: bytes = b"",
    zookeeper: bool = False,
) -> Measured:
    """`measure` over sockets that are connected. Raises LoadError."""
    try:
        loadgen = build.module("loadgen")
    except build.BuildError as error:
        raise LoadError(str(error)) from None
    found = loadgen.run(
        [one.fileno() for one in sockets],
        requests=requests,
        read_share=load.read_share,
        depth=load.shape.depth,
        keys=load.keys,
        rate=load.rate,
        seconds=seconds,
        drain_seconds=DRAIN_S,
        seed=4711,
        tail=tail,
        tail_min=load.wait_replicas,
        zookeeper=zookeeper,
    )
    elapsed_ns = found.pop("elapsed_ns")
    measured = Measured(
        lowest_ns=loadgen.lowest(),
        counts=found["counts"],
        max_ns=found["max_ns"],
        elapsed_s=elapsed_ns / 1e9,
        cpu_share=found["cpu_ns"] / max(elapsed_ns, 1),
        **{name: found[name] for name in ("errors", "first_error", "misses", "late", "lost")},
    )
    if measured.answered == 0:
        raise LoadError(f"no request was answered: {measured.first_error or 'connections were lost or silent'}")
    return measured


def _connect(host: str, port: int) -> socket.socket:
    try:
        connected = socket.create_connection((host, port), CONNECT_S)
    except OSError as error:
        raise LoadError(f"{host}:{port}: {error.strerror or error}") from None
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected
