"""`python -m bench hotpath`: what single parts of the hot path cost, on both cores.

The parts are the benchmarks of test_hotpath.py; pytest-benchmark times them.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from . import results
from .results import Row

SUITE = Path(__file__).with_name("test_hotpath.py")
SETUP_ROUNDS = 30  # of a benchmark that needs new input for each call
WIDTH = 112  # columns of the table
COLLECTED_NOTHING = 5  # exit code of pytest

Measure = Callable[..., Any]  # the fixture of conftest.py


class HotpathError(Exception):
    """The suite did not run; the text says why, in one line."""


def run(seconds: float, select: str, console: Console) -> dict[str, Any]:
    """Runs the suite: each benchmark for about `seconds`, of those that `select` names (pytest's -k).

    Returns machine, commit, settings and a row for each part and core. Raises HotpathError.
    """
    if find_spec("pytest_benchmark") is None:
        raise HotpathError("pytest-benchmark is not installed (pip install pytest-benchmark)")
    results.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name:
        facts = results.facts(Path(name))
        found = Path(name) / "hotpath.json"
        with console.status("benchmarks of the hot path"):
            _run_suite(found, seconds, select)
        rows = from_benchmarks(json.loads(found.read_text())["benchmarks"])
    told = {
        "seconds": seconds,
        "select": select,
        "where": "one process without sockets and disk: what the code costs, not what a cell serves",
        "figure": "median of the rounds; the call from Python is part of it, divided by the operations of a call",
    }
    return results.result("hotpath", facts, told, rows)


def _run_suite(found: Path, seconds: float, select: str) -> None:
    command = [sys.executable, "-m", "pytest", str(SUITE), "-q", "-p", "no:cacheprovider"]
    command += [f"--benchmark-json={found}", f"--benchmark-max-time={seconds}", *(["-k", select] if select else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SUITE.parents[1], stdin=subprocess.DEVNULL)
    if done.returncode == COLLECTED_NOTHING:
        raise HotpathError(f"no benchmark matches {select!r}")
    if done.returncode != 0 or not found.exists():
        said = (done.stderr + done.stdout).strip().splitlines()
        failed = [line for line in said if re.match(r"(FAILED|ERROR)\b", line)]
        raise HotpathError((failed or said or ["pytest said nothing"])[-1][:300])


def from_benchmarks(benchmarks: Sequence[dict[str, Any]]) -> list[Row]:
    """Rows out of the JSON of pytest-benchmark."""
    return with_ratios(
        [row(one["group"], one["extra_info"], one["stats"]["median"], one["stats"]["rounds"]) for one in benchmarks]
    )


def row(part: str, info: dict[str, Any], seconds: float, rounds: int) -> Row:
    """A row of one benchmark; `seconds` is the time of a call."""
    return {
        "part": part,
        "core": info["core"],
        "ns_per_operation": seconds / info["operations"] * 1e9,
        "bytes_per_second": info["bytes"] / seconds,
        "operations_per_call": info["operations"],
        "rounds": rounds,
    }


def with_ratios(rows: Sequence[Row]) -> list[Row]:
    """Says of each part that both cores did how many times faster the compiled one is."""
    ns = {(row["part"], row["core"]): row["ns_per_operation"] for row in rows}
    told = []
    for row in rows:
        both = [ns.get((row["part"], core)) for core in ("reference", "compiled")]
        told.append(row | ({"compiled_to_reference": both[0] / both[1]} if all(both) else {}))
    return told


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table of a run and what it depends on."""
    show_rows(result["rows"], console)
    for line in (result["settings"]["where"], result["settings"]["figure"]):
        console.print(line, highlight=False, soft_wrap=True)


def show_rows(rows: Sequence[Row], console: Console) -> None:
    """Prints one line for each part."""
    table = Table(title="the hot path in parts: ns per operation, MB/s", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("part", no_wrap=True)
    for name in ("compiled", "", "reference", "", "compiled is", "a call has"):
        table.add_column(name, justify="right", no_wrap=True)
    parts: dict[str, dict[str, Row]] = {}
    for one in rows:
        parts.setdefault(one["part"], {})[one["core"]] = one
    for part, cores in parts.items():
        any_one = next(iter(cores.values()))
        ratio = any_one.get("compiled_to_reference")
        table.add_row(
            part,
            *(text for core in ("compiled", "reference") for text in _cost(cores.get(core))),
            f"{ratio:.1f}x" if ratio else "",
            f"{any_one['operations_per_call']:,}",
        )
    console.print(table)


def _cost(row: Row | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    return f"{row['ns_per_operation']:,.1f}", f"{row['bytes_per_second'] / 1e6:,.0f}"
