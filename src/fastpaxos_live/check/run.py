"""Runs the explorations in processes of their own, and tells what they found."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from time import monotonic
from typing import Any

from ..sim.mutants import Mutant
from ..sim.plan import PLANS
from ..sim.planted import AROUND
from ..sim.world import World
from ..smc.ir import SpecError
from ..smc.lint import lint
from ..spec import SPECS
from .chart import chart
from .mutants import MUTANTS, Known
from .scopes import SCOPES, Scope

SEEDS_OF_A_MUTANT = 30
SECONDS_MAX = 3600.0


@dataclass(slots=True)
class Found:
    """Of one scope. `discarded`: steps that led out of its bounds; then it is not complete."""

    name: str
    states: int
    transitions: int
    depth: int
    complete: bool
    bounded: bool
    seconds: float
    violation: str
    chart: str
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Caught:
    """Of one mutant. `caught_by` is empty when nothing noticed it."""

    name: str
    caught_by: str
    what: str
    seconds: float
    chart: str = ""


def explore(scope: Scope, seconds: float = SECONDS_MAX, mutant: int = 0, forget: bool = True) -> Found:
    """Explores one scope in this process; a mutant is named by its place in MUTANTS, from 1 on."""
    module: Any = import_module(f"{__package__}._{'mutants' if mutant else 'explore'}")
    explorer = module.Explorer({**scope.limits, "mutant": mutant, "sweep": int(forget)})
    begun = monotonic()
    explorer.run(seconds)
    took = monotonic() - begun
    text = chart(explorer.replay(explorer.way())) if explorer.violation else ""
    return Found(
        scope.name, explorer.states, explorer.transitions, explorer.depth, explorer.complete, scope.bounded,
        round(took, 2), explorer.violation or "", text, explorer.rows(),
    )  # fmt: skip


def explore_all(scopes: list[Scope], seconds: float, jobs: int) -> Iterator[Found]:
    """Explores these scopes, as they end; `seconds` limits each that is bounded."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        yield from pool.map(explore, scopes, [seconds if scope.bounded else SECONDS_MAX for scope in scopes])


def catch(number: int) -> Caught:
    """What notices a mutant: 1..len(MUTANTS) are of the specification, those behind of the code around it.

    The static check and the exploration are both tried; where neither finds anything, simulations are.
    """
    if number > len(MUTANTS):
        mutant = AROUND[number - len(MUTANTS) - 1]
        return _simulated(mutant) or Caught(mutant.name, "", "", 0.0)
    known = MUTANTS[number - 1]
    begun = monotonic()
    try:
        unit = known.mutant.unit(SPECS)
    except ValueError as error:  # the rule that it quotes has another text by now
        return Caught(known.mutant.name, "", str(error), 0.0)
    found = _explored(number, known)
    try:
        lint(unit)
    except SpecError as error:
        text = str(error).splitlines()[0].split(": ", 1)[1]
        if found:
            found.caught_by = f"static check; {found.caught_by}"
            found.what = f"{text}; {found.what}"
        else:
            found = Caught(known.mutant.name, "static check", text, 0.0)
    if found is None:
        m = known.mutant
        found = _simulated(Mutant(m.name, f"spec/{m.file}", m.old, m.new)) or Caught(m.name, "", "", 0.0)
    found.seconds = round(monotonic() - begun, 2)
    return found


def _explored(number: int, known: Known) -> Caught | None:
    first = next(scope for scope in SCOPES if scope.name == known.scope)
    found = explore(first, 120.0, number, known.forget)
    if not found.violation:
        return None
    by = f"model check, {first.name}, {found.depth} steps, {found.states} states"
    return Caught(known.mutant.name, by, found.violation, 0.0, found.chart)


def _simulated(mutant: Mutant) -> Caught | None:
    begun = monotonic()
    core = mutant.load()
    for seed in range(SEEDS_OF_A_MUTANT):
        outcome = World(seed, core, draw=PLANS[mutant.plan]).run()
        if outcome.violation:
            by = f"simulation, plan {mutant.plan}, seed {seed}"
            return Caught(mutant.name, by, outcome.violation.splitlines()[0], round(monotonic() - begun, 2))
    return None


def catch_all(jobs: int) -> Iterator[Caught]:
    """Every mutant, in order: those of the specification, then those of the code around it."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        yield from pool.map(catch, range(1, len(MUTANTS) + len(AROUND) + 1))
