"""`python -m bench table1`: the table of the paper, on both cores, beside its figures of 2006."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live.testing import Cell

from . import machine, paper, results, writes
from .load import Shape
from .measuring import Steps, medians
from .results import Row

CORES = {"compiled": "cython", "reference": "python"}
SEGMENT_BYTES = 64 << 20  # of a log file, as cells have it by default
FILE_BYTES = 1024  # of a value in the database that was there before
DATABASE_PREFIX = "old:"  # so that writes of other sizes leave it as large as it is
# As in the paper nearly every write creates a key, but large values come back to the same ones, so
# that the memory of a cell stays within bounds.
KEYS_MAX = 10_000_000
KEYS_BYTES = 64 << 20
BOTH_WAYS = (("to_paper", 1), ("of_paper", 4))


@dataclass(frozen=True)
class Settings:
    """How long and how much is measured."""

    replicas: Sequence[int]
    rounds: int
    seconds: float
    database_bytes: int = paper.DATABASE_BYTES


Figures = dict[str, float]


def run(settings: Settings, console: Console) -> dict[str, Any]:
    """Measures, with progress on `console`: a row for each line of the paper's table, size of cell and core.

    Raises LoadError, and AssertionError when a cell does not start.
    """
    results.BUILD.mkdir(exist_ok=True)
    total = len(settings.replicas) * len(CORES) * (1 + len(paper.TABLE_1) * (settings.rounds + 1))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name:
        directory = Path(name)
        facts = results.facts(directory)
        with Steps(total, console) as step:
            for replicas in settings.replicas:
                rows += _measure_cells(directory / f"of-{replicas}", replicas, settings, step)
    told = {
        "replicas": list(settings.replicas),
        "fsync": "always",
        "database_bytes": settings.database_bytes,
        "rounds": settings.rounds,
        "seconds": settings.seconds,
        "load": "redis-benchmark; each worker waits for its answer before it writes again",
        "where": "all processes and the load share this machine; the other core's cell idles meanwhile",
        "latency_of_the_paper": paper.NO_LATENCY,
        "snapshots": paper.NO_SNAPSHOTS,
    }
    return results.result("table1", facts, told, rows)


def _measure_cells(directory: Path, replicas: int, settings: Settings, step: Callable[[str], None]) -> list[Row]:
    """Both cores with cells of that size, in alternating rounds."""
    rows = []
    with ExitStack() as stack:
        cells = {}
        for name, core in CORES.items():
            step(f"{replicas} replicas, {name}: filling")
            cell = Cell(
                directory / core, replicas, core, limits={"segment_bytes": SEGMENT_BYTES}, with_parent=True
            )
            cells[name] = stack.enter_context(cell)
            writes.fill(_port(cell), settings.database_bytes // FILE_BYTES, FILE_BYTES, DATABASE_PREFIX)
        for line in paper.TABLE_1:
            rows += _measure_line(cells, line, settings, lambda what: step(f"{replicas} replicas, {what}"))
    return rows


def _port(cell: Cell) -> int:
    return cell.ports[cell.master()]


def _measure_line(
    cells: dict[str, Cell], line: paper.Line, settings: Settings, step: Callable[[str], None]
) -> list[Row]:
    shape, keys = Shape(line.workers, 1), min(KEYS_MAX, KEYS_BYTES // line.value_bytes)
    writers = {
        name: writes.Writer(name, partial(_port, cell), shape, line.value_bytes, keys, settings.seconds)
        for name, cell in cells.items()
    }
    requests: dict[str, int] = {}
    runs: dict[str, list[Figures]] = {name: [] for name in cells}
    for name, writer in writers.items():
        step(f"{line.workers} x {line.value_bytes} B, {name}: warm-up")
        requests[name] = writer.requests()
    for _ in range(settings.rounds):
        for name, writer in writers.items():
            step(f"{line.workers} x {line.value_bytes} B, {name}")
            runs[name].append(writer.measure(requests[name]))
    replicas = len(next(iter(cells.values())).ids)
    rows = [_row(line, replicas, name, keys, requests[name], runs[name]) for name in cells]
    of = {row["core"]: row["rps"] for row in rows}
    return [{**row, "compiled_to_reference": of["compiled"] / of["reference"]} for row in rows]


def _row(line: paper.Line, replicas: int, core: str, keys: int, requests: int, runs: list[Figures]) -> Row:
    of = medians(runs)
    paper_rps = line.operations(line.paxos)
    with_snapshots = line.paxos_with_snapshots
    return {
        "workers": line.workers,
        "value_bytes": line.value_bytes,
        "replicas": replicas,
        "core": core,
        **of,
        "unit": line.unit,
        "figure": line.figure(of["rps"]),
        "paper_figure": line.paxos,
        "paper_figure_with_snapshots": with_snapshots,
        "paper_figure_3db": line.three_db,
        "paper_rps": paper_rps,
        "paper_mean_ms": line.mean_ms,
        "to_paper": of["rps"] / paper_rps,
        "of_paper": paper_rps / of["rps"],
        "keys": keys,
        "requests": requests,
        "rps_of_rounds": [run["rps"] for run in runs],
        "note": "" if with_snapshots is None else paper.NO_SNAPSHOTS,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Prints throughput, its ratios and latency, then what they depend on."""
    settings = result["settings"]
    for table in (_throughput, _ratios, _latency):
        console.print(table(result["rows"]))
    for line in (
        f"median of {settings['rounds']} rounds of {settings['seconds']:g} s; fsync {settings['fsync']}; "
        f"a database of {settings['database_bytes'] / 2**20:.0f} MB; {settings['load']}",
        settings["where"],
        "Paxos, 3DB: the paper's Chubby of about 2006 on its Paxos and on 3DB; five servers, which may not",
        "share a machine there as they do here. A range: with and without a snapshot being taken.",
        f"*: {settings['snapshots']}",
        f"**: {settings['latency_of_the_paper']}",
        *machine.lines(result),
    ):
        console.print(line, highlight=False, emoji=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), collapse_padding=True)
    for column in ("workers\nx value", "replicas"):
        table.add_column(column, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _what(row: Row) -> tuple[str, str]:
    size = f"{row['value_bytes'] // paper.KB} KB" if row["value_bytes"] >= paper.KB else f"{row['value_bytes']} B"
    return f"{row['workers']} x {size}", str(row["replicas"])


def _pairs(rows: list[Row]) -> Iterator[tuple[Row, Row]]:
    """The rows of the compiled core and of the reference that belong together."""
    return zip(rows[::2], rows[1::2], strict=True)


def _throughput(rows: list[Row]) -> Table:
    table = _table("throughput", "unit", "3DB", "Paxos", "compiled", "reference")
    for compiled, reference in _pairs(rows):
        low, high = compiled["paper_figure_with_snapshots"], f"{compiled['paper_figure']:g}"
        table.add_row(
            *_what(compiled),
            compiled["unit"],
            f"{compiled['paper_figure_3db']:g}",
            high if low is None else f"{low:g}-{high}*",
            f"{compiled['figure']:,.0f}",
            f"{reference['figure']:,.0f}",
        )
    return table


def _ratios(rows: list[Row]) -> Table:
    over = ("compiled\n/ Paxos", "Paxos\n/ compiled", "reference\n/ Paxos", "Paxos\n/ reference")
    table = _table("ratios of throughput", *over, "compiled\n/ reference")
    for compiled, reference in _pairs(rows):
        each = [f"{row[key]:.{digits}f}" for row in (compiled, reference) for key, digits in BOTH_WAYS]
        table.add_row(*_what(compiled), *each, f"{compiled['compiled_to_reference']:.1f}")
    return table


def _latency(rows: list[Row]) -> Table:
    columns = ("compiled\nmean", "\npercentiles", "reference\nmean", "\npercentiles")
    table = _table("latency, ms; percentiles: p50 / p99 / p99.9", "Paxos**\nmean", *columns)
    for compiled, reference in _pairs(rows):
        table.add_row(*_what(compiled), f"{compiled['paper_mean_ms']:.1f}", *_times(compiled), *_times(reference))
    return table


def _times(row: Row) -> tuple[str, str]:
    return f"{row['mean_ms']:.2f}", f"{row['p50_ms']:.2f} / {row['p99_ms']:.2f} / {row['p999_ms']:.2f}"
