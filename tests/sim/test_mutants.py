"""Planted bugs (PML 6.3): each is found within a stated number of seeds, and the real core passes the same ones."""

from types import ModuleType

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.sim.mutants import Mutant
from fastpaxos_live.sim.plan import PLANS
from fastpaxos_live.sim.planted import PLANTED
from fastpaxos_live.sim.world import World

SEEDS = range(0, 20)  # of the plan made for it; the first that finds the bug ends the search
SECONDS = 6.0


def violation(core: ModuleType, seed: int, mutant: Mutant) -> str | None:
    return World(seed, core, SECONDS, draw=PLANS[mutant.plan]).run().violation


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    core = mutant.load()
    found = next((seed for seed in SEEDS if violation(core, seed, mutant)), None)
    assert found is not None, f"not found within {len(SEEDS)} seeds"
    assert violation(load_core("python"), found, mutant) is None


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "replica", "no such line", "").load()
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "spec/acceptor", "no such line", "").load()
