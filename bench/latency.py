"""`python -m bench latency`: one worker's SET beside what disk and loopback allow, and the tail at half of the peak."""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live.testing import connect

from . import contestants, floor, generator, load, machine, results
from .contestants import Contestant
from .generator import Load, Measured
from .load import Shape
from .measuring import Steps, steady

VALUE_BYTES = 5
LONE = Load(Shape(1, 1), value_bytes=VALUE_BYTES)
LONE_TARGET = 1.6
TAIL_TARGET = 5.0
TAIL_SHAPES = (Shape(50, 1), Shape(50, 16))
COMMANDS = {"SET": 0.0, "GET": 1.0}
LONE_STEPS = 6  # what is measured in a round of the lone worker
FLOOR = "sync beside two + 2 round trips"


def run(rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Measures, with progress on `console`. Raises LoadError.

    A row has name, value, unit and, where there is one, target (an upper bound); the value is the median of the
    rounds. The ratios are medians of the rounds' own.
    """
    results.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name:
        directory = Path(name)
        facts = results.facts(directory)
        with (
            contestants.cell(directory / "cell", "cython") as person,
            contestants.redis_alone(directory / "redis") as redis,
        ):
            for one in (person, redis):
                load.fill(one.port())
            size = bytes_of_a_set(person, seconds)
            total = LONE_STEPS * rounds + len(COMMANDS) * len(TAIL_SHAPES) * 2 * 2 * rounds
            with Steps(total, console) as step:
                rows = _lone(person, directory, size, rounds, seconds, step)
                for command, read in COMMANDS.items():
                    for shape in TAIL_SHAPES:
                        rows += _tail(person, command, Load(shape, read), TAIL_TARGET, rounds, seconds, step)
                        # What this machine's scheduler does to anyone's tail.
                        rows += _tail(redis, command, Load(shape, read), None, rounds, seconds, step)
    settings = {
        "replicas": contestants.REPLICAS,
        "fsync": "always",
        "value_bytes": VALUE_BYTES,
        "value_bytes_at_half_of_the_peak": Load(Shape(1, 1)).value_bytes,
        "log_bytes_of_a_set": size,
        "rounds": rounds,
        "seconds": seconds,
        "where": "all processes and the load share this machine",
    }
    return results.result("latency", facts, settings, rows)


def _measure(person: Contestant, asked: Load, seconds: float) -> Measured:
    return steady(
        person.name, person.port, lambda port: generator.measure(port, asked, seconds).flawless(person.name)
    )


def bytes_of_a_set(person: Contestant, seconds: float) -> int:
    """How much a lone SET adds to the master's log."""

    def measure(port: int) -> int:
        with connect(port) as client:
            before = client.info()["log_position"]
            found = generator.measure(port, LONE, seconds)
            return round((client.info()["log_position"] - before) / found.answered)

    return steady(person.name, person.port, measure)


def _lone(
    person: Contestant, directory: Path, size: int, rounds: int, seconds: float, step: Steps
) -> list[dict[str, Any]]:
    """One worker's writes and reads, and what they are compared with, in turns."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> float:
        found.setdefault(name, []).append(value)
        return value

    for _ in range(rounds):
        step("disk alone")
        note("sync alone, p50 us", float(np.median(floor.sync_us(directory, size, seconds))))
        step("disk beside others")
        syncs = floor.sync_beside_us(directory, size, seconds)
        step("loopback")
        trips = floor.round_trip_us(seconds)
        step("stalls")
        note(f"stalls of at least {floor.STALL_US} us, % of the time", floor.stalled_share(seconds) * 100)
        step("SET 1 x 1")
        written = _measure(person, LONE, seconds)
        step("GET 1 x 1")
        read = _measure(person, Load(LONE.shape, 1.0, VALUE_BYTES), seconds)
        for percent in (50, 99):
            sync = note(f"sync beside two, p{percent} us", float(np.percentile(syncs, percent)))
            trip = note(f"loopback round trip, p{percent} us", float(np.percentile(trips, percent)))
            took = note(f"SET 1 x 1, p{percent} us", written.percentile_ms(percent) * 1000)
            note(f"SET 1 x 1, p{percent} / ({FLOOR})", took / (sync + 2 * trip))
            note(f"GET 1 x 1, p{percent} us", read.percentile_ms(percent) * 1000)
    targets = {f"SET 1 x 1, p50 / ({FLOOR})": LONE_TARGET}
    return [_row(name, values, targets.get(name)) for name, values in found.items()]


def _tail(
    person: Contestant, command: str, asked: Load, target: float | None, rounds: int, seconds: float, step: Steps
) -> list[dict[str, Any]]:
    """The peak (closed loop), then half of it at a fixed rate."""
    of = "" if target else f"{person.name}, "
    name = f"{of}{command} {asked.shape.clients} x {asked.shape.depth}"
    peaks = []
    for _ in range(rounds):
        step(f"{name}, peak")
        peaks.append(_measure(person, asked, seconds).rps)
    half = statistics.median(peaks) / 2
    fixed = Load(asked.shape, asked.read_share, asked.value_bytes, rate=half)
    runs = []
    for _ in range(rounds):
        step(f"{name}, half of the peak")
        runs.append(_measure(person, fixed, seconds))
    where = f"{name} at half of the peak"
    return [
        _row(f"{name}, peak, requests/s", peaks),
        _row(f"{where}, requests/s", [found.rps for found in runs]),
        _row(f"{where}, p50 us", [found.percentile_ms(50) * 1000 for found in runs]),
        _row(f"{where}, p99 us", [found.percentile_ms(99) * 1000 for found in runs]),
        _row(f"{where}, generator's part of a processor, %", [found.cpu_share * 100 for found in runs]),
        _row(f"{where}, p99 / p50", [found.percentile_ms(99) / found.percentile_ms(50) for found in runs], target),
    ]


def _row(name: str, values: list[float], target: float | None = None) -> dict[str, Any]:
    value = statistics.median(values)
    row = {"name": name, "value": value, "of_rounds": values, "target": target}
    return row if target is None else row | {"met": value <= target}


def show(result: dict[str, Any], console: Console) -> None:
    """Prints all rows; those with a target say whether it is met."""
    settings = result["settings"]
    table = Table(
        title=f"median of {settings['rounds']} rounds of {settings['seconds']:g} s", box=box.SIMPLE_HEAD, padding=0
    )
    table.add_column("")
    for column in ("value", "target", ""):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        bound = row["target"] is not None
        value = f"{row['value']:,.{2 if row['value'] < 100 else 0}f}"
        target = (f"<= {row['target']:g}", "met" if row["met"] else "missed") if bound else ("", "")
        table.add_row(row["name"], value, *target)
    console.print(table)
    console.print(
        f"a SET of {settings['value_bytes']} bytes adds {settings['log_bytes_of_a_set']} bytes to the log; "
        f"at half of the peak values have {settings['value_bytes_at_half_of_the_peak']} bytes, and latency counts "
        "from when a request was due",
        highlight=False,
        soft_wrap=True,
    )
    for text in machine.lines(result):
        console.print(text, highlight=False, soft_wrap=True)
