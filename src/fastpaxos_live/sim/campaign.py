"""Many seeds: the outcomes, and their sum."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from xxhash import xxh64

from .case import Case, run_case
from .faults import lasting
from .plan import FAULTS
from .spread import spread
from .world import Outcome

# What is counted as it happens, beside the faults that have times of their own.
COUNTED = (
    "loss", "repeat", "corrupt", "read_fails", "tail_torn", "tail_doubtful", "start_fails",
    *(f"{lasting.LASTING}_{kind}" for kind in lasting.KINDS),
)  # fmt: skip

# Campaigns so large must have had so much traffic and trouble: below, they show nothing.
LARGE = 100  # seeds
OPERATIONS_MIN = 50.0  # a virtual second
FAULTS_MIN = 0.5


def run_seed(seed: int, core: str, seconds: float = 10.0, plan: str = "swarm") -> Outcome:
    """One run of the core called "cython" or "python", by one of PLANS."""
    return run_case(Case(seed, core, plan, seconds))


def run_seeds(
    seeds: Iterable[int], core: str, jobs: int, seconds: float = 10.0, plan: str = "swarm"
) -> Iterator[Outcome]:
    """The outcomes in the order of the seeds."""
    return spread((Case(seed, core, plan, seconds) for seed in seeds), jobs)


@dataclass(slots=True)
class Campaign:
    """The sum of outcomes."""

    seeds: int = 0
    operations: int = 0
    virtual_seconds: float = 0.0
    active_seconds: int = 0
    cpu_seconds: float = 0.0
    slowest: Outcome | None = None
    violations: list[Outcome] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    _hash: xxh64 = field(default_factory=xxh64)

    def add(self, outcome: Outcome) -> None:
        """One more run."""
        self.seeds += 1
        self.operations += outcome.operations
        self.virtual_seconds += outcome.virtual_seconds
        self.active_seconds += outcome.active_seconds
        self.cpu_seconds += outcome.cpu_seconds
        if self.slowest is None or outcome.cpu_seconds > self.slowest.cpu_seconds:
            self.slowest = outcome
        self.faults.update(outcome.faults)
        self.rows.update(outcome.rows)
        self._hash.update(outcome.trace_hash.encode())
        if outcome.violation:
            self.violations.append(outcome)

    @property
    def trace_hash(self) -> str:
        """Of all runs, in their order."""
        return self._hash.hexdigest()

    @property
    def virtual_per_cpu_second(self) -> float:
        """How fast it went."""
        return self.virtual_seconds / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def operations_per_second(self) -> float:
        """Requests answered in a virtual second, seconds without any apart."""
        return self.operations / max(self.active_seconds, 1)

    @property
    def faults_per_second(self) -> float:
        """Faults in such a second; of those that are COUNTED there are too many to say anything."""
        return sum(self.faults[kind] for kind in FAULTS) / max(self.active_seconds, 1)

    def fault_counts(self) -> dict[str, int]:
        """How often each kind happened, also those that never did."""
        return {kind: self.faults[kind] for kind in sorted({*FAULTS, *COUNTED, *self.faults})}

    def calm(self, operations_min: float | None = None, faults_min: float | None = None) -> str | None:
        """What there was too little of, in a virtual second. Without a minimum LARGE campaigns have the usual one."""
        large = self.seeds >= LARGE
        for name, rate, given, usual in (
            ("operations", self.operations_per_second, operations_min, OPERATIONS_MIN),
            ("faults", self.faults_per_second, faults_min, FAULTS_MIN),
        ):
            least = given if given is not None else usual if large else 0.0
            if rate < least:
                return f"{rate:.2f} {name} in a virtual second; at least {least:g} are wanted"
        return None
