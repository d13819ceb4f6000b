"""Writes of one size, unpipelined or not, with the whole distribution of their latency."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from fastpaxos_live.testing import HOST, Connection, request

from . import load
from .load import LIMIT_S, PATIENCE, LoadError, Shape
from .measuring import steady

FILL_REQUESTS = 500  # that many under way at a time

RATE = re.compile(r"throughput summary: ([\d.]+) requests per second")
SUMMARY = re.compile(r"^\s+avg +min +p50 +p95 +p99 +max *\n([\d. ]+)$", re.M)
PERCENTILE = re.compile(r"^([\d.]+)% <= ([\d.]+) milliseconds", re.M)


def measure(
    port: int, shape: Shape, requests: int, value_bytes: int, keys: int, seconds: float = 0.0
) -> dict[str, float]:
    """Writes random ones of `keys` keys, for about `seconds`.

    Returns rps, mean_ms, p50_ms, p99_ms and p999_ms. Raises LoadError.
    """
    line = ["redis-benchmark", "-h", HOST, "-p", str(port), "-t", "set", "-n", str(requests)]
    line += ["-c", str(shape.clients), "-P", str(shape.depth), "-d", str(value_bytes), "-r", str(keys)]
    limit = LIMIT_S + PATIENCE * seconds
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadError(f"{' '.join(line)}: not done after {limit:.0f} s") from None
    if done.returncode != 0 or "rror" in done.stderr:
        raise LoadError(f"{' '.join(line)}: {(done.stderr or done.stdout).strip()[:300]}")
    return parse(done.stdout)


def parse(text: str) -> dict[str, float]:
    """The figures in what redis-benchmark prints without --csv. Raises LoadError.

    p999_ms is the first step of the printed distribution at or above 99.9 % (99.902 % with enough requests).
    """
    rate, summary = RATE.search(text), SUMMARY.search(text)
    # A second list, by milliseconds, follows; its lines look the same and are coarser.
    steps = PERCENTILE.findall(text.partition("Cumulative distribution")[0])
    if rate is None or summary is None or not steps:
        raise LoadError(f"redis-benchmark printed no figures: {text.strip()[-300:]}")
    mean, _, p50, _, p99, _ = (float(word) for word in summary[1].split())
    p999 = next(float(ms) for percent, ms in steps if float(percent) >= 99.9)
    return {"rps": float(rate[1]), "mean_ms": mean, "p50_ms": p50, "p99_ms": p99, "p999_ms": p999}


@dataclass(frozen=True)
class Writer:
    """Writes to whoever is master of one cell; `name` is for error lines."""

    name: str
    port: Callable[[], int]
    shape: Shape
    value_bytes: int
    keys: int
    seconds: float

    def measure(self, requests: int) -> dict[str, float]:
        """The module's `measure`, at a master that stayed one. Raises LoadError."""
        return steady(
            self.name,
            self.port,
            lambda master: measure(master, self.shape, requests, self.value_bytes, self.keys, self.seconds),
        )

    def requests(self) -> int:
        """How many requests take about `seconds`, found by short runs, which also warm up. Raises LoadError."""
        return load.requests_for(self.measure, self.shape, self.seconds)


def fill(port: int, keys: int, value_bytes: int, prefix: str = "key:") -> None:
    """Writes each of the keys once, 16 bytes each with a prefix of four. Raises LoadError."""
    value = b"x" * value_bytes
    with Connection(port) as connection:
        for first in range(0, keys, FILL_REQUESTS):
            batch = range(first, min(first + FILL_REQUESTS, keys))
            connection.send(b"".join(request(b"SET", b"%s%012d" % (prefix.encode(), n), value) for n in batch))
            for _ in batch:
                if (reply := connection.reply()) != b"+OK":
                    raise LoadError(f"filling was answered {reply.decode(errors='replace')}")
