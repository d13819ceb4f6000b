"""The store against a dictionary, and its sum against one computed from scratch."""


from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpaxos_live import _probe
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.db_ops import (
    FLAG_ABSOLUTE,
    OP_APPEND,
    OP_DEL,
    OP_EXPIRE,
    OP_FLUSH,
    OP_GET,
    OP_PERSIST,
    OP_SET,
    op_encode,
)
from fastpaxos_live.reference.db_store import Store

PROBES = pytest.mark.parametrize(
    "probe_class", [reference_probe.Probe, _probe.Probe], ids=["reference", "compiled"]
)

KEYS = st.integers(0, 30).map(lambda i: b"k%d" % i)
DEADLINES = st.integers(0, 12).map(lambda i: 100 * i)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.binary(max_size=3), DEADLINES),
        st.tuples(st.just("append"), KEYS, st.binary(max_size=40), st.just(0)),
        st.tuples(st.just("deadline"), KEYS, st.just(b""), DEADLINES),
        st.tuples(st.just("delete"), KEYS, st.just(b""), st.just(0)),
        st.tuples(st.just("expire"), st.just(b""), st.just(b""), DEADLINES),
        st.tuples(st.just("clear"), st.just(b""), st.just(b""), st.just(0)),
        st.tuples(st.just("tidy"), st.just(b""), st.just(b""), st.just(0)),
    ),
    max_size=120,
)

class Model(dict[bytes, tuple[bytes, int]]):
    """Values and deadlines by key, at a time that goes on."""

    time_ms = 0

    def store(self, key: bytes, value: bytes, deadline_ms: int) -> None:
        if 0 < deadline_ms <= self.time_ms:
            self.pop(key, None)  # what is due already is not kept
        else:
            self[key] = value, deadline_ms


def set_operation(key: bytes, value: bytes, deadline_ms: int = 0) -> bytes:
    return op_encode(OP_SET, FLAG_ABSOLUTE if deadline_ms else 0, deadline_ms, [(key, value)])


def step(probe, model: Model, what: str, key: bytes, value: bytes, time_ms: int) -> None:
    """The same on both sides."""
    if what == "put":
        probe.run(set_operation(key, value, time_ms), model.time_ms)
        model.store(key, value, time_ms)
    elif what == "append":
        probe.run(op_encode(OP_APPEND, 0, 0, [(key, value)]), model.time_ms)
        old, deadline = model.get(key, (b"", 0))
        model[key] = old + value, deadline
    elif what == "deadline":
        code, flags = (OP_EXPIRE, FLAG_ABSOLUTE) if time_ms else (OP_PERSIST, 0)
        probe.run(op_encode(code, flags, time_ms, [(key, b"")]), model.time_ms)
        if key in model:
            model.store(key, model[key][0], time_ms)
    elif what == "delete":
        probe.run(op_encode(OP_DEL, 0, 0, [(key, b"")]), model.time_ms)
        model.pop(key, None)
    elif what == "expire":
        model.time_ms = max(model.time_ms, time_ms)
        probe.expire(model.time_ms)
        for due in [k for k, (_, deadline) in model.items() if 0 < deadline <= model.time_ms]:
            del model[due]
    elif what == "tidy":
        probe.tidy()
    else:
        probe.run(op_encode(OP_FLUSH, 0, 0, []), 0)
        model.clear()


def check(probe, model: Model) -> None:
    """Everything that the probe tells about its store, when nothing is left to be removed."""
    probe.check()
    scratch = Store(3)
    for key in sorted(model):
        scratch.put(key, *model[key])
    deadlines = [deadline for _, deadline in model.values() if deadline]
    next_deadline = min(deadlines, default=0)
    assert probe.state() == (len(model), len(deadlines), scratch.state_sum, next_deadline)
    for key, (value, _) in model.items():
        assert probe.run(op_encode(OP_GET, 0, 0, [(key, b"")]), 0) == b"$%d\r\n%b\r\n" % (
            len(value),
            value,
        )


@PROBES
@settings(deadline=None)
@given(steps=STEPS)
def test_as_a_dictionary(probe_class, steps: list[tuple[str, bytes, bytes, int]]) -> None:
    probe = probe_class(3, 1000, 2)
    model = Model()
    for each in steps:
        step(probe, model, *each)
    check(probe, model)


@PROBES
def test_many_keys_come_and_go(probe_class) -> None:
    random = Random(5)
    probe = probe_class(3, 1000, 2)
    model = Model()
    for turn in range(3):
        for i in range(20_000):
            deadline_ms = random.choice([0, 100_000 * turn + 1000 + i])
            step(probe, model, "put", b"%d" % i, b"%d" % random.getrandbits(20), deadline_ms)
        for i in random.sample(range(20_000), 15_000):
            step(probe, model, "delete", b"%d" % i, b"", 0)
        step(probe, model, "expire", b"", b"", 100_000 * turn + 12_000)
        while 0 < probe.state()[3] <= model.time_ms:  # all that is due is more than one part
            probe.expire(model.time_ms)
        check(probe, model)


@PROBES
def test_values_that_grow_and_shrink(probe_class) -> None:
    probe = probe_class(3, 1000, 2)
    model = Model()
    for size in (0, 10, 100_000, 3, 99_999, 0, 50_000, 100_001):
        step(probe, model, "put", b"k", b"%d" % (size % 10) * size, 0)
        step(probe, model, "put", b"other", b"x" * (size // 2), 77)
        check(probe, model)


@PROBES
def test_values_that_move_keep_their_deadlines(probe_class) -> None:
    probe = probe_class(3, 1000, 2)
    model = Model()
    for size in (1, 100, 3000):
        for i in range(500):
            step(probe, model, "put", b"%d" % i, b"v", 1000 * size + 7 * i % 500)
        for i in range(500):
            step(probe, model, "append", b"%d" % i, b"x" * size, 0)
    for time_ms in (3_000_100, 3_000_101, 3_000_400, 3_000_499):
        step(probe, model, "expire", b"", b"", time_ms)
        check(probe, model)
    assert not model


@PROBES
def test_the_sum_tells_states_apart(probe_class) -> None:
    states: list[Model] = [
        {},
        {b"a": (b"", 0)},
        {b"": (b"a", 0)},
        {b"a": (b"b", 0)},
        {b"ab": (b"", 0)},
        {b"a": (b"b", 1)},
        {b"a": (b"b", 2)},
        {b"a": (b"b", 0), b"b": (b"a", 0)},
        {b"a": (b"a", 0), b"b": (b"b", 0)},
    ]
    sums = set()
    for state in states:
        probe = probe_class(3, 1000, 2)
        for key, (value, deadline) in state.items():
            probe.run(set_operation(key, value, deadline), 0)
        sums.add(probe.state()[2])
    assert len(sums) == len(states)


@PROBES
def test_the_sum_depends_on_the_seed(probe_class) -> None:
    sums = set()
    for seed in (1, 2, 2**64 - 1):
        probe = probe_class(seed, 1000, 2)
        probe.run(set_operation(b"a", b"b"), 0)
        sums.add(probe.state()[2])
    assert len(sums) == 3


@PROBES
def test_a_key_that_came_back_does_not_expire_by_its_old_deadline(probe_class) -> None:
    probe = probe_class(3, 1000, 2)
    model = Model()
    for what, deadline_ms in [("put", 100), ("delete", 0), ("put", 200), ("expire", 100), ("put", 0), ("expire", 1000)]:
        step(probe, model, what, b"k", b"v", deadline_ms)
        check(probe, model)
    assert model
