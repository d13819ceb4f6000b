"""What must hold when the faults end: a majority goes on, whatever stays broken, and keeps its master."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.sim import world as world_module
from fastpaxos_live.sim.check import Violation
from fastpaxos_live.sim.faults.lasting import KINDS, draw_broken, pairs_cut
from fastpaxos_live.sim.plan import Plan, polite_plan
from fastpaxos_live.sim.world import CHANGES_MAX, SETTLE_LEASES, World


def calm(random: Random) -> Plan:
    """Three replicas, and nothing fails before the end of the faults."""
    plan = polite_plan(random)
    return replace(
        plan, replicas=3, lease_us=120_000, lease_master_us=100_000, beat_us=15_000, election_us=50_000, faults={},
        drift_ppm=(0, 0, 0), wall_offset_ms=(0, 0, 0),
    )  # fmt: skip


def stay_broken(monkeypatch: pytest.MonkeyPatch, broken: dict[int, str]) -> None:
    monkeypatch.setattr(world_module, "draw_broken", lambda random, sound, room: broken)


def test_a_minority_breaks_in_some_runs() -> None:
    drawn = [draw_broken(Random(seed), [1, 2, 3, 4, 5], 2) for seed in range(300)]
    assert Counter(map(len, drawn)).keys() == {0, 1, 2}
    assert {kind for broken in drawn for kind in broken.values()} == set(KINDS)
    assert not any(draw_broken(Random(seed), [1], 0) for seed in range(20))


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        ("down", set()),
        ("deaf", {(1, 2), (3, 2)}),
        ("mute", {(2, 1), (2, 3)}),
        ("cut_off", {(1, 2), (3, 2), (2, 1), (2, 3)}),
    ],
)
def test_what_a_broken_replica_can_not_say_or_hear(kind: str, pairs: set) -> None:
    assert set(pairs_cut(Random(1), {2: kind}, 3)) == pairs


def test_a_replica_that_is_half_cut_off_reaches_somebody() -> None:
    pairs = pairs_cut(Random(1), {2: "half_cut"}, 3)
    assert pairs in ([(1, 2), (2, 1)], [(2, 3), (3, 2)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("replica", [1, 2, 3])
def test_the_others_go_on_without_one(monkeypatch: pytest.MonkeyPatch, kind: str, replica: int) -> None:
    stay_broken(monkeypatch, {replica: kind})
    world = World(11, load_core("cython"), 4.0, draw=calm)
    assert world.run().violation is None
    assert world.outcome.faults["stays_" + kind] == 1
    assert all(client.done for client in world.clients)
    assert (world.nodes[replica].core is None) == (kind == "down")


@pytest.mark.parametrize("kind", ["down", "cut_off", "deaf", "mute"])
def test_a_majority_that_stays_broken_is_noticed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    stay_broken(monkeypatch, {1: kind, 2: kind})
    assert "not live" in (World(11, load_core("cython"), 3.0, draw=calm).run().violation or "")


@pytest.mark.parametrize("core", ["cython", "python"])
def test_what_an_older_master_left_open_ends_no_mastership(core: str) -> None:
    # Replica 4 accepted instances 71 and 72 from an older master; nobody else did. The next one boosts in an idle cell.
    assert World(2911586411, load_core(core), 1.0).run().violation is None


def test_masters_that_come_and_go_are_noticed() -> None:
    world = World(11, load_core("cython"), 4.0, draw=calm)
    for round in range(CHANGES_MAX + 1):
        time = world.heal_at + (SETTLE_LEASES + 1 + round) * world.plan.lease_us
        world.at(time, world.count_election, 1)
    assert f"the mastership changed {CHANGES_MAX + 1} times" in (world.run().violation or "")
    settled = World(11, load_core("cython"), 4.0, draw=calm)
    settled.elected += [(settled.heal_at + settled.plan.lease_us, 1)] * 3
    settled._check_churn()
    settled.broken[2] = "flapping"
    settled.elected += [(settled.end, 2)] * (CHANGES_MAX + 1)
    settled._check_churn()
    settled.elected += [(settled.end, 1)] * (CHANGES_MAX + 1)
    with pytest.raises(Violation, match="the mastership changed"):
        settled._check_churn()


def test_what_rots_when_it_is_read_does_not_after_the_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this cell's five replicas one was damaged, one flaps, and one was to rot at its next read."""
    world = World(322415, load_core("cython"), 10.0)
    heal, waits = world._heal, []

    def look() -> None:
        waits.extend(node.id for node in world.nodes[1:] if node.before_read is not None)
        heal()

    monkeypatch.setattr(world, "_heal", look)
    assert world.run().violation is None
    lost = {node.id for node in world.nodes[1:] if node.damage} | set(world.broken)
    assert waits
    assert len(lost | set(waits)) > 2
