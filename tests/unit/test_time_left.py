"""How much time is left of a key: by the master's clock, and never more than anybody was told before."""

from random import Random

import pytest
from tests.hand import Cell

from fastpaxos_live.reference.limits import SHOWN_AHEAD_MS
from fastpaxos_live.sim.mutants import load_mutant

LIFE_MS = 100_000


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


def left(cell: Cell, me: int, key: bytes = b"key") -> int:
    reply = cell.ask(me, b"PTTL " + key)
    assert reply.startswith(b":"), reply
    return int(reply[1:])


def elected(core: str, **more: int) -> Cell:
    """Replica 1 is master, and has a key that lives."""
    cell = Cell(core, **more)
    for me in cell.ids:
        cell.own[me] = {"election_us": 1 if me == 1 else 3_000_000}
    cell.start()
    assert cell.master() == 1
    cell.settle()
    assert cell.ask(1, b"SET key value PX %d" % LIFE_MS) == b"+OK\r\n"
    return cell


def values(cell: Cell) -> int:
    return cell.replicas[1].status()["instance_applied"]


def test_time_goes_on_while_nobody_writes(core: str) -> None:
    cell = elected(core)
    since = cell.now_us
    cell.run(3_200_000)
    assert left(cell, 1) == pytest.approx(LIFE_MS - (cell.now_us - since) / 1000, abs=5)
    assert cell.ask(1, b"TTL key") == b":97\r\n"
    assert cell.ask(1, b"PTTL none") == b":-2\r\n"


def test_only_a_time_that_is_far_from_the_logs_needs_a_value(core: str) -> None:
    cell = elected(core)
    before = values(cell)
    for _ in range(4):
        cell.run(20_000)
        left(cell, 1)
    assert values(cell) == before
    cell.ask(1, b"SET plain value")
    cell.run(1_000_000)
    before = values(cell)
    assert cell.ask(1, b"PTTL plain") == b":-1\r\n"
    assert cell.ask(1, b"PEXPIRETIME key").startswith(b":17")
    assert values(cell) == before
    left(cell, 1)
    left(cell, 1)
    assert values(cell) == before + 1


def ask_at_once(cell: Cell, request: bytes) -> bytes:
    """While no time passes."""
    cell.replies[1] = b""
    cell.feed_client(1, request)
    while not cell.replies[1]:
        cell.step(0)
    return cell.replies[1]


def test_not_more_is_left_than_to_a_deadline_by_the_same_clock(core: str) -> None:
    for part in range(0, 1000, 130):
        cell = Cell(core, 1)
        cell.now_us += part
        cell.start()
        cell.master()
        cell.ask(1, b"SET key value")
        for step_us in (970, 1000, 1030, 1300, 700):
            cell.step(step_us)
            ask_at_once(cell, b"GETEX key PXAT %d" % (cell.wall_ms(1) + 10_000))
            assert 9_998 <= int(ask_at_once(cell, b"PTTL key")[1:]) <= 10_000


def told_by_two_masters(cell: Cell, random: Random) -> list[int]:
    """The second one's clock is behind; the first one showed times that are in no value."""
    for me in cell.ids:
        cell.own[me] = {"election_us": 1 if me == 1 else random.choice([200_000, 400_000])}
    cell.ahead_ms |= {2: -5000, 3: -5000}
    cell.start()
    assert cell.master() == 1
    cell.ask(1, b"SET key value PX %d" % LIFE_MS)
    cell.run(random.randrange(3_000_000))
    told = [left(cell, 1)]
    for _ in range(3):
        cell.run(SHOWN_AHEAD_MS * 1000 * 3 // 10)
        told.append(left(cell, 1))
    cell.stop(1)
    then = cell.master(2, 3)
    for _ in range(5):
        told.append(left(cell, then))
        cell.replies[then] = b""
        cell.feed_client(then, b"SET other value", b"PTTL key")
        cell.until(lambda: cell.replies[then].count(b"\r\n") == 2)
        told.append(int(cell.replies[then].partition(b":")[2]))
        cell.run(random.randrange(60_000))
    return told


@pytest.mark.parametrize("seed", range(4))
def test_a_new_master_goes_on_where_the_one_before_was(core: str, seed: int) -> None:
    told = told_by_two_masters(Cell(core), Random(seed))
    assert told == sorted(told, reverse=True)
    assert told[-1] > 0


PLANTED = {
    "count by the own clock alone": ("max(self.least_ms, min(self._clock_ms(), self.time_ms + SHOWN_AHEAD_MS))",
        "self._clock_ms()"),
    "begin where the log is": ("            self.least_ms = self.time_ms + SHOWN_AHEAD_MS\n",
        "            self.least_ms = self.time_ms\n"),
    "count by the log alone behind writes": ("return max(self.least_ms, self.time_ms)", "return self.time_ms"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    found = False
    for seed in range(4):
        cell = Cell("python")
        cell.make = load_mutant(*PLANTED[name], "replica").Replica
        told = told_by_two_masters(cell, Random(seed))
        found = found or told != sorted(told, reverse=True)
    assert found


def test_reads_behind_writes_under_way(core: str) -> None:
    """They count by the time of a value that was sealed after they were asked."""
    cell = elected(core)
    since = cell.now_us
    cell.run(1_000_000)
    cell.replies[1] = b""
    cell.held = set(cell.ids)
    expected = []
    for number in range(2):
        cell.feed_client(1, b"SET other %d" % number)
        cell.run(30_000)
        cell.feed_client(1, b"PTTL key", b"GET other")
        expected.append(LIFE_MS - (cell.now_us - since) / 1000)
        cell.run(150_000)
    cell.held = set()
    cell.until(lambda: cell.replies[1].count(b"$1\r\n") == 2)
    lines = cell.replies[1].split(b"\r\n")
    assert [int(line[1:]) for line in lines if line.startswith(b":")] == pytest.approx(expected, abs=5)
    assert lines[0] == lines[4] == b"+OK"
