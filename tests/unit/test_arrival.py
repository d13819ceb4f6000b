"""What a peer sends is checked once, when it arrives: what no replica sends ends the connection, on both cores."""

from struct import pack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hand import CELL_ID, LEASE_US, WALL_MS, Cell, config

from fastpaxos_live._select import load_core
from fastpaxos_live.reference.db_ops import (
    OP_APPEND,
    OP_DEL,
    OP_FLUSH,
    OP_GET,
    OP_INCRBY,
    OP_MSET,
    OP_SET,
    op_encode,
)
from fastpaxos_live.reference.limits import INSTANCE_MAX, ROUNDS_AHEAD_MAX, SERVED_MAX, STREAMS_MAX, TIME_MS_MAX
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    ACK,
    ANSWER,
    ASK,
    BEAT,
    ECHO,
    ENTRY,
    EPOCH,
    FETCH,
    FETCHED,
    FORWARD,
    HANGUP,
    LEARN,
    NOOP,
    OPERATIONS,
    PROMISE,
    PROPOSE,
    REFUSE,
    REPLIES,
    TAKEN,
    WHERE,
    frame_encode,
    value_encode,
)

ME, PEER, THIRD = 1, 2, 3
SET = op_encode(OP_SET, 0, 0, [(b"key", b"value")])


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


def number(owner: int, round: int = 1) -> int:
    return round << 24 | owner << 16 | 1


def value(body: bytes = SET, count: int = 1, kind: int = OPERATIONS, time_ms: int = WALL_MS) -> bytes:
    return value_encode(CELL_ID, time_ms, 0, count, kind, body)


def replica(core: str):
    """Replica 1 of three, past its silence."""
    made = load_core(core).Replica(config(ME))
    made.start(1_000_000, WALL_MS)
    for peer in (PEER, THIRD):
        for channel in (0, 1):
            made.open_peer(peer, channel)
    made.turn(1_000_000 + LEASE_US, WALL_MS)
    return made


def feed(core: str, kind: int, **fields) -> tuple[bool, int]:
    """Is the frame taken by a fresh replica, and what did that promise then?"""
    made = replica(core)
    good = made.feed_peer(PEER, 0, frame_encode(CELL_ID, kind, PEER, 1, **fields))
    made.turn(1_000_000 + LEASE_US + 1, WALL_MS)
    return good, made.status()["promised"]


GOOD = [
    value(), value(SET * 3, 3), value(b"", 0), value(b"", 0, NOOP), value(bytes(8), 0, EPOCH),
    value(op_encode(OP_DEL, 0, 0, [(b"a", b""), (b"", b"")])), value(op_encode(OP_FLUSH, 0, 0, [])),
    value(op_encode(OP_MSET, 0, 0, [(b"a", b"1"), (b"b", b"2")])), value(time_ms=TIME_MS_MAX),
]  # fmt: skip
BAD = {
    "shorter than its header": value()[:31],
    "another checksum": value()[:-1] + b"!",
    "an unknown kind": value(b"", 0, 3),
    "a time beyond all clocks": value(time_ms=TIME_MS_MAX + 1),
    "fewer operations than counted": value(SET, 2),
    "more operations than counted": value(SET * 2, 1),
    "an operation of no bytes": value(pack("<IIqBBH", 0, 1, 0, OP_SET, 0, 0) + SET[20:]),
    "an operation beyond its end": value(pack("<IIqBBH", len(SET) + 1, 1, 0, OP_SET, 0, 0) + SET[20:]),
    "half a header": value(SET + bytes(19), 2),
    "an item beyond its end": value(pack("<IIqBBH", 30, 1, 0, OP_SET, 0, 0) + pack("<II", 0x7FFFFFFF, 1) + b"kv"),
    "items whose sizes overflow": value(pack("<IIqBBH", 30, 1, 0, OP_SET, 0, 0) + pack("<II", 2**32 - 1, 3) + b"kv"),
    "bytes behind its items": value(pack("<IIqBBH", len(SET) + 1, 1, 0, OP_SET, 0, 0) + SET[20:] + b"x"),
    "an item less": value(pack("<IIqBBH", len(SET), 2, 0, OP_MSET, 0, 0) + SET[20:]),
    "two items where one belongs": value(op_encode(OP_APPEND, 0, 0, [(b"a", b"1"), (b"b", b"2")])),
    "no item": value(op_encode(OP_INCRBY, 0, 1, [])),
    "no key to delete": value(op_encode(OP_DEL, 0, 0, [])),
    "a flush with a key": value(op_encode(OP_FLUSH, 0, 0, [(b"a", b"")])),
    "a read": value(op_encode(OP_GET, 0, 0, [(b"a", b"")])),
    "an unknown operation": value(op_encode(OP_FLUSH + 1, 0, 0, [(b"a", b"")])),
    "bytes that must be zero": value(SET[:18] + b"\1" + SET[19:]),
    "an epoch without a number": value(b"", 0, EPOCH),
    "a no-op with operations": value(SET, 1, NOOP),
    "a no-op that counts some": value(b"", 1, NOOP),
}


@pytest.mark.parametrize("good", GOOD, ids=range(len(GOOD)))
@pytest.mark.parametrize(("kind", "owner"), [(ACCEPT, PEER), (LEARN, THIRD), (ENTRY, ME)])
def test_values_that_replicas_send_are_taken(core: str, kind: int, owner: int, good: bytes) -> None:
    assert feed(core, kind, number=number(owner), instance=1, payload=good)[0]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize(("kind", "owner"), [(ACCEPT, PEER), (LEARN, THIRD), (ENTRY, ME)])
def test_a_value_that_could_not_be_applied_is_refused(core: str, kind: int, owner: int, bad: bytes) -> None:
    assert feed(core, kind, number=number(owner), instance=1, payload=bad) == (False, 0)


OWNERS = {
    ASK: PEER, PROPOSE: PEER, ACCEPT: PEER, BEAT: PEER,
    ANSWER: ME, PROMISE: ME, ENTRY: ME, REFUSE: ME, ACK: ME, ECHO: ME, WHERE: ME,
}  # fmt: skip


@pytest.mark.parametrize("kind", OWNERS)
def test_a_number_has_one_owner(core: str, kind: int) -> None:
    fields = {"instance": 1, "payload": value() if kind in (ACCEPT, ENTRY) else b""}
    for owner in (0, ME, PEER, THIRD, 200):
        good, promised = feed(core, kind, number=number(owner), **fields)
        assert good == (owner == OWNERS[kind])
        assert good or not promised


@pytest.mark.parametrize("kind", OWNERS)
def test_a_number_out_of_reach_is_refused(core: str, kind: int) -> None:
    """One that is taken by a majority would end all elections for good."""
    fields = {"instance": 1, "payload": value() if kind in (ACCEPT, ENTRY) else b""}
    assert feed(core, kind, number=number(OWNERS[kind], ROUNDS_AHEAD_MAX), **fields)[0]
    for round in (ROUNDS_AHEAD_MAX + 1, (1 << 40) - 1):
        assert feed(core, kind, number=number(OWNERS[kind], round), **fields) == (False, 0)


@pytest.mark.parametrize("kind", [ANSWER, REFUSE, ENTRY])
def test_so_is_one_that_is_only_told_of(core: str, kind: int) -> None:
    fields = {"number": number(ME), "instance": 1, "payload": value() if kind == ENTRY else b""}
    assert feed(core, kind, extra=number(THIRD, ROUNDS_AHEAD_MAX), **fields)[0]
    assert not feed(core, kind, extra=number(THIRD, ROUNDS_AHEAD_MAX + 1), **fields)[0]


@pytest.mark.parametrize("kind", OWNERS)
@pytest.mark.parametrize("field", ["instance", "mark"])
def test_an_instance_beyond_any_log_is_refused(core: str, kind: int, field: str) -> None:
    fields = {"number": number(OWNERS[kind]), "instance": 1, "payload": value() if kind in (ACCEPT, ENTRY) else b""}
    assert feed(core, kind, **{**fields, field: INSTANCE_MAX})[0]
    for far in (INSTANCE_MAX + 1, (1 << 64) - 1):
        assert feed(core, kind, **{**fields, field: far}) == (False, 0)


def test_no_value_has_the_instance_0(core: str) -> None:
    assert not feed(core, ACCEPT, number=number(PEER), instance=0, payload=value())[0]


@pytest.mark.parametrize("kind", [ACK, ECHO])
def test_an_answer_to_what_was_not_sent_yet_counts_for_no_lease(core: str, kind: int) -> None:
    cell = Cell(core).start()
    master = cell.master()
    other = cell.others(master)[0]
    its = cell.replicas[master]
    last = its.status()["sequence_number"]
    cell.isolate(master)
    cell.run(LEASE_US // 2)
    frame = frame_encode(
        CELL_ID, kind, other, 1, number=last, instance=its.status()["instance_committed"],
        sent=cell.now_us + 10 * LEASE_US)
    its.clock(cell.now_us, cell.wall_ms(master))
    assert its.feed_peer(other, 0, frame)
    cell.run(LEASE_US // 2)
    assert its.status()["lease_us_left"] == 0


def test_requests_and_replies_with_absurd_fields(core: str) -> None:
    """They would index beyond all bounds, or count what is not there."""
    ping = b"*1\r\n$4\r\nPING\r\n"
    good = {"instance": 1, "flags": 2, "extra": 1 << 32, "payload": ping}
    assert feed(core, FORWARD, **good)[0]
    for bad in (
        {"extra": 1 << 32 | STREAMS_MAX}, {"extra": (1 << 64) - 1}, {"flags": 0}, {"flags": 4}, {"instance": 1 << 63},
    ):  # fmt: skip
        assert not feed(core, FORWARD, **{**good, **bad})[0]
    for kind in (REPLIES, HANGUP, TAKEN):
        assert feed(core, kind, extra=(1 << 64) - 1, instance=(1 << 64) - 1, sent=(1 << 64) - 1)[0]


def test_what_was_taken_of_a_stream_is_what_was_sent_at_most(core: str) -> None:
    made = replica(core)
    ping = frame_encode(
        CELL_ID, FORWARD, PEER, 1, instance=1, flags=2, extra=1 << 32, payload=b"*1\r\n$4\r\nPING\r\n")
    assert made.feed_peer(PEER, 1, ping)
    assert made.feed_peer(PEER, 1, frame_encode(CELL_ID, TAKEN, PEER, 1, sent=(1 << 64) - 1, extra=1 << 32))
    again = frame_encode(
        CELL_ID, FORWARD, PEER, 1, number=1, instance=1, flags=2, extra=1 << 32, payload=b"*1\r\n$4\r\nECHO\r\n")
    assert made.feed_peer(PEER, 1, again)
    made.turn(1_000_000 + LEASE_US + 1, WALL_MS)
    assert made.drain_peer(PEER, 1)


def test_so_many_reads_for_others_wait_and_no_more(core: str) -> None:
    cell = Cell(core).start()
    master = cell.master()
    other = cell.others(master)[0]
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    its = cell.replicas[master]
    for _ in range(SERVED_MAX + 10):
        assert its.feed_peer(other, 1, frame_encode(CELL_ID, FETCH, other, 1, instance=1))
    assert len(its.drain_reads()) == SERVED_MAX


# --- incarnations


def test_replicas_of_different_incarnations_hear_each_other(core: str) -> None:
    cell = Cell(core)
    for me in cell.ids:
        cell.own[me] = {"incarnation": me}
    cell.start()
    master = cell.master()
    assert cell.ask(master, b"SET key value") == b"+OK\r\n"
    cell.until(lambda: all(cell.get(me, b"key") == b"value" for me in cell.ids))
    cell.stop(master)
    cell.master(*cell.others(master))


def test_a_frame_of_an_older_incarnation_is_as_one_that_was_lost(core: str) -> None:
    made = replica(core)

    def asks(incarnation: int) -> int:
        """How many bytes are answered to an ASK of this incarnation of the peer."""
        assert made.feed_peer(PEER, 0, frame_encode(CELL_ID, ASK, PEER, incarnation, number=number(PEER)))
        return len(made.drain_peer(PEER, 0))

    assert asks(1)
    assert asks(3)
    assert not asks(2)
    assert asks(3)


# --- anything at all

KINDS = [*OWNERS, LEARN, FETCH, FETCHED, FORWARD, REPLIES, HANGUP, TAKEN, 0, 32, 255]
EDGES = st.sampled_from([0, 1, 2, 3, 127, 128, 129, 2**32 - 1, 2**32, 2**62, 2**62 + 1, 2**63, 2**64 - 1])
NUMBERS = st.one_of(
    st.builds(number, st.sampled_from([0, ME, PEER, THIRD, 9]), st.sampled_from([0, 1, 2, 3, 2**32, 2**40 - 1])), EDGES)
VALUES = st.one_of(
    st.sampled_from([*GOOD, *BAD.values(), b""]),
    st.builds(lambda good, at, byte: value(good[32 : 32 + at] + bytes([byte]) + good[33 + at :]),
              st.sampled_from(GOOD), st.integers(0, 40), st.integers(0, 255)),
)  # fmt: skip
FRAMES = st.lists(
    st.tuples(
        st.sampled_from(KINDS), NUMBERS, EDGES, EDGES, EDGES, st.one_of(EDGES, NUMBERS), st.integers(0, 3), VALUES),
    min_size=1, max_size=8,
)  # fmt: skip


@given(FRAMES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_fed_both_cores_do_the_same_and_promise_owners_only(frames) -> None:
    pair = [replica("cython"), replica("python")]
    now = 1_000_000 + LEASE_US
    for kind, its_number, instance, mark, sent, extra, flags, payload in frames:
        data = frame_encode(CELL_ID, kind, PEER, 1, its_number, instance, mark, sent, extra, flags, payload)
        now += 1000
        results = []
        for made in pair:
            made.clock(now, WALL_MS)
            good = made.feed_peer(PEER, 0, data)
            made.turn(now, WALL_MS)
            group = made.drain_disk()
            if group is not None:
                made.durable(group[0] + len(group[1]))
            out = [made.drain_peer(peer, channel) for peer in (PEER, THIRD) for channel in (0, 1)]
            results.append((good, made.status(), made.rows(), group, out, made.wakeup()))
        assert results[0] == results[1]
        good, status, *_ = results[0]
        assert status["promised"] >> 16 & 0xFF in (0, PEER)
        assert status["promised"] >> 24 <= 8 * ROUNDS_AHEAD_MAX
        if not good:
            break
