"""The judges of the simulator on histories and cells whose verdict is known."""

from itertools import permutations
from random import Random

import pytest

from fastpaxos_live.reference.log_disk import LogDisk
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    ACK,
    BEAT,
    ECHO,
    ENTRY,
    LEARN,
    PROMISE,
    PROMISED,
    PROPOSE,
    frame_encode,
)
from fastpaxos_live.sim import linear
from fastpaxos_live.sim.check import CellCheck, Violation
from fastpaxos_live.sim.chosen import Chosen
from fastpaxos_live.sim.linear import GaveUp, Operation, after, check_history, check_key
from fastpaxos_live.sim.requests import FOREVER, OK, Kind, Request

GET, STRLEN, EXISTS, PTTL = Kind.GET, Kind.STRLEN, Kind.EXISTS, Kind.PTTL
SET, NX, XX, PX, SETNX, GETSET = Kind.SET, Kind.SET_NX, Kind.SET_XX, Kind.SET_PX, Kind.SETNX, Kind.GETSET
INCR, DEL, APPEND, GETDEL, GETEX = Kind.INCRBY, Kind.DEL, Kind.APPEND, Kind.GETDEL, Kind.GETEX
PEXPIRE, PERSIST = Kind.PEXPIRE, Kind.PERSIST


def op(kind, asked, answered, result=None, value=b"", number=0, **more):
    number = number or (1 if kind == INCR else 0)
    return Operation(kind, b"k", asked, value, number, answered=answered, result=result, **more)


def unknown(kind, asked, value=b"", **more):
    return op(kind, asked, FOREVER, value=value, **more)


GOOD = {
    "empty": [],
    "absent": [op(GET, 0, 1)],
    "read your write": [op(SET, 0, 1, OK, b"a"), op(GET, 2, 3, b"a")],
    "concurrent read sees the new value": [op(SET, 0, 9, OK, b"a"), op(GET, 1, 2, b"a")],
    "concurrent read sees the old value": [op(SET, 0, 9, OK, b"a"), op(GET, 1, 2)],
    "concurrent writes in either order": [
        op(SET, 0, 9, OK, b"a"), op(SET, 0, 9, OK, b"b"), op(GET, 10, 11, b"a"),
    ],
    "unknown write seen late": [
        unknown(SET, 0, b"a"), op(GET, 5, 6), op(GET, 7, 8, b"a"),
    ],
    "unknown write never seen": [unknown(SET, 0, b"a"), op(GET, 5, 6)],
    "unknown increment counted": [unknown(INCR, 0), op(INCR, 5, 6, 2)],
    "unknown increment lost": [unknown(INCR, 0), op(INCR, 5, 6, 1)],
    "unknown delete in between": [
        op(SET, 0, 1, OK, b"a"), unknown(DEL, 2), op(GET, 3, 4, b"a"), op(GET, 5, 6),
    ],
    "increments": [op(INCR, 0, 9, 2), op(INCR, 0, 9, 1), op(GET, 10, 11, b"2")],
    "not over a value": [op(NX, 0, 1, OK, b"a"), op(NX, 2, 3, None, b"b"), op(GET, 4, 5, b"a")],
    "append and take": [
        op(APPEND, 0, 1, 1, b"a"), op(APPEND, 2, 3, 2, b"b"), op(GETDEL, 4, 5, b"ab"), op(GET, 6, 7),
    ],
    "expired": [op(PX, 0, 1, OK, b"a", 100), op(GET, 2, 3, b"a"), op(GET, 150, 151)],
    "expires late": [op(PX, 0, 1, OK, b"a", 100), op(GET, 500, 501, b"a")],
    "gone after expiry": [
        op(PX, 0, 1, OK, b"a", 100), op(GET, 150, 151), op(NX, 160, 161, OK, b"b"),
    ],
    "over a value only": [
        op(XX, 0, 1, None, b"a"), op(SET, 2, 3, OK, b"b"), op(XX, 4, 5, OK, b"c"), op(GET, 6, 7, b"c"),
    ],
    "set once": [op(SETNX, 0, 1, 1, b"a"), op(SETNX, 2, 3, 0, b"b"), op(GET, 4, 5, b"a")],
    "exchanged": [op(GETSET, 0, 1, None, b"a"), op(GETSET, 2, 3, b"a", b"b"), op(STRLEN, 4, 5, 1), op(EXISTS, 4, 5, 1)],
    "given a time to live": [op(SET, 0, 1, OK, b"a"), op(PEXPIRE, 2, 3, 1, number=100), op(GET, 200, 201)],
    "read and given a time to live": [
        op(SET, 0, 1, OK, b"a"), op(GETEX, 2, 3, b"a", number=100), op(EXISTS, 200, 201, 0), op(STRLEN, 202, 203, 0),
    ],
    "nothing to give a time to live": [op(PEXPIRE, 2, 3, 0, number=100), op(GETEX, 2, 3), op(PERSIST, 4, 5, 0)],
    "persists": [op(PX, 0, 1, OK, b"a", 100), op(PERSIST, 2, 3, 1), op(PERSIST, 4, 5, 0), op(GET, 200, 201, b"a")],
    "time left": [
        op(PTTL, 0, 1, -2), op(PX, 2, 3, OK, b"a", 5000), op(PTTL, 4, 5, 5), op(SET, 6, 7, OK, b"b"),
        op(PTTL, 8, 9, -1),
    ],
    "failed write": [op(SET, 0, 1, None, b"a", failed=True), op(GET, 2, 3)],
    "deleted once": [op(SET, 0, 1, OK, b"a"), op(DEL, 2, 9, 1), op(DEL, 2, 9, 0)],
}

BAD = {
    "stale read": [op(SET, 0, 1, OK, b"a"), op(GET, 2, 3)],
    "older value": [
        op(SET, 0, 1, OK, b"a"), op(SET, 2, 3, OK, b"b"), op(GET, 4, 5, b"a"),
    ],
    "value of nobody": [op(GET, 0, 1, b"z")],
    "read from the future": [op(GET, 0, 1, b"a"), op(SET, 2, 3, OK, b"a")],
    "reads go back": [
        op(SET, 0, 1, OK, b"a"), op(SET, 2, 99, OK, b"b"), op(GET, 3, 4, b"b"), op(GET, 5, 6, b"a"),
    ],
    "same increment twice": [op(INCR, 0, 9, 1), op(INCR, 0, 9, 1)],
    "increment lost": [op(INCR, 0, 1, 1), op(INCR, 2, 3, 2), op(GET, 4, 5, b"1")],
    "unknown increment twice": [unknown(INCR, 0), op(INCR, 5, 6, 3)],
    "unknown write from the future": [op(GET, 0, 1, b"a"), unknown(SET, 2, b"a")],
    "unknown write undone": [
        op(SET, 0, 1, OK, b"a"), unknown(SET, 2, b"b"), op(GET, 3, 4, b"b"), op(GET, 5, 6, b"a"),
    ],
    "both were first": [op(NX, 0, 9, OK, b"a"), op(NX, 0, 9, OK, b"b")],
    "taken twice": [
        op(SET, 0, 1, OK, b"a"), op(GETDEL, 2, 9, b"a"), op(GETDEL, 2, 9, b"a"),
    ],
    "append lost": [op(APPEND, 0, 1, 1, b"a"), op(APPEND, 2, 3, 1, b"b")],
    "expired early": [op(PX, 0, 1, OK, b"a", 100), op(GET, 50, 51)],
    "vanished without a time to live": [op(SET, 0, 1, OK, b"a"), op(GET, 10**9, 10**9 + 1)],
    "back after expiry": [
        op(PX, 0, 1, OK, b"a", 100), op(GET, 150, 151), op(GET, 160, 161, b"a"),
    ],
    "over nothing": [op(XX, 0, 1, OK, b"a")],
    "set twice": [op(SETNX, 0, 1, 1, b"a"), op(SETNX, 2, 3, 1, b"b")],
    "exchange lost": [op(GETSET, 0, 1, None, b"a"), op(GETSET, 2, 3, None, b"b")],
    "wrong length": [op(SET, 0, 1, OK, b"a"), op(STRLEN, 2, 3, 2)],
    "not there": [op(SET, 0, 1, OK, b"a"), op(EXISTS, 2, 3, 0)],
    "gone before its time to live": [op(SET, 0, 1, OK, b"a"), op(PEXPIRE, 2, 3, 1, number=100), op(GET, 50, 51)],
    "gone though it persists": [op(PX, 0, 1, OK, b"a", 100), op(PERSIST, 2, 3, 1), op(GET, 200, 201)],
    "persisted twice": [op(PX, 0, 1, OK, b"a", 100), op(PERSIST, 2, 3, 1), op(PERSIST, 4, 5, 1)],
    "time left of nothing": [op(PTTL, 0, 1, 5)],
    "no time left": [op(PX, 2, 3, OK, b"a", 9000), op(PTTL, 4, 5, -1)],
    "too little time left": [op(PX, 2, 3, OK, b"a", 900_000), op(PTTL, 4, 5, 5)],
    "failed write seen": [op(SET, 0, 1, None, b"a", failed=True), op(GET, 2, 3, b"a")],
    "deleted twice": [op(SET, 0, 1, OK, b"a"), op(DEL, 2, 9, 1), op(DEL, 2, 9, 1)],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history(name):
    assert check_key(GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_bad_history(name):
    problem = check_key(BAD[name])
    assert problem is not None and "not linearizable" in problem


def test_clock_error_allows_early_expiry():
    history = [op(PX, 0, 1, OK, b"a", 100), op(GET, 50, 51)]
    assert check_key(history, error_us=60) is None
    assert check_key(history, error_us=40) is not None


def test_keys_are_apart():
    history = [
        Request(SET, (b"x",), (b"a",), asked=0, answered=1, reply=OK), Request(GET, (b"y",), asked=2, answered=3),
    ]
    assert check_history(history) is None
    assert "b'x'" in check_history([*history, Request(GET, (b"x",), asked=4, answered=5)])


def test_order_on_a_connection():
    first = op(SET, 0, 9, OK, b"a")
    overtaken = op(GET, 0, 9, None, before=first)
    assert check_key([first, overtaken]) is not None
    assert check_key([first, op(GET, 0, 9, b"a", before=first)]) is None
    assert check_key([first, op(GET, 0, 9, None)]) is None, "on another connection it is allowed"


def test_order_skips_what_is_unknown():
    first = unknown(SET, 0, b"a")
    assert check_key([first, op(GET, 0, 9, None, before=first)]) is None


def test_a_search_that_is_too_long_gives_up(monkeypatch):
    many = [Request(Kind.INCRBY, (b"y",), number=1 << i, asked=0) for i in range(9)]
    many.append(Request(GET, (b"y",), asked=100, answered=101, reply=b"1000"))
    monkeypatch.setattr(linear, "STATES_MAX", 20)
    with pytest.raises(GaveUp, match="gave up after"):
        check_history(many)
    stale = Request(GET, (b"z",), asked=0, answered=1, reply=b"a")
    assert "b'z'" in check_history([*many, stale]), "the other keys are judged all the same"


def brute_force(operations, exact):
    """The definition itself: some order that respects time explains all answers. Where keys may vanish it depends on
    when: in an order not later than any answer that follows, if `exact`, else only not later than the own one.
    """
    unknowns = [o for o in operations if o.answered == FOREVER]
    for chosen in range(1 << len(unknowns)):
        taken = [o for o in operations if o.answered < FOREVER]
        taken += [o for i, o in enumerate(unknowns) if chosen >> i & 1]
        for order in permutations(taken):
            if any(b.answered < a.asked for i, a in enumerate(order) for b in order[i + 1 :]):
                continue
            states = {None}
            for i, o in enumerate(order):
                latest = min(later.answered for later in order[i:]) if exact else o.answered
                states = {new for state in states for new in after(state, o, 0, latest)}
            if states:
                return True
    return False


def random_history(random, kinds):
    history = []
    for index in range(random.randint(1, 6)):
        kind = random.choice(kinds)
        asked = random.randrange(12)
        value = b"%d" % (index + 1)
        seen = (None, b"1", b"2", b"3", b"12", b"13", b"31")
        results = {
            GET: seen, GETDEL: seen, GETSET: seen, GETEX: seen, SET: (OK,), PX: (OK,), NX: (OK, None), XX: (OK, None),
            SETNX: (0, 1), INCR: (1, 2, 3), DEL: (0, 1), APPEND: (1, 2, 2, 3), PERSIST: (0, 1), PEXPIRE: (0, 1),
            STRLEN: (0, 1, 2), EXISTS: (0, 1), PTTL: (-2, -1),
        }[kind]
        number = 4 if kind in (PX, GETEX, PEXPIRE) else 0
        if random.random() < 0.25:
            history.append(unknown(kind, asked, value, number=number))
        else:
            end = asked + random.randrange(1, 8)
            history.append(op(kind, asked, end, random.choice(results), value, number))
    return history


MIXES = {
    "counters": (GET, SET, NX, INCR, DEL, GETDEL),
    "conditions": (GET, GET, SET, NX, XX, SETNX, GETSET, STRLEN, EXISTS, DEL),
    "deadlines": (GET, GET, SET, PX, GETEX, PEXPIRE, PERSIST, PTTL, APPEND),
    "texts": (GET, GET, GET, SET, SET, NX, DEL, APPEND, APPEND, GETDEL),
}


@pytest.mark.parametrize("mix", MIXES)
def test_search_agrees_with_the_definition(mix):
    random = Random(1)
    verdicts = []
    for _ in range(2500):
        history = random_history(random, MIXES[mix])
        verdict = check_key(history) is None
        possible = brute_force(history, exact=False)
        if mix == "deadlines":
            assert verdict <= possible and verdict >= brute_force(history, exact=True), history
        else:
            assert verdict == possible, history
        verdicts.append(verdict)
    assert 300 < sum(verdicts) < 2200, "both verdicts must be common"


def test_long_history_is_quick_and_one_wrong_answer_is_found():
    random = Random(2)
    history, value = [], None
    for time in range(0, 30_000, 10):
        if random.random() < 0.3:
            value = b"%d" % time
            history.append(op(SET, time, time + 9, OK, value))
        elif random.random() < 0.02:
            history.append(unknown(SET, time, b"u%d" % time))
        else:
            history.append(op(GET, time, time + 9, value))
    assert check_key(history) is None
    reads = [o for o in history if o.kind == GET and o.asked > 1000]
    reads[len(reads) // 2].result = b"10"
    assert check_key(history) is not None


# --- the cell's invariants
def glance(applied=0, committed=0, promised=0, epoch=0, state_sum=0, serving=False):
    return applied, committed, promised, epoch, state_sum, serving, 0


@pytest.fixture
def cell():
    """A cell of three in which ten instances are chosen."""
    cell = CellCheck(3)
    for instance in range(1, 11):
        for replica in (1, 2):
            cell.chosen.accepted(replica, 1, instance, 1000 + instance)
    return cell


def test_one_value_an_instance(cell):
    cell.applied(1, [(1, 11), (2, 12)], 0)
    cell.applied(2, [(1, 11)], 0)
    with pytest.raises(Violation, match="instance 2"):
        cell.applied(2, [(2, 13)], 0)


def test_instances_without_gaps(cell):
    cell.applied(1, [(1, 11)], 0)
    with pytest.raises(Violation, match="applied instance 3 after 1"):
        cell.applied(1, [(3, 13)], 0)


def test_restart_applies_again_from_the_first(cell):
    cell.applied(1, [(1, 11), (2, 12)], 0)
    cell.views[1].begin(0)
    cell.applied(1, [(1, 11)], 0)
    with pytest.raises(Violation, match="instance 2"):
        cell.applied(1, [(2, 99)], 0)


def test_state_is_a_function_of_the_instance(cell):
    for replica in (1, 2):
        cell.applied(replica, [(1, 11)], 0)
    cell.glance(1, glance(applied=1, committed=1, state_sum=5), 0, 0)
    with pytest.raises(Violation, match="state"):
        cell.glance(2, glance(applied=1, committed=1, state_sum=6), 0, 0)


@pytest.mark.parametrize("what", ["epoch", "promised", "committed"])
def test_nothing_goes_back(cell, what):
    cell.glance(1, glance(**{what: 5}), 0, 0)
    cell.glance(1, glance(**{what: 5}), 0, 0)
    with pytest.raises(Violation):
        cell.glance(1, glance(**{what: 4}), 0, 0)


def serving(epoch):
    return glance(serving=True, epoch=epoch)


def test_two_masters(cell):
    cell.glance(1, serving(1), now=100, lease_end=200)
    cell.glance(2, serving(2), now=200, lease_end=300)
    with pytest.raises(Violation, match="two masters"):
        cell.glance(3, serving(3), now=299, lease_end=400)


def test_master_that_steps_down_or_dies_makes_room(cell):
    cell.glance(1, serving(1), now=100, lease_end=200)
    cell.glance(1, glance(epoch=1), now=110, lease_end=200)
    cell.glance(2, serving(2), now=120, lease_end=220)
    cell.views[2].begin(0)
    cell.glance(3, serving(3), now=130, lease_end=230)


def test_two_masterships_in_one_epoch(cell):
    cell.glance(1, serving(4), now=100, lease_end=100)
    cell.glance(1, serving(4), now=110, lease_end=200)
    with pytest.raises(Violation, match="serves in epoch 4"):
        cell.glance(2, serving(4), now=300, lease_end=400)
    cell.glance(1, glance(epoch=4), now=300, lease_end=0)
    with pytest.raises(Violation, match="serves in epoch 4"):
        cell.glance(1, serving(4), now=300, lease_end=400)
    cell.views[1].begin(0)
    with pytest.raises(Violation, match="serves in epoch 4"):
        cell.glance(1, serving(4), now=300, lease_end=400)


def test_an_epoch_that_begins_within_a_mastership(cell):
    cell.glance(1, serving(4), now=100, lease_end=200)
    with pytest.raises(Violation, match="epoch 5 began within"):
        cell.glance(1, serving(5), now=150, lease_end=250)


def test_committed_and_not_chosen(cell):
    cell.glance(1, glance(committed=10), 0, 0)
    with pytest.raises(Violation, match="only 10 are chosen"):
        cell.glance(1, glance(committed=11), 0, 0)


# --- frames and write groups
def frame(kind, number, instance=0, mark=0, extra=0, sent=0):
    return kind, 1, 0, 64, 1, number, instance, mark, sent, extra


def group(promised, *frames):
    """A write group: (kind, number, instance, checksum of the value) each."""
    disk = LogDisk(1, 1, 1)
    for kind, number, instance, value in frames:
        payload = value.to_bytes(8, "little") if value else b""
        disk.append(frame_encode(1, kind, 1, 1, number, instance, payload=payload))
    return disk.drain(promised, 0)[1]


def test_promise_that_was_told_binds_across_a_crash(cell):
    cell.durable(1, group(7, (PROMISED, 7, 0, 0)))
    cell.sent(1, [frame(PROMISE, 7)], boot_us=10)
    cell.views[1].begin(0)
    with pytest.raises(Violation, match="lower"):
        cell.glance(1, glance(promised=6), 0, 0)
    with pytest.raises(Violation, match="after it answered"):
        cell.sent(1, [frame(ACK, 6)], boot_us=20)


def test_promise_that_is_durable_binds_across_a_crash(cell):
    cell.glance(1, glance(promised=9), 0, 0)
    cell.durable(1, group(8, (PROMISED, 8, 0, 0)))
    cell.views[1].begin(0)
    cell.glance(1, glance(promised=8), 0, 0)
    cell.views[1].begin(0)
    with pytest.raises(Violation, match="lower"):
        cell.glance(1, glance(promised=7), 0, 0)


@pytest.mark.parametrize("kind", [PROMISE, PROPOSE])
def test_promise_that_is_told_before_it_is_durable(cell, kind):
    cell.durable(1, group(7, (PROMISED, 7, 0, 0)))
    cell.sent(1, [frame(kind, 7)], boot_us=10)
    with pytest.raises(Violation, match="not durable"):
        cell.sent(1, [frame(kind, 8)], boot_us=20)


def test_acknowledgement_of_what_is_not_durable(cell):
    cell.durable(1, group(5, (ACCEPT, 5, 11, 77), (ACCEPT, 5, 12, 78)))
    cell.sent(1, [frame(ACK, 5, 12)], boot_us=10)
    with pytest.raises(Violation, match="acknowledges instance 13"):
        cell.sent(1, [frame(ACK, 5, 13)], boot_us=20)
    with pytest.raises(Violation, match="acknowledges instance 12"):
        cell.sent(1, [frame(ACK, 6, 12)], boot_us=20)


def test_acknowledgement_of_what_was_learned(cell):
    cell.durable(1, group(5, (ACCEPT, 5, 9, 1009), (LEARN, 1, 10, 1010)) + group(6, (ACCEPT, 6, 11, 77)))
    cell.sent(1, [frame(ACK, 5, 10), frame(ACK, 6, 11)], boot_us=10)
    with pytest.raises(Violation, match="acknowledges instance 12"):
        cell.sent(1, [frame(ACK, 6, 12)], boot_us=20)


def test_order_within_a_turn_is_free(cell):
    cell.durable(1, group(7, (ACCEPT, 6, 0, 77), (PROMISED, 7, 0, 0)))
    cell.sent(1, [frame(PROMISE, 7), frame(ACK, 6)], boot_us=10)
    with pytest.raises(Violation, match="after it answered"):
        cell.sent(1, [frame(ACK, 6)], boot_us=20)


def test_what_waited_for_room_is_not_behind_what_was_answered_meanwhile(cell):
    cell.durable(1, group(7, (ACCEPT, 6, 0, 77), (PROMISED, 7, 0, 0)))
    cell.sent(1, [frame(ACK, 6)], boot_us=10)
    cell.sent(1, [frame(PROMISE, 7)], boot_us=20)
    cell.sent(1, [frame(ACK, 6)], 30, 6)
    with pytest.raises(Violation, match="after it answered"):
        cell.sent(1, [frame(ACK, 5)], 40, 6)
    with pytest.raises(Violation, match="after it answered"):
        cell.sent(1, [frame(ACK, 6)], boot_us=50)


def test_silence_after_a_start(cell):
    cell.views[1].kept = 2
    cell.views[1].begin(quiet_until=100)
    cell.sent(1, [frame(ACK, 1)], boot_us=50)
    cell.sent(1, [frame(PROMISE, 1)], boot_us=100)
    cell.views[1].begin(quiet_until=300, recovered=1)
    cell.sent(1, [frame(PROMISE, 1)], boot_us=240)
    with pytest.raises(Violation, match="silence"):
        cell.sent(1, [frame(PROMISE, 2)], boot_us=250)


@pytest.mark.parametrize("kind", [ECHO, ACK])
def test_a_promise_while_a_master_may_rely_on_an_answer(kind):
    now, first, second = 0, 1 << 24 | 2 << 16, 2 << 24 | 3 << 16
    cell = CellCheck(3, lambda master, sent: (sent + 100 - now) * (master == 2))
    cell.sent(1, [frame(kind, first, sent=40), frame(ECHO, first, sent=30)], boot_us=10)
    cell.views[1].begin(quiet_until=0)  # it dies, and has forgotten
    cell.durable(1, group(second, (PROMISED, second, 0, 0)))
    now = 139
    with pytest.raises(Violation, match="replica 2 may rely on its answer for 1 us more"):
        cell.sent(1, [frame(PROMISE, second)], boot_us=20)
    now = 140
    cell.sent(1, [frame(PROMISE, second)], boot_us=20)


@pytest.mark.parametrize("kind", [ECHO, ACK])
def test_a_grant_that_a_new_life_would_not_know(kind):
    cell = CellCheck(3, exceeds=lambda replica, master, sent: (replica, master) == (1, 2))
    cell.sent(1, [frame(kind, 1 << 24 | 3 << 16, sent=40)], boot_us=10)
    cell.sent(1, [frame(kind, 2 << 24 | 2 << 16)], boot_us=10)  # nothing that could be relied on
    with pytest.raises(Violation, match="replica 1 grants replica 2 a longer lease"):
        cell.sent(1, [frame(kind, 2 << 24 | 2 << 16, sent=50)], boot_us=20)


def test_a_promise_to_the_master_that_relies_on_it():
    number = 2 << 24 | 2 << 16
    cell = CellCheck(3, lambda master, sent: 100)
    cell.sent(1, [frame(ECHO, 1 << 24 | 2 << 16, sent=40)], boot_us=10)
    cell.durable(1, group(number, (PROMISED, number, 0, 0)))
    cell.sent(1, [frame(PROMISE, number)], boot_us=20)


def test_a_replica_that_misses_its_log_ends():
    written = frame_encode(7, ACCEPT, 1, 1, number=1 << 24, instance=3, payload=b"value")
    cell = CellCheck(3)
    cell.handed_on(1, 7, 100, written + b"and others")
    with pytest.raises(Violation, match="replica 1 goes on, and its log at 100 is not as it wrote it"):
        cell.handed_on(1, 7, 100, written[:-1] + b"E")
    with pytest.raises(Violation, match="replica 1 goes on"):
        cell.handed_on(1, 7, 100, bytes(len(written)))


def promise(cell, replica, number, mark, shown=()):
    cell.durable(replica, group(number, (PROMISED, number, 0, 0)))
    entries = [frame(ENTRY, number, instance, mark, extra=accepted) for instance, accepted in shown]
    cell.sent(replica, [*entries, frame(PROMISE, number, mark + len(entries), mark)], boot_us=10)


def test_proposes_without_a_majority(cell):
    with pytest.raises(Violation, match="no majority promised"):
        cell.sent(1, [frame(ACCEPT, 8, 4)], boot_us=20)


def test_proposes_at_a_reported_chosen_mark(cell):
    promise(cell, 2, 8, mark=5, shown=[(6, 4), (7, 4)])
    cell.sent(1, [frame(ACCEPT, 8, 6), frame(ACCEPT, 8, 7)], boot_us=20)
    with pytest.raises(Violation, match="with a lower chosen mark"):
        cell.sent(1, [frame(ACCEPT, 8, 5)], boot_us=20)
    promise(cell, 3, 9, mark=2)
    promise(cell, 2, 9, mark=5)
    cell.sent(1, [frame(ACCEPT, 9, 3)], boot_us=20)


def test_goes_on_in_its_epoch_over_anothers_entry(cell):
    cell.sent(1, [frame(BEAT, 7, 5)], boot_us=5)
    cell.glance(1, serving(1), 0, 0)
    promise(cell, 2, 9, mark=5, shown=[(6, 8)])
    with pytest.raises(Violation, match="with nothing newer than 0.0.7 there"):
        cell.sent(1, [frame(BEAT, 9, 5), frame(ACCEPT, 9, 6)], boot_us=20)


@pytest.mark.parametrize(("mark", "shown"), [(5, []), (5, [(6, 6), (7, 4)]), (4, [(5, 8)])])
def test_goes_on_in_its_epoch_over_older_entries(cell, mark, shown):
    cell.sent(1, [frame(BEAT, 7, 5)], boot_us=5)
    cell.glance(1, serving(1), 0, 0)
    promise(cell, 2, 9, mark, shown)
    cell.sent(1, [frame(BEAT, 9, 5)], boot_us=20)
    cell.sent(1, [frame(ACCEPT, 9, 6)], boot_us=30)


def test_goes_on_in_its_epoch_at_a_reported_chosen_mark(cell):
    cell.sent(1, [frame(BEAT, 7, 5)], boot_us=5)
    cell.glance(1, serving(1), 0, 0)
    promise(cell, 2, 9, mark=6)
    with pytest.raises(Violation, match="with a lower chosen mark"):
        cell.sent(1, [frame(ACCEPT, 9, 6)], boot_us=20)


# --- what is chosen
def test_a_majority_at_one_number_chooses():
    chosen = Chosen(5)
    for replica, number in ((1, 7), (2, 7), (2, 7), (3, 8)):
        chosen.accepted(replica, number, 1, 11)
    assert chosen.mark == 0
    chosen.accepted(4, 7, 1, 11)
    assert chosen.mark == 1


def test_the_mark_waits_for_gaps():
    chosen = Chosen(1)
    chosen.accepted(1, 7, 2, 12)
    assert chosen.mark == 0
    chosen.accepted(1, 7, 1, 11)
    assert chosen.mark == 2


def test_two_values_at_one_number():
    chosen = Chosen(3)
    chosen.accepted(1, 7, 1, 11)
    chosen.accepted(1, 8, 1, 12)
    with pytest.raises(Violation, match="proposed two values"):
        chosen.accepted(2, 7, 1, 12)


def test_another_value_behind_the_chosen_one():
    chosen = Chosen(3)
    for replica in (1, 2):
        chosen.accepted(replica, 7, 1, 11)
    chosen.accepted(3, 6, 1, 12)
    chosen.accepted(3, 8, 1, 11)
    with pytest.raises(Violation, match="was chosen at instance 1 before"):
        chosen.accepted(3, 9, 1, 12)


def test_chosen_under_another_value():
    chosen = Chosen(3)
    chosen.accepted(3, 9, 1, 12)
    chosen.accepted(1, 7, 1, 11)
    with pytest.raises(Violation, match="was chosen at instance 1 before"):
        chosen.accepted(2, 7, 1, 11)


def test_learned_and_not_chosen():
    chosen = Chosen(3)
    for replica in (1, 2):
        chosen.accepted(replica, 7, 1, 11)
    chosen.learned(3, 1, 11)
    for instance, value in ((1, 12), (2, 11)):
        with pytest.raises(Violation, match="not chosen"):
            chosen.learned(3, instance, value)
