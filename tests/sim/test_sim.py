"""Campaigns: the production objects of both cores under the simulator. Fixed seeds: a failure stays a failure."""

import pytest

from fastpaxos_live.sim.campaign import Campaign, run_seed, run_seeds

COMPILED = range(0, 200)
REFERENCE = range(1000, 1040)
BOTH = range(0, 20)
JOBS = 2

# Below these a campaign shows nothing, whatever its result.
OPERATIONS_PER_SEED = 10
OPERATIONS_MEAN = 500
FAULTS_MEAN = 15
FAULT_KINDS = {
    "crash", "crash_sending", "crash_all", "quick_restart", "pause", "stall", "slow_disk", "partition", "one_way",
    "pair", "flap", "reset", "wall_jump", "loss", "repeat", "corrupt", "read_fails", "tail_torn",
}  # fmt: skip


def campaign(seeds: range, core: str) -> Campaign:
    total = Campaign()
    for outcome in run_seeds(seeds, core, JOBS):
        assert outcome.violation or outcome.operations >= OPERATIONS_PER_SEED, f"seed {outcome.seed} did nothing"
        total.add(outcome)
    first = total.violations[0] if total.violations else None
    assert not first, f"seed {first.seed} of {core}: {first.violation}\n{first.details}"
    assert total.operations >= OPERATIONS_MEAN * len(seeds)
    assert total.faults.total() >= FAULTS_MEAN * len(seeds)
    return total


def test_200_seeds_of_the_compiled_core() -> None:
    total = campaign(COMPILED, "cython")
    assert FAULT_KINDS <= set(total.faults)
    assert not [row for row, times in total.rows.items() if not times]


def test_40_seeds_of_the_reference_core() -> None:
    campaign(REFERENCE, "python")


@pytest.mark.parametrize("first", BOTH[::5])
def test_both_cores_have_the_same_trace(first: int) -> None:
    for seed in range(first, first + 5):
        compiled, reference = run_seed(seed, "cython"), run_seed(seed, "python")
        assert compiled.trace_hash == reference.trace_hash, f"seed {seed}"
        assert compiled.operations == reference.operations > 0
        assert compiled.rows == reference.rows


def test_the_same_seed_is_the_same_run() -> None:
    assert run_seed(7, "cython").trace_hash == run_seed(7, "cython").trace_hash
    assert run_seed(7, "cython").trace_hash != run_seed(8, "cython").trace_hash
