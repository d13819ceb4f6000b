"""What the protocol owes where clocks, settings, disks or frames are not as they should be, on both cores."""

import pytest
from tests.hand import WALL_MS, Cell

from fastpaxos_live.reference.log_frame import PROMISE

YEAR_MS = 365 * 86_400_000


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


def elect(cell: Cell, first: int) -> None:
    """Starts the cell so that this replica stands first."""
    for me in cell.ids:
        cell.own[me] = {"election_us": 1 if me == first else 3_000_000}
    cell.start()
    assert cell.master() == first


# --- the store's hash


def test_the_stores_hash_has_a_seed_of_its_own(core: str) -> None:
    """The sum of the same data differs between seeds; what is written to the disk does not."""
    sums, logs = [], []
    for more in ({}, {"hash_seed": 77}, {"hash_seed": 5}):
        cell = Cell(core, replicas=1, **more).start()
        assert cell.master() == 1
        assert cell.ask(1, b"SET key value") == b"+OK\r\n"
        sums.append(cell.replicas[1].status()["state_sum"])
        logs.append(cell.log(1))
    assert sums[0] == sums[1] != sums[2]  # without it the seed is the cell's id
    assert logs[0] == logs[1] == logs[2]


# --- the time of the log


@pytest.mark.parametrize("replicas", [7, 9])
@pytest.mark.parametrize("copies", [10, 14])
def test_a_promise_that_comes_again_counts_its_clock_once(core: str, replicas: int, copies: int) -> None:
    cell = Cell(core, replicas)
    cell.copies[PROMISE] = copies
    cell.ahead_ms[2] = YEAR_MS
    elect(cell, 1)
    assert cell.replicas[1].status()["time_ms"] < WALL_MS + 10_000
    assert cell.ask(1, b"SET key value") == b"+OK\r\n"


@pytest.mark.parametrize("replicas", [2, 3, 5, 7])
@pytest.mark.parametrize("who", ["candidate", "another"])
def test_a_minority_of_clocks_does_not_move_the_time_of_the_log(core: str, replicas: int, who: str) -> None:
    """As many clocks as a minority has are a year ahead, that of the new master among them or not."""
    minority = (replicas - 1) // 2 or 1
    wrong = range(1, minority + 1) if who == "candidate" else range(2, minority + 2)
    cell = Cell(core, replicas)
    for me in wrong:
        cell.ahead_ms[me] = YEAR_MS
    elect(cell, 1)
    status = cell.replicas[1].status()
    assert WALL_MS < status["time_ms"] < WALL_MS + 10_000
    assert status["clock_refused_ms"] == pytest.approx(YEAR_MS, abs=10_000)


def test_a_clock_that_is_behind_does_not_take_the_time_back(core: str) -> None:
    cell = Cell(core)
    elect(cell, 1)
    assert cell.ask(1, b"SET key value EX 1000") == b"+OK\r\n"
    before = cell.replicas[1].status()["time_ms"]
    for me in cell.ids:
        cell.ahead_ms[me] = -YEAR_MS
    cell.stop(1)
    then = cell.master(2, 3)
    assert before <= cell.replicas[then].status()["time_ms"] < before + 10_000
    assert cell.ask(then, b"GET key") == b"$5\r\nvalue\r\n"


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_after_a_long_time_down_all_clocks_agree_and_the_time_goes_on(core: str, replicas: int) -> None:
    cell = Cell(core, replicas)
    elect(cell, 1)
    assert cell.ask(1, b"SET key value EX 1000") == b"+OK\r\n"
    for me in cell.ids:
        cell.stop(me)
    for me in cell.ids:
        cell.ahead_ms[me] = YEAR_MS
    cell.start()
    then = cell.master()
    status = cell.replicas[then].status()
    assert status["time_ms"] > WALL_MS + YEAR_MS
    assert status["clock_refused_ms"] == 0
    assert cell.ask(then, b"GET key") == b"$-1\r\n"
