"""Runs the explorations in processes of their own, and tells what they found."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from time import monotonic
from typing import Any

from .chart import chart
from .scopes import Scope

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


def explore(scope: Scope, seconds: float = SECONDS_MAX, mutant: int = 0, forget: bool = True) -> Found:
    """Explores one scope in this process; a mutant is named by its place in mutants.MUTANTS, from 1 on."""
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
