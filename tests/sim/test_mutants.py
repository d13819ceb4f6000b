"""Planted bugs (PML 6.3): each is found within a stated number of seeds, and the real core passes the same ones."""

from types import ModuleType

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.check.mutants import MUTANTS, NOTHING_FORGOTTEN, SCOPE_OF
from fastpaxos_live.sim.mutants import Mutant
from fastpaxos_live.sim.plan import PLANS
from fastpaxos_live.sim.planted import AROUND, PLAN_OF, PLANTED
from fastpaxos_live.sim.strength import SECONDS, SEEDS, catch
from fastpaxos_live.sim.world import World
from fastpaxos_live.spec import mutants


def violation(core: ModuleType, seed: int, mutant: Mutant) -> str | None:
    return World(seed, core, SECONDS, draw=PLANS[mutant.plan]).run().violation


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    found = catch(mutant).seed
    assert found is not None, f"not found within {len(SEEDS)} seeds"
    assert violation(load_core("python"), found, mutant) is None


def test_both_checks_look_for_every_mistake_of_the_specification() -> None:
    names = [mutant.name for mutant in mutants.MUTANTS]
    assert len(set(names)) == len(names) == len(MUTANTS) == len(PLANTED) - len(AROUND)
    assert (SCOPE_OF.keys() | NOTHING_FORGOTTEN | PLAN_OF.keys()) <= set(names)
    assert {mutant.plan for mutant in PLANTED} <= PLANS.keys()


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "replica", "no such line", "").load()
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "spec/acceptor", "no such line", "").load()
