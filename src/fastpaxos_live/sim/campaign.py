"""Many seeds, in worker processes: the outcomes, and their sum."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from xxhash import xxh64

from .._select import load_core
from .plan import PLANS
from .world import Outcome, World

CHUNK = 5  # seeds that a worker takes at once


def run_seed(seed: int, core: str, seconds: float = 10.0, plan: str = "swarm") -> Outcome:
    """One run of the core called "cython" or "python", by one of PLANS."""
    return World(seed, load_core(core), seconds, draw=PLANS[plan]).run()


def run_seeds(
    seeds: Iterable[int], core: str, jobs: int, seconds: float = 10.0, plan: str = "swarm"
) -> Iterator[Outcome]:
    """The outcomes in the order of the seeds."""
    if jobs == 1:
        yield from (run_seed(seed, core, seconds, plan) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(run_seed, core=core, seconds=seconds, plan=plan), seeds, chunksize=CHUNK)


@dataclass(slots=True)
class Campaign:
    """The sum of outcomes."""

    seeds: int = 0
    operations: int = 0
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    violations: list[Outcome] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    _hash: xxh64 = field(default_factory=xxh64)

    def add(self, outcome: Outcome) -> None:
        """One more run."""
        self.seeds += 1
        self.operations += outcome.operations
        self.virtual_seconds += outcome.virtual_seconds
        self.cpu_seconds += outcome.cpu_seconds
        self.faults.update(outcome.faults)
        self.rows.update(outcome.rows)
        self._hash.update(outcome.trace_hash.encode())
        if outcome.violation:
            self.violations.append(outcome)

    @property
    def trace_hash(self) -> str:
        """Of all runs, in their order."""
        return self._hash.hexdigest()
