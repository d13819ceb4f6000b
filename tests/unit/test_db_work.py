"""No step of the store takes long, however many keys there are; and nobody can tell that things are done by parts."""

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.allocator import mallinfo

from fastpaxos_live import _probe
from fastpaxos_live.reference import limits, log_frame
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.db_ops import (
    FLAG_ABSOLUTE,
    FLAG_KEEP,
    OP_DBSIZE,
    OP_DEL,
    OP_EXISTS,
    OP_FLUSH,
    OP_GET,
    OP_INCRBY,
    OP_MSET,
    OP_MSETNX,
    OP_PERSIST,
    OP_SET,
    OP_TTL,
    op_encode,
)
from fastpaxos_live.server.memory import give_back
from fastpaxos_live.sim.mutants import load_mutant

PROBES = pytest.mark.parametrize("make", [reference_probe.Probe, _probe.Probe], ids=["reference", "compiled"])
SEED = 3
T = 1_000_000
Values = list[tuple[int, list[bytes]]]
"""The time of each, and its operations."""


def set_operation(key: bytes, deadline_ms: int = 0, size: int = 1) -> bytes:
    return op_encode(OP_SET, FLAG_ABSOLUTE if deadline_ms else 0, deadline_ms, [(key, b"v" * size)])


def apply(probe: Any, time_ms: int, operations: list[bytes]) -> None:
    body = b"".join(operations)
    probe.apply(log_frame.value_encode(SEED, time_ms, 0, len(operations), log_frame.OPERATIONS, body))


def new_keys(operation: bytes) -> int:
    """At most so many does it bring."""
    return int.from_bytes(operation[4:8], "little")


def excess(probe: Any, values: Values) -> str | None:
    """Applies the values; says when one took more work than it may."""
    before = probe.work()
    for time_ms, operations in values:
        apply(probe, time_ms, operations)
        now = probe.work()
        _, moved, swept, removed, size = (b - a for a, b in zip(before, now, strict=True))
        keys = sum(map(new_keys, operations))
        flushes = sum(not new_keys(operation) for operation in operations)
        steps = 1 + len(operations)  # which remove what is due
        if moved > limits.MOVED_SLOTS * keys:
            return f"{moved} slots moved for {keys} new keys"
        if swept > limits.SWEPT_SLOTS * keys + limits.FLUSHED_SLOTS * flushes:
            return f"{swept} slots swept for {keys} new keys and {flushes} times FLUSHALL"
        if removed > limits.REMOVED_KEYS + limits.REMOVED_KEYS_EACH * len(operations):
            return f"{removed} keys removed by {len(operations)} operations"
        if size >= steps * (limits.REMOVED_BYTES + LARGEST):
            return f"{size} bytes removed by {len(operations)} operations"
        before = now
    return None


LARGEST = 1 << 20  # value here
FLUSH = op_encode(OP_FLUSH, 0, 0, [])
KEYS = st.integers(0, 6000)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("keys"), KEYS, st.integers(0, 3000), st.sampled_from([0, 0, T, T + 5])),
        st.tuples(st.just("delete"), KEYS, st.integers(0, 300), st.just(0)),
        st.tuples(st.just("flush"), st.just(0), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("time"), st.just(0), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("tidy"), st.just(0), st.just(1), st.just(0)),
    ),
    max_size=12,
)  # fmt: skip
Steps = list[tuple[str, int, int, int]]
# What each planted bug below needs.
GROWTH: Steps = [("keys", 0, 100, 0)]
DUE: Steps = [("keys", 0, 3000, T), ("time", 0, 4, 0)]
FLUSHES: Steps = [("keys", 0, 3000, 0), ("flush", 0, 1, 0), ("keys", 0, 20, 0), ("flush", 0, 1, 0)]


def values_of(steps: Steps) -> Iterator[tuple[str, Values]]:
    """The values of each step; what sets keys is one value for each 500, and one with a single key."""
    time_ms = 1
    for what, first, count, deadline_ms in steps:
        values: Values = []
        if what == "keys":
            names = [b"%d" % key for key in range(first, first + count)]
            parts = [names[:1]] + [names[at : at + 500] for at in range(1, count, 500)]
            values = [(time_ms, [set_operation(key, deadline_ms) for key in part]) for part in parts]
        elif what == "delete":
            values = [(time_ms, [op_encode(OP_DEL, 0, 0, [(b"%d" % key, b"")])]) for key in range(first, first + count)]
        elif what == "flush":
            values = [(time_ms, [FLUSH] * count)]
        elif what == "time":
            time_ms = max(time_ms, T + 2 * count)
            values = [(time_ms, [])]
        yield what, values


def run(probe: Any, steps: Steps) -> str | None:
    for what, values in values_of(steps):
        if what == "tidy":
            probe.tidy()
        problem = excess(probe, values)
        if problem:
            return problem
    return None


@settings(deadline=None, max_examples=25)
@given(STEPS)
@example(GROWTH)
@example(DUE)
@example(FLUSHES)
def test_each_value_does_a_bounded_part_in_both_cores(steps: Steps) -> None:
    probes = reference_probe.Probe(SEED, 1000, 2), _probe.Probe(SEED, 1000, 2)
    found = [run(probe, steps) for probe in probes]
    assert found == [None, None]
    reference, compiled = probes
    compiled.check()
    assert compiled.state() == reference.state()
    assert compiled.work() == reference.work()
    assert compiled.tidy() == reference.tidy()


PLANTED = {
    "grow at once": ("self.moved += self._move(MOVED_SLOTS)", "self.moved += self._move(self._old)", GROWTH),
    "remove all that is due at once": (
        "while count and size < REMOVED_BYTES and 0 < self.next_deadline <= self.time_ms:",
        "while 0 < self.next_deadline <= self.time_ms:", DUE),
    "finish clearing at once when the next clear comes": (
        "self.swept += self._sweep(FLUSHED_SLOTS)", "self.swept += self._sweep(self._junk)", FLUSHES),
    "clear at once": (
        "            self._junk += self._slots + self._old\n", "            self.swept += self._slots + self._old\n",
        FLUSHES),
    "finish sweeping with the next new key": (
        "self.swept += self._sweep(SWEPT_SLOTS)", "self.swept += self._sweep(self._junk)",
        FLUSHES[:3]),
    "remove as much with each write as with each value": (
        "self._remove_due(REMOVED_KEYS_EACH)", "self._remove_due(REMOVED_KEYS)",
        [("keys", 0, 6000, T), ("time", 0, 0, 0), ("keys", 9000, 2, 0)]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    old, new, steps = PLANTED[name]
    package = load_mutant(old, new, "db_store").__package__
    probe = import_module(f"{package}.probe").Probe(SEED, 1000, 2)
    assert run(probe, steps) is not None
    assert run(reference_probe.Probe(SEED, 1000, 2), steps) is None


@PROBES
def test_large_values_are_removed_by_their_bytes(make: Any) -> None:
    probe = make(SEED, LARGEST, 2)
    for key in range(40):
        apply(probe, 1, [set_operation(b"%d" % key, T, LARGEST)])
    apply(probe, T, [])
    parts = [probe.work()[3]]
    while probe.state()[3]:
        apply(probe, T, [])
        parts.append(probe.work()[3] - sum(parts))
    assert parts == [16, 16, 8]


@PROBES
def test_more_than_comes_due_is_removed(make: Any) -> None:
    """A cell that is never idle forgets as fast as it is told."""
    probe = make(SEED, 1000, 2)
    for i in range(4):
        keys = [set_operation(b"%d" % key, T + i + 1) for key in range(3000 * i, 3000 * (i + 1))]
        apply(probe, T + i, keys)
    apply(probe, T + 9, [])
    assert probe.work()[3] >= 3 * 3000


# --- what nobody can tell
HIDDEN = 1400


def with_hidden(make: Any) -> Any:
    """A probe with more keys due than are removed at once, and one that is still held."""
    probe = make(SEED, 1000, 2)
    apply(probe, 1, [set_operation(b"%d" % key, T) for key in range(HIDDEN)])
    apply(probe, 1, [set_operation(b"stays", T + 1), set_operation(b"last", T + 1), set_operation(b"plain")])
    apply(probe, T, [])
    probe.check()
    return probe


def ask(probe: Any, opcode: int, *keys: bytes, arg: int = 0, flags: int = 0, value: bytes = b"") -> bytes:
    return probe.run(op_encode(opcode, flags, arg, [(key, value) for key in keys]), T)


@PROBES
def test_hidden_keys_are_not_there(make: Any) -> None:
    probe = with_hidden(make)
    assert probe.work()[3] == limits.REMOVED_KEYS
    assert probe.state()[:2] == (3, 2)
    assert ask(probe, OP_DBSIZE) == b":3\r\n"
    for key in (b"%d" % key for key in range(HIDDEN)):
        assert ask(probe, OP_GET, key) == b"$-1\r\n"
        assert ask(probe, OP_EXISTS, key, b"stays") == b":1\r\n"
        assert ask(probe, OP_TTL, key, arg=1) == b":-2\r\n"
    assert not probe.is_due(op_encode(OP_DBSIZE, 0, 0, []), T)
    assert probe.is_due(op_encode(OP_DBSIZE, 0, 0, []), T + 1)
    assert not probe.is_due(op_encode(OP_GET, 0, 0, [(b"7", b"")]), T + 1)
    assert probe.is_due(op_encode(OP_GET, 0, 0, [(b"stays", b"")]), T + 1)


@PROBES
@pytest.mark.parametrize(
    ("opcode", "flags", "arg", "value", "reply"),
    [
        (OP_DEL, 0, 0, b"", b":0\r\n"),
        (OP_PERSIST, 0, 0, b"", b":0\r\n"),
        (OP_INCRBY, 0, 5, b"", b":5\r\n"),
        (OP_MSETNX, 0, 0, b"new", b":1\r\n"),
        (OP_SET, FLAG_KEEP, 0, b"new", b"+OK\r\n"),
    ],
)
def test_a_write_to_a_hidden_key_begins_anew(
    make: Any, opcode: int, flags: int, arg: int, value: bytes, reply: bytes
) -> None:
    probe = with_hidden(make)
    for number in range(HIDDEN):  # hidden or removed, it is the same
        key = b"%d" % number
        assert ask(probe, opcode, key, arg=arg, flags=flags, value=value) == reply
        if opcode in (OP_DEL, OP_PERSIST):
            continue
        assert ask(probe, OP_TTL, key, arg=1) == b":-1\r\n"
        assert probe.state()[:2] == (4 + number, 2)
    probe.check()
    while 0 < probe.state()[3] <= T:
        apply(probe, T, [])
    probe.check()
    assert probe.state()[0] == (3 if opcode in (OP_DEL, OP_PERSIST) else 3 + HIDDEN)


@PROBES
def test_what_is_hidden_is_cleared_as_well(make: Any) -> None:
    probe = with_hidden(make)
    apply(probe, T, [FLUSH, op_encode(OP_MSET, 0, 0, [(b"a", b"1"), (b"b", b"2")])])
    fresh = make(SEED, 1000, 2)
    apply(fresh, T, [op_encode(OP_MSET, 0, 0, [(b"a", b"1"), (b"b", b"2")])])
    assert probe.state() == fresh.state()
    while probe.tidy():
        probe.check()
    assert probe.state() == fresh.state()


@pytest.mark.parametrize("spread", [1, 50, 100_000], ids=lambda spread: f"{spread} deadlines")
def test_any_number_of_deadlines(spread: int) -> None:
    """The tree of deadlines, wide and deep, against the sorted list of the reference."""
    probes = reference_probe.Probe(SEED, 1000, 2), _probe.Probe(SEED, 1000, 2)
    for i in range(12):
        keys = range(3000 * i, 3000 * i + 2500)
        operations = [set_operation(b"%d" % (key * 31 % 9000), T + key * 7919 % spread) for key in keys]
        operations += [op_encode(OP_DEL, 0, 0, [(b"%d" % key, b"")]) for key in range(i, 9000, 17)]
        operations += [op_encode(OP_PERSIST, 0, 0, [(b"%d" % key, b"")]) for key in range(i, 9000, 23)]
        for probe in probes:
            apply(probe, T - 1 + i * spread // 14, operations)
        reference, compiled = probes
        compiled.check()
        assert compiled.state() == reference.state()
        assert compiled.work() == reference.work()


# --- memory, which goes back bit by bit as well
MIB = 1 << 20


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("size", [50_000, 100_000, 250_000])
def test_much_memory_is_not_given_back_at_once(size: int) -> None:
    give_back()
    probe, total = _probe.Probe(SEED, 1000, 2), 100 * MIB
    for key in range(total // size):
        apply(probe, T, [set_operation(b"%d" % key, size=size)])
    apply(probe, T, [FLUSH])
    first = last = resident()
    left = True
    while left:
        left = probe.tidy()
        assert last - resident() < 16 * MIB
        last = resident()
    assert first - last > total // 2


def test_what_is_left_of_a_large_value_is_given_back_by_turns_as_well() -> None:
    """Also where nobody writes any more; and then there is nothing left to be done."""
    probe = _probe.Probe(SEED, 1000, 2)
    apply(probe, T, [set_operation(b"a", size=30 * MIB)])
    apply(probe, T, [op_encode(OP_DEL, 0, 0, [(b"a", b"")])])
    turns = 1
    while probe.tidy():
        turns += 1
    assert 2 <= turns <= 9


def test_small_blocks_are_joined_one_by_one() -> None:
    give_back()
    before = mallinfo().fsmblks  # of other threads, from earlier on
    probe = _probe.Probe(SEED, 1000, 2)
    for first in range(0, 50_000, 100):
        apply(probe, T, [set_operation(b"%d" % key) for key in range(first, first + 100)])
    apply(probe, T, [FLUSH])
    while probe.tidy():
        pass
    assert mallinfo().fsmblks <= before  # of those that wait for it
