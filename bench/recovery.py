"""`python -m bench recovery`: how long a start takes with many keys, and how much memory they take."""

import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live.testing import HOST, Cell, connect, free_ports, wait_until

from . import machine, results, writes
from .measuring import Steps, medians
from .results import Row

REPLICAS = 3
SEGMENT_BYTES = 64 << 20  # of a log file, as cells have it by default
KEY_BYTES, VALUE_BYTES = 16, 100
REFERENCE_PART = 10  # the reference gets one key in so many: it is many times slower
START_S = 600.0  # longest start

REPLAYED = re.compile(r"event='log replayed'.* seconds=([\d.]+)")
LOADED = re.compile(r"DB loaded from append only file: ([\d.]+) seconds")


def run(keys: int, rounds: int, console: Console) -> dict[str, Any]:
    """Measures, with progress on `console`. Raises LoadError, and AssertionError when nobody starts."""
    results.BUILD.mkdir(exist_ok=True)
    fewer = max(1, keys // REFERENCE_PART)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name:
        directory = Path(name)
        facts = results.facts(directory)
        with Steps(3 * (1 + rounds), console) as step:
            rows = [
                *_measure_cell(directory, "compiled", "cython", keys, rounds, step),
                *_measure_cell(directory, "reference", "python", fewer, rounds, step),
                _measure_redis(directory / "redis", keys, rounds, step),
                {"what": "compiled: from a snapshot", "keys": keys, "note": "not built yet"},
            ]
    told = {
        "replicas": REPLICAS,
        "fsync": "always",
        "redis": "appendonly yes, appendfsync always, never rewritten",
        "key_bytes": KEY_BYTES,
        "value_bytes": VALUE_BYTES,
        "rounds": rounds,
        "writes": f"each key once, {writes.FILL_REQUESTS} requests under way at a time",
        "seconds": "from the start of a process until it answers with all keys; of a cell, of all its "
        "processes until a master answers a write",
        "rss_per_key": "what the process has after such a start, less what it had before the first key",
    }
    return results.result("recovery", facts, told, rows)


def _measure_cell(
    directory: Path, name: str, core: str, keys: int, rounds: int, step: Callable[[str], None]
) -> list[Row]:
    """Rows of one follower, killed and started again beside the others, and of the whole cell."""
    alone: list[Row] = []
    whole: list[float] = []
    limits = {"segment_bytes": SEGMENT_BYTES}
    with Cell(directory / name, REPLICAS, core, limits=limits, with_parent=True) as cell:
        empty = cell.memory(_follower(cell))
        step(f"{name}: {keys:,} keys are written")
        writes.fill(cell.ports[cell.master()], keys, VALUE_BYTES)
        cell.wait_equal()
        for _ in range(rounds):
            step(f"{name}: starts")
            alone.append(_restart(cell, _follower(cell)))
            began = time.monotonic()
            cell.restart()
            cell.wait_ready()
            whole.append(time.monotonic() - began)
    row = _row(f"{name}: a replica, from its log", keys, empty, alone)
    return [row, {"what": f"{name}: the cell, from its logs", "keys": keys, "seconds": statistics.median(whole)}]


def _follower(cell: Cell) -> int:
    master = cell.master()
    return next(i for i in cell.ids if i != master)


def _restart(cell: Cell, i: int) -> Row:
    """Kills replica i and starts it; the log it comes from has everything, since nobody writes."""
    cell.wait_equal()
    applied = cell.info(i)["instance_applied"]
    cell.kill(i)
    printed = cell.log(i).stat().st_size
    began = time.monotonic()
    cell.start(i)
    wait_until(lambda: cell.info(i)["instance_applied"] >= applied, f"replica {i} with its data", START_S)
    return {
        "seconds": time.monotonic() - began,
        "replay_seconds": _said(REPLAYED, cell.log(i), printed),
        "log_bytes": cell.info(i)["log_position"],
        "rss_bytes": cell.memory(i),
    }


def _said(pattern: re.Pattern[str], log: Path, offset: int) -> float:
    """The last figure that `pattern` finds in a log from `offset` on."""
    return float(pattern.findall(log.read_bytes()[offset:].decode(errors="replace"))[-1])


def _row(what: str, keys: int, empty: int, starts: list[Row]) -> Row:
    of = medians(starts)
    return {
        "what": what,
        "keys": keys,
        **of,
        "rss_empty_bytes": empty,
        "rss_per_key": (of["rss_bytes"] - empty) / keys,
        "seconds_of_rounds": [start["seconds"] for start in starts],
    }


def _measure_redis(directory: Path, keys: int, rounds: int, step: Callable[[str], None]) -> Row:
    """redis-server alone with the same keys, from an append-only file that has each write, as our log does."""
    (port,) = free_ports(1)
    directory.mkdir()
    with _redis(directory, port) as process:
        empty = machine.resident_bytes(process.pid)
        step(f"redis alone: {keys:,} keys are written")
        writes.fill(port, keys, VALUE_BYTES)
    starts = []
    for _ in range(rounds):
        step("redis alone: starts")
        log = directory / "log"
        printed = log.stat().st_size
        began = time.monotonic()
        with _redis(directory, port) as process:
            seconds = time.monotonic() - began
            with connect(port) as client:
                found = client.dbsize()
            if found != keys:
                raise AssertionError(f"redis-server came back with {found} keys of {keys}")
            starts.append(
                {
                    "seconds": seconds,
                    "replay_seconds": _said(LOADED, log, printed),
                    "log_bytes": sum(file.stat().st_size for file in (directory / "appendonlydir").iterdir()),
                    "rss_bytes": machine.resident_bytes(process.pid),
                }
            )
    return _row("redis alone: from its AOF", keys, empty, starts)


@contextmanager
def _redis(directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A redis-server that has loaded what `directory` holds; killed in the end."""
    command = ["redis-server", "--bind", HOST, "--port", str(port), "--dir", str(directory), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: connect(port).ping(), "redis-server with its data", START_S)
        yield process
    finally:
        process.kill()
        process.wait()


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table and what it depends on."""
    settings = result["settings"]
    table = Table(title="start-up and memory", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column("", no_wrap=True)
    for column in ("keys", "start\ns", "replay\ns", "log\nMB", "RSS\nMB", "empty\nMB", "RSS/key\nB"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in result["rows"]:
        table.add_row(
            row["what"],
            f"{row['keys']:,}",
            row.get("note") or f"{row['seconds']:.2f}",
            _cell(row, "replay_seconds", 1, ".2f"),
            _cell(row, "log_bytes", 1 << 20, ".0f"),
            _cell(row, "rss_bytes", 1 << 20, ".0f"),
            _cell(row, "rss_empty_bytes", 1 << 20, ".0f"),
            _cell(row, "rss_per_key", 1, ".0f"),
        )
    console.print(table)
    for line in (
        f"keys of {settings['key_bytes']} bytes, values of {settings['value_bytes']}; {settings['writes']}; "
        f"median of {settings['rounds']} starts after kill -9",
        f"start: {settings['seconds']}; replay: what the process itself logs",
        f"RSS/key: {settings['rss_per_key']}",
        f"the cells: {settings['replicas']} replicas, fsync {settings['fsync']}; redis alone: {settings['redis']}",
        *machine.lines(result),
    ):
        console.print(line, highlight=False, emoji=False, soft_wrap=True)


def _cell(row: Row, key: str, unit: int, form: str) -> str:
    return format(row[key] / unit, form) if key in row else ""
