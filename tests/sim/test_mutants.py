"""Planted bugs (PML 6.3): each is found within a stated number of seeds, and the real core passes the same ones."""

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.sim.mutants import Mutant
from fastpaxos_live.sim.plan import PLANS
from fastpaxos_live.sim.planted import PLANTED
from fastpaxos_live.sim.strength import SECONDS, SEEDS, catch
from fastpaxos_live.sim.world import World


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    found = catch(mutant)
    assert found.seed is not None, f"not found within {len(SEEDS)} seeds"
    assert World(found.seed, load_core("python"), SECONDS, draw=PLANS[mutant.plan]).run().violation is None


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "replica", "no such line", "").load()
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "spec/acceptor", "no such line", "").load()
