"""How strong the simulator is: which planted bugs it finds, and by what (PML 6.3)."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from time import monotonic
from types import ModuleType
from typing import Protocol

from .plan import PLANS
from .spread import ignore_interrupts
from .world import Outcome, World

SEEDS = range(0, 60)  # of the plan made for it; the first that finds the bug ends the search
SECONDS = 6.0  # of each run


class Planted(Protocol):
    """A core with a bug."""

    @property
    def name(self) -> str:
        """What is wrong with it."""

    @property
    def plan(self) -> str:
        """The runs that find it soon: one of PLANS."""

    @property
    def raises(self) -> str:
        """The exception by which it may be found, or nothing."""

    def load(self) -> ModuleType:
        """The module that has its `Replica`."""


@dataclass(slots=True)
class Catch:
    """`seed` and `violation` are None when nothing was found. `slip` says why the text that was planted is no bug."""

    name: str
    plan: str
    seed: int | None
    violation: str | None
    seconds: float
    slip: str | None = None

    @property
    def caught_by(self) -> str | None:
        """One line."""
        return None if self.violation is None else f"seed {self.seed} of plan {self.plan}: {self.violation}"


def is_slip(mutant: Planted, outcome: Outcome) -> bool:
    """Does the run show only that the text was planted wrong? Such a text raises anything, a bug what it declares."""
    return bool(outcome.raised) and outcome.raised != mutant.raises


def catch(mutant: Planted, seeds: Iterable[int] = SEEDS) -> Catch:
    """Runs the seeds until one of them finds the bug. Never raises for what was planted: that is in the result."""
    begun = monotonic()

    def result(seed: int | None = None, violation: str | None = None, slip: str | None = None) -> Catch:
        return Catch(mutant.name, mutant.plan, seed, violation, monotonic() - begun, slip)

    try:
        core = mutant.load()
    except Exception as error:  # the text that it changes is another one by now, or what it makes of it is no program
        return result(slip=f"{type(error).__name__}: {error}".splitlines()[0])
    for seed in seeds:
        outcome = World(seed, core, SECONDS, draw=PLANS[mutant.plan]).run()
        if outcome.violation:
            what = outcome.violation.splitlines()[0]
            if is_slip(mutant, outcome):
                return result(slip=f"seed {seed} of plan {mutant.plan}: {what}")
            return result(seed, what)
    return result()


def catch_all(mutants: Iterable[Planted], jobs: int) -> Iterator[Catch]:
    """Each mutant, in order, in worker processes."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=ignore_interrupts) as pool:
        yield from pool.map(catch, mutants)
