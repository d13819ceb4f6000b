"""What the commands share: progress, and measurements at a master that stays one."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .load import LoadError

MOVES_MAX = 5  # how often a measurement is repeated since the master changed under it
MOVED = ("TRYAGAIN", "UNKNOWN", "CLUSTERDOWN", "MOVED")  # what clients of a master that is none any more are told
STEP_COLUMNS = 36

T = TypeVar("T")


class Steps:
    """A bar on `console` that names the step that runs now."""

    def __init__(self, total: int, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=total)

    def __call__(self, what: str) -> None:
        """The next step begins."""
        self._bar.update(self._task, description=f"{what:<{STEP_COLUMNS}}", advance=1)

    def __enter__(self) -> "Steps":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure; all runs have the same."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def steady(name: str, port: Callable[[], int], measure: Callable[[int], T]) -> T:
    """What `measure` says of the master's port, if that was the master's before and after.

    Another replica would only forward. Raises LoadError, also when the master changes each time.
    """
    trouble = ""
    for _ in range(MOVES_MAX):
        master = port()
        try:
            found = measure(master)
        except LoadError as error:
            if not any(code in str(error) for code in MOVED):
                raise
            trouble = f" (last: {error})"
            continue
        if port() == master:
            return found
    raise LoadError(f"{name}: the master changed in each of {MOVES_MAX} measurements{trouble}")
