"""Planted bugs (PML 6.3): each is found within a stated number of seeds, and the real core passes the same ones."""

from types import ModuleType

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.check.mutants import MUTANTS, NOTHING_FORGOTTEN, SCOPE_OF, UNEXPLORED
from fastpaxos_live.sim.mutants import Mutant
from fastpaxos_live.sim.plan import PLANS
from fastpaxos_live.sim.planted import AROUND, PLAN_OF, PLANTED, RAISES
from fastpaxos_live.sim.strength import SECONDS, SEEDS, catch
from fastpaxos_live.sim.world import World
from fastpaxos_live.spec import mutants

ANSWER_READS = "        covered = reign_may_read(machines, self.now)\n"  # in `replica`; each run comes there


def violation(core: ModuleType, seed: int, mutant: Mutant) -> str | None:
    return World(seed, core, SECONDS, draw=PLANS[mutant.plan]).run().violation


@pytest.mark.parametrize("mutant", PLANTED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    caught = catch(mutant)
    assert caught.slip is None
    assert caught.seed is not None and caught.violation, f"not found within {len(SEEDS)} seeds"
    assert caught.violation.startswith("a replica raised ") == bool(mutant.raises), "declared for nothing"
    assert violation(load_core("python"), caught.seed, mutant) is None


def test_both_checks_look_for_every_mistake_of_the_specification() -> None:
    names = [mutant.name for mutant in mutants.MUTANTS]
    assert len(set(names)) == len(names) == len(MUTANTS) == len(PLANTED) - len(AROUND)
    assert (SCOPE_OF.keys() | UNEXPLORED | NOTHING_FORGOTTEN | PLAN_OF.keys() | RAISES.keys()) <= set(names)
    assert {mutant.plan for mutant in PLANTED} <= PLANS.keys()


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "replica", "no such line", "").load()
    with pytest.raises(ValueError, match="not once"):
        Mutant("nothing", "spec/acceptor", "no such line", "").load()


@pytest.mark.parametrize("text, raised", [
    ("covered = covered", "UnboundLocalError"), ("covered = no_such_name", "NameError"),
    ("from os import no_such_name", "ImportError"), ("raise RuntimeError", "RuntimeError"),
    ("covered = [][0]", "IndexError"), ("assert machines is None", "AssertionError"),
])  # fmt: skip
def test_what_is_planted_wrong_is_not_found(text: str, raised: str) -> None:
    """Whatever it raises: a check has to find a bug, unless the bug says by which exception it shows."""
    planted = f"        {text}\n"
    caught = catch(Mutant("slip", "replica", ANSWER_READS, planted, "relay", raises="LookupError"))
    assert (caught.seed, caught.violation, caught.caught_by) == (None, None, None)
    assert caught.slip is not None and f"a replica raised {raised}: " in caught.slip
    declared = catch(Mutant("bug", "replica", ANSWER_READS, planted, "relay", raises=raised))
    assert declared.slip is None and declared.violation is not None
    assert declared.violation.startswith(f"a replica raised {raised}: ")


@pytest.mark.parametrize("mutant, said", [
    (Mutant("gone", "replica", "no such line", ""), "ValueError: replica.py has 0 times"),
    (Mutant("gone", "spec/acceptor", "no such line", ""), "ValueError: acceptor.py has 0 times"),
    (Mutant("no Python", "replica", ANSWER_READS, "        covered = (\n"), "SyntaxError: "),
    (Mutant("no module", "replica", "from .limits import (", "from .no_limits import ("), "ModuleNotFoundError: "),
], ids=lambda value: value if isinstance(value, str) else value.name)  # fmt: skip
def test_what_can_not_be_planted_is_said_and_not_raised(mutant: Mutant, said: str) -> None:
    caught = catch(mutant)
    assert caught.caught_by is None
    assert caught.slip is not None and caught.slip.startswith(said)
