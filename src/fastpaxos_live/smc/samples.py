"""Tries guards on small values: which rows would take an event, for many values of all that decides it."""

import random
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from .effects import Reads, guard_reads
from .emit import constant
from .emit_python import emit_python
from .ir import Machine, Row, Type, Unit

REPLICAS = 3
SAMPLES = 1500  # of each event
PATIENCE = 30_000  # while a row has not fired yet
OWN_MAP = 8  # instances that a map may hold


@dataclass(slots=True)
class Witness:
    """Values for which something happens; of several, those with the least sum are kept."""

    state: str
    cost: int
    text: str


@dataclass(slots=True)
class Result:
    """`overlaps` by the names of two rows, `gaps` by state."""

    overlaps: dict[tuple[str, str], Witness] = field(default_factory=dict)
    gaps: dict[str, Witness] = field(default_factory=dict)


@dataclass(slots=True)
class Place:
    """Where one sampled value goes."""

    what: tuple[str, str]
    label: str
    owner: Any
    attribute: str
    type: Type
    first: int  # the least value of a Replica
    states: tuple[str, ...] = ()

    def written(self, value: Any) -> str:
        if self.states:
            return f'{self.label}="{self.states[value]}"'
        if self.type.key:
            held = dict(enumerate(value)) if isinstance(value, list) else value
            inner = ", ".join(f"{key}: {one}" for key, one in held.items() if one)
            return f"{self.label}={{{inner}}}"
        if self.type.name == "Replicas":
            return f"{self.label}={{{', '.join(str(i) for i in range(1, REPLICAS + 1) if value >> i & 1)}}}"
        return f"{self.label}={value}"


class Host:
    """Answers what the specification calls pure: any value, and the same for the same question in one sample."""

    def __init__(self, unit: Unit, sampler: "Sampler") -> None:
        self.answers: dict[tuple[str, tuple[int, ...]], int] = {}
        for pure in unit.pures.values():
            setattr(self, pure.name, self.function(pure.name, pure.result, sampler))

    def function(self, name: str, result: Type, sampler: "Sampler") -> Any:
        def answer(*args: int) -> int:
            if (name, args) not in self.answers:
                self.answers[name, args] = sampler.value(result, 0)
            return self.answers[name, args]

        return answer


class Sampler:
    """Runs the Python made from a unit."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.random = random.Random(0)
        self.top = 3
        self.constants: list[int] = []
        self.code: dict[str, Any] = {}
        exec(compile(emit_python(unit), "machines", "exec"), self.code)
        self.host = Host(unit, self)
        settings = {name.lower(): 1 for name in unit.settings}
        self.machines = self.code["Machines"](self.host, REPLICAS, **settings)
        self.message = self.code["Message"](0, sender=1)

    def value(self, type: Type, first: int) -> Any:
        """A value of that type, not above `top`."""
        draw = self.random.random
        if type.key == "Replica":
            return [0] + [int(draw() * (self.top + 1)) for _ in range(REPLICAS)]
        if type.key:
            return {i: int(draw() * (self.top + 1)) for i in range(OWN_MAP)}
        match type.name:
            case "Replica":
                return first + int(draw() * (REPLICAS + 1 - first))
            case "Replicas":
                return int(draw() * (1 << REPLICAS)) << 1
            case "Bool":
                return draw() < 0.5
            case "Span":
                return int(draw() * max(1, len(self.unit.spans)))
        if self.constants and draw() < 0.5:
            return self.random.choice(self.constants)
        return int(draw() * (self.top + 1))

    def places(self, machine: Machine, reads: Reads) -> list[Place]:
        """What has to be drawn, the machine's own variables first; its state is none of it."""
        found = []
        for key, other in sorted(self.unit.machines.items(), key=lambda item: item[0] != machine.key):
            owner = getattr(self.machines, key)
            label = machine.rows[0].self_name if other is machine else f"own.{key}"
            if other is not machine and (key, "state") in reads:
                found.append(Place((key, "state"), f"{label}.state", owner, "state", Type("state"), 0, other.states))
            for variable in other.variables.values():
                if (key, variable.name) in reads:
                    found.append(Place(
                        (key, variable.name), f"{label}.{variable.name}", owner, variable.name, variable.type, 0))
        fields = {"sender": Type("Replica"), "now": Type("Time"), **self.unit.fields()}
        found += [
            Place(("m", name), f"m.{name}", self.message, name, type, 1)
            for name, type in fields.items() if ("m", name) in reads
        ]
        found += [
            Place(("setting", name), name, self.machines, name.lower(), type, 1)
            for name, type in self.unit.settings.items() if ("setting", name) in reads
        ]
        return found

    def draw(self, places: list[Place]) -> list[Any]:
        # With a low ceiling equal values are frequent, and many guards want some.
        self.top = self.random.choice((1, 2, 3))
        self.host.answers.clear()
        values = []
        for place in places:
            if place.states:
                value: Any = int(self.random.random() * len(place.states))
            else:
                value = self.value(place.type, place.first)
            setattr(place.owner, place.attribute, value)
            values.append(value)
        return values

    def witness(self, state: str, places: list[Place], values: list[Any], reads: Reads) -> Witness:
        """What `reads` says of the present sample."""
        told = [(p, v) for p, v in zip(places, values, strict=True) if p.what in reads]
        answers = {q: a for q, a in self.host.answers.items() if ("pure", q[0]) in reads}
        parts = [place.written(value) for place, value in told]
        parts += [f"{name}({', '.join(map(str, args))})={int(a)}" for (name, args), a in answers.items()]
        cost = sum(answers.values())
        for _, value in told:
            cost += sum(value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value])
        return Witness(state, cost, ", ".join(parts))

    def run(self, machine: Machine, event: str, fired: set[str]) -> Result:
        """Samples one event in every state; adds to `fired` the rows that took it in some sample."""
        rows = [row for row in machine.rows if event in row.events]
        reads = {row.name: guard_reads(self.unit, machine, row) for row in rows}
        everything: Reads = set().union(*reads.values())
        written = [int(name) for where, name in everything if where == "constant"]
        self.constants = sorted({near for one in written if one > 2 for near in (one - 1, one, one + 1)})
        places = self.places(machine, everything)
        self.message.type = self.code["M_" + constant(event)]
        own = getattr(self.machines, machine.key)
        result = Result()
        count = 0
        # Without guards there is nothing to try, but what rows do all states have.
        samples = SAMPLES if any(row.guard for row in rows) else 1
        while count < samples or samples > 1 and count < PATIENCE and any(row.name not in fired for row in rows):
            count += 1
            values = self.draw(places)
            for index, state in enumerate(machine.states):
                own.state = index
                here = [row for row in rows if state in row.states]
                took = [row for row in here if not row.otherwise and self.holds(machine, row)]
                if not took:
                    took = [row for row in here if row.otherwise and self.holds(machine, row)][:1]
                fired.update(row.name for row in took)
                for pair in combinations([row.name for row in took], 2):
                    seen = self.witness(state, places, values, reads[pair[0]] | reads[pair[1]])
                    if pair not in result.overlaps or seen.cost < result.overlaps[pair].cost:
                        result.overlaps[pair] = seen
                if not took:
                    seen = self.witness(state, places, values, set().union(*(reads[row.name] for row in here)))
                    if state not in result.gaps or seen.cost < result.gaps[state].cost:
                        result.gaps[state] = seen
        return result

    def holds(self, machine: Machine, row: Row) -> bool:
        return not row.guard or self.code[f"{machine.key}_{row.name}_when"](self.machines, self.message)
