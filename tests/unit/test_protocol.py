"""What the protocol owes where clocks, settings, disks or frames are not as they should be, on both cores."""

import pytest
from tests.hand import BEAT_US, CELL_ID, CLIENT, LEASE_US, STEP_US, WALL_MS, Cell, frames_of

from fastpaxos_live.reference.limits import CHANNEL_BYTES_MAX, FLIGHT_BYTES_MAX, SPAN_US_MAX
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    ACK,
    ANSWER,
    ASK,
    BEAT,
    ECHO,
    PROMISE,
    PROPOSE,
    REFUSE,
    VALUE_BYTES,
    frame_encode,
)

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


def test_a_long_election_does_not_hold_the_time_up(core: str) -> None:
    """The third promise comes seconds after the others, with a clock that is a year ahead: theirs have gone on."""
    cell = Cell(core, 5)
    for me, election_us in zip(cell.ids, (200_000, 3_000_000, 3_000_000, 3_000_000, 1), strict=True):
        cell.own[me] = {"election_us": election_us}
    cell.start()
    assert cell.master() == 5
    cell.settle()
    cell.lose = {ACK}
    requests(cell, 5, [3_000_000] * 3)
    cell.run(5_000)
    cell.lose = set()
    cell.stop(4)
    cell.stop(5)
    cell.slow = {(3, 1): 3000, (3, 2): 3000}  # bytes a millisecond
    cell.ahead_ms[3] = YEAR_MS
    assert cell.master(1, 2, 3) == 1
    assert cell.rows(1, "coordinator.coming") * STEP_US > 2_000_000
    assert cell.wall_ms(1) - 500 < cell.replicas[1].status()["time_ms"] < cell.wall_ms(1) + 500


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


# --- leases of replicas that are set to different ones

LONG = {"lease_us": 6_000_000, "lease_master_us": 5_000_000}


def founded(core: str, long: tuple[int, ...]) -> Cell:
    """A cell with replica 1 as master, or another one if 1 has no long lease; these are set to long leases."""
    cell = Cell(core)
    for me in cell.ids:
        cell.own[me] = {**(LONG if me in long else {}), "election_us": 1 if me == 1 else 3_000_000}
    cell.start()
    assert cell.master() == 1 or 1 not in long
    cell.run(2 * BEAT_US)
    return cell


def restart(cell: Cell, me: int, **settings: int) -> None:
    """With these settings instead of those before."""
    cell.stop(me)
    cell.own[me] = settings
    cell.boot(me)


def reads_stale(cell: Cell) -> bool:
    """Replica 1, cut off: does it still answer with the old value when another has acknowledged a new one?"""
    cell.until(lambda: set(cell.serving()) & {2, 3}, 30_000_000)
    (then,) = set(cell.serving()) & {2, 3}
    assert cell.ask(then, b"SET key new") == b"+OK\r\n"
    cell.replies[1] = b""
    cell.feed_client(1, b"GET key")
    cell.run(10_000)
    return cell.replies[1] == b"$3\r\nold\r\n"


def test_a_grant_lasts_as_long_as_its_master_counts_on_it(core: str) -> None:
    """The others are set to shorter leases than the master."""
    cell = founded(core, long=(1,))
    assert cell.ask(1, b"SET key old") == b"+OK\r\n"
    cell.until(lambda: cell.replicas[1].status()["lease_us_left"] > 4_000_000)
    cell.isolate(1)
    assert not reads_stale(cell)


def test_a_follower_that_restarts_with_a_shorter_lease_is_silent_as_long_as_its_grants_last(core: str) -> None:
    cell = founded(core, long=(1, 2, 3))
    cell.until(lambda: cell.replicas[1].status()["lease_us_left"] > 4_000_000)
    assert cell.ask(1, b"SET key old") == b"+OK\r\n"
    cell.isolate(1)
    for me in (2, 3):
        restart(cell, me, election_us=1)
    assert not reads_stale(cell)


def test_quick_restarts_do_not_shorten_the_silence(core: str) -> None:
    cell = founded(core, long=(1, 2, 3))
    cell.until(lambda: cell.replicas[1].status()["lease_us_left"] > 4_000_000)
    assert cell.ask(1, b"SET key old") == b"+OK\r\n"
    cell.isolate(1)
    for _ in range(4):
        for me in (2, 3):
            restart(cell, me, election_us=1)
        cell.run(LEASE_US // 2)
    assert not reads_stale(cell)


def test_a_longer_lease_is_granted_when_it_is_durable(core: str) -> None:
    """A follower whose disk has not kept the master's longer lease yet gives no answer that the lease counts on."""
    cell = founded(core, long=(1,))
    cell.held = {2, 3}
    for me in (2, 3):
        cell.spans[me] = 0
        restart(cell, me)
    cell.wire.clear()
    cell.run(4 * BEAT_US)
    assert {sent.frame.extra for sent in cell.sent(BEAT) if sent.sender == 1} == {LONG["lease_us"]}
    assert not [sent for sent in cell.sent(ECHO) if sent.receiver == 1]
    assert {cell.replicas[me].span_wanted() for me in (2, 3)} == {LONG["lease_us"]}
    cell.held = set()
    cell.run(4 * BEAT_US)
    assert {sent.sender for sent in cell.sent(ECHO) if sent.receiver == 1} == {2, 3}
    assert cell.spans[2] == cell.spans[3] == LONG["lease_us"]


def test_what_an_older_setting_needed_is_forgotten_after_the_silence(core: str) -> None:
    cell = founded(core, long=(2,))
    cell.run(2 * BEAT_US)
    restart(cell, 2)
    assert cell.spans[2] == LONG["lease_us"]
    cell.run(LONG["lease_us"] - BEAT_US)
    assert cell.spans[2] == LONG["lease_us"]
    assert not cell.replicas[2].status()["voting"]
    cell.run(2 * BEAT_US)
    assert cell.replicas[2].status()["voting"]
    assert cell.spans[2] == LEASE_US


def test_an_answer_about_a_span_that_is_not_wanted_any_more_does_not_count(core: str) -> None:
    cell = founded(core, long=(1,))
    restart(cell, 2)
    replica = cell.replicas[2]
    replica.span_kept(LONG["lease_us"] + 1)
    cell.held = {2}
    cell.run(2 * BEAT_US)
    wanted = replica.span_wanted()
    replica.span_kept(wanted + 1)
    assert replica.span_wanted() == wanted


def test_a_lease_beyond_every_setting_is_no_frame(core: str) -> None:
    cell = Cell(core).start()
    number = 1 << 24 | 2 << 16 | 1
    beat = {"number": number, "sent": 1}
    assert cell.replicas[1].feed_peer(2, 0, frame_encode(CELL_ID, BEAT, 2, 1, **beat, extra=SPAN_US_MAX))
    assert not cell.replicas[1].feed_peer(2, 0, frame_encode(CELL_ID, BEAT, 2, 1, **beat, extra=SPAN_US_MAX + 1))


# --- disks that hang

STALL_US = 4 * LEASE_US  # of these leases it is more than a second


def stalled(cell: Cell, me: int) -> int:
    return cell.replicas[me].status()["disk_stalled_ms"]


def test_a_master_whose_disk_hangs_gives_up_when_others_go_on(core: str) -> None:
    cell = founded(core, long=())
    cell.held = {1}
    for _ in range(3):  # the others are a majority, and commit them
        assert cell.ask(1, b"SET key value") == b"+OK\r\n"
    assert cell.serving() == [1]
    then = cell.master(2, 3)
    assert stalled(cell, 1) >= STALL_US // 1000
    assert stalled(cell, then) == 0
    assert cell.rows(1, "reign.hung") == 1
    assert cell.ask(then, b"SET key other") == b"+OK\r\n"
    cell.run(2 * STALL_US)
    assert cell.serving() == [then]
    assert cell.rows(1, "election.suspect") == 1  # once, when the cell began
    cell.held = set()
    cell.run(LEASE_US)
    assert stalled(cell, 1) == 0
    cell.stop(then)
    cell.master(*cell.others(then))  # it is one of the majority again


def test_a_master_stays_when_the_others_disks_hang(core: str) -> None:
    """Nobody could do more than it, and its reads need no disk."""
    cell = founded(core, long=())
    assert cell.ask(1, b"SET key value") == b"+OK\r\n"
    cell.held = {2, 3}
    cell.feed_client(1, b"SET other value")
    cell.run(3 * STALL_US)
    assert cell.serving() == [1]
    assert stalled(cell, 2) and stalled(cell, 3) and not stalled(cell, 1)
    cell.replicas[1].open_client(CLIENT + 1)
    cell.replicas[1].feed_client(CLIENT + 1, b"GET key\r\n")
    cell.step()
    assert cell.rows(1, "reign.hung") == 0


def test_a_master_stays_when_all_disks_hang(core: str) -> None:
    cell = founded(core, long=())
    cell.held = {1, 2, 3}
    cell.feed_client(1, b"SET key value")
    cell.run(3 * STALL_US)
    assert cell.serving() == [1]
    cell.held = set()
    cell.until(lambda: cell.get(1, b"key") == b"value")
    assert cell.serving() == [1]


def test_a_replica_whose_disk_hangs_promises_nobody_and_refuses_nobody(core: str) -> None:
    cell = founded(core, long=())
    cell.held = {2}
    cell.feed_client(1, b"SET key value")
    cell.run(2 * STALL_US)
    assert stalled(cell, 2)
    cell.stop(1)
    cell.wire.clear()
    cell.run(2 * STALL_US)  # two of three are left, and one can't promise
    assert cell.serving() == []
    assert {sent.frame.flags for sent in cell.sent(ANSWER) if sent.sender == 2} == {0}
    assert not [sent for sent in cell.wire if sent.sender == 2 and sent.frame.type in (PROMISE, REFUSE, PROPOSE, ASK)]
    before = cell.replicas[2].status()["promised"]
    number = cell.replicas[2].status()["promised"] + (1 << 24) & ~0xFFFFFF | 3 << 16 | 1
    assert cell.replicas[2].feed_peer(3, 0, frame_encode(CELL_ID, PROPOSE, 3, 1, number=number))
    assert cell.replicas[2].status()["promised"] == before
    assert cell.replicas[2].drain_peer(3, 0) == b""
    turns = 0
    while cell.replicas[2].wakeup() <= cell.now_us and turns < 3:
        cell.step()
        turns += 1
    assert turns < 3  # nothing asks for one turn after another
    cell.held = set()
    cell.master(2, 3)


# --- limits that fit each other


def requests(cell: Cell, me: int, sizes: list[int]) -> None:
    """SETs of values of these sizes, each by a client of its own, all in one turn."""
    for client, size in enumerate(sizes, CLIENT + 1):
        cell.replicas[me].open_client(client)
        cell.replicas[me].feed_client(client, b"*3\r\n$3\r\nSET\r\n$1\r\n%d\r\n$%d\r\n%b\r\n" % (
            client % 10, size, b"v" * size))
        cell.step()


@pytest.mark.parametrize("sizes", [[16_000_000, 20_000_000], [9 << 20, 9 << 20, 1], [33_000_000, 1000]])
def test_entries_in_flight_fit_into_a_promise(core: str, sizes: list[int]) -> None:
    """The followers' acknowledgements are lost, then the master: another one takes over all that was in flight."""
    cell = Cell(core, value_bytes_max=33_000_000)
    elect(cell, 1)
    cell.settle()
    cell.lose = {ACK}
    requests(cell, 1, sizes)
    cell.run(10_000)
    flying = [sent.frame for sent in cell.sent(ACCEPT) if sent.receiver == 2]
    assert flying
    assert len(flying) == 1 or sum(len(frame.payload) for frame in flying) <= FLIGHT_BYTES_MAX
    cell.lose = set()
    cell.stop(1)
    cell.master(2, 3)


def test_an_epoch_behind_the_largest_value_fits_into_a_promise(core: str) -> None:
    """A new master proposes such a value again and its epoch behind it, and is gone before anybody knows of a choice.
    """
    size = 32 << 20
    cell = Cell(core, value_bytes_max=size)
    elect(cell, 1)
    cell.settle()
    cell.lose = {ACK}
    requests(cell, 1, [size])
    cell.run(10_000)
    cell.stop(1)
    cell.wire.clear()
    cell.until(lambda: any(len(sent.frame.payload) == VALUE_BYTES + 8 for sent in cell.sent(ACCEPT)))
    second = cell.sent(ACCEPT)[0].sender
    cell.run(2 * BEAT_US)
    assert cell.serving() == []
    cell.stop(second)
    cell.lose = set()
    cell.boot(second)
    cell.master(2, 3)


def test_bulk_does_not_keep_out_what_has_no_payload(core: str) -> None:
    """A follower takes nothing for a while: heartbeats go on being queued behind a value that fills the channel."""
    size = CHANNEL_BYTES_MAX + 1
    cell = Cell(core, value_bytes_max=size)
    elect(cell, 1)
    cell.settle()
    replica = cell.replicas[1]
    replica.feed_client(CLIENT, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (size, b"v" * size))
    for _ in range(3):
        cell.now_us += BEAT_US
        replica.turn(cell.now_us, cell.wall_ms(1))
    waiting = frames_of(replica.drain_peer(2, 0))
    assert [frame.type for frame in waiting if frame.type in (ACCEPT, BEAT)][-3:] == [ACCEPT, BEAT, BEAT]


@pytest.mark.parametrize("sizes", [[3_000_000], [1_000_000] * 3])
def test_a_promise_whose_entries_take_longer_than_a_lease_is_waited_for(core: str, sizes: list[int]) -> None:
    cell = Cell(core)
    elect(cell, 1)
    cell.settle()
    cell.lose = {ACK}
    requests(cell, 1, sizes)
    cell.run(5_000)
    cell.lose = set()
    cell.stop(1)
    cell.slow = {(2, 3): 4000, (3, 2): 4000}  # bytes a millisecond
    stood = sum(cell.rows(me, "coordinator.stand") for me in (2, 3))
    cell.master(2, 3)
    assert sum(cell.rows(me, "coordinator.coming") for me in (2, 3)) > LEASE_US // STEP_US
    assert sum(cell.rows(me, "coordinator.stand") for me in (2, 3)) == stood + 1
    assert cell.get(cell.serving()[0], b"%d" % (CLIENT + 1)) == b"v" * sizes[0]
