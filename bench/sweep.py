"""`python -m bench sweep`: batch limit, window and fsync policy of a cell, under many loads."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live.server.config import Limits, convert, parse_fsync
from fastpaxos_live.testing import Cell

from . import choice, machine, results, writes
from .load import KEYS, Shape
from .measuring import Steps, medians
from .results import Row

REPLICAS = 3
SEGMENT_BYTES = 64 << 20  # of a log file, as cells have it by default


@dataclass(frozen=True)
class Setting:
    """What a cell is started with."""

    batch_bytes: int
    window: int
    fsync: str

    def check(self) -> None:
        """Raises ConfigError, one line."""
        convert({"batch_bytes": self.batch_bytes, "window": self.window}, Limits, "[limits]")
        parse_fsync(self.fsync)


@dataclass(frozen=True)
class Load:
    """What it is loaded with."""

    value_bytes: int
    shape: Shape

    def __str__(self) -> str:
        return f"{self.shape} of {self.value_bytes} B"


@dataclass(frozen=True)
class Grid:
    """All values of each coordinate."""

    batch_bytes: Sequence[int]
    window: Sequence[int]
    fsync: Sequence[str]
    value_bytes: Sequence[int]
    shapes: Sequence[Shape]

    def settings(self) -> list[Setting]:
        """The cells, in the order in which they are measured."""
        return [Setting(*each) for each in product(self.batch_bytes, self.window, self.fsync)]

    def loads(self) -> list[Load]:
        """What each of them is loaded with."""
        return [Load(*each) for each in product(self.value_bytes, self.shapes)]


QUICK = Grid(
    (64 << 10, 1 << 20), (1, 4), ("always", "interval:100"), (100, 4096), (Shape(1, 1), Shape(50, 1), Shape(50, 16))
)
FULL = Grid(
    (16 << 10, 64 << 10, 256 << 10, 1 << 20),
    (1, 2, 4, 16),
    ("always", "interval:100", "never"),
    (5, 100, 1024, 8192),
    (Shape(1, 1), Shape(5, 1), Shape(20, 1), Shape(50, 1), Shape(200, 1), Shape(50, 16)),
)


@dataclass
class Point:
    """The rounds of one load at one setting."""

    setting: Setting
    load: Load
    runs: list[dict[str, float]] = field(default_factory=list)

    def row(self) -> Row:
        """All coordinates and the medians."""
        return {
            "batch_bytes": self.setting.batch_bytes,
            "window": self.setting.window,
            "fsync": self.setting.fsync,
            "value_bytes": self.load.value_bytes,
            "clients": self.load.shape.clients,
            "depth": self.load.shape.depth,
            **medians(self.runs),
            "rps_of_rounds": [run["rps"] for run in self.runs],
            "p99_ms_of_rounds": [run["p99_ms"] for run in self.runs],
        }


def run(grid: Grid, rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Measures, with progress on `console`. `choice` of the result says which setting to take.

    Each round starts each cell anew: cells that idle beside it would take part of the machine, and
    one that goes on would have a longer log than the first had. Raises ConfigError, LoadError, and
    AssertionError when a cell does not start.
    """
    settings, loads = grid.settings(), grid.loads()
    for setting in settings:
        setting.check()
    results.BUILD.mkdir(exist_ok=True)
    points = [Point(setting, load) for setting in settings for load in loads]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as directory:
        facts = results.facts(Path(directory))
        with Steps(rounds * len(points), console) as step:
            for _ in range(rounds):
                for setting in settings:
                    mine = [point for point in points if point.setting == setting]
                    _measure(Path(directory) / "cell", setting, mine, seconds, step)
    rows = [point.row() for point in points]
    default = Limits()
    told = {
        "replicas": REPLICAS,
        "core": "compiled",
        "keys": KEYS,
        "rounds": rounds,
        "seconds": seconds,
        "default_batch_bytes": default.batch_bytes,
        "default_window": default.window,
        "where": "all processes and the load share this machine; one cell at a time",
    }
    chosen = choice.choose(rows, (default.batch_bytes, default.window))
    return results.result("sweep", facts, told, rows, choice=[each.told() for each in chosen])


def _measure(
    directory: Path, setting: Setting, points: Sequence[Point], seconds: float, step: Callable[[str], None]
) -> None:
    """A round of each of the points, on a new cell."""
    limits = {"segment_bytes": SEGMENT_BYTES, "batch_bytes": setting.batch_bytes, "window": setting.window}
    name = f"batch {setting.batch_bytes >> 10} KiB, window {setting.window}, {setting.fsync}"
    with Cell(directory, REPLICAS, fsync=setting.fsync, limits=limits, with_parent=True) as cell:

        def port() -> int:
            return cell.ports[cell.master()]

        for point in points:
            step(f"{name}: {point.load}")
            writer = writes.Writer(name, port, point.load.shape, point.load.value_bytes, KEYS, seconds)
            point.runs.append(writer.measure(writer.requests()))
    shutil.rmtree(directory)


def show(result: dict[str, Any], console: Console) -> None:
    """Prints a line for each setting, then which one to choose, then what all depends on."""
    settings, rows = result["settings"], result["rows"]
    loads = list(dict.fromkeys((row["value_bytes"], row["clients"], row["depth"]) for row in rows))
    table = Table(title="SET/s (p99 in ms)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column("fsync, batch limit, window", no_wrap=True)
    for size, clients, depth in loads:
        table.add_column(f"{clients}x{depth}\n{size} B", justify="right")
    lines: dict[tuple[str, int, int], list[str]] = {}
    for row in sorted(rows, key=lambda row: row["fsync"]):
        cells = lines.setdefault((row["fsync"], row["batch_bytes"], row["window"]), [])
        cells.append(f"{row['rps']:,.0f} ({row['p99_ms']:.1f})")
    for (fsync, batch, window), cells in lines.items():
        table.add_row(f"{fsync}, {batch >> 10} KiB, {window}", *cells)
    console.print(table)
    for line in (
        *(chosen["why"] for chosen in result["choice"]),
        f"columns: clients x requests under way on each; {settings['replicas']} replicas, {settings['core']} core; "
        f"median of {settings['rounds']} rounds of {settings['seconds']:g} s",
        settings["where"],
        *machine.lines(result),
    ):
        console.print(line, highlight=False, emoji=False, soft_wrap=True)
