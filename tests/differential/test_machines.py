"""Is the compiler right? The machines in Python and in C, fed the same events, do the same and end in the same state."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpaxos_live.check import _explore
from fastpaxos_live.check.mutants import MUTANTS
from fastpaxos_live.generated import machines as made
from fastpaxos_live.smc.emit_cython import emit_cython
from fastpaxos_live.smc.emit_python import emit_python
from fastpaxos_live.smc.parse import parse
from fastpaxos_live.spec import SPECS

UNIT = parse(SPECS)
KEYS = list(UNIT.machines)
FIELDS = made.Message.__slots__
REPLICAS = 3
INSTANCES = 3  # what the C side's log holds
SETTINGS = [name.lower() for name in UNIT.settings]

# Few values, so that equal ones meet; a number is round << 2 | replica.
WIDE: dict[str, tuple[int, ...]] = {
    "Number": (0, 1, 4, 5, 6, 7, 9, 13),
    "Instance": tuple(range(INSTANCES + 1)),
    "Time": (0, 1, 2, 3, 4, 6, 9, 14),
    "Replica": tuple(range(1, REPLICAS + 1)),
    "Bool": (0, 1),
    "Span": tuple(range(len(UNIT.spans))),
}
FEW = {"sent": (3,), "accepted": (6, 9), "promised": (6, 13), "jitter": (1,)}  # for these fields

Event = dict[str, int]  # a message, with all fields
Log = list[tuple[int, int]]  # number and time of instances 1, 2, ...
STANDARD = {
    "me": 1, "lease": 4, "master": 3, "beat": 2, "term": 6, "resend": 2, "patience": 6, "window": 2, "room": 2,
}  # fmt: skip


class Host:
    """What Stepper's host in check/world.pxi answers."""

    def __init__(self, me: int, log: Log) -> None:
        self.me = me
        self.log = dict(enumerate(log, 1))

    def high(self) -> int:
        return max((i for i, (number, _) in self.log.items() if number), default=0)

    def accepted_at(self, instance: int) -> int:
        return self.log.get(instance, (0, 0))[0]

    def sent_at(self, instance: int) -> int:
        return self.log.get(instance, (0, 0))[1]

    def above(self, number: int) -> int:
        return ((number >> 2) + 1) << 2 | self.me

    def owner(self, number: int) -> int:
        return number & 3


class Reference:
    """The generated Python with the face of Stepper."""

    def __init__(self, values: dict[str, int], log: Log, module: Any = made) -> None:
        self.module = module
        self.s = module.Machines(Host(values["me"], log), REPLICAS, **values)

    def step(self, machine: int, event: Event) -> tuple[str | None, int, list]:
        m = self.module.Message(**event)
        candidates = self.module.CANDIDATES[machine](self.s, m)
        out: list = []
        row = self.module.STEPS[machine](self.s, m, out)
        assert candidates in ([], [row]) or row != self.module.IGNORED and len(candidates) > 1
        actions = [(a.kind, a.to, a.after, {name: getattr(a.message, name) for name in FIELDS}) for a in out]
        return self.module.ROWS[row - 1] if row else None, len(candidates), actions

    def values(self) -> dict[str, Any]:
        found = {}
        for key in KEYS:
            machine = getattr(self.s, key)
            for name in machine.__slots__:
                value = getattr(machine, name)
                if isinstance(value, dict):
                    value = {instance: one for instance, one in value.items() if one}
                found[f"{key}.{name}"] = list(value) if isinstance(value, list) else value
        return found

    def load(self, values: dict[str, Any]) -> None:
        for path, value in values.items():
            key, name = path.split(".")
            setattr(getattr(self.s, key), name, value.copy() if isinstance(value, list | dict) else value)


class Pair:
    """Both sides, compared after each step."""

    def __init__(self, values: dict[str, int], log: Log) -> None:
        self.python = Reference(values, log)
        self.c = _explore.Stepper(values, log)

    def step(self, machine: int, event: Event) -> tuple[str | None, int, list]:
        mine, its = self.python.step(machine, event), self.c.step(machine, event)
        assert mine == its, event
        row, candidates, _ = mine
        assert candidates <= 1
        if candidates == 0 and row is not None:
            assert row in OTHERWISE
        return mine

    def load(self, values: dict[str, Any]) -> None:
        self.python.load(values)
        self.c.load(values)
        assert self.same({}) == values

    def same(self, event: Event) -> dict[str, Any]:
        values = self.python.values()
        assert values == self.c.values(), event
        return values


OTHERWISE = {f"{machine.key}.{row.name}" for machine, row in UNIT.rows() if row.otherwise}
NOTHING = dict.fromkeys(FIELDS, 0)


def kinds() -> list[str]:
    """The messages that machines take."""
    return [name for name, message in UNIT.messages.items() if message.kind != "effect"]


def takers(event: Event) -> tuple[int, ...]:
    return made.TAKEN_BY[event["type"]]


def domains(name: str, values: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Few values for each field, some of them as in that state: most guards compare numbers with a machine's own."""
    numbers = {5, *(values[path] for path in ("acceptor.promised", "coordinator.number", "reign.number"))}
    narrow = {
        "Number": tuple(sorted(numbers)), "Instance": (0, 1, 3), "Time": (3, 6, 14), "Replica": (1, 3), "Bool": (0, 1),
        "Span": (2,),
    }  # fmt: skip
    fields = UNIT.messages[name].fields
    found = {"sender": narrow["Replica"], "now": narrow["Time"]}
    found |= {field: narrow[type.name] for field, type in fields.items()}
    return found | {field: some for field, some in FEW.items() if field in fields}


def events(name: str, values: dict[str, Any]) -> Iterator[Event]:
    """Each combination of a message's fields."""
    fields = domains(name, values)
    for some in product(*fields.values()):
        yield NOTHING | {"type": made.MESSAGES.index(name)} | dict(zip(fields, some, strict=True))


def random_event(random: Random, values: dict[str, Any]) -> Event:
    name = random.choice(kinds())
    fields = {field: random.choice(some) for field, some in domains(name, values).items()}
    return NOTHING | {"type": made.MESSAGES.index(name)} | fields


def heard(action: tuple, event: Event, me: int) -> Event | None:
    """What its own replica takes of an action."""
    kind, to, _, message = action
    own = kind == made.PERSIST or kind == made.SEND and to in (me, made.ALL)
    fits = message["instance"] <= INSTANCES and message["high"] <= INSTANCES
    return message | {"sender": me, "now": event["now"]} if own and fits and takers(message) else None


# --- the tables
def test_names_are_the_same() -> None:
    assert made.ROWS == _explore.ROW_NAMES
    assert made.MESSAGES == _explore.MESSAGE_NAMES
    assert made.SNAPSHOT == _explore.SNAPSHOT_NAMES
    assert list(Reference(STANDARD, []).values()) == [name for name, _ in _explore.VALUE_NAMES]
    assert sorted(SETTINGS) == sorted(STANDARD)


# --- sequences
@st.composite
def one_event(draw: st.DrawFn) -> Event:
    name = draw(st.sampled_from(kinds()))
    event = NOTHING | {"type": made.MESSAGES.index(name)}
    event["sender"], event["now"] = draw(st.sampled_from(WIDE["Replica"])), draw(st.sampled_from(WIDE["Time"]))
    for field, type in UNIT.messages[name].fields.items():
        event[field] = draw(st.sampled_from(WIDE[type.name]))
    return event


def setting(name: str) -> st.SearchStrategy[int]:
    return st.sampled_from(WIDE[UNIT.settings[name].name])


ANY_SETTINGS = st.fixed_dictionaries({name.lower(): setting(name) for name in UNIT.settings})
ANY_LOG = st.lists(st.tuples(st.sampled_from(WIDE["Number"]), st.sampled_from(WIDE["Time"])), max_size=INSTANCES)
# A number means: what was sent to itself that many actions ago.
ANY_EVENTS = st.lists(st.one_of(one_event(), st.integers(1, 3)), min_size=1, max_size=40)


@settings(max_examples=1000, deadline=None)
@given(ANY_SETTINGS, ANY_LOG, ANY_EVENTS)
def test_sequences_end_in_the_same_state(values: dict[str, int], log: Log, some: list[Event | int]) -> None:
    pair = Pair(values, log)
    own: list[Event] = []
    for event in some:
        if isinstance(event, int):
            if event > len(own):
                continue
            event = own[-event]
        for machine in takers(event):
            _, _, actions = pair.step(machine, event)
            own += [message for action in actions if (message := heard(action, event, values["me"]))]
            pair.same(event)


# --- all events in many states
LOG: Log = [(5, 1), (6, 2)]
WALKS_MAX = 4000
WALK = 20


def walk(side: Reference, random: Random) -> Iterator[tuple[dict[str, Any], str]]:
    """Random events, and what the machines send themselves: each state before a row took one, and the row."""
    own: list[Event] = []
    for _ in range(WALK):
        event = own.pop() if own and random.random() < 0.7 else random_event(random, side.values())
        for machine in takers(event):
            before = side.values()
            row, _, actions = side.step(machine, event)
            own += [message for action in actions if (message := heard(action, event, STANDARD["me"]))]
            if row is not None:
                yield before, row


def reached() -> list[dict[str, Any]]:
    """States that can be reached, and in which, together, every row can take an event."""
    random = Random(1)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(WALKS_MAX):
        side = Reference(STANDARD, LOG)
        if found:  # from where it was hard to come to, too
            side.load(random.choice([*found.values()]))
        for state, row in walk(side, random):
            found.setdefault(row, state)
        if len(found) == len(made.ROWS):
            break
    print(_, set(made.ROWS)-set(found))
    return [state for index, state in enumerate(found.values()) if state not in [*found.values()][:index]]


def test_every_event_in_states_for_every_row() -> None:
    pair = Pair(STANDARD, LOG)
    taken = set()
    steps = 0
    for start in reached():
        pair.load(start)
        stream = (event for name in kinds() for event in events(name, start))
        for event, machine in ((event, machine) for event in stream for machine in takers(event)):
            row, _, _ = pair.step(machine, event)
            taken.add(row)
            steps += 1
            if pair.same(event) != start:
                assert row is not None
                pair.load(start)
    print(steps)
    assert set(made.ROWS) <= taken
