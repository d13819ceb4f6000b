"""The simulated clocks: continuous, as wrong as they are said to be, and wrong enough to matter."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.sim.plan import LEASES, PLANS, Plan, drift_bound_ppm
from fastpaxos_live.sim.world import World

SEEDS = range(0, 6)  # of the plan `drift`: within these, clocks beyond the bound are noticed
EXCESS_PPM = 40_000  # beyond the bound
SECONDS = 6.0


@pytest.mark.parametrize(("lease", "lease_master"), [lease[:2] for lease in LEASES] + [(600_000, 570_000)])
def test_the_bound_is_where_the_two_leases_meet(lease: int, lease_master: int) -> None:
    drift = drift_bound_ppm(lease, lease_master)
    assert lease_master * (1_000_000 + drift) <= lease * (1_000_000 - drift)
    assert lease_master * (1_000_001 + drift) > lease * (999_999 - drift)


def drifting(side: int, excess: int) -> Callable[[Random], Plan]:
    # The slow clock (side -1), or the fast ones (side 1), so much further from true time than the leases allow.
    def draw(random: Random) -> Plan:
        plan = PLANS["drift"](random)
        return replace(plan, drift_ppm=tuple(ppm + side * excess if ppm * side > 0 else ppm for ppm in plan.drift_ppm))

    return draw


def first_violation(draw: Callable[[Random], Plan]) -> str | None:
    outcomes = (World(seed, load_core("cython"), SECONDS, draw=draw).run() for seed in SEEDS)
    return next((outcome.violation for outcome in outcomes if outcome.violation), None)


def test_clocks_at_the_bound_do_no_harm() -> None:
    plan = PLANS["drift"](Random(1))
    assert {abs(ppm) for ppm in plan.drift_ppm} == {plan.drift_bound_ppm}
    assert first_violation(drifting(1, 0)) is None


@pytest.mark.parametrize("side", [-1, 1], ids=["a master's clock is slower", "the replicas' clocks are faster"])
def test_clocks_beyond_the_bound_are_noticed(side: int) -> None:
    violation = first_violation(drifting(side, EXCESS_PPM)) or ""
    assert violation.startswith("two masters") or "may rely on its answer" in violation


def test_a_clock_that_changes_its_rate_does_not_jump() -> None:
    world = World(1, load_core("cython"))
    node, view = world.nodes[1], world.check.views[1]
    node.set_drift(0)
    world.now = 1_234_567
    before = node.boot_us()
    view.serving_until = world.now + 110_000
    node.set_drift(100_000)
    assert node.boot_us() == before
    assert view.serving_until == world.now + 100_000, "the lease ends at the same time of the own clock"
    world.now += 1_000_000
    assert node.boot_us() == before + 1_100_000
    node.set_drift(-100_000)
    assert node.boot_us() == before + 1_100_000
    world.now += 1_000_000
    assert node.boot_us() == before + 2_000_000
    assert world.drift_ppm_max >= 100_000
