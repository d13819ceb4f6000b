"""redis-benchmark as the source of load."""

import csv
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from fastpaxos_live.testing import HOST

VALUE_BYTES = 100
KEYS = 100_000
LIMIT_S = 60.0  # for the shortest run; redis-benchmark may wait for ever on a replica that went
PATIENCE = 10  # how many times longer than meant a run may take
FILL_CLIENTS, FILL_DEPTH = 50, 16


@dataclass(frozen=True)
class Shape:
    """How requests come: so many connections, each with so many requests under way."""

    clients: int
    depth: int

    def __str__(self) -> str:
        return f"{self.clients}x{self.depth}"


class LoadError(Exception):
    """redis-benchmark failed; the text says how."""


def measure(
    port: int, command: str, shape: Shape, requests: int, seconds: float = 0.0, value_bytes: int = VALUE_BYTES
) -> dict[str, float]:
    """Runs it once, for about `seconds`. Returns rps, p50_ms and p99_ms. Raises LoadError."""
    line = ["redis-benchmark", "-h", HOST, "-p", str(port), "-t", command, "-n", str(requests)]
    line += ["-c", str(shape.clients), "-P", str(shape.depth)]
    line += ["-d", str(value_bytes), "-r", str(KEYS), "--csv"]
    limit = LIMIT_S + PATIENCE * seconds
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadError(f"{' '.join(line)}: not done after {limit:.0f} s") from None
    rows = list(csv.DictReader(done.stdout.splitlines()))
    if done.returncode != 0 or "rror" in done.stderr or len(rows) != 1:
        raise LoadError(f"{' '.join(line)}: {(done.stderr or done.stdout).strip()[:300]}")
    (row,) = rows
    return {
        "rps": float(row["rps"]),
        "p50_ms": float(row["p50_latency_ms"]),
        "p99_ms": float(row["p99_latency_ms"]),
    }


def requests_for(measure: Callable[[int], dict[str, float]], shape: Shape, seconds: float) -> int:
    """How many requests take about `seconds`, found by a short run, which also warms up.

    `measure` sends so many, and returns what the module's `measure` does.
    """
    requests = 20 * shape.clients * shape.depth + 200
    rate = measure(requests)["rps"]
    # The short run is over before it is precise: let a second, longer one correct it.
    rate = measure(max(requests, int(rate * seconds / 8)))["rps"]
    return max(requests, int(rate * seconds))


def fill(port: int) -> None:
    """Writes about two thirds of the keys, so that GET finds most of what it asks for."""
    measure(port, "set", Shape(FILL_CLIENTS, FILL_DEPTH), KEYS)
