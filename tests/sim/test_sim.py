"""Campaigns: the production objects of both cores under the simulator.

Fixed seeds, so that a failure stays a failure, and some that are new each time.
"""

import fcntl
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.reference import log_machines
from fastpaxos_live.sim.campaign import COUNTED, Campaign, run_seed, run_seeds
from fastpaxos_live.sim.case import Case
from fastpaxos_live.sim.faults.unhandled import UNHANDLED
from fastpaxos_live.sim.plan import APART, FAULTS, PLANS
from fastpaxos_live.sim.world import World

COMPILED = range(0, 100)
REFERENCE = range(1000, 1040)
BOTH = range(0, 20)
PLANNED = range(0, 16)
FRESH = 100  # seeds
SPECIAL = [plan for plan in PLANS if plan != "swarm"]
JOBS = 2

# Below these a campaign shows nothing, whatever its result.
OPERATIONS_PER_SEED = 10
OPERATIONS_MEAN = 500
SPARSE = {"doomed": (0, 50), "usurp": (10, 50), "bulk": (10, 50), "choke": (10, 50)}
"""A cell that is spoiled at once does nothing, and large requests are few."""
SEEDS_OF = {
    "bulk": range(0, 8), "choke": range(0, 4), "large": range(0, 8), "disk": range(0, 40), "doomed": range(0, 40),
    "malformed": range(0, 6),
}  # fmt: skip
"""Few of those that move many megabytes, many of those that have much to damage."""
FAULTS_MEAN = 10
FEW_FAULTS = {"hang": 4, "large": 4, "usurp": 5}  # of plans whose faults last long
SELDOM = {"tail_doubtful", "stays_down"}  # kinds that a campaign may do without
DISK_KINDS = {
    "tail_doubtful", "rot", "lost_file", "emptied_file", "emptied_dir", "old_file", "refused_power", "refused_rot",
    "refused_lost_file", "refused_emptied_file", "refused_emptied_dir", "refused_old_file", *UNHANDLED,
} - {"old_directory", "copied_directory", "vm_pause", "identity_answers"}  # fmt: skip


class Counts(NamedTuple):
    """How often there was each fault, and how often each row was taken."""

    faults: Counter[str]
    rows: Counter[str]


Run = Callable[..., Counts]


@pytest.fixture(scope="session")
def campaign(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Run:
    """Runs seeds with a core and a plan; what one process of the tests has run no other runs again."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent

    def run(seeds: range, core: str, plan: str = "swarm") -> Counts:
        path = shared / f"{core}-{plan}-{seeds.start}-{seeds.stop}"
        with Path(f"{path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                total = run_campaign(seeds, core, plan)
                path.write_bytes(pickle.dumps(Counts(total.faults, total.rows)))
        return pickle.loads(path.read_bytes())

    return run


def run_campaign(seeds: range, core: str, plan: str) -> Campaign:
    total = Campaign()
    least, mean = SPARSE.get(plan, (OPERATIONS_PER_SEED, OPERATIONS_MEAN))
    for outcome in run_seeds(seeds, core, JOBS, plan=plan):
        assert outcome.violation or outcome.operations >= least, f"seed {outcome.seed} did nothing"
        total.add(outcome)
    first = total.violations[0] if total.violations else None
    assert not first, f"{Case(first.seed, core, plan).command()}: {first.violation}\n{first.details}"
    assert total.operations >= mean * len(seeds)
    assert total.faults.total() >= FEW_FAULTS.get(plan, FAULTS_MEAN) * len(seeds)
    assert total.calm() is None
    return total


def test_100_seeds_of_the_compiled_core(campaign: Run) -> None:
    campaign(COMPILED, "cython")


def test_100_seeds_that_are_new_each_time(campaign: Run, fresh_seed: int) -> None:
    campaign(range(fresh_seed, fresh_seed + FRESH), "cython")


@pytest.mark.parametrize("plan", SPECIAL)
def test_seeds_of_a_plan_made_for_one_kind_of_trouble(campaign: Run, plan: str) -> None:
    campaign(SEEDS_OF.get(plan, PLANNED), "cython", plan)


def test_disks_are_damaged_in_every_way(campaign: Run) -> None:
    counts: Counter[str] = Counter()
    for plan in ("disk", "doomed"):
        counts += campaign(SEEDS_OF[plan], "cython", plan).faults
    assert DISK_KINDS <= set(counts)


def test_40_seeds_of_the_reference_core(campaign: Run) -> None:
    campaign(REFERENCE, "python")


def test_every_fault_happens(campaign: Run) -> None:
    faults = campaign(COMPILED, "cython").faults + campaign(REFERENCE, "python").faults
    assert {*FAULTS, *COUNTED} - APART - SELDOM <= set(faults)


@pytest.mark.parametrize("first", BOTH[::5])
def test_both_cores_have_the_same_trace(first: int) -> None:
    for seed in range(first, first + 5):
        compiled, reference = run_seed(seed, "cython"), run_seed(seed, "python")
        assert compiled.trace_hash == reference.trace_hash, f"seed {seed}"
        assert compiled.operations == reference.operations > 0
        assert compiled.rows == reference.rows


@pytest.mark.parametrize("seed", range(0, 3))
def test_both_cores_have_the_same_trace_under_clients_that_never_wait(seed: int) -> None:
    compiled, reference = (run_seed(seed, core, 5.0, "eager") for core in ("cython", "python"))
    assert compiled.trace_hash == reference.trace_hash
    assert compiled.operations == reference.operations > 500


@pytest.mark.parametrize("plan", ["swarm", "restart", "boost", "disk"])
def test_both_cores_take_the_same_rows_and_change_the_same(plan: str) -> None:
    compiled, reference = rows_taken(3, "cython", plan), rows_taken(3, "python", plan)
    assert len(compiled) > 1000
    assert compiled == reference


def rows_taken(seed: int, core: str, plan: str) -> list[str]:
    lines: list[str] = []
    outcome = World(seed, load_core(core), 3.0, lines.append, PLANS[plan], rows=True).run()
    assert outcome.violation is None
    taken = [line for line in lines if line.split()[2] == "row"]
    # All of them, those of a replay apart: no turn takes as many as are kept.
    shown = Counter(line.split()[4].partition("(")[0] for line in taken)
    for row in outcome.rows.keys() - {"acceptor.recall", "acceptor.learn"}:
        assert shown[row] == outcome.rows[row], row
    return taken


def test_the_same_seed_is_the_same_run() -> None:
    assert run_seed(7, "cython").trace_hash == run_seed(7, "cython").trace_hash
    assert run_seed(7, "cython").trace_hash != run_seed(8, "cython").trace_hash


def test_every_row_is_taken(campaign: Run) -> None:
    """By all the simulations together; `fastpaxos-live sim --coverage` shows it for some of them."""
    taken = campaign(COMPILED, "cython").rows + campaign(REFERENCE, "python").rows
    for plan in SPECIAL:
        taken += campaign(SEEDS_OF.get(plan, PLANNED), "cython", plan).rows
    assert [row for row in log_machines.ROWS if not taken[row]] == []
