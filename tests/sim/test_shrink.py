"""Failing runs made small: planted bugs, and the search itself on lists whose answer is known."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from fastpaxos_live.sim.case import TROUBLES, Case, parse_names, parse_setting, troubles
from fastpaxos_live.sim.plan import PLANS, draw_plan
from fastpaxos_live.sim.shrink import LEAST, ddmin, shrink

ITEMS = tuple("abcdefghijklmnopqrst")


@pytest.mark.parametrize("guilty", ["", "a", "t", "gh", "at", "abcd", "bfjnr", "".join(ITEMS)])
def test_exactly_the_guilty_are_left(guilty: str) -> None:
    assert "".join(ddmin(ITEMS, lambda items: set(guilty) <= set(items))) == guilty


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_is_left_can_be_left_out(seed: int) -> None:
    """Also when one item hides what another one does."""
    random = Random(seed)
    guilty = [set(random.sample(ITEMS, 3)) for _ in range(4)]
    hiding = set(random.sample(ITEMS, 2))

    def violates(items: Sequence[str]) -> bool:
        return tuple(items) == ITEMS or not hiding <= set(items) and any(g <= set(items) for g in guilty)

    left = ddmin(ITEMS, violates)
    assert violates(left)
    assert not any(violates([*left[:at], *left[at + 1 :]]) for at in range(len(left)))


@pytest.mark.parametrize("seed", range(0, 8))
@pytest.mark.parametrize("plan", ["swarm", "restart", "disk", "drift"])
def test_what_did_not_happen_can_be_left_out(seed: int, plan: str) -> None:
    """So a run is named by what happened in it: leaving out the rest changes nothing."""
    case = Case(seed, plan=plan, seconds=4.0)
    world = case.world()
    outcome = world.run()
    names = (*(fault.name for fault in world.faults.happened), *troubles(world.plan))
    assert replace(case, only=names).world().run().trace_hash == outcome.trace_hash
    assert replace(case, without=("crash#999",)).world().run().trace_hash == outcome.trace_hash


def test_leaving_out_a_fault_leaves_the_choices_of_the_others() -> None:
    case = Case(1, seconds=4.0)
    all_faults = case.world()
    all_faults.run()
    left_out = all_faults.faults.happened[0].name
    world = replace(case, without=(left_out,)).world()
    world.run()
    times = {fault.name: fault.time for fault in all_faults.faults.happened}
    assert left_out not in [fault.name for fault in world.faults.happened]
    shared = [fault for fault in world.faults.happened if fault.name in times]
    assert len(shared) >= len(times) // 2
    assert all(fault.time == times[fault.name] for fault in shared)


@pytest.mark.parametrize("seed", range(0, 5))
def test_with_nothing_no_fault_and_no_trouble_is_left(seed: int) -> None:
    world = Case(seed, seconds=2.0, only=()).world()
    outcome = world.run()
    assert outcome.violation is None
    assert not outcome.faults
    assert not troubles(world.plan)
    assert outcome.operations > 50


def test_a_kind_stands_for_all_its_faults() -> None:
    case = Case(0, only=("crash", "stall#2", "loss"), without=("crash#7",))
    taken = [name for name in ("crash#0", "crash#7", "stall#2", "stall#3", "loss", "split") if case.takes(name)]
    assert taken == ["crash#0", "stall#2", "loss"]


def test_every_trouble_is_a_field_that_can_be_switched_off() -> None:
    met: set[str] = set()
    for draw, seeds in ((draw_plan, 100), (PLANS["choke"], 3)):
        for seed in range(seeds):
            plan = draw(Random(seed))
            on = troubles(plan)
            met |= on.keys()
            assert not troubles(replace(plan, **on))
    assert met == set(TROUBLES)


@pytest.mark.parametrize("text", ["crush", "crash#", "crash#x", "loss#1", "crash,,loss", ""])
def test_unknown_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no fault"):
        parse_names(text)


@pytest.mark.parametrize("text", ["clients", "replicas=5", "cleints=2", "=3"])
def test_unknown_settings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="clients"):
        parse_setting(text)


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("an acknowledgement covers older numbers", "relay"),
        ("count what was accepted below an entry as chosen on replay", "restart"),
    ],
)
def test_a_planted_bug_is_shown_by_a_small_run(name: str, plan: str) -> None:
    light = (("clients", 3), ("pipeline", 2))  # the reference core is slow
    cases = [Case(seed, plan=plan, seconds=2.0, mutant=name, settings=light) for seed in range(60)]
    case = next(case for case in cases if case.world().run().violation)
    shrunk = shrink(case)
    assert shrunk is not None
    small = shrunk.case
    assert small.only is not None
    assert 1 <= len(small.only) <= 12
    assert small.seconds <= case.seconds
    load, before = small.world().plan, case.world().plan
    assert all(getattr(load, field) <= getattr(before, field) for field in LEAST)
    assert small.world().run().violation == shrunk.outcome.violation is not None
    for at in range(len(small.only)):
        rest = (*small.only[:at], *small.only[at + 1 :])
        assert replace(small, only=rest).world().run().violation is None, f"{small.only[at]} can be left out"


def test_a_good_run_has_nothing_to_shrink() -> None:
    assert shrink(Case(1, seconds=1.0)) is None
