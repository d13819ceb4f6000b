"""What "Paxos Made Live" (PML) says and this version does: a test for a sentence, on both cores.

Sentences of the paper are told in our own words.
"""


import pytest
from tests.hand import CELL_ID, CLIENT, LEASE_MASTER_US, LEASE_US, STEP_US, Cell

from fastpaxos_live.reference import log_machines
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    ACK,
    BEAT,
    EPOCH,
    PROMISE,
    PROMISED,
    PROPOSE,
    REFUSE,
    Frame,
    frame_encode,
    value_header,
)


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def cell(core: str) -> Cell:
    return Cell(core).start()


# --- 2 and 3: a cell of replicas


def test_2_a_client_that_asks_another_replica_is_told_the_masters_address(core: str) -> None:
    """PML 2: a replica that is not the master tells the client where the master is."""
    cell = Cell(core, redirect=1).start()
    master = cell.master()
    cell.settle()
    for other in cell.others(master):
        assert cell.ask(other, b"GET key").endswith(b" 127.0.0.1:%d\r\n" % (7000 + master))
        assert cell.replies[other].startswith(b"-MOVED ")


def test_3_every_replica_gets_every_value_in_the_same_order(cell: Cell) -> None:
    """PML 3, figure 2: a submitted value reaches each replica, all in the same order."""
    master = cell.master()
    for n in range(5):
        for me in (master, *cell.others(master)):
            assert cell.ask(me, b"APPEND key %d;" % n)
    cell.settle()
    applied = [replica.applied() for replica in cell.replicas.values()]
    assert applied[0] == applied[1] == applied[2]
    assert [instance for instance, _ in applied[0]] == list(range(1, len(applied[0]) + 1))
    assert {cell.get(me, b"key") for me in (1, 2, 3)} == {b"".join(b"%d;" % n * 3 for n in range(5))}


# --- 4.1: Paxos


def test_41_numbers_are_unique_and_grow(cell: Cell) -> None:
    """PML 4.1: each coordinator takes a number higher than all it saw, and that no other replica ever takes."""
    numbers = []
    for _ in range(4):
        master = cell.master()
        number = cell.replicas[master].status()["sequence_number"]
        assert number >> 16 & 0xFF == master
        numbers.append(number)
        cell.stop(master)
        cell.master()
        cell.boot(master)
    assert numbers == sorted(set(numbers))


def test_41_a_promise_is_on_disk_before_it_is_sent(cell: Cell) -> None:
    """PML 4.1: a promise binds, also after a crash."""
    cell.held = {2, 3}
    cell.until(lambda: cell.sent(PROPOSE))
    cell.run(100_000)
    assert not cell.sent(PROMISE)
    proposer = cell.sent(PROPOSE)[0].sender
    assert proposer == 1, "whose own promise was on disk before it asked for others"
    cell.held.clear()
    cell.master()
    for promise in cell.sent(PROMISE):
        written = [frame.number for group in cell.records(promise.sender) for frame in group if frame.type == PROMISED]
        assert promise.frame.number in written


def test_41_the_value_with_the_highest_number_is_taken_over(cell: Cell) -> None:
    """PML 4.1: of the values that the promises report, a new coordinator proposes the one with the highest number."""
    first = cell.master()
    cell.settle()
    instance = cell.replicas[first].status()["instance_committed"] + 1
    # The first master's value reaches its own disk only.
    cell.isolate(first)
    cell.feed_client(first, b"SET key first")
    # So does, at a higher number, that of the second one, which is its epoch instance.
    cell.lose = {ACCEPT}
    cell.until(lambda: any(accepts_of(cell, other, instance) for other in cell.others(first)))
    second = next(other for other in cell.others(first) if accepts_of(cell, other, instance))
    third = 6 - first - second
    assert not accepts_of(cell, third, instance)
    low, high = accepts_of(cell, first, instance)[0], accepts_of(cell, second, instance)[0]
    assert low.number < high.number
    assert low.payload != high.payload
    # A third one has the promises of both.
    cell.stop(third)
    cell.stop(second)
    cell.cut.clear()
    cell.lose.clear()
    cell.boot(second)
    cell.until(lambda: all(replica.status()["instance_applied"] > instance for replica in cell.replicas.values()))
    for me in (first, second):
        last = accepts_of(cell, me, instance)[-1]
        assert last.number > high.number
        assert last.payload == high.payload
        assert cell.get(me, b"key") is None
    assert cell.replies[first].startswith(b"-TRYAGAIN ")


def accepts_of(cell: Cell, me: int, instance: int) -> list[Frame]:
    """What the disk of a replica has of an instance, oldest first."""
    return [
        frame
        for group in cell.records(me)
        for frame in group
        if frame.type == ACCEPT and frame.instance == instance
    ]


def test_41_what_a_majority_accepted_stays_chosen(cell: Cell) -> None:
    """PML 4.1: once a majority acknowledged a value, no other is ever chosen there, even if its master is gone."""
    first = cell.master()
    cell.settle()
    instance = cell.replicas[first].status()["instance_committed"] + 1
    cell.cut = {(other, first) for other in cell.others(first)}  # no acknowledgement arrives
    cell.feed_client(first, b"SET key value")
    cell.until(lambda: all(accepts_of(cell, other, instance) for other in cell.others(first)))
    assert cell.replies[first] == b""
    cell.stop(first)
    second = cell.master()
    cell.settle()
    for other in cell.others(first):
        assert cell.get(other, b"key") == b"value"
        accepts = accepts_of(cell, other, instance)
        assert {frame.payload for frame in accepts} == {accepts[0].payload}, "the value is copied unchanged"
        assert accepts[-1].number >> 16 & 0xFF == second


def test_41_lower_numbers_are_refused(cell: Cell) -> None:
    """PML 4.1: who promised a number takes nothing at a lower one, and says so."""
    master = cell.master()
    cell.settle()
    other = cell.others(master)[0]
    promised = cell.replicas[other].status()["promised"]
    old = frame_encode(CELL_ID, PROPOSE, master, 1, number=promised - (1 << 24))
    cell.feed(other, master, 0, old)
    cell.step()
    refusal = cell.sent(REFUSE)[0]
    assert (refusal.sender, refusal.receiver) == (other, master)
    assert refusal.frame.extra == promised
    assert cell.replicas[other].status()["promised"] == promised


# --- 4.2: Multi-Paxos


def test_42_no_propose_round_while_the_coordinator_stays(cell: Cell) -> None:
    """PML 4.2: the propose round is left out as long as the coordinator does not change."""
    master = cell.master()
    cell.settle()
    written = {me: len(cell.groups[me]) for me in (1, 2, 3)}
    for n in range(30):
        assert cell.ask(master, b"SET key%d value" % n) == b"+OK\r\n"
    cell.run(2 * LEASE_US)
    assert not cell.sent(PROPOSE)
    assert not cell.sent(PROMISE)
    for me in (1, 2, 3):
        assert not any(frame.type == PROMISED for group in cell.records(me, written[me]) for frame in group)


def test_42_one_write_an_instance_on_each_replica(cell: Cell) -> None:
    """PML 4.2: an instance costs each replica, the master included, one write to its disk."""
    master = cell.master()
    cell.settle()
    first = cell.replicas[master].status()["instance_committed"] + 1
    written = {me: len(cell.groups[me]) for me in (1, 2, 3)}
    for n in range(10):
        assert cell.ask(master, b"SET key%d value" % n) == b"+OK\r\n"
    cell.settle()
    for me in (1, 2, 3):
        groups = cell.records(me, written[me])
        assert [[(frame.type, frame.instance) for frame in group] for group in groups] == [
            [(ACCEPT, first + n)] for n in range(10)
        ]


def test_42_all_disks_write_at_the_same_time(cell: Cell) -> None:
    """PML 4.2: the master sends its accepts before its own disk is done: a majority of the others is enough."""
    master = cell.master()
    cell.settle()
    cell.held = {master}
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    assert master in cell.unfinished


def test_42_an_acknowledgement_waits_for_the_disk(cell: Cell) -> None:
    """PML 4.2: the others write to disk before they acknowledge, and the client is answered after a majority did."""
    master = cell.master()
    cell.settle()
    cell.held = set(cell.others(master))
    cell.feed_client(master, b"SET key value")
    cell.run(200_000)
    accepts = {sent.receiver: sent.frame.instance for sent in cell.sent(ACCEPT)}
    assert accepts.keys() == cell.held
    assert not [ack for ack in cell.sent(ACK) if ack.frame.instance >= accepts[ack.sender]]
    assert cell.replies[master] == b""
    cell.held.pop()
    cell.until(lambda: cell.replies[master] == b"+OK\r\n", 10 * STEP_US)


def test_42_values_of_several_clients_go_into_one_instance(cell: Cell) -> None:
    """PML 4.2: values submitted at the same time are agreed on together."""
    master = cell.master()
    cell.settle()
    replica = cell.replicas[master]
    before = replica.status()["instance_committed"]
    clients = range(10, 30)
    for client in clients:
        replica.open_client(client)
        replica.feed_client(client, b"INCR key\r\n")
    cell.until(lambda: cell.get(master, b"key"))
    cell.settle()
    assert replica.status()["instance_committed"] == before + 1
    assert value_header(accepts_of(cell, master, before + 1)[0].payload).operations == len(clients)
    assert cell.get(master, b"key") == b"20"


def test_42_a_replica_that_missed_instances_catches_up(cell: Cell) -> None:
    """PML 4.2: who was away learns from the others what was decided meanwhile."""
    master = cell.master()
    away = cell.others(master)[0]
    cell.settle()
    cell.stop(away)
    for n in range(300):
        assert cell.ask(master, b"SET key%d value" % n) == b"+OK\r\n"
    cell.boot(away)
    cell.settle()
    states = [replica.status() for replica in cell.replicas.values()]
    assert {state["keys"] for state in states} == {300}
    assert len({state["state_sum"] for state in states}) == 1
    assert cell.serving() == [master], "and nobody was disturbed"


def test_42_the_log_is_replayed_after_a_crash(cell: Cell) -> None:
    """PML 4.2: all that a replica did is in its log, and what was answered is there after all have crashed."""
    master = cell.master()
    for n in range(20):
        assert cell.ask(master, b"SET key%d value" % n) == b"+OK\r\n"
    promised = cell.replicas[master].status()["promised"]
    for me in (1, 2, 3):
        cell.stop(me)
    for me in (1, 2, 3):
        cell.boot(me)
        assert cell.replicas[me].status()["promised"] == promised
    master = cell.master()
    assert cell.replicas[master].status()["keys"] == 20
    assert cell.replicas[master].status()["sequence_number"] > promised, "a master never goes on at its old number"


# --- 5.2: leases


def propose(cell: Cell, sender: int, receiver: int) -> bool:
    """A propose of another coordinator, at a number higher than all: is it promised?"""
    highest = max(replica.status()["promised"] for replica in cell.replicas.values())
    number = (highest >> 24) + 9 << 24 | sender << 16 | 1
    cell.wire.clear()
    cell.feed(receiver, sender, 0, frame_encode(CELL_ID, PROPOSE, sender, 1, number=number))
    cell.until(lambda: [sent for sent in cell.wire if sent.frame.type in (PROMISE, REFUSE) and sent.sender == receiver])
    return any(sent.sender == receiver and sent.frame.number == number for sent in cell.sent(PROMISE))


def test_52_other_coordinators_are_refused_while_the_lease_holds(cell: Cell) -> None:
    """PML 5.2: replicas refuse the messages of other coordinators until the master's lease is over."""
    master = cell.master()
    other, third = cell.others(master)
    cell.settle()
    assert not propose(cell, third, other)
    assert cell.serving() == [master]
    cell.stop(master)
    cell.run(LEASE_US // 2)
    assert not propose(cell, third, other)
    cell.run(LEASE_US // 2 + 2 * STEP_US)
    assert propose(cell, third, other)


def test_52_a_replica_that_restarts_promises_nobody_for_a_lease(cell: Cell) -> None:
    """PML 5.2: a lease holds also if the replica that granted it forgot it in a crash."""
    master = cell.master()
    other, third = cell.others(master)
    cell.settle()
    for me in (other, master):
        cell.stop(me)
    cell.boot(other)
    assert not cell.replicas[other].status()["voting"]
    assert not propose(cell, third, other)
    cell.run(LEASE_US)
    assert cell.replicas[other].status()["voting"]


def test_52_a_replica_that_was_cut_off_disturbs_nobody(cell: Cell) -> None:
    """PML 5.2: no churn of masters by a replica that comes and goes."""
    master = cell.master()
    other = cell.others(master)[0]
    number = cell.replicas[master].status()["sequence_number"]
    for _ in range(3):
        cell.isolate(other)
        cell.run(3 * LEASE_US)
        cell.cut.clear()
        cell.run(LEASE_US)
    assert cell.rows(other, "election.suspect") > 0
    assert cell.serving() == [master]
    assert cell.replicas[master].status()["sequence_number"] == number


def test_52_the_master_reads_alone(cell: Cell) -> None:
    """PML 5.2: with a lease the master answers reads from memory, without Paxos and without the others."""
    master = cell.master()
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    cell.settle()
    written = {me: len(cell.groups[me]) for me in (1, 2, 3)}
    replica = cell.replicas[master]
    replica.clock(cell.now_us, cell.wall_ms(1))
    replica.feed_client(CLIENT, b"GET key\r\n" * 100)
    replica.turn(cell.now_us, cell.wall_ms(1))
    assert replica.drain_clients() == [CLIENT]
    assert replica.drain_client(CLIENT) == b"$5\r\nvalue\r\n" * 100
    assert replica.drain_disk() is None
    cell.run(100_000)
    assert not cell.sent(ACCEPT)
    assert {me: len(cell.groups[me]) for me in (1, 2, 3)} == written


def test_52_no_read_without_the_lease(cell: Cell) -> None:
    """PML 5.2: the lease is what makes a read right: after a pause that outlived it nothing is answered from memory."""
    master = cell.master()
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    cell.settle()
    cell.replies[master] = b""
    cell.feed_client(master, b"GET key")  # executed now, and then the process stands still
    cell.isolate(master)
    cell.step(LEASE_MASTER_US + 1)
    cell.run(100_000)
    assert cell.replies[master] == b""
    assert cell.replicas[master].status()["lease_us_left"] == 0


def test_52_a_read_without_the_lease_asks_a_majority(cell: Cell) -> None:
    """PML 5.2: without a lease a read needs the others: it is answered when they confirm the master."""
    master = cell.master()
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    cell.settle()
    cell.replies[master] = b""
    cell.feed_client(master, b"GET key")
    paused = {me: cell.replicas.pop(me) for me in cell.others(master)}
    cell.step(LEASE_MASTER_US + 1)
    assert cell.replies[master] == b""
    cell.replicas |= paused
    asked = cell.now_us
    cell.until(lambda: cell.replies[master])
    assert cell.replies[master] == b"$5\r\nvalue\r\n"
    assert any(beat.frame.sent >= asked for beat in cell.sent(BEAT, sender=master))


def test_52_the_masters_lease_ends_before_the_grants(cell: Cell) -> None:
    """PML 5.2: the master's own time-out is shorter, so it stops relying on the lease before anybody promises anew."""
    master = cell.master()
    cell.settle()
    cell.isolate(master)
    cell.until(lambda: cell.replicas[master].status()["lease_us_left"] == 0)
    assert not cell.sent(PROPOSE)
    assert not cell.sent(PROMISE)
    cell.until(lambda: any(me != master for me in cell.serving()))


def test_52_a_lease_is_renewed_for_as_long_as_the_master_lives(cell: Cell) -> None:
    """PML 5.2: heartbeats renew it also when nobody writes; masters stay for days (here: a minute)."""
    master = cell.master()
    number = cell.replicas[master].status()["sequence_number"]
    end = cell.now_us + 60_000_000
    while cell.now_us < end:
        cell.step(10_000)
        assert cell.serving() == [master]
        assert cell.replicas[master].status()["lease_us_left"] > 0
    assert cell.replicas[master].status()["sequence_number"] == number


# --- 5.3: epochs


def test_53_the_epoch_changes_with_the_mastership_and_only_then(cell: Cell) -> None:
    """PML 5.3: two equal epochs at a replica mean that it was master all the time between."""
    seen: list[tuple[int, int]] = []  # master, epoch
    for _ in range(4):
        master = cell.master()
        epoch = cell.replicas[master].status()["epoch"]
        for n in range(5):
            assert cell.ask(master, b"SET key %d" % n) == b"+OK\r\n"
        cell.run(2 * LEASE_US)
        assert cell.replicas[master].status()["epoch"] == epoch
        seen.append((master, epoch))
        cell.stop(master)
        cell.boot(master)
    assert [epoch for _, epoch in seen] == [seen[0][1] + n for n in range(4)]


def test_53_the_epoch_is_an_entry_of_the_log(cell: Cell) -> None:
    """PML 5.3: a new master raises it through the log, so that all replicas agree on it, before it serves."""
    first = cell.master()
    cell.settle()
    cell.stop(first)
    second = cell.master()
    epochs = [
        frame
        for group in cell.records(second)
        for frame in group
        if frame.type == ACCEPT and value_header(frame.payload).kind == EPOCH
    ]
    assert epochs[-1].number == cell.replicas[second].status()["sequence_number"]
    assert cell.replicas[second].status()["instance_applied"] >= epochs[-1].instance
    cell.boot(first)
    cell.settle()
    assert len({replica.status()["epoch"] for replica in cell.replicas.values()}) == 1


# --- 6.1: state machines


def test_61_every_step_is_a_row_and_is_counted(cell: Cell) -> None:
    """PML 6.1: the core algorithm is explicit state machines, and which of their steps were taken is measured."""
    master = cell.master()
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    cell.run(LEASE_US)
    for me in (1, 2, 3):
        assert tuple(cell.replicas[me].rows()) == log_machines.ROWS
    for machine, rows in (
        ("acceptor", ("promise", "accept")),
        ("election", ("suspect", "asked")),
        ("coordinator", ("stand", "promised", "elected", "take_over")),
        ("reign", ("begin", "propose_epoch", "serve", "propose", "acked_at", "echoed")),
    ):
        for row in rows:
            assert cell.rows(master, f"{machine}.{row}") > 0, row
    for other in cell.others(master):
        assert cell.rows(other, "acceptor.accept") == cell.rows(master, "acceptor.accept")
        assert cell.rows(other, "acceptor.renew") > 0
        assert cell.rows(other, "reign.serve") == 0
