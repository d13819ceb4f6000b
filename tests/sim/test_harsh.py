"""What stands against replicas of the simulated cell: disks that hang, wrong clocks, other settings, narrow links."""

from dataclasses import replace
from random import Random

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.reference.replica_clock import CLOCK_BOUND_MS
from fastpaxos_live.sim.faults.process import DAY_MS, WRONG_MS
from fastpaxos_live.sim.plan import CELLS, HARSH, LEASE_PERCENTS, PLANS, POLITE_CELLS, Plan, draw_plan, polite_plan
from fastpaxos_live.sim.world import World

CORE = load_core("cython")
DRAWN = [draw_plan(Random(seed)) for seed in range(600)]


def calm(random: Random) -> Plan:
    plan = PLANS["hang"](random)
    return replace(
        plan, replicas=3, lease_us=120_000, lease_master_us=100_000, beat_us=15_000, election_us=50_000, faults={},
        drift_ppm=(0, 0, 0), wall_offset_ms=(0, 0, 0),
    )  # fmt: skip


def calm_world(**settings: object) -> World:
    return World(1, CORE, 4.0, draw=lambda random: replace(calm(random), **settings))


# --- what is drawn
def test_every_size_of_a_cell_is_drawn() -> None:
    assert {plan.replicas for plan in DRAWN} == CELLS.keys() == {1, 2, 3, 5, 7, 9}
    for plan in DRAWN:
        for name in ("drift_ppm", "wall_offset_ms", "slow", "lease_percent", "windows", "batches", "timeouts_us"):
            assert len(getattr(plan, name)) in (0 if name not in ("drift_ppm", "wall_offset_ms") else -1, plan.replicas)


def test_each_trouble_is_seldom_and_does_happen() -> None:
    for name in ("bandwidth", "slow", "lease_percent", "changes"):
        assert 0.02 * len(DRAWN) < sum(bool(getattr(plan, name)) for plan in DRAWN) < 0.25 * len(DRAWN), name
    wrong = [sum(abs(offset) >= DAY_MS // 2 for offset in plan.wall_offset_ms) for plan in DRAWN]
    assert 0.03 * len(DRAWN) < sum(map(bool, wrong)) < 0.2 * len(DRAWN)
    most = [count > (plan.replicas - 1) // 2 for count, plan in zip(wrong, DRAWN, strict=True)]
    assert 0 < sum(most) < sum(map(bool, wrong)) / 3
    assert any(min(plan.wall_offset_ms) < -WRONG_MS[1] // 2 for plan in DRAWN)


def test_the_polite_mix_has_none_of_them() -> None:
    for seed in range(300):
        plan = polite_plan(Random(seed))
        assert plan.replicas in POLITE_CELLS
        assert HARSH.isdisjoint(plan.faults)
        assert (plan.bandwidth, plan.slow, plan.lease_percent, plan.windows, plan.changes) == (0, (), (), (), 0.0)
        assert max(map(abs, plan.wall_offset_ms)) <= 3_600_000


# --- disks that hang
def test_no_operation_of_a_disk_that_hangs_ends() -> None:
    world = calm_world()
    node = world.nodes[2]
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((node.durable, node.starts))

    world.at(1_000_000, node.hang_disk, 1_500_000)
    world.at(1_000_001, look)
    world.at(1_200_000, node.crash)
    world.at(1_210_000, node.start)
    world.at(1_499_999, look)
    world.at(1_600_000, look)
    assert world.run().violation is None
    before, during, after = seen
    assert before == during
    assert after[1] == before[1] + 1


def test_a_hanging_disk_hangs_until_the_latest_end() -> None:
    world = calm_world()
    node = world.nodes[1]
    node.hang_disk(500)
    node.hang_disk(300)
    assert (node.disk_hung_at, node.disk_hangs_until) == (0, 500)
    world.now = 200
    node.hang_disk(900)
    assert (node.disk_hung_at, node.disk_hangs_until) == (0, 900)
    world.now = 900
    node.hang_disk(1000)
    assert (node.disk_hung_at, node.disk_hangs_until) == (900, 1000)


# --- clocks
@pytest.mark.parametrize(
    ("offsets", "ahead"),
    [
        ((0, 0, 0), 0),
        ((0, 0, DAY_MS), CLOCK_BOUND_MS),
        ((0, 300, DAY_MS), 300 + CLOCK_BOUND_MS),
        ((0, DAY_MS, DAY_MS + 5), DAY_MS + 5),
        ((0, DAY_MS), CLOCK_BOUND_MS),
        ((0, 0, 7, DAY_MS, 2 * DAY_MS), 7 + CLOCK_BOUND_MS),
        ((-DAY_MS, 0, 0), 0),
    ],
)
def test_what_only_a_minoritys_clocks_say_does_not_count(offsets: tuple[int, ...], ahead: int) -> None:
    world = calm_world(replicas=len(offsets), drift_ppm=(0,) * len(offsets), wall_offset_ms=offsets)
    assert world._clocks().ahead_ms == ahead


def test_a_clock_was_once_as_wrong_as_it_ever_was() -> None:
    world = calm_world()
    for node in world.nodes[1:3]:
        node.set_wall(DAY_MS)
        node.set_wall(-5)
    assert world._clocks().ahead_ms == DAY_MS
    assert world._clocks().behind_ms == 5


# --- settings
def test_replicas_have_settings_of_their_own() -> None:
    world = calm_world(lease_percent=(50, 100, 200), windows=(1, 2, 16), redirects=(0, 1, 2))
    configs = [node._config(1) for node in world.nodes[1:]]
    assert [config["lease_us"] for config in configs] == [60_000, 120_000, 240_000]
    assert [config["lease_master_us"] for config in configs] == [50_000, 100_000, 200_000]
    assert [config["window"] for config in configs] == [1, 2, 16]
    assert [config["redirect"] for config in configs] == [0, 1, 2]
    assert len({config["batch_bytes"] for config in configs}) == 1
    assert world.plan.lease_us_max == 240_000


def test_settings_change_at_starts_and_only_then() -> None:
    world = calm_world(changes=1.0)
    node = world.nodes[1]
    assert node.settings == world.plan.settings(1)
    had = []
    for start in range(30):
        node.starts, node.boots = start + 1, start
        node._change_settings()
        had.append(node.settings)
    assert {settings.lease_percent for settings in had} == {*LEASE_PERCENTS}
    again = calm_world(changes=1.0).nodes[1]
    again.starts, again.boots = 1, 0
    again._change_settings()
    assert again.settings == had[0]
    world.plan.changes = 0.0
    node._change_settings()
    assert node.settings == had[-1]


def test_slow_replicas_are_slow_all_the_time() -> None:
    world = calm_world(slow=(1, 10, 1), turn_us=(10, 20))
    assert [node.turn_us for node in world.nodes[1:]] == [(10, 20), (100, 200), (10, 20)]
