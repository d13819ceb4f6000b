"""The explorer of generated machines: its semantics on tiny machines, and the example of two-phase commit."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastpaxos_live.smc.explore import Frozen, Participant, Result, Scope, World, explore, load
from fastpaxos_live.smc.parse import parse

ROOT = Path(__file__).parents[2]
STATES = {  # of the example's worlds
    "3 replicas, 1 transaction, 2 crashes": 137_060,
    "2 replicas, 2 transactions, 2 crashes": 239_550,
}

HEAD = """
from fastpaxos_live.smc.language import *
Go = event()
Start = event()
Written = event(number=Number)
Say = message(number=Number)
me: setting[Replica]
"""

# Each Go counts in memory, on the disk, and lazily; only the second of them persists.
KEEPER = HEAD + """
@machine("off", "on")
class Keeper:
    memory: Number
    disk: durable[Number]
    lax: lazy[Number]
    starts: Number
    def go(k: "off", m: Go):
        k.memory, k.disk, k.lax = k.memory + 1, k.disk + 1, k.lax + 1
        become("on"); persist(m)
    def start(k, m: Start): k.starts = 1
"""

# The answer to Go waits for the disk, and so does the own event that counts.
WAITER = HEAD + """
@machine("only")
class Waiter:
    disk: durable[Number]
    told: Number
    heard: Number
    def go(w, m: Go):
        when(w.disk == 0)
        w.disk = 1
        persist(Written(7))
        send(OTHERS, Say(w.disk), after=persist())
    def written(w, m: Written): w.told = m.number
    def say(w, m: Say): w.heard = m.number
"""

# Counts what it hears, to three.
COUNTER = HEAD + """
@machine("only")
class Counter:
    heard: Number
    def go(c, m: Go): send(ALL, Say(c.heard))
    def say(c, m: Say): when(c.heard < 3); c.heard = c.heard + 1
"""


def code_of(text: str) -> Any:
    return load(parse([Path("tiny.py")], lambda path: text))


def tiny(
    text: str, count: int, invariant: Callable[[World], str | None], go: bool = True, **more: Any
) -> tuple[Any, Scope]:
    """A world of `count` equal participants; the first may take a Go at any time."""
    code = code_of(text)

    def events(world: World) -> Iterator[tuple[int, Any]]:
        if go:
            yield 1, code.Message(code.M_GO)

    participants = [Participant(code, code.Machines(None, count, me=i)) for i in range(1, count + 1)]
    return code, Scope(participants, [invariant], events, **more)


def seen(text: str, count: int, look: Callable[[World], Any], **more: Any) -> tuple[set[Any], Result]:
    """All that `look` finds in any state."""
    found = set()

    def invariant(world: World) -> None:
        found.add(look(world))

    result = explore(tiny(text, count, invariant, **more)[1])
    assert result.complete and result.violation is None
    return found, result


# --- crashes and disks
def test_a_crash_takes_what_is_volatile_and_what_was_not_synced() -> None:
    def look(world: World) -> tuple[int, ...]:
        k = world[1].keeper
        return world.crashes, k.state, k.memory, k.disk, k.lax

    found, _ = seen(KEEPER, 1, look, crashes=1)
    assert {state for state in found if state[0] == 1} == {(1, 0, 0, 0, 0), (1, 1, 1, 1, 1)}
    after = {state[1:] for state in found if state[0] == 0}
    assert after == {
        (0, 0, 0, 0), (1, 1, 1, 1),  # before the sync, and again
        (0, 0, 1, 1), (1, 1, 2, 2),  # after it
    }  # fmt: skip


def test_a_start_comes_first_and_after_each_crash() -> None:
    found, _ = seen(KEEPER, 1, lambda world: (world.crashes, world[1].keeper.starts), crashes=2, start="Start")
    assert found == {(2, 1), (1, 1), (0, 1)}


def test_what_is_not_persisted_is_not_synced() -> None:
    text = KEEPER.replace("; persist(m)", "")
    found, _ = seen(text, 1, lambda world: (world.disk(1).keeper.disk, world.disk(1).keeper.lax))
    assert found == {(0, 0), (0, 1)}


def test_disk_is_what_a_crash_would_leave() -> None:
    found, _ = seen(KEEPER, 1, lambda world: (world[1].keeper.memory, world.disk(1).keeper.disk))
    assert found == {(0, 0), (1, 0), (1, 1)}
    found, _ = seen(KEEPER, 1, lambda world: world.disk(1).keeper.memory)
    assert found == {0}


def test_what_waits_leaves_with_the_sync() -> None:
    def look(world: World) -> tuple[int, ...]:
        return world[1].waiter.disk, world.disk(1).waiter.disk, len(world.sent), world[1].waiter.told

    found, result = seen(WAITER, 2, look)
    assert found == {(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 1, 7)}
    assert result.rows == {"waiter.go": 1, "waiter.written": 1, "waiter.say": 2}


def test_what_waits_is_lost_in_a_crash() -> None:
    found, _ = seen(WAITER, 2, lambda world: (world.crashes, world[1].waiter.disk, len(world.sent)), crashes=1)
    assert (0, 0, 0) in found  # it crashed before the sync
    assert (0, 1, 1) in found
    heard, _ = seen(WAITER, 2, lambda world: (world[2].waiter.heard, world.disk(1).waiter.disk), crashes=1)
    assert (1, 0) not in heard


def test_what_does_not_wait_may_leave_before_the_sync() -> None:
    text = WAITER.replace(", after=persist()", "")
    heard, _ = seen(text, 2, lambda world: (world[2].waiter.heard, world.disk(1).waiter.disk), crashes=1)
    assert (1, 0) in heard


# --- messages
def test_a_message_comes_any_number_of_times_or_never() -> None:
    found, _ = seen(COUNTER, 2, lambda world: (len(world.sent), world[2].counter.heard))
    assert {heard for sent, heard in found if sent == 1} == {0, 1, 2, 3}


def test_to_all_reaches_the_sender_within_the_step() -> None:
    found, _ = seen(COUNTER, 2, lambda world: (world[1].counter.heard, len(world.sent)))
    assert found == {(0, 0), (1, 1), (2, 2), (3, 3), (3, 4)}  # each with another number
    others = COUNTER.replace("send(ALL", "send(OTHERS")
    assert {one[0] for one in seen(others, 2, lambda world: (world[1].counter.heard, 0))[0]} == {0}


def test_sent_messages_have_their_fields() -> None:
    found, _ = seen(COUNTER, 2, lambda world: tuple(
        (sent.sender, sent.to, sent.name, sent.message.number) for sent in world.sent))
    assert ((1, 2, "Say", 0), (1, 2, "Say", 1)) in found


def test_the_clock_moves_with_events() -> None:
    text = COUNTER.replace("c.heard = c.heard + 1", "c.at = m.now").replace(
        "heard: Number", "heard: Number\n    at: Time")
    code = code_of(text)
    found = set()

    def invariant(world: World) -> None:
        found.add((world.clock(1), world.clock(2), world[2].counter.at))

    def events(world: World) -> Iterator[tuple[int, Any]]:
        if not world.sent:
            yield 1, code.Message(code.M_GO, now=5)
        if world.clock(2) == 0:
            yield 2, code.Message(code.M_START, now=9)

    participants = [Participant(code, code.Machines(None, 2, me=i)) for i in (1, 2)]
    assert explore(Scope(participants, [invariant], events)).complete
    assert found == {(0, 0, 0), (5, 0, 0), (0, 9, 0), (5, 9, 0), (5, 9, 9)}  # the receiver's clock


def test_units_may_differ() -> None:
    counter, keeper = code_of(COUNTER), code_of(HEAD + """
@machine("only")
class Idle:
    gone: Number
    def go(i, m: Go): when(i.gone == 0); i.gone = 1; send(1, Say(4))
""")
    heard = set()

    def invariant(world: World) -> None:
        heard.add(world[1].counter.heard)

    def events(world: World) -> Iterator[tuple[int, Any]]:
        yield 2, keeper.Message(keeper.M_GO)

    participants = [
        Participant(counter, counter.Machines(None, 2, me=1)), Participant(keeper, keeper.Machines(None, 2, me=2))]
    result = explore(Scope(participants, [invariant], events))
    assert result.complete and heard == {0, 1, 2, 3}
    assert set(result.rows) == {"counter.go", "counter.say", "idle.go"}


def test_effects_reach_the_host_and_are_of_the_state() -> None:
    code = code_of(HEAD + """
note = effect(number=Number)
@machine("only")
class Noter:
    done: Number
    def go(n, m: Go): when(n.done < 2); n.done = n.done + 1; note(n.done)
""")

    class Host:
        state: tuple[int, ...] = ()

        def note(self, m: Any) -> None:
            self.state += (m.number,)

    notes = set()

    def invariant(world: World) -> None:
        notes.add(world.host(1))

    host = Host()
    scope = Scope([Participant(code, code.Machines(host, 1, me=1))], [invariant],
                  lambda world: [(1, code.Message(code.M_GO))], crashes=1)
    assert explore(scope).complete
    assert {(), (1,), (1, 2), (1, 1), (1, 2, 1), (1, 1, 2), (1, 2, 1, 2)} == notes  # kept over a crash
    assert host.state == ()


def test_maps_are_of_the_state() -> None:
    text = HEAD + """
@machine("only")
class Mapper:
    by: Map[Replica, Number]
    at: Map[Instance, Number]
    def go(p, m: Go): when(p.at[3] < 2); p.by[2] = 1; p.at[3] = p.at[3] + 1
"""
    found, _ = seen(text, 2, lambda world: (tuple(world[1].mapper.by), tuple(world[1].mapper.at.items())))
    assert found == {((0, 0, 0), ()), ((0, 0, 1), ((3, 1),)), ((0, 0, 1), ((3, 2),))}


# --- violations, limits, symmetry
def test_two_candidates_are_a_violation() -> None:
    _, scope = tiny(COUNTER + "    def also(c, m: Say): when(c.heard == 2); c.heard = 0\n", 1, lambda world: None)
    result = explore(scope)
    assert not result.complete and result.violation is not None
    assert "counter.say and counter.also both take Say(number=2)" in result.violation


def test_the_chart_is_the_shortest_way() -> None:
    def invariant(world: World) -> str | None:
        return "heard twice" if world[2].counter.heard == 2 else None

    _, scope = tiny(COUNTER, 2, invariant)
    result = explore(scope)
    assert result.violation == (
        "step  1               2\n"
        "   1  event Go() [counter.go, counter.say] -> 2: Say(number=0)\n"
        "   2  |               deliver Say(number=0) from 1 [counter.say]\n"
        "   3  |               deliver Say(number=0) from 1 [counter.say]\n"
        "violated: heard twice\n"
        "1: counter only heard=1\n"
        "2: counter only heard=2\n"
    )
    assert not result.complete


def test_limits_leave_it_incomplete() -> None:
    for limit in ({"states_max": 3}, {"seconds_max": -1.0}):
        result = explore(tiny(COUNTER, 2, lambda world: None, **limit)[1])
        assert not result.complete and result.violation is None


def test_symmetry_joins_states() -> None:
    # Both others only count what comes from the first: they can change their names.
    def swapped(state: Frozen) -> Frozen:
        first, *others = state.participants
        renamed = {2: 3, 3: 2}
        other = Frozen((first, others[1], others[0]),
                       frozenset(wire._replace(to=renamed.get(wire.to, wire.to)) for wire in state.sent), state.crashes)
        return min(state, other, key=lambda one: (one.participants, sorted(one.sent)))

    every, whole = seen(COUNTER, 3, lambda world: (world[2].counter.heard, world[3].counter.heard))
    some, joined = seen(
        COUNTER, 3, lambda world: (world[2].counter.heard, world[3].counter.heard), symmetry=swapped)
    assert joined.states < whole.states
    assert {tuple(sorted(one)) for one in every} == {tuple(sorted(one)) for one in some}


# --- the example
@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_phase_check", ROOT / "examples/two_phase_check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_is_right(example: ModuleType) -> None:
    worlds = example.worlds(example.code_of())
    results = {name: explore(world.scope) for name, world in worlds.items()}
    assert all(result.complete and result.violation is None for result in results.values())
    assert all(min(result.rows.values()) > 0 for result in results.values())
    assert {name: result.states for name, result in results.items()} == STATES


def test_two_runs_are_equal(example: ModuleType) -> None:
    scope = example.TwoPhase(example.code_of(), 2, 2, 0).scope
    first, second = explore(scope), explore(scope)
    assert (first.states, first.transitions, first.rows) == (second.states, second.transitions, second.rows)
    assert first.states > 1000


@pytest.mark.parametrize("mutant, error", [
    ("hasty", "a crash now would lose the commit of transaction 1, which was told"),
    ("eager", "transaction 1 was committed, and 2 has no yes to it on its disk"),
    ("reused", "transaction 1 was committed and aborted"),
])  # fmt: skip
def test_planted_mistakes_are_found(
    example: ModuleType, mutant: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert example.main(["--mutant", mutant]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{mutant}: ")
    head = lines.index("step  1               2               3")
    end = lines.index(f"violated: {error}")
    steps = lines[head + 1 : end]
    assert [int(line[:4]) for line in steps] == list(range(1, len(steps) + 1))
    for line in steps:
        assert re.match(r"  (\| {15}){0,2}(event|deliver|sync|crash)\b", line[4:]), line
    assert [line[:2] for line in lines[end + 1 :]] == ["1:", "2:", "3:"]


def test_every_planted_mistake_is_tested(example: ModuleType) -> None:
    assert set(example.MUTANTS) == {"hasty", "eager", "reused"}
