"""A failing run made small: fewer faults, fewer standing troubles, less load, less time.

Each fault has randomness of its own, so leaving one out changes no other one's choices. What remains violates too,
perhaps by another check than the first run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from types import ModuleType

from .case import Case, troubles
from .world import Outcome

# The load: fields of the plan, and the least that makes sense.
LEAST = {"clients": 1, "readers": 0, "pipeline": 1, "keys": 1, "value_bytes": 0}

STEPS = 4  # a virtual second has so many, when time is made shorter; one second is the least

Told = Callable[[Case, int], None]
"""Takes the smallest case so far, and how many runs were made."""


class ShrinkFailed(Exception):
    """The run can't be named by the faults that happened in it."""


@dataclass(slots=True)
class Shrunk:
    """The small case, and what it shows; its `only` names all that goes wrong in it."""

    case: Case
    outcome: Outcome
    runs: int


def ddmin(items: Sequence[str], violates: Callable[[Sequence[str]], bool]) -> Sequence[str]:
    """Delta debugging (Zeller and Hildebrandt): a part of the items that violates, and doesn't without any of them."""
    if violates(()):
        return ()
    parts = 2
    while True:
        size = ceil(len(items) / parts)
        for at in range(0, len(items), size):
            rest = (*items[:at], *items[at + size :])
            if rest and violates(rest):
                items, parts = rest, max(parts - 1, 2)
                break
        else:
            if parts >= len(items):
                return items
            parts = min(2 * parts, len(items))


class _Shrinker:
    def __init__(self, core: ModuleType | None, told: Told | None) -> None:
        self._core = core
        self._told = told
        self._tried: dict[Case, Outcome] = {}

    def run(self, case: Case) -> Outcome:
        if case not in self._tried:
            self._tried[case] = case.world(core=self._core).run()
        return self._tried[case]

    @property
    def runs(self) -> int:
        return len(self._tried)

    def violates(self, case: Case) -> bool:
        found = self.run(case).violation is not None
        if self._told is not None:
            self._told(case, self.runs)
        return found

    def smaller(self, case: Case) -> Case:
        """Each kind of reduction once; first what makes the runs cheaper."""
        case = self._lower(
            case, STEPS, ceil(case.seconds * STEPS), lambda steps: replace(case, seconds=steps / STEPS)
        )
        for name, least in LEAST.items():
            case = self._less(case, name, least)
        return self._fewer(case)

    def _fewer(self, case: Case) -> Case:
        assert case.only is not None
        only = ddmin(case.only, lambda names: self.violates(replace(case, only=tuple(names))))
        return replace(case, only=tuple(only))

    def _less(self, case: Case, name: str, least: int) -> Case:
        def with_value(value: int) -> Case:
            return replace(case, settings=tuple(sorted((dict(case.settings) | {name: value}).items())))

        return self._lower(case, least, getattr(case.world(core=self._core).plan, name), with_value)

    def _lower(self, case: Case, low: int, high: int, with_value: Callable[[int], Case]) -> Case:
        # By bisection; `case` itself has the value `high`.
        while low < high:
            middle = (low + high) // 2
            if self.violates(with_value(middle)):
                case, high = with_value(middle), middle
            else:
                low = middle + 1
        return case


def shrink(case: Case, core: ModuleType | None = None, told: Told | None = None) -> Shrunk | None:
    """The smallest case that was found to violate as well: nothing that its `only` names can be left out. None when
    `case` shows no violation. `core` stands for the one that the case names.
    """
    shrinker = _Shrinker(core, told)
    world = case.world(core=core)
    outcome = world.run()
    if outcome.violation is None:
        return None
    names = (*(fault.name for fault in outcome.schedule), *troubles(world.plan))
    small = replace(case, only=names, without=())
    if not shrinker.violates(small):
        raise ShrinkFailed(f"seed {case.seed}: what did not happen, left out, changes the run")
    while (smaller := shrinker.smaller(small)) != small:
        small = smaller
    return Shrunk(small, shrinker.run(small), shrinker.runs)
