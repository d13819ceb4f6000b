"""`python -m bench against COMMIT`: fresh cells of this checkout and of a commit in turns, and how far both differ."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live.testing import Cell

from . import commits, generator, machine, results
from .contestants import REPLICAS, SHIPPED
from .generator import Load
from .load import LoadError, Shape
from .measuring import Steps, medians, steady
from .peer import Workload

THIS, THAT = "this", "that"
WARM_S = 0.2  # before each window
FILL, FILL_S = Load(Shape(50, 64)), 0.7  # writes nearly all keys, so that reads find what they ask for
SMALL, SMALL_BYTES, VALUE_BYTES = 20, 5, 100  # up to so many requests under way have small values
RESAMPLES, SEED = 20_000, 4711
HOW = (
    f"interval: the middle 95 % of the ratios of medians of {RESAMPLES:,} samples of as many pairs, "
    "drawn from the measured ones with replacement"
)

Pair = dict[str, dict[str, float]]  # the figures of both, by THIS and THAT


@dataclass(frozen=True)
class Asked:
    """A load, and whether it goes to a replica that has to forward it."""

    workload: Workload
    follower: bool = False

    def __str__(self) -> str:
        shape = f"{self.workload.command}:{self.workload.shape}"
        return f"{shape}:follower" if self.follower else shape


@dataclass(frozen=True)
class Program:
    """What a cell runs: the package below `source`."""

    name: str
    source: Path


def asked(text: str) -> Asked:
    """`SET:50x16`, `GET:50x1:follower` as a load. Raises ValueError."""
    match = re.fullmatch(r"(SET|GET):([1-9]\d{0,3})x([1-9]\d{0,3})(:follower)?", text, re.I)
    if match is None:
        raise ValueError(f"{text!r}: expected a load such as SET:50x16 or GET:50x1:follower (clients x depth)")
    shape = Shape(int(match[2]), int(match[3]))
    size = SMALL_BYTES if shape.clients * shape.depth <= SMALL else VALUE_BYTES
    return Asked(Workload(match[1].upper(), shape, size), match[4] is not None)


SHAPES = (
    "SET:1x1", "SET:20x1", "SET:200x1", "SET:50x16", "SET:50x64", "GET:50x1", "GET:50x16",
    "SET:50x16:follower", "GET:50x16:follower",
)  # fmt: skip


def run(name: str, pairs: int, seconds: float, loads: Sequence[Asked], console: Console) -> dict[str, Any]:
    """Builds that commit and measures. Raises LoadError and CommitError."""
    commit = commits.resolve(name)
    console.print(f"building {commit[:12]}, if it is not there yet", highlight=False)
    return compare(Program(THAT, commits.built(commit)), commit, pairs, seconds, loads, console)


def compare(
    that: Program, commit: str, pairs: int, seconds: float, loads: Sequence[Asked], console: Console
) -> dict[str, Any]:
    """Measures, with progress on `console`. Raises LoadError.

    A row is a load; `results` has the medians and single rates of both, `ratio` that of the medians (this / that),
    `low` and `high` the ends of its interval.
    """
    this = Program(THIS, commits.ROOT / "src")
    results.BUILD.mkdir(exist_ok=True)
    found: dict[Asked, list[Pair]] = {load: [] for load in loads}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as data:
        facts = results.facts(Path(data))
        with Steps(pairs * (1 + 2 * len(loads)), console) as step:
            for number in range(pairs):
                step(f"pair {number + 1}: fresh cells")
                with tempfile.TemporaryDirectory(dir=data) as directory:
                    _measure_pair(this, that, number, Path(directory), seconds, found, step)
    settings = {
        THIS: facts.commit, THAT: commit, "replicas": REPLICAS, "fsync": "always", "pairs": pairs, "seconds": seconds,
        "interval": HOW, "keys": FILL.keys,
        "where": "both cells and the load share this machine; one idles while the other is loaded",
    }  # fmt: skip
    return results.result("against", facts, settings, [row(load, found[load]) for load in loads])


def _measure_pair(
    this: Program, that: Program, number: int, directory: Path, seconds: float, found: dict[Asked, list[Pair]],
    step: Callable[[str], None],
) -> None:  # fmt: skip
    # A B B A ...: whoever is first, and whatever drifts, is so for both alike.
    order = [this, that] if number % 2 == 0 else [that, this]
    with ExitStack() as stack:
        cells = {one.name: stack.enter_context(_cell(one, directory / one.name)) for one in order}
        for load in found:
            pair: Pair = {}
            for one in order:
                step(f"pair {number + 1}: {load} {one.name}")
                pair[one.name] = _measure(one.name, cells[one.name], load, seconds)
            found[load].append(pair)
            order.reverse()


@contextmanager
def _cell(program: Program, directory: Path) -> Iterator[Cell]:
    """A cell that runs that program and has its keys. Raises LoadError."""
    places = [str(program.source), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {i: {"PYTHONPATH": os.pathsep.join(places)} for i in range(1, REPLICAS + 1)}
    # Without a secret, of which commits of long ago know nothing; it costs a connection something, no request.
    with Cell(directory, REPLICAS, "cython", limits=SHIPPED, env=env, with_parent=True, secret=False) as cell:
        for i in cell.ids:
            if f"{program.source}/fastpaxos_live/_core." not in Path(f"/proc/{cell.pid(i)}/maps").read_text():
                raise LoadError(f"{program.name}: r{i} does not run what is in {program.source}")
        generator.measure(cell.ports[cell.master()], FILL, FILL_S).flawless(f"{program.name}: fill")
        yield cell


def _measure(name: str, cell: Cell, asked: Asked, seconds: float) -> dict[str, float]:
    """A window of that load, after a short one to warm up."""
    workload = asked.workload
    load = Load(workload.shape, float(workload.command == "GET"), workload.value_bytes)

    def port() -> int:
        return cell.ports[cell.master()]

    def measure(master: int) -> dict[str, float]:
        others = [port for port in cell.ports.values() if port != master]
        send = partial(generator.measure, others[0] if asked.follower else master, load)
        send(WARM_S).flawless(f"{name}: {asked}")
        return send(seconds).flawless(f"{name}: {asked}").figures()

    return steady(name, port, measure)


def row(asked: Asked, pairs: Sequence[Pair]) -> dict[str, Any]:
    """A line of the result."""
    of = {name: [pair[name] for pair in pairs] for name in (THIS, THAT)}
    rates = {name: [one["rps"] for one in of[name]] for name in of}
    ratio, low, high = interval(rates[THIS], rates[THAT])
    workload = asked.workload
    return {
        "command": workload.command, "clients": workload.shape.clients, "depth": workload.shape.depth,
        "value_bytes": workload.value_bytes, "at": "follower" if asked.follower else "master",
        "results": {name: medians(of[name]) | {"rps_of_pairs": rates[name]} for name in of},
        "ratio": ratio, "low": low, "high": high,
    }  # fmt: skip


def interval(this: Sequence[float], that: Sequence[float]) -> tuple[float, float, float]:
    """The ratio of medians, and the ends of its 95 % interval; see HOW."""
    rates = np.array([this, that])
    picks = np.random.default_rng(SEED).integers(0, len(this), (RESAMPLES, len(this)))
    ours, theirs = np.median(rates[:, picks], axis=2)
    low, high = np.percentile(ours / theirs, [2.5, 97.5])
    return float(np.median(rates[0]) / np.median(rates[1])), float(low), float(high)


def slower(result: dict[str, Any], least: float) -> list[str]:
    """The loads whose interval lies wholly below `least`."""
    return [f"{_name(row)} ({_range(row)})" for row in result["rows"] if row["high"] < least]


def show(result: dict[str, Any], console: Console) -> None:
    """Prints rates, ratios and intervals."""
    settings = result["settings"]
    title = f"requests/s, median of {settings['pairs']} pairs of fresh cells, {settings['seconds']:g} s each"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for column in ("clients x pipeline", THIS, THAT, "this / that", "95 %", "p99 ms", "p99 ms of that"):
        table.add_column(column, justify="left" if column == "clients x pipeline" else "right", no_wrap=True)
    for row in result["rows"]:
        ours, theirs = (row["results"][name] for name in (THIS, THAT))
        table.add_row(
            _name(row), f"{ours['rps']:,.0f}", f"{theirs['rps']:,.0f}", f"{row['ratio']:.3f}", _range(row),
            f"{ours['p99_ms']:.3g}", f"{theirs['p99_ms']:.3g}",
        )  # fmt: skip
    console.print(table)
    lines = (f"that: {settings[THAT]}; {settings['where']}", settings["interval"], *machine.lines(result))
    for text in lines:
        console.print(text, highlight=False, soft_wrap=True)


def _name(row: results.Row) -> str:
    where = " at a follower" if row["at"] == "follower" else ""
    return f"{row['command']} {row['clients']} x {row['depth']}, {row['value_bytes']} B{where}"


def _range(row: results.Row) -> str:
    return f"{row['low']:.3f} to {row['high']:.3f}"
