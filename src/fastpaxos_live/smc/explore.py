"""Explores a small world of generated machines completely: every order, loss, repeat, sync and crash, breadth first.

Messages that were sent stay in a set: each may reach its addressee at any time, any number of times, or never. What a
participant sends to itself it takes at once, within the same step. A sync brings to the disk all that was persisted
before it; a crash comes between steps, never within one. A participant is a function of its own state and of what it
meets, so each such step is computed once, and states of the world are tuples of small numbers.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from time import monotonic
from types import ModuleType
from typing import Any, NamedTuple

from .emit import constant
from .emit_python import emit_python
from .ir import Unit

COLUMN = 16  # width of a participant's column in a chart
SYNC, CRASH = -1, -2  # moves; what is 0 or more is the delivery of that message, a tuple is an event


class Participant(NamedTuple):
    """A module made by `load`, and `Machines` of it as they are at the first start; they are copied, their host too.

    Its id is its place in the list, from 1. An effect calls the host's method of that name with the message. What the
    host keeps it keeps in `host.state`, as a value that can be hashed: that is part of the state and survives crashes.
    """

    code: ModuleType
    machines: Any


class Wire(NamedTuple):
    """A message as it travels, its fields in the order of the specification."""

    sender: int
    to: int
    name: str
    values: tuple[int, ...]


class Local(NamedTuple):
    """All that a participant is: two that are equal do the same from here on."""

    memory: tuple  # every variable
    disk: tuple  # the durable and lazy ones, as they come back after a crash
    written: tuple  # the durable ones as of the last persist: the next sync brings them to the disk
    out: tuple[Wire, ...]  # these leave with the next sync
    own: tuple[tuple[str, tuple[int, ...]], ...]  # and these the participant itself takes then, in this order
    clock: int
    host: Hashable  # `host.state`


class Frozen(NamedTuple):
    """A state of the world, as `Scope.symmetry` takes and gives it."""

    participants: tuple[Local, ...]
    sent: frozenset[Wire]
    crashes: int  # that may still happen


class Envelope(NamedTuple):
    """A message that was sent, with attributes for its fields."""

    sender: int
    to: int
    name: str
    message: Any


class World:
    """A state as invariants and events see it, participants by their id. Nothing in it may be changed."""

    def __init__(self, explorer: "_Explorer", state: tuple[int, ...]) -> None:
        self._explorer = explorer
        self._state = state

    def __getitem__(self, participant: int) -> Any:
        """The machines of a participant, as they are now."""
        return self._explorer.places[participant - 1].views[self._state[participant - 1]]

    def disk(self, participant: int) -> Any:
        """The machines of a participant as a crash now would leave them."""
        return self._explorer.places[participant - 1].disk_view(self._state[participant - 1])

    def host(self, participant: int) -> Any:
        """What `host.state` of a participant is."""
        return self._explorer.places[participant - 1].locals[self._state[participant - 1]].host

    def clock(self, participant: int) -> int:
        """The latest `now` that a participant was told."""
        return self._explorer.places[participant - 1].locals[self._state[participant - 1]].clock

    @property
    def sent(self) -> list[Envelope]:
        """All messages that ever left a participant for another."""
        return [self._explorer.envelopes[index] for index in _bits(self._state[-2])]

    @property
    def crashes(self) -> int:
        """How many may still happen."""
        return self._state[-1]


def no_events(world: World) -> Iterable[tuple[int, Any]]:
    """The events of a world where only messages happen."""
    return ()


@dataclass
class Scope:
    """What is explored.

    `events` gives what may happen by itself in a state, as pairs of a participant and a Message of its module; one
    with a later `now` moves the clock of that participant. `start` is the event that a participant gets when it
    starts, after a crash as well as the first time. `symmetry` maps a state to the one that stands for it and all
    that differ only by names; the columns of a chart may then change their roles from line to line.
    """

    participants: list[Participant]
    invariants: list[Callable[[World], str | None]]
    events: Callable[[World], Iterable[tuple[int, Any]]] = no_events
    start: str = ""
    crashes: int = 0
    symmetry: Callable[[Frozen], Frozen] | None = None
    states_max: int = 2_000_000
    seconds_max: float = 3600.0


@dataclass
class Result:
    """`complete`: every state was reached, and no invariant is broken. `violation` is a chart of the shortest way."""

    states: int = 0
    transitions: int = 0  # steps tried in these states, those without effect included
    seconds: float = 0.0
    complete: bool = False
    violation: str | None = None
    rows: dict[str, int] = field(default_factory=dict)  # how often each was taken; 0 for those never


def load(unit: Unit) -> ModuleType:
    """The Python that a unit becomes, as a module; `UNIT` in it is the unit."""
    module = ModuleType(unit.name)
    exec(compile(emit_python(unit), f"<{unit.name}>", "exec"), module.__dict__)
    module.__dict__["UNIT"] = unit
    return module


def explore(scope: Scope) -> Result:
    """Goes to every state, until an invariant is broken or a limit of the scope is reached."""
    return _Explorer(scope).run()


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _frozen(value: Any) -> Hashable:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return tuple(sorted((key, one) for key, one in value.items() if one))
    return value


def _copied(unit: Unit, machines: Any) -> Any:
    new = copy(machines)
    for key in unit.machines:
        setattr(new, key, copy(getattr(machines, key)))
    return new


class _Fault(Exception):
    """A step that no right specification takes."""


@dataclass(slots=True)
class _Outcome:
    """What one step of one participant does; `used` counts the states in which it was tried."""

    local: int
    sent: int  # a mask of messages
    rows: tuple[str, ...]
    fault: str = ""
    used: int = 0


class _Place:
    """One participant: its machines are put into a state, take a step, and their state is read again."""

    def __init__(self, number: int, participant: Participant, scope: Scope, replicas: int) -> None:
        self.number = number
        self.replicas = replicas
        self.code: Any = participant.code
        self.unit: Unit = self.code.UNIT
        self.s = _copied(self.unit, participant.machines)
        self.s.host = copy(self.s.host)
        self.start = scope.start if scope.start in self.unit.messages else ""
        self.cells: list[tuple[str, str, str]] = []  # machine, variable, key type of a map
        self.kept: list[int] = []  # cells that are durable or lazy
        self.durable: list[int] = []
        for key, machine in self.unit.machines.items():
            self.cells.append((key, "state", ""))
            for variable in machine.variables.values():
                if variable.storage != "volatile":
                    self.kept.append(len(self.cells))
                if variable.storage == "durable":
                    self.durable.append(len(self.cells))
                self.cells.append((key, variable.name, variable.type.key))
        self.first = self.memory()
        self.locals: list[Local] = []
        self.ids: dict[Local, int] = {}
        self.views: list[Any] = []
        self.disk_views: dict[tuple, Any] = {}
        # Of the step under way:
        self.rows: list[str] = []
        self.sent: dict[Wire, None] = {}
        self.out: set[Wire] = set()
        self.own: list[tuple[str, tuple[int, ...]]] = []
        self.disk: tuple = ()
        self.written: tuple = ()
        self.clock = 0

    # --- states
    def memory(self) -> tuple:
        return tuple(_frozen(getattr(getattr(self.s, key), name)) for key, name, _ in self.cells)

    def put(self, memory: tuple) -> None:
        for (key, name, map_key), value in zip(self.cells, memory, strict=True):
            thawed = dict(value) if map_key == "Instance" else list(value) if map_key else value
            setattr(getattr(self.s, key), name, thawed)

    def view(self, memory: tuple) -> Any:
        """Machines in this state that no step changes."""
        self.put(memory)
        return _copied(self.unit, self.s)

    def after_crash(self, disk: tuple) -> tuple:
        memory = list(self.first)
        for index, value in zip(self.kept, disk, strict=True):
            memory[index] = value
        return tuple(memory)

    def disk_view(self, local: int) -> Any:
        disk = self.locals[local].disk
        if disk not in self.disk_views:
            self.disk_views[disk] = self.view(self.after_crash(disk))
        return self.disk_views[disk]

    def intern(self, local: Local) -> int:
        if local not in self.ids:
            self.ids[local] = len(self.locals)
            self.locals.append(local)
            self.views.append(self.view(local.memory))
        return self.ids[local]

    def begin(self, local: Local) -> None:
        self.put(local.memory)
        self.rows, self.sent = [], {}
        self.out, self.own = set(local.out), list(local.own)
        self.disk, self.written, self.clock = local.disk, local.written, local.clock
        if local.host is not None:
            self.s.host.state = local.host

    def end(self) -> Local:
        return Local(
            self.memory(), self.disk, self.written, tuple(sorted(self.out)), tuple(self.own), self.clock,
            getattr(self.s.host, "state", None))

    # --- steps
    def initial(self) -> Local:
        disk = tuple(self.first[index] for index in self.kept)
        written = tuple(self.first[index] for index in self.durable)
        self.begin(Local(self.first, disk, written, (), (), 0, None))
        self.started()
        return self.end()

    def started(self) -> None:
        if self.start:
            self.take(self.message(self.start, (0,) * len(self.unit.messages[self.start].fields), self.number))

    def syncs(self, local: Local) -> bool:
        """Would a sync change anything?"""
        return bool(local.out or local.own) or self.synced(local.memory, local.written) != local.disk

    def synced(self, memory: tuple, written: tuple) -> tuple:
        persisted = dict(zip(self.durable, written, strict=True))
        return tuple(persisted.get(index, memory[index]) for index in self.kept)

    def sync(self, local: Local) -> None:
        self.disk = self.synced(local.memory, local.written)
        self.sent = dict.fromkeys(local.out)
        self.out, self.own = set(), []
        for name, values in local.own:
            self.take(self.message(name, values, self.number))

    def crash(self, local: Local) -> None:
        self.put(self.after_crash(local.disk))
        self.out, self.own = set(), []
        kept = dict(zip(self.kept, local.disk, strict=True))
        self.written = tuple(kept[index] for index in self.durable)
        self.started()

    def event(self, name: str, now: int, values: tuple[int, ...]) -> None:
        self.clock = max(self.clock, now)
        self.take(self.message(name, values, self.number))

    def message(self, name: str, values: tuple[int, ...], sender: int) -> Any:
        fields = dict(zip(self.unit.messages[name].fields, values, strict=True))
        return self.code.Message(getattr(self.code, "M_" + constant(name)), sender, self.clock, **fields)

    def written_as(self, m: Any) -> tuple[str, tuple[int, ...]]:
        """A message without what its receiver adds."""
        name = self.code.MESSAGES[m.type]
        return name, tuple(int(getattr(m, field)) for field in self.unit.messages[name].fields)

    def take(self, m: Any) -> None:
        """What a host does: every machine takes it, and what its row asks for is done before the next one does."""
        for index in self.code.TAKEN_BY[m.type]:
            candidates = self.code.CANDIDATES[index](self.s, m)
            if len(candidates) > 1:
                names = " and ".join(self.code.ROWS[row - 1] for row in candidates)
                raise _Fault(f"{names} both take {_told(self.unit, *self.written_as(m))}")
            actions: list[Any] = []
            row = self.code.STEPS[index](self.s, m, actions)
            if row != self.code.IGNORED:
                self.rows.append(self.code.ROWS[row - 1])
                for action in actions:
                    self.act(action, m)

    def act(self, action: Any, cause: Any) -> None:
        m = action.message
        name, values = self.written_as(m)
        if action.kind == self.code.EFFECT:
            getattr(self.s.host, name)(m)
        elif action.kind == self.code.PERSIST:
            memory = self.memory()
            self.written = tuple(memory[index] for index in self.durable)
            if m is not cause and self.unit.messages[name].kind == "event":
                self.hold(self.number, name, values)
        else:
            for to in self.addressees(action.to):
                if action.after:
                    self.hold(to, name, values)
                elif to == self.number:
                    self.take(m)
                else:
                    self.sent[Wire(self.number, to, name, values)] = None

    def addressees(self, to: int) -> list[int]:
        if to < self.code.ALL:
            return [to]
        others = [other for other in range(1, self.replicas + 1) if other != self.number]
        return [self.number, *others] if to == self.code.ALL else others

    def hold(self, to: int, name: str, values: tuple[int, ...]) -> None:
        # The same twice waits once: a repeat must not make a new state each time.
        if to != self.number:
            self.out.add(Wire(self.number, to, name, values))
        elif (name, values) not in self.own:
            self.own.append((name, values))


class _Explorer:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        count = len(scope.participants)
        self.places = [_Place(i, one, scope, count) for i, one in enumerate(scope.participants, 1)]
        self.wires: list[Wire] = []
        self.wire_ids: dict[Wire, int] = {}
        self.envelopes: list[Envelope] = []
        self.inbox = [0] * count  # a mask of messages for each
        self.outcomes: list[dict[tuple[int, Any], _Outcome]] = [{} for _ in range(count)]
        self.came: dict[tuple[int, ...], tuple[tuple[int, ...], int, Any] | None] = {}
        self.queue: deque[tuple[int, ...]] = deque()
        self.result = Result()

    def run(self) -> Result:
        started = monotonic()
        until = started + self.scope.seconds_max
        found = self.begin()
        while not found and self.queue and len(self.came) < self.scope.states_max and monotonic() < until:
            found = self.expand(self.queue.popleft())
        self.result.states = len(self.came)
        self.result.complete = not found and not self.queue
        self.result.violation = found
        self.result.rows = self.coverage()
        self.result.seconds = monotonic() - started
        return self.result

    def coverage(self) -> dict[str, int]:
        rows = {row: 0 for place in self.places for row in place.code.ROWS}
        for outcomes in self.outcomes:
            for outcome in outcomes.values():
                for row in outcome.rows:
                    rows[row] += outcome.used
        return rows

    # --- states
    def intern(self, wires: Iterable[Wire]) -> int:
        mask = 0
        for wire in wires:
            place = self.places[wire.to - 1]
            if wire.name not in place.unit.messages:
                continue  # it is of another unit, and was sent to ALL
            if wire not in self.wire_ids:
                self.wire_ids[wire] = index = len(self.wires)
                self.wires.append(wire)
                self.inbox[wire.to - 1] |= 1 << index
                message = place.message(wire.name, wire.values, wire.sender)
                self.envelopes.append(Envelope(wire.sender, wire.to, wire.name, message))
            mask |= 1 << self.wire_ids[wire]
        return mask

    def canonical(self, state: tuple[int, ...]) -> tuple[int, ...]:
        assert self.scope.symmetry is not None
        locals = [place.locals[index] for place, index in zip(self.places, state, strict=False)]
        frozen = self.scope.symmetry(
            Frozen(tuple(locals), frozenset(self.wires[index] for index in _bits(state[-2])), state[-1]))
        ids = [place.intern(local) for place, local in zip(self.places, frozen.participants, strict=True)]
        return (*ids, self.intern(sorted(frozen.sent)), frozen.crashes)

    def begin(self) -> str | None:
        locals, mask = [], 0
        for place in self.places:
            locals.append(place.intern(place.initial()))
            mask |= self.intern(place.sent)
        return self.reach((*locals, mask, self.scope.crashes), None)

    def reach(self, state: tuple[int, ...], came: tuple[tuple[int, ...], int, Any] | None) -> str | None:
        if self.scope.symmetry is not None:
            state = self.canonical(state)
        if state in self.came:
            return None
        self.came[state] = came
        self.queue.append(state)
        world = World(self, state)
        for invariant in self.scope.invariants:
            error = invariant(world)
            if error is not None:
                return self.chart(state, error)
        return None

    def expand(self, state: tuple[int, ...]) -> str | None:
        """Every step from this state; the chart of the first violation."""
        for index in range(len(self.places)):
            for move in self.moves(state, index):
                found = self.step(state, index, move)
                if found:
                    return found
        for participant, m in self.scope.events(World(self, state)):
            name, values = self.places[participant - 1].written_as(m)
            found = self.step(state, participant - 1, (name, m.now, values))
            if found:
                return found
        return None

    def moves(self, state: tuple[int, ...], index: int) -> Iterator[int]:
        place = self.places[index]
        yield from _bits(state[-2] & self.inbox[index])
        if place.syncs(place.locals[state[index]]):
            yield SYNC
        if state[-1]:
            yield CRASH

    def step(self, state: tuple[int, ...], index: int, move: Any) -> str | None:
        self.result.transitions += 1
        outcome = self.outcome(index, state[index], move)
        outcome.used += 1
        came = (state, index, move)
        if outcome.fault:
            return self.chart(state, outcome.fault, came)
        mask = state[-2] | outcome.sent
        # A crash that changes nothing only takes away from what may still happen.
        if outcome.local == state[index] and mask == state[-2]:
            return None
        crashes = state[-1] - 1 if move == CRASH else state[-1]
        return self.reach((*state[:index], outcome.local, *state[index + 1 : -2], mask, crashes), came)

    def outcome(self, index: int, local: int, move: Any) -> _Outcome:
        known = self.outcomes[index].get((local, move))
        if known is None:
            known = self.outcomes[index][local, move] = self.compute(index, local, move)
        return known

    def compute(self, index: int, local: int, move: Any) -> _Outcome:
        place = self.places[index]
        before = place.locals[local]
        place.begin(before)
        try:
            if move == SYNC:
                place.sync(before)
            elif move == CRASH:
                place.crash(before)
            elif isinstance(move, tuple):
                place.event(*move)
            else:
                wire = self.wires[move]
                place.take(place.message(wire.name, wire.values, wire.sender))
        except _Fault as fault:
            return _Outcome(local, 0, tuple(place.rows), str(fault))
        rows = tuple(place.rows)
        return _Outcome(place.intern(place.end()), self.intern(place.sent), rows)

    # --- the chart of a violation
    def chart(self, state: tuple[int, ...], error: str, last: tuple[tuple[int, ...], int, Any] | None = None) -> str:
        """How the world came to this state, one line a step, and what is wrong in it."""
        steps = [last] if last else []
        at = state
        while (came := self.came[at]) is not None:
            steps.append(came)
            at = came[0]
        columns = range(len(self.places))
        lines = ["step  " + "".join(f"{i + 1:<{COLUMN}}" for i in columns).rstrip()]
        for number, (before, index, move) in enumerate(reversed(steps), 1):
            cells = ["|" if i != index else self.told(before, index, move) for i in columns]
            text = ""
            for i, cell in enumerate(cells):
                # What does not fit into its column goes on over the ones to the right of it.
                if cell != "|" or len(text) <= i * COLUMN:
                    text = f"{text:<{i * COLUMN}}{cell} "
            lines.append(f"{number:>4}  {text.rstrip()}")
        lines.append(f"violated: {error}")
        for place, local in zip(self.places, state, strict=False):
            lines.append(f"{place.number}: {_variables(place, place.locals[local].memory)}")
        return "\n".join(lines) + "\n"

    def told(self, before: tuple[int, ...], index: int, move: Any) -> str:
        place = self.places[index]
        outcome = self.outcomes[index][before[index], move]
        if move == SYNC:
            what = "sync"
        elif move == CRASH:
            what = "crash"
        elif isinstance(move, tuple):
            name, now, values = move
            what = f"event {_told(place.unit, name, values)}" + (f" at {now}" if now else "")
        else:
            wire = self.wires[move]
            what = f"deliver {_told(place.unit, wire.name, wire.values)} from {wire.sender}"
        what += f" [{', '.join(outcome.rows) or 'no row'}]" if outcome.rows or move not in (SYNC, CRASH) else ""
        sends: dict[str, list[int]] = {}
        for sent in _bits(outcome.sent):
            wire = self.wires[sent]
            sends.setdefault(_told(place.unit, wire.name, wire.values), []).append(wire.to)
        return what + "".join(f" -> {','.join(map(str, to))}: {text}" for text, to in sends.items())


def _told(unit: Unit, name: str, values: tuple[int, ...]) -> str:
    pairs = zip(unit.messages[name].fields, values, strict=True)
    return f"{name}({', '.join(f'{field}={value}' for field, value in pairs)})"


def _variables(place: _Place, memory: tuple) -> str:
    """States, and variables that are not 0."""
    parts = []
    for (key, name, map_key), value in zip(place.cells, memory, strict=True):
        if name == "state":
            parts.append(f"{key} {place.unit.machines[key].states[value]}")
        elif value and (not map_key or any(value)):
            parts.append(f"{name}={value}")
    return " ".join(parts)
