"""`python -m tests.fuzz`, `make fuzz`: a campaign of many inputs, in processes that may crash or hang.

A campaign is runs of a few thousand inputs. A run depends on its number only: what failed is seen again, with its
traceback, with `--target NAME --run N`. The failing input is kept in build/fuzz; with a file of it in
tests/fuzz/corpus/NAME each run begins with it, as with the other inputs there, which `--keep` chose (keep.py).
"""

import argparse
import multiprocessing
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.context import ForkContext, ForkProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from random import SystemRandom
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tests.fuzz.keep import keep
from tests.fuzz.target import Inputs
from tests.fuzz.targets import TARGETS

RUN_INPUTS = 5000  # of the quickest target in one run
LEAST_INPUTS = 500  # of any target
HANG_S = 60.0  # of one input
POLL_S = 0.05
FAILURES = Path("build/fuzz")


def inputs_of(name: str) -> int:
    """How many a run of this target has."""
    return max(LEAST_INPUTS, RUN_INPUTS // TARGETS[name].cost)


def run(name: str, number: int, count: int, at: "Synchronized[int]", failure: Any = None) -> None:
    """One run, in a process of its own; `at` is the input that it is at. What is raised is put into `failure`."""
    warnings.simplefilter("ignore", SyntaxWarning)  # of the specifications that are compiled
    target = TARGETS[name]
    inputs = Inputs(target, number)
    for index in range(count):
        at.value = index
        data = inputs.next()
        try:
            inputs.learn(data, target.check(data))
        except BaseException as error:
            FAILURES.mkdir(parents=True, exist_ok=True)
            path = FAILURES / f"{name}-{number}-{index}"
            path.write_bytes(data)
            if failure is None:
                raise
            last = traceback.extract_tb(error.__traceback__)[-1]
            failure.put(f"{type(error).__name__}: {str(error)[:300]!r} at {last.filename}:{last.lineno}; {path}")
            sys.exit(1)
    at.value = count


class Worker:
    """A process with a run in it."""

    def __init__(self, context: ForkContext, name: str, number: int, count: int) -> None:
        self.name, self.number, self.count = name, number, count
        self.at: Synchronized[int] = context.Value("Q", 0)
        self.failure = context.SimpleQueue()
        self.process: ForkProcess = context.Process(
            target=run, args=(name, number, count, self.at, self.failure))  # type: ignore[assignment]
        self.begun = time.monotonic()
        self.process.start()
        self._seen = (0, time.monotonic())

    def ended(self) -> bool:
        """Has it, or was it killed now because it hangs?"""
        if self.at.value != self._seen[0]:
            self._seen = (self.at.value, time.monotonic())
        if self.process.is_alive() and time.monotonic() - self._seen[1] > HANG_S:
            self.process.kill()
            self.process.join()
            return True
        return not self.process.is_alive()

    def trouble(self) -> str:
        """Why it did not come to its end; empty: it did."""
        if self.process.exitcode == 0:
            return ""
        what = f"ended with {self.process.exitcode} (it crashed, or hung for {HANG_S:g} s)"
        if not self.failure.empty():
            what = self.failure.get()
        again = f"python -m tests.fuzz --target {self.name} --run {self.number}"
        return f"{self.name}, run {self.number}, input {self.at.value}: {what}; again: {again}"


def plan(names: list[str], inputs: int, least: int, directories: int, first: int) -> Iterator[tuple[str, int, int]]:
    """(target, number, inputs) of all runs: as many for each of the targets as are wanted of it, in turns."""
    wanted = dict.fromkeys(names, least)
    if "directories" in wanted:
        wanted["directories"] = directories
    left = inputs - sum(wanted.values())
    quick = [name for name in names if TARGETS[name].cost == 1]
    for name in quick:
        wanted[name] += max(0, left) // len(quick)
    number = first
    while any(wanted.values()):
        for name in names:
            count = min(wanted[name], inputs_of(name))
            if count:
                wanted[name] -= count
                yield name, number, count
        number += 1


def campaign(runs: list[tuple[str, int, int]], jobs: int, console: Console) -> tuple[list[str], dict[str, float]]:
    """The troubles, and how many seconds the runs of each target took together."""
    context = multiprocessing.get_context("fork")
    troubles: list[str] = []
    columns = TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        totals: dict[str, int] = {}
        for name, _, count in runs:
            totals[name] = totals.get(name, 0) + count
        seconds = dict.fromkeys(totals, 0.0)
        tasks = {name: progress.add_task(name, total=total) for name, total in totals.items()}
        workers: list[Worker] = []
        waiting = list(reversed(runs))
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(Worker(context, *waiting.pop()))
            time.sleep(POLL_S)
            for worker in [worker for worker in workers if worker.ended()]:
                workers.remove(worker)
                seconds[worker.name] += time.monotonic() - worker.begun
                progress.advance(tasks[worker.name], worker.count)
                if trouble := worker.trouble():
                    troubles.append(trouble)
                    progress.console.print(trouble, markup=False, highlight=False)
    return troubles, seconds


def main() -> int:
    """The exit code: 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this one")
    parser.add_argument("--inputs", type=int, default=10_000_000, help="in all (default: 10 million)")
    parser.add_argument("--least", type=int, default=100_000, help="of each target (default: 100,000)")
    parser.add_argument("--directories", type=int, default=20_000, help="whole directories (default: 20,000)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="processes at once")
    parser.add_argument("--first", type=int, help="number of the first run (default: a new one)")
    parser.add_argument("--run", type=int, metavar="N", help="this run only, in this process")
    parser.add_argument("--keep", type=int, metavar="N", help="no campaign: N inputs of the quickest targets, fewer of "
                        "others; what reaches code that no seed does goes to tests/fuzz/corpus")  # fmt: skip
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    if options.keep is not None:
        for name in names:
            for path in keep(TARGETS[name], max(LEAST_INPUTS, options.keep // TARGETS[name].cost), options.first or 0):
                print(path)
        return 0
    if options.run is not None:
        for name in names:
            run(name, options.run, inputs_of(name), multiprocessing.Value("Q", 0))  # type: ignore[arg-type]
        return 0
    first = SystemRandom().randrange(1 << 32) if options.first is None else options.first
    runs = list(plan(names, options.inputs, options.least, options.directories, first))
    console = Console(stderr=True)
    begun = time.monotonic()
    troubles, seconds = campaign(runs, options.jobs, console)
    total = sum(count for *_, count in runs)
    print(f"inputs: {total}\nruns: {len(runs)}, from {first} on\nseconds: {time.monotonic() - begun:.0f}")
    for name, taken in seconds.items():
        count = sum(count for of, _, count in runs if of == name)
        print(f"{name}: {count} in {taken:.0f} s of one process, {count / taken:.0f} a second")
    print(f"troubles: {len(troubles)}")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
