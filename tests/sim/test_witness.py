"""The witness on logs and histories whose verdict is known, and against two other judges."""

from itertools import combinations, count, permutations
from random import Random

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.reference import db_apply
from fastpaxos_live.reference.db_store import Store
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    ACK,
    EPOCH,
    LEARN,
    NOOP,
    OPERATIONS,
    frame_encode,
    value_encode,
    value_header,
)
from fastpaxos_live.reference.resp_fast import encode
from fastpaxos_live.sim import linear
from fastpaxos_live.sim.clients import MIX, TTLS_MS
from fastpaxos_live.sim.linear import check_history
from fastpaxos_live.sim.link import decode
from fastpaxos_live.sim.model import Model
from fastpaxos_live.sim.mutants import load_mutant
from fastpaxos_live.sim.plan import PLANS
from fastpaxos_live.sim.requests import COMMANDS, FOREVER, OK, Kind, Request
from fastpaxos_live.sim.witness import Clocks, Log, check_answers, chosen_values, shown
from fastpaxos_live.sim.world import SEARCH_EVERY, World

MS = 1000  # us
CONNECTIONS = count(100)
EXACT = Clocks()


def request(kind, keys, asked, answered, reply=None, values=b"", number=0, **more):
    """Keys and values are separated by blanks; times in ms. Each has a connection of its own, unless one is given."""
    more.setdefault("connection", next(CONNECTIONS))
    return Request(
        kind, tuple(keys.split()), tuple(values.split()), number, asked=asked * MS,
        answered=answered if answered == FOREVER else answered * MS, reply=reply, **more,
    )  # fmt: skip


def batch(time_ms, *writes, epoch=0, kind=OPERATIONS):
    body = b"".join(write.operation() for write in writes)
    return time_ms, value_encode(0, time_ms, epoch, len(writes), kind, body)


def verdict(values, history, clocks=EXACT, applied_ms=None):
    """`values`: as by `batch`, each applied at the time that it carries, unless others are given."""
    applied_at = [time * MS for time in applied_ms or [time for time, _ in values]]
    return check_answers(history, Log([value for _, value in values], applied_at), clocks)


# Requests that several cases share. Times in ms.
A = request(Kind.SET, b"x", 10, 20, OK, b"a")
B = request(Kind.SET, b"x", 30, 40, OK, b"b")
BOTH_1 = request(Kind.MSET, b"x y", 10, 20, OK, b"x1 y1")
BOTH_2 = request(Kind.MSET, b"x y", 30, 50, OK, b"x2 y2")
SHORT = request(Kind.SET_PX, b"x", 10, 20, OK, b"a", 100)  # to 112, as its value says
LONGER = request(Kind.PEXPIRE, b"x", 40, 52, 1, number=200)  # to 252
SHORTER = request(Kind.PEXPIRE, b"x", 40, 52, 1, number=20)  # to 72
LONG = request(Kind.SET_PX, b"x", 10, 20, OK, b"a", 10_000)
OTHER = request(Kind.SET_PX, b"y", 19, 21, OK, b"a", 100)  # to 120
LOST = request(Kind.SET, b"x", 10, FOREVER, values=b"a")
UNDONE = request(Kind.SET, b"x", 10, FOREVER, values=b"a", failed=True)
PERSIST_0 = request(Kind.PERSIST, b"x", 30, 60, 0)
PERSIST_1 = request(Kind.PERSIST, b"x", 30, 60, 1)
AT_12 = batch(12, A)
SHORT_AT_12 = batch(12, SHORT)


def get(asked, answered, reply=None, **more):
    return request(Kind.GET, b"x", asked, answered, reply, **more)


GOOD = {
    "nothing": ([], []),
    "read of nothing": ([], [get(1, 2)]),
    "read your write": ([AT_12], [A, get(21, 22, b"a")]),
    "read before the write takes place": ([AT_12], [A, get(11, 13)]),
    "read of a write that is not answered yet": ([AT_12], [A, get(11, 13, b"a")]),
    "unknown and done": ([batch(12, LOST)], [LOST, get(30, 31, b"a")]),
    "unknown and not done": ([], [LOST, get(30, 31)]),
    "called undone": ([], [UNDONE, get(30, 31)]),
    "several keys before a write": ([batch(12, BOTH_1), batch(32, BOTH_2)],
                                    [BOTH_1, BOTH_2, request(Kind.MGET, b"x y", 31, 33, [b"x1", b"y1"])]),
    "several keys behind a write": ([batch(12, BOTH_1), batch(32, BOTH_2)],
                                    [BOTH_1, BOTH_2, request(Kind.MGET, b"x y z", 31, 33, [b"x2", b"y2", None])]),
    "expired": ([SHORT_AT_12, batch(112)], [SHORT, get(21, 22, b"a"), get(113, 114)]),
    "time left": ([SHORT_AT_12, batch(52)], [SHORT, request(Kind.PTTL, b"x", 53, 54, 60)]),
    "time left, more by a clock": ([SHORT_AT_12, batch(52)], [SHORT, request(Kind.PTTL, b"x", 53, 54, 45)]),
    "less and less time left": ([SHORT_AT_12, batch(52)],
                                [SHORT, request(Kind.PTTL, b"x", 53, 54, 59), request(Kind.PTTL, b"x", 55, 56, 59)]),
    "more time left of what lives longer": (
        [SHORT_AT_12, batch(52, LONGER)],
        [SHORT, request(Kind.PTTL, b"x", 30, 31, 80), LONGER, request(Kind.PTTL, b"x", 55, 56, 198)]),
    "time left of which of two deadlines": (  # 92 by the first, but that does not bind, as it may be 52 by the second
        [SHORT_AT_12, batch(52, SHORTER)],
        [SHORT, SHORTER, request(Kind.PTTL, b"x", 51, 54, 20), request(Kind.PTTL, b"x", 55, 56, 17)]),
    "time left before another batch": ([SHORT_AT_12, batch(52)], [SHORT, request(Kind.PTTL, b"x", 51, 53, 100)]),
    "no time left": ([AT_12], [A, request(Kind.PTTL, b"x", 21, 22, -1), request(Kind.PTTL, b"y", 21, 22, -2)]),
    "two that can't be told apart": ([batch(12, SHORT), batch(32, PERSIST_1), batch(34, PERSIST_0)],
                                     [SHORT, PERSIST_0, PERSIST_1]),
    "batch of an epoch that ended": ([batch(1, kind=EPOCH), batch(12, LOST), batch(13, kind=NOOP)],
                                     [LOST, get(30, 31)]),
    "batch of the second epoch": ([batch(1, kind=EPOCH), batch(12, A, epoch=1)], [A, get(30, 31, b"a")]),
}

BAD = {
    "stale read": ([AT_12, batch(32, B)], [A, B, get(41, 42, b"a")], "never so"),
    "reads go back": ([AT_12, batch(32, B)], [A, B, get(33, 34, b"b"), get(35, 36, b"a")], "never so"),
    "read from the future": ([AT_12, batch(32, B)], [A, B, get(25, 31, b"b")], "never so"),
    "value of nobody": ([AT_12], [A, get(21, 22, b"z")], "never so"),
    "write lost": ([], [A], "lost"),
    "write lost when the epoch ended": ([batch(1, kind=EPOCH), AT_12], [A], "lost"),
    "write twice": ([AT_12, batch(13, A)], [A], "places [2, 4]"),
    "unknown write twice": ([batch(12, LOST), batch(13, LOST)], [LOST], "asked 1 times"),
    "called undone and done": ([batch(12, UNDONE)], [UNDONE], "asked 0 times"),
    "write of nobody": ([AT_12], [], "asked 0 times"),
    "wrong reply": ([batch(12, BOTH_1)], [request(Kind.MSET, b"x y", 10, 20, 1, b"x1 y1")], "not so"),
    "answered before it was chosen": ([batch(25, A)], [A], "applied only at"),
    "chosen before it was asked": ([batch(5, A)], [A], "not so"),
    "unknown and chosen before it was asked": ([batch(5, LOST)], [LOST], "applied before"),
    "torn over two places": ([batch(12, BOTH_1), batch(32, BOTH_2)],
                             [BOTH_1, BOTH_2, request(Kind.MGET, b"x y", 31, 60, [b"x1", b"y2"])], "never so"),
    "writes against real time": ([batch(12, B), batch(12, A)], [A, B], "not so"),
    "expired and read": ([SHORT_AT_12, batch(112)], [SHORT, get(113, 114), get(115, 116, b"a")], "never so"),
    "expired and read at once": ([SHORT_AT_12, batch(112), batch(113, B)],
                                 [SHORT, request(Kind.SET, b"x", 112, 114, OK, b"b"), get(115, 116, b"a")],
                                 "never so"),
    "shown though nobody let it expire": ([SHORT_AT_12], [SHORT, get(170, 171, b"a")], "longer"),
    "vanished before its time": ([SHORT_AT_12, batch(111)], [SHORT, get(112, 113)], "never so"),
    "time left too long": ([SHORT_AT_12, batch(52)], [SHORT, request(Kind.PTTL, b"x", 53, 54, 101)], "never so"),
    "time left too long by the clocks": ([SHORT_AT_12], [SHORT, request(Kind.PTTL, b"x", 175, 176, 0)], "longer"),
    "time left too short": ([batch(12, LONG)], [LONG, request(Kind.PTTL, b"x", 53, 54, 10_000 - 300)], "never so"),
    "time left by a time long ago": ([batch(12, LONG)],
                                     [LONG, request(Kind.PTTL, b"x", 1000, 1001, 10_000 - 50)], "never so"),
    "time goes back": (
        [SHORT_AT_12, batch(52)],
        [SHORT, request(Kind.PTTL, b"x", 53, 54, 50), request(Kind.PTTL, b"x", 55, 56, 51)], "1 ms before"),
    "time goes back on a connection": (
        [SHORT_AT_12, batch(52)],
        [SHORT, request(Kind.PTTL, b"x", 53, 60, 50, connection=1),
         request(Kind.PTTL, b"x", 54, 60, 52, connection=1)], "2 ms before"),
    "time goes back of another key": (
        [SHORT_AT_12, batch(20, OTHER)],
        [SHORT, OTHER, request(Kind.PTTL, b"y", 53, 54, 60), request(Kind.PTTL, b"x", 55, 56, 60)], "8 ms before"),
    "one that can't be told apart, answered twice": (
        [batch(12, SHORT), batch(32, PERSIST_1)],
        [SHORT, PERSIST_1, request(Kind.PERSIST, b"x", 31, 61, 1)], "2 times"),
    "that of another answered": ([batch(12, SHORT), batch(32, PERSIST_1)], [SHORT, PERSIST_0], "not so"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name):
    assert verdict(*GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_bad(name):
    values, history, problem = BAD[name]
    found = verdict(values, history)
    assert found is not None and problem in found


def test_order_on_a_connection():
    write = request(Kind.SET, b"x", 10, 20, OK, b"a", connection=1)
    assert verdict([batch(12, write)], [write, get(10, 20, connection=2)]) is None
    assert "never so" in verdict([batch(12, write)], [write, get(10, 20, connection=1)])
    assert verdict([batch(12, write)], [get(10, 20, connection=1), write]) is None


def test_order_on_a_connection_binds_what_is_unknown():
    first = request(Kind.SET, b"x", 10, 20, OK, b"a", connection=1)
    second = request(Kind.SET, b"x", 10, FOREVER, values=b"b", connection=1)
    assert verdict([batch(12, first, second)], [first, second]) is None
    assert "answered before it" in verdict([batch(12, second, first)], [first, second])


def test_clocks_bound_the_time_in_force():
    fast, slow = batch(1000, A), batch(12, A)
    assert verdict([fast], [A], Clocks(ahead_ms=950), applied_ms=[12]) is None
    assert "ahead" in verdict([fast], [A], Clocks(ahead_ms=900), applied_ms=[12])
    assert verdict([slow], [A], Clocks(wall_ms=1000, behind_ms=950), applied_ms=[12]) is None
    assert "behind" in verdict([slow], [A], Clocks(wall_ms=1000, behind_ms=900), applied_ms=[12])
    late = request(Kind.SET, b"x", 100_000, 100_020, OK, b"a")
    assert verdict([batch(96_012, late)], [late], Clocks(drift_ppm=40_000), applied_ms=[100_012]) is None
    assert "behind" in verdict([batch(96_012, late)], [late], Clocks(drift_ppm=30_000), applied_ms=[100_012])


def test_a_key_may_be_shown_as_long_as_the_clocks_allow():
    history = [SHORT, get(200, 201, b"a")]
    assert "longer" in verdict([SHORT_AT_12], history)
    assert verdict([SHORT_AT_12], history, Clocks(behind_ms=60)) is None
    assert verdict([SHORT_AT_12], history, Clocks(late_us=60_000)) is None


def test_a_later_place_is_taken_where_the_key_has_more_time():
    longer = request(Kind.PEXPIRE, b"x", 30, FOREVER, number=1000)
    assert verdict([SHORT_AT_12, batch(32, longer)], [SHORT, longer, get(300, 301, b"a")]) is None


def test_values_are_found_in_what_was_written():
    one, two, other = (batch(time, A)[1] for time in (1, 2, 3))
    frames = [
        frame_encode(0, ACCEPT, 1, 1, instance=1, payload=other), frame_encode(0, ACK, 1, 1, instance=1),
        frame_encode(0, ACCEPT, 1, 1, instance=1, payload=one), frame_encode(0, LEARN, 1, 1, instance=2, payload=two),
    ]  # fmt: skip

    def group(*some):
        body = b"".join(some)
        return bytes(32) + len(body).to_bytes(8, "little") + bytes(24) + body + bytes(-len(body) % 64)

    checksums = {instance: int.from_bytes(value[:8], "little") for instance, value in ((1, one), (2, two))}
    assert chosen_values([[], [group(*frames)]], checksums) == [one, two]
    assert chosen_values([[group(frames[3])], [group(*frames[:3])]], checksums) == [one, two]
    with pytest.raises(KeyError, match="2"):
        chosen_values([[group(*frames[:3])]], checksums)


# --- the model and the product
def draw(random, kind, keys, number):
    """A random request, its values by `number`."""
    command = COMMANDS[kind]
    if kind in (Kind.INCR, Kind.INCRBY):
        keys = [b"c"]
    several = kind in (Kind.MGET, Kind.EXISTS, Kind.MSET, Kind.MSETNX)
    some = tuple(sorted(random.sample(keys, random.randint(1, 2)) if several else [random.choice(keys)]))
    values = tuple(b"%d" % (10 * number + i) for i in range(len(some)))
    amount = random.choice(TTLS_MS) if kind != Kind.INCRBY else number + 1
    if kind == Kind.APPEND:
        amount = 1 << 20  # how long a value may become
    if kind == Kind.DEL:
        some += (b"~%d" % number,)
    return Request(kind, some, values if {"v", "kv"} & set(command.words) else (), amount)


def test_the_model_does_what_the_product_does():
    random = Random(1)
    model, store = Model(), Store(0)
    writes = [kind for kind in Kind if COMMANDS[kind].opcode]
    time, expired, replies = 0, 0, set()
    for number in range(20_000):
        time += random.choice((0, 1, 20))
        asked = draw(random, random.choice(writes), [b"x", b"y", b"z"], number % 1000)
        operation = encode(asked.words(), 2, 1 << 20)[1]
        assert operation == asked.operation(), "as it stands in the log"
        expired += len(model.begin(value_header(batch(time, asked)[1])))
        store.expire(time)
        out = bytearray()
        db_apply.run(store, operation, 0, time, 2, out)
        reply = decode(out, 0)[0]
        assert model.run(operation)[0] == reply, asked
        assert {key: (store.get(key), store.deadline(key)) for key in model.entries} == model.entries
        assert store.size == len(model.entries)
        replies.add((asked.kind, type(reply)))
    assert expired > 500
    assert len(replies) >= len(writes) + 5


def test_the_log_keeps_to_the_epoch():
    model = Model()
    for (_, value), operations in ((AT_12, 1), (batch(13, kind=EPOCH), 0), (AT_12, 0), (batch(14, B, epoch=1), 1)):
        header = value_header(value)
        model.begin(header)
        assert len(model.operations(header, value)) == operations
    assert model.epoch == 1 and model.time_ms == 14


# --- the witness and the search
def long_history(random, requests):
    """A log and a history that it explains, with requests that overlap, unknown outcomes and undone ones."""
    model = Model()
    values, history, now, number = [], [], 10_000, 0
    kinds = list(MIX)
    while len(history) < requests:
        now += random.choice((1000, 5000, 30_000))
        group = []
        for _ in range(random.randint(1, 4)):
            number += 1
            asked = draw(random, random.choices(kinds, MIX.values())[0], [b"x", b"y"], number)
            asked.asked, asked.connection = now - random.randrange(8000), number
            group.append(asked)
        fates = random.choices(("done", "unknown", "unknown and done", "undone"), (20, 1, 1, 1), k=len(group))
        done = [r for r, fate in zip(group, fates, strict=True) if "done" in fate.split() and r.operation()]
        value = batch(now // MS, *done)[1]
        values.append((now, value))
        model.begin(value_header(value))
        for asked, fate in zip(group, fates, strict=True):
            asked.failed = fate == "undone"
            if asked in done:
                asked.reply = model.run(asked.operation())[0]
            elif fate == "done":
                asked.reply = read(model, asked)
            if fate == "done":
                asked.answered = now + random.randrange(8000)
        history += group
    return values, history


def read(model, asked):
    entries = [model.entries.get(key) for key in asked.keys]
    if asked.kind != Kind.PTTL:
        return shown(asked.kind, entries)
    return -2 if entries[0] is None else entries[0][1] - model.time_ms if entries[0][1] else -1


def judge(values, history):
    """What the witness says, and what the search does."""
    log = Log([value for _, value in values], [now for now, _ in values])
    return check_answers(history, log, EXACT), check_history(history, error_us=MS)


def test_long_good_histories_pass_both():
    random = Random(3)
    for _ in range(30):
        values, history = long_history(random, 120)
        assert judge(values, history) == (None, None)


def test_one_wrong_answer_is_found_by_both():
    random = Random(4)
    seen = 0
    for _ in range(60):
        values, history = long_history(random, 60)
        wrong = random.choice([r for r in history if r.kind in (Kind.GET, Kind.GETSET) and r.answered < FOREVER])
        wrong.reply = b"nobody's"
        by_witness, by_search = judge(values, history)
        assert by_witness is not None and "nobody's" in by_witness
        assert by_search is not None
        seen += 1
    assert seen == 60


def test_what_the_search_finds_the_witness_finds():
    """An answer of somebody else may fit, by chance: then both may say so; but only the search may be too kind."""
    random = Random(5)
    found = {"witness": 0, "search": 0}
    for _ in range(150):
        values, history = long_history(random, 60)
        wrong, other = random.sample([r for r in history if r.answered < FOREVER and r.kind != Kind.MGET], 2)
        wrong.reply = other.reply
        by_witness, by_search = judge(values, history)
        assert by_search is None or by_witness is not None, by_search
        found["witness"] += by_witness is not None
        found["search"] += by_search is not None
    assert found["witness"] > 100 and found["search"] > 80, found


def test_an_acknowledged_write_that_the_log_lost_is_found():
    random = Random(6)
    for _ in range(40):
        values, history = long_history(random, 40)
        lost = random.choice([r for r in history if r.answered < FOREVER and r.values])
        operation = lost.operation()
        index = next(i for i, (_, value) in enumerate(values) if operation in value)
        now, _ = values[index]
        rest = [r for r in history if r.operation() and r is not lost and r.operation() in values[index][1]]
        values[index] = now, batch(now // MS, *rest)[1]
        log = Log([value for _, value in values], [now for now, _ in values])
        assert check_answers(history, log, EXACT) is not None


@pytest.mark.parametrize("seed", [0, 1])
def test_a_search_that_gives_up_is_no_violation(monkeypatch, seed):
    monkeypatch.setattr(linear, "STATES_MAX", 1)
    outcome = World(seed, load_core("cython"), 3.0, draw=PLANS["boost"]).run()
    assert outcome.violation is None and outcome.operations > 500
    assert outcome.searches_given_up == (seed % SEARCH_EVERY == 0)


def test_a_world_that_lost_a_value_is_found():
    world = World(1, load_core("cython"), 3.0)
    del world.written[:]
    world.written += [Forgetful() for _ in range(world.plan.replicas + 1)]
    assert "no replica wrote its value" in world.run().violation


def test_a_state_that_is_not_the_models_is_found():
    world = World(1, load_core("cython"), 3.0)
    assert world.run().violation is None
    world.check.values[len(world.check.values) + 1] = 0
    assert world._check_state(Model()) is None, "nobody has applied all"
    del world.check.values[len(world.check.values)]
    assert "the model differ: {'keys': (" in world._check_state(Model())


# One line each: all replicas do the same, so their state sums agree.
WRONG_TOGETHER = {
    "keys do not expire": ("replica", "        self.store.expire(self.time_ms)\n", ""),
    "an increment takes the deadline away": (
        "db_apply", 'b"%d" % number, call.store.deadline(key))', 'b"%d" % number, 0)'),
    "an appended text loses its deadline": ("db_apply", "value, call.store.deadline(key))", "value, 0)"),
    "one missing key is enough for MSETNX": (
        "db_apply", "if any(call.store.get(key) is not None for", "if all(call.store.get(key) is not None for"),
    "PERSIST does nothing": (
        "db_apply", "    call.store.set_deadline(key, 0)\n    return integer(1)\n", "    return integer(1)\n"),
}
FINDING = range(0, 24)  # the seeds; the first that finds it ends the search


@pytest.mark.parametrize("name", WRONG_TOGETHER)
def test_what_all_replicas_do_wrong_together_is_found(name):
    module, old, new = WRONG_TOGETHER[name]
    core = load_mutant(old, new, module)
    assert any(World(seed, core, 4.0, draw=PLANS["relay"]).run().violation for seed in FINDING)


class Forgetful(list):
    """Takes only some of what is written."""

    def append(self, group):
        if len(group) % 3:
            super().append(group)


# --- the witness and the definition, with several keys
KINDS = (
    Kind.GET, Kind.MGET, Kind.MGET, Kind.EXISTS, Kind.SET, Kind.MSET, Kind.MSET, Kind.MSETNX, Kind.DEL, Kind.GETDEL,
)  # fmt: skip


def short_history(random):
    history = []
    for number in range(random.randint(2, 4)):
        asked = draw(random, random.choice(KINDS), [b"x", b"y"], number)
        seen = (None, None, *(value for r in history for value in r.values))
        asked.asked = random.randrange(8)
        if random.random() < 0.8:
            asked.answered = asked.asked + random.randrange(1, 6)
        if asked.kind in (Kind.GET, Kind.GETDEL):
            asked.reply = random.choice(seen)
        elif asked.kind == Kind.MGET:
            asked.reply = [random.choice(seen) for _ in asked.keys]
        else:
            asked.reply = OK if asked.kind in (Kind.SET, Kind.MSET) else random.randrange(3)
        asked.connection = number
        history.append(asked)
    return history


def orders(history, done):
    """Orders of `done` and any of unknown outcome."""
    unknown = [r for r in history if r.answered == FOREVER and r.operation()]
    for size in range(len(unknown) + 1):
        for some in combinations(unknown, size):
            yield from permutations([*done, *some])


def by_definition(history):
    """Some order that respects real time explains all answers."""
    for order in orders(history, [r for r in history if r.answered < FOREVER]):
        if any(b.answered < a.asked for i, a in enumerate(order) for b in order[i + 1 :]):
            continue
        model = Model()
        for asked in order:
            reply = model.run(asked.operation())[0] if asked.operation() else read(model, asked)
            if asked.answered < FOREVER and asked.reply != reply:
                break
        else:
            return True
    return False


def by_some_log(history):
    """The witness is content with some log."""
    for order in orders(history, [r for r in history if r.answered < FOREVER and r.operation()]):
        applied_at, now = [], 0
        for asked in order:
            now = max(now, asked.asked)  # the earliest time that is possible excludes least
            applied_at.append(now)
        log = Log([batch(0, asked)[1] for asked in order], applied_at)
        if check_answers(history, log, EXACT) is None:
            return True
    return False


def test_the_witness_agrees_with_the_definition_on_operations_of_several_keys():
    random = Random(7)
    verdicts = []
    for _ in range(3000):
        history = short_history(random)
        linearizable = by_definition(history)
        assert by_some_log(history) == linearizable, history
        verdicts.append(linearizable)
    assert 300 < sum(verdicts) < 2700, "both verdicts must be common"
