"""Is the compiler right? The machines in Python and in C, fed the same events, do the same."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
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
from fastpaxos_live.smc.mutate import SpecMutant
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
    "me": 1, "lease": 4, "silence": 6, "master": 3, "beat": 2, "term": 6, "resend": 2, "courtesy": 2,
    "patience": 6, "window": 2, "room": 2,
}  # fmt: skip


def hangs(event: Event) -> bool:
    """Does the own disk hang when it comes? Not often, and never at a tick: no boost would begin."""
    return event["type"] == made.M_PROPOSE and event["now"] % 5 == 4


class Host:
    """What Stepper's host in check/world.pxi answers."""

    def __init__(self, me: int, log: Log) -> None:
        self.me = me
        self.hangs = False
        self.log = dict(enumerate(log, 1))

    def high(self) -> int:
        return max((i for i, (number, _) in self.log.items() if number), default=0)

    def accepted_at(self, instance: int) -> int:
        return self.log.get(instance, (0, 0))[0]

    def sent_at(self, instance: int) -> int:
        return self.log.get(instance, (0, 0))[1]

    def stalled(self) -> bool:
        return self.hangs

    def above(self, number: int) -> int:
        return ((number >> 2) + 1) << 2 | self.me

    def owner(self, number: int) -> int:
        return number & 3


class Reference:
    """The generated Python with the face of Stepper."""

    def __init__(self, values: dict[str, int], log: Log, module: Any = made) -> None:
        self.module = module
        self.candidates: list[int] = []
        self.s = module.Machines(Host(values["me"], log), REPLICAS, **values)

    def step(self, machine: int, event: Event) -> tuple[str | None, int, list]:
        m = self.module.Message(**event)
        self.s.host.hangs = hangs(event)
        self.candidates = self.module.CANDIDATES[machine](self.s, m)
        out: list = []
        row = self.module.STEPS[machine](self.s, m, out)
        actions = [(a.kind, a.to, a.after, {name: getattr(a.message, name) for name in FIELDS}) for a in out]
        return made.ROWS[row - 1] if row else None, len(self.candidates), actions

    def questions(self, since: int, now: int) -> tuple[bool, bool, int]:
        """What only the host asks."""
        made, s = self.module, self.s
        return made.reign_may_read(s, now), made.reign_confirmed(s, since, now), made.election_granted(s)

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
        self.c.hangs = hangs(event)
        mine, its = self.python.step(machine, event), self.c.step(machine, event)
        assert mine == its, event
        row = mine[0]
        assert [made.ROWS[one - 1] for one in self.python.candidates] == [row] * (row not in OTHERWISE), event
        return mine

    def load(self, values: dict[str, Any]) -> None:
        self.python.load(values)
        self.c.load(values)
        assert self.same({}) == values

    def same(self, event: Event) -> dict[str, Any]:
        values = self.python.values()
        assert values == self.c.values(), event
        since, now = event.get("sent", 0), event.get("now", 0)
        assert self.python.questions(since, now) == self.c.questions(since, now), event
        return values


MUTANTS_BY_NAME = {known.mutant.name: known.mutant for known in MUTANTS}
PYTHON_HEAD = r"^def (\w+)"
CYTHON_HEAD = r"^cdef [^(\n]*?(\w+)\([^)]*\) noexcept nogil:"
OTHERWISE = {None, *(f"{machine.key}.{row.name}" for machine, row in UNIT.rows() if row.otherwise)}
NOTHING = dict.fromkeys(FIELDS, 0)


def kinds() -> list[str]:
    """The messages that machines take."""
    return [name for name, message in UNIT.messages.items() if message.kind != "effect"]


def takers(event: Event) -> tuple[int, ...]:
    return made.TAKEN_BY[event["type"]]


def domains(name: str, values: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Few values for each field, some of them as in that state: most guards compare numbers with a machine's own."""
    numbers = {5, *(values[path] for path in ("acceptor.promised", "coordinator.number", "reign.number"))}
    chosen = min(values["acceptor.chosen"], INSTANCES)
    narrow = {
        "Number": tuple(sorted(numbers)), "Instance": tuple({0, chosen, min(chosen + 1, INSTANCES)}),
        "Time": (3, 6, 14), "Replica": (1, 3), "Bool": (0, 1), "Span": (2,),
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
    for one in some:
        if isinstance(one, int) and one > len(own):
            continue
        event = own[-one] if isinstance(one, int) else one
        for machine in takers(event):
            _, _, actions = pair.step(machine, event)
            own += [message for action in actions if (message := heard(action, event, values["me"]))]
            pair.same(event)


# --- all events in many states
LOG: Log = [(5, 1), (6, 2)]
WALKS_MAX = 8000
WALK = 20


def walk(side: Reference, random: Random) -> Iterator[tuple[dict[str, Any], Event, str]]:
    """Random events, and what the machines send themselves: each state before a row took one, which, and the row."""
    own: list[Event] = []
    for _ in range(WALK):
        event = own.pop() if own and random.random() < 0.7 else random_event(random, side.values())
        for machine in takers(event):
            before = side.values()
            row, _, actions = side.step(machine, event)
            own += [message for action in actions if (message := heard(action, event, STANDARD["me"]))]
            if row is not None:
                yield before, event, row


def fullness(values: dict[str, Any]) -> int:
    """How many values are not 0."""
    return sum(sum(map(bool, v)) if isinstance(v, list) else len(v) if isinstance(v, dict) else v > 0
               for v in values.values())


@cache
def reached() -> list[tuple[dict[str, Any], Event]]:
    """States that can be reached, two for every row in which it takes the event beside: an early and a full one."""
    random = Random(1)
    found: dict[tuple[str, ...], dict[str, Any]] = {}  # by row, and by what states the machines are in
    early: dict[str, tuple[dict[str, Any], Event]] = {}
    full: dict[str, tuple[dict[str, Any], Event]] = {}
    for _ in range(WALKS_MAX):
        side = Reference(STANDARD, LOG)
        if found and random.random() < 0.8:  # from where it was hard to come to, too
            side.load(random.choice([*found.values()]))
        for state, event, row in walk(side, random):
            found.setdefault((row, *(str(state[f"{key}.state"]) for key in KEYS)), state)
            early.setdefault(row, (state, event))
            if row not in full or fullness(state) > fullness(full[row][0]):
                full[row] = state, event
        if len(early) == len(made.ROWS):
            break
    both = [*early.values(), *full.values()]
    return [one for index, one in enumerate(both) if one not in both[:index]]


def every_event(values: dict[str, Any]) -> Iterator[Event]:
    for name in kinds():
        yield from events(name, values)


def test_every_event_in_states_for_every_row() -> None:
    pair = Pair(STANDARD, LOG)
    taken = set()
    steps = 0
    for start, its_own in reached():
        pair.load(start)
        for event in (its_own, *every_event(start)):
            for machine in takers(event):
                row, _, _ = pair.step(machine, event)
                taken.add(row)
                steps += 1
                if pair.same(event) != start:
                    assert row is not None
                    pair.load(start)
    assert steps < 250_000  # or it takes too long
    assert set(made.ROWS) <= taken


# --- a change of the specification
def functions(text: str, head: str) -> dict[str, str]:
    """The functions of a generated file by name, without comments."""
    bare = re.sub(r"  #.*|^#.*", "", text, flags=re.MULTILINE)
    parts = re.split(head, bare, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (re.sub(r"\n+", "\n", part) for part in parts[2::2]), strict=True))


def changed(first: dict[str, str], second: dict[str, str]) -> set[str]:
    both = first.keys() | second.keys()
    # In Python a step repeats the guards of its rows; what it adds to them stands in `candidates`, too.
    return {name for name in both if first.get(name) != second.get(name) and not name.endswith("_step")}


def differs(module: ModuleType) -> bool:
    """Does it do anything else than the original in any of the states?"""
    mine, its = Reference(STANDARD, LOG), Reference(STANDARD, LOG, module)
    for start, _ in reached():
        for event in every_event(start):
            for machine in takers(event):
                mine.load(start)
                its.load(start)
                if mine.step(machine, event) != its.step(machine, event) or mine.values() != its.values():
                    return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS_BY_NAME.values(), ids=lambda mutant: mutant.name)
def test_a_mutant_changes_the_same_functions_in_both(mutant: SpecMutant) -> None:
    unit = mutant.unit(SPECS)
    names = changed(functions(emit_python(UNIT), PYTHON_HEAD), functions(emit_python(unit), PYTHON_HEAD))
    assert names and all(name.startswith(f"{mutant.file}_") for name in names)
    assert names == changed(functions(emit_cython(UNIT), CYTHON_HEAD), functions(emit_cython(unit), CYTHON_HEAD))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("accepted below the promise", "acceptor_accept_when"),
        ("open values are replaced", "reign_reopen"),
        ("one promise is a majority", "coordinator_elects"),
    ],
)
def test_a_changed_rule_does_something_else(name: str, function: str) -> None:
    unit = MUTANTS_BY_NAME[name].unit(SPECS)
    assert changed(functions(emit_cython(UNIT), CYTHON_HEAD), functions(emit_cython(unit), CYTHON_HEAD)) == {function}
    module = ModuleType("mutant")
    exec(compile(emit_python(unit), "mutant", "exec"), module.__dict__)
    assert differs(module)
