"""Planted bugs (PML 6.3): each is found within a stated number of seeds, and the real core passes the same ones."""

from random import Random

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.sim.mutants import Mutant
from fastpaxos_live.sim.plan import stale_read_plan
from fastpaxos_live.sim.planted import PLANTED
from fastpaxos_live.sim.world import World

SEEDS = range(0, 30)  # of the general swarm; the first that finds the bug ends the search
STALE_READ = "answer a read after the lease ended in a pause"
STALE_READ_SEEDS = range(8, 24)  # of a plan made for it: the swarm needs more seeds than a test may take


def violation(core: object, seed: int, name: str) -> str | None:
    if name == STALE_READ:
        return World(seed, core, 6.0, plan=stale_read_plan(Random(seed))).run().violation
    return World(seed, core).run().violation


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    core = mutant.load()
    seeds = STALE_READ_SEEDS if mutant.name == STALE_READ else SEEDS
    found = next((seed for seed in seeds if violation(core, seed, mutant.name)), None)
    assert found is not None, f"not found within {len(seeds)} seeds"
    assert violation(load_core("python"), found, mutant.name) is None


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "log_acceptor", "no such line", "").load()
