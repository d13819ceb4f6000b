"""`python -m bench load`: our generator against a server of yours, or beside redis-benchmark."""

import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live.testing import HOST

from . import contestants, generator, load, results
from .generator import RELATIVE_ERROR, Load, Measured
from .load import Shape
from .measuring import Steps, medians

SHAPES = (Shape(1, 1), Shape(50, 1), Shape(50, 16), Shape(50, 64))
COMMANDS = {"SET": 0.0, "GET": 1.0}
BOTH = ("loadgen", "redis-benchmark")


def run(host: str, port: int, asked: Load, seconds: float, console: Console) -> dict[str, Any]:
    """Loads a server. A row is all requests, or the reads or writes of a mix. Raises LoadError."""
    results.BUILD.mkdir(exist_ok=True)
    facts = results.facts(results.BUILD)
    quiet = nullcontext() if not console.is_terminal else console.status(f"{asked.shape} for {seconds:g} s")
    with quiet:
        found = generator.measure(port, asked, seconds, host)
    rows = [{"requests": "all", **found.figures(), "histogram": histogram(found, slice(None))}]
    if 0 < asked.read_share < 1:
        rows += [_part(found, kind, slice(i, i + 1)) for i, kind in enumerate(("SET", "GET"))]
    settings = {
        "host": host,
        "port": port,
        "clients": asked.shape.clients,
        "depth": asked.shape.depth,
        "rate": asked.rate,
        "read_share": asked.read_share,
        "keys": asked.keys,
        "value_bytes": asked.value_bytes,
        "wait_replicas": asked.wait_replicas,
        "seconds": seconds,
        "relative_error": RELATIVE_ERROR,
    }
    more = {"first_error": found.first_error, "misses": found.misses, "lost_connections": found.lost}
    return results.result("load", facts, settings, rows, **more)


def _part(found: Measured, kind: str, rows: slice) -> dict[str, Any]:
    percentiles = {f"p{name}_ms": found.percentile_ms(p, rows) for name, p in (("50", 50), ("99", 99), ("999", 99.9))}
    figures = {"rps": int(found.counts[rows].sum()) / found.elapsed_s, "max_ms": max(found.max_ns[rows]) / 1e6}
    return {"requests": kind, **figures, **percentiles, "histogram": histogram(found, rows)}


def histogram(found: Measured, rows: slice) -> list[list[int]]:
    """The buckets that are not empty: lowest latency in nanoseconds, and count."""
    counts = found.counts[rows].sum(axis=0)
    return [[int(found.lowest_ns[i]), int(counts[i])] for i in counts.nonzero()[0]]


def show(result: dict[str, Any], console: Console) -> None:
    """Prints rate and latencies."""
    settings = result["settings"]
    rate = f"{settings['rate']:,g} requests/s offered" if settings["rate"] else "closed loop"
    table = Table(title=f"{settings['clients']} x {settings['depth']}, {rate}", box=box.SIMPLE_HEAD)
    for column in ("", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        latencies = (row[key] for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms"))
        table.add_row(row["requests"], f"{row['rps']:,.0f}", *(f"{value:.3f}" for value in latencies))
    console.print(table)
    row = result["rows"][0]
    since = "when a request was due" if settings["rate"] else "its sending"
    console.print(
        f"latency counts from {since}, and is at most {settings['relative_error']:.1%} off; "
        f"{row['errors']} errors, {row['late']} unanswered (counted with their age), "
        f"{result['lost_connections']} connections lost, {result['misses']} reads of missing keys; "
        f"the generator took {row['generator_cpu']:.0%} of a processor",
        highlight=False,
        soft_wrap=True,
    )
    if result["first_error"]:
        console.print(f"first error: {result['first_error']}", highlight=False, markup=False)


def compare(rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Both generators in turns against a redis-server without a file. Raises LoadError."""
    results.BUILD.mkdir(exist_ok=True)
    rows = []
    total = len(COMMANDS) * len(SHAPES) * 2 * rounds
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name, Steps(total, console) as step:
        facts = results.facts(Path(name))
        with contestants.redis_server(Path(name) / "redis", "--appendonly", "no") as port:
            load.fill(port)
            for command, read in COMMANDS.items():
                for shape in SHAPES:
                    theirs = partial(load.measure, port, command.lower(), shape, seconds=seconds)
                    requests = load.requests_for(theirs, shape, seconds)
                    found: dict[str, list[dict[str, float]]] = {name: [] for name in BOTH}
                    for _ in range(rounds):
                        step(f"{command} {shape} loadgen")
                        found["loadgen"].append(generator.measure(port, Load(shape, read), seconds).figures())
                        step(f"{command} {shape} redis-benchmark")
                        found["redis-benchmark"].append(theirs(requests))
                    rows.append(_compared(command, shape, found))
    settings = {"host": HOST, "server": "redis-server without a file", "rounds": rounds, "seconds": seconds}
    return results.result("load-compare", facts, settings, rows)


def _compared(command: str, shape: Shape, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    of = {name: medians(rounds) for name, rounds in found.items()}
    ratio = of["loadgen"]["rps"] / of["redis-benchmark"]["rps"]
    shapes = {"clients": shape.clients, "depth": shape.depth}
    return {"command": command, **shapes, "results": of, "ratios": {"redis-benchmark": ratio}}


def show_compared(result: dict[str, Any], console: Console) -> None:
    """Prints what each generator gets out of the same server."""
    settings = result["settings"]
    rounds = f"median of {settings['rounds']} rounds of {settings['seconds']:g} s"
    table = Table(title=f"{settings['server']}, requests/s, {rounds}", box=box.SIMPLE_HEAD)
    for column in ("", *BOTH, "ratio", "loadgen's share of a processor"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        cells = [row["results"][name] for name in BOTH]
        table.add_row(
            f"{row['command']} {row['clients']} x {row['depth']}",
            *(f"{cell['rps']:,.0f}" for cell in cells),
            f"{row['ratios']['redis-benchmark']:.2f}",
            f"{cells[0]['generator_cpu']:.0%}",
        )
    console.print(table)
