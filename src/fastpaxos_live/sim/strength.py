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
from .world import World

SEEDS = range(0, 30)  # of the plan made for it; the first that finds the bug ends the search
SECONDS = 6.0  # of each run


class Planted(Protocol):
    """A core with a bug."""

    @property
    def name(self) -> str:
        """What is wrong with it."""

    @property
    def plan(self) -> str:
        """The runs that find it soon: one of PLANS."""

    def load(self) -> ModuleType:
        """The module that has its `Replica`."""


@dataclass(slots=True)
class Catch:
    """`seed` and `violation` are None when nothing was found."""

    name: str
    plan: str
    seed: int | None
    violation: str | None
    seconds: float

    @property
    def caught_by(self) -> str | None:
        """One line."""
        return None if self.violation is None else f"seed {self.seed} of plan {self.plan}: {self.violation}"


def catch(mutant: Planted, seeds: Iterable[int] = SEEDS) -> Catch:
    """Runs the seeds until one of them finds the bug."""
    begun = monotonic()
    core = mutant.load()
    for seed in seeds:
        violation = World(seed, core, SECONDS, draw=PLANS[mutant.plan]).run().violation
        if violation:
            return Catch(mutant.name, mutant.plan, seed, violation.splitlines()[0], monotonic() - begun)
    return Catch(mutant.name, mutant.plan, None, None, monotonic() - begun)


def catch_all(mutants: Iterable[Planted], jobs: int) -> Iterator[Catch]:
    """Each mutant, in order, in worker processes."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=ignore_interrupts) as pool:
        yield from pool.map(catch, mutants)
