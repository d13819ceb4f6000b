"""Cython without the GIL, for the compiled core: one flat struct of state, a C function a row.

The file that includes the result has before it uint32_t, uint64_t, memset, u64_max, u64_min and the constants
REPLICAS_MAX and SLOTS (how many open instances a map holds), and after it the host's `host_NAME(Machines *s, ...)` for
each pure function.
"""

import ast
from collections.abc import Sequence
from typing import Any

from .emit import Emitter, actions_max, constant, row_id, source_note, state_id
from .ir import Definition, Machine, Row, Type, Unit

C_TYPES = {
    "Number": "uint64_t", "Instance": "uint64_t", "Time": "uint64_t", "Replica": "uint32_t", "Replicas": "uint32_t",
    "Bool": "bint", "Span": "uint32_t",
}  # fmt: skip

HEAD = """
cdef enum ActionKind:
    SEND
    PERSIST
    EFFECT

cdef enum:
    ALL = 254         # in Action.to
    OTHERS = 255
    IGNORED = 0       # no row took the event

cdef struct InstanceMap:    # of the open instances; those are never further apart than SLOTS
    uint64_t at[SLOTS]
    uint64_t value[SLOTS]
"""

HELPERS = """

cdef inline uint64_t map_get(const InstanceMap *map, uint64_t instance) noexcept nogil:
    return map.value[instance % SLOTS] if map.at[instance % SLOTS] == instance else 0


cdef inline void map_set(InstanceMap *map, uint64_t instance, uint64_t value) noexcept nogil:
    map.at[instance % SLOTS] = instance
    map.value[instance % SLOTS] = value


cdef inline bint machines_quorum(const Machines *s, uint32_t votes) noexcept nogil:
    cdef uint32_t count = 0
    while votes:
        votes &= votes - 1
        count += 1
    return count >= s.quorum


cdef uint64_t machines_kth(const Machines *s, const uint64_t *values, bint with_own, uint64_t own) noexcept nogil:
    # The majority-th largest of values[1..replicas]; `own` replaces the own one.
    cdef uint64_t sorted[REPLICAS_MAX]
    cdef uint64_t value
    cdef uint32_t i, j
    for i in range(s.replicas):
        value = own if with_own and i + 1 == s.me else values[i + 1]
        j = i
        while j > 0 and sorted[j - 1] < value:
            sorted[j] = sorted[j - 1]
            j -= 1
        sorted[j] = value
    return sorted[s.quorum - 1]


cdef inline Message *out_add(
    Machines *s, Out *out, int kind, uint32_t to, bint after, uint32_t type, uint64_t now
) noexcept nogil:
    cdef Action *action = &out.actions[out.count]
    out.count += 1
    memset(action, 0, sizeof(Action))
    action.kind = kind
    action.to = to
    action.after = after
    action.message.type = type
    action.message.sender = s.me
    action.message.now = now
    return &action.message


cdef inline void out_echo(Machines *s, Out *out, const Message *m) noexcept nogil:
    out_add(s, out, PERSIST, s.me, False, m.type, m.now)
    out.actions[out.count - 1].message = m[0]
"""


class CythonEmitter(Emitter):
    """Writes one file to include. With `variants`, functions that differ in one are there for each of them.

    Then `mutant`, a C integer of the including file, says which variant (1, 2, ...) is meant, 0 for none.
    """

    def __init__(self, unit: Unit, variants: Sequence[Unit] = ()) -> None:
        super().__init__(unit)
        self.variants = variants

    def differing(self, name: str, part: str) -> list[tuple[int, Any]]:
        """The variants in which this part of a row or a definition is another."""
        found = []
        for number, variant in enumerate(self.variants, 1):
            machine = variant.machines[self.machine.key]
            mine, its = named(self.machine, name), named(machine, name)
            assert type(mine) is type(its)
            if isinstance(mine, Row) and isinstance(its, Row) and (
                (mine.states, mine.events, mine.otherwise) != (its.states, its.events, its.otherwise)
            ):
                raise ValueError(f"variant {number} changes when {name} is tried: only what it does can vary")
            if dump(getattr(mine, part)) != dump(getattr(its, part)):
                found.append((number, its))
        return found

    def choose(self, name: str, arguments: str, variants: list[tuple[int, Any]], value: bool) -> None:
        for number, _ in variants:
            self.line(f"if mutant == {number}:", 1)
            call = f"{self.machine.key}_{name}_{number}({arguments})"
            self.line(f"return {call}" if value else call, 2)
            if not value:
                self.line("return", 2)

    def variable(self, key: str, name: str) -> str:
        return f"s.{key}.{name}"

    def map_get(self, map: str, key: str, type: Type) -> str:
        return f"map_get(&{map}, {key})" if type.key == "Instance" else f"{map}[{key}]"

    def map_set(self, map: str, key: str, value: str, type: Type) -> str:
        return f"map_set(&{map}, {key}, {value})" if type.key == "Instance" else f"{map}[{key}] = {value}"

    def clear(self, map: str, type: Type) -> str:
        return f"memset(&{map}, 0, sizeof({map}))"

    def one(self, replica: str) -> str:
        return f"(<uint32_t>1 << {replica})"

    def extreme(self, name: str, args: list[str]) -> str:
        text = args[0]
        for arg in args[1:]:
            text = f"u64_{name}({text}, {arg})"
        return text

    def kth(self, map: str, own: list[str]) -> str:
        return f"machines_kth(s, {map}, {bool(own)}, {own[0] if own else 0})"

    def pure(self, name: str, args: list[str]) -> str:
        return f"host_{name}({', '.join(['s', *args])})"

    def action(self, kind: str, to: str, after: bool, message: str, fields: list[tuple[str, str]]) -> list[str]:
        lines = [f"out_add(s, out, {kind}, {to}, {after}, {message}, m.now)"]
        if fields:
            lines[0] = f"message = {lines[0]}"
        return lines + [f"message.{name} = {value}" for name, value in fields]

    def echo(self) -> list[str]:
        return ["out_echo(s, out, m)"]

    def emit(self) -> str:
        """The text of the file."""
        unit = self.unit
        self.lines = source_note(unit, "#")
        self.lines += HEAD.splitlines()
        self.enum("", [f"M_{constant(name)}" for name in unit.messages], 1)
        rows = unit.rows()
        self.enum("", [row_id(m, r) for m, r in rows], 1)
        self.line()
        self.line("cdef enum:")
        self.line(f"MESSAGES = {len(unit.messages) + 1}", 1)
        self.line(f"ROWS = {len(rows) + 1}", 1)
        self.line(f"ACTIONS_MAX = {actions_max(unit)}", 1)
        for index, span in enumerate(unit.spans):
            self.line(f"SPAN_{span} = {index}", 1)
        for machine in unit.machines.values():
            self.enum("", [state_id(machine, name) for name in machine.states], 0)
        self.structs()
        self.lines += HELPERS.splitlines()
        for self.machine in unit.machines.values():
            for definition in self.machine.definitions.values():
                self.definition(definition)
            for row in self.machine.rows:
                self.row(row)
            self.step()
        self.dispatch()
        self.names()
        return "\n".join(self.lines) + "\n"

    def enum(self, name: str, members: list[str], first: int) -> None:
        self.line()
        self.line(f"cdef enum {name}:" if name else "cdef enum:")
        for index, member in enumerate(members):
            self.line(f"{member} = {first}" if not index else member, 1)

    def structs(self) -> None:
        unit = self.unit
        self.line()
        self.line("cdef struct Message:    # an event, a message or an effect; a field that it does not have is 0")
        self.line("uint32_t type", 1)
        self.line("uint32_t sender", 1)
        self.line("uint64_t now", 1)
        for name, type in unit.fields().items():
            self.line(f"{C_TYPES[type.name]} {name}", 1)
        self.line()
        self.line("cdef struct Action:     # `after`: it waits for all that was persisted up to here")
        self.line("int kind", 1)
        self.line("uint32_t to", 1)
        self.line("bint after", 1)
        self.line("Message message", 1)
        self.line()
        self.line("cdef struct Out:")
        self.line("uint32_t count", 1)
        self.line("Action actions[ACTIONS_MAX]", 1)
        for machine in unit.machines.values():
            self.line()
            self.line(f"cdef struct {machine.name}:    # {machine.file.name}:{machine.line}")
            self.line("uint32_t state", 1)
            for variable in machine.variables.values():
                if variable.type.key == "Instance":
                    declared = f"InstanceMap {variable.name}"
                elif variable.type.key:
                    declared = f"uint64_t {variable.name}[REPLICAS_MAX + 1]"
                else:
                    declared = f"{C_TYPES[variable.type.name]} {variable.name}"
                self.line(f"{declared:36}# {variable.storage}: {variable.text}", 1)
        self.line()
        self.line("cdef struct Machines:    # all machines of one replica")
        self.line("void *host", 1)
        self.line("uint32_t replicas", 1)
        self.line("uint32_t quorum", 1)
        for name, type in unit.settings.items():
            self.line(f"{C_TYPES[type.name]} {name.lower()}", 1)
        for machine in unit.machines.values():
            self.line(f"{machine.name} {machine.key}", 1)
        self.line("uint64_t taken[ROWS]", 1)

    def function(self, result: str, name: str, parameters: str, note: str, inline: str = "inline ") -> None:
        self.line()
        self.line()
        if note:
            self.line(f"# {note}")
        self.line(f"cdef {inline}{result} {self.machine.key}_{name}({parameters}) noexcept nogil:")

    def definition(self, definition: Definition, number: int = 0) -> None:
        self.self_name = definition.self_name
        part = "result" if definition.result is not None else "body"
        variants = [] if number else self.differing(definition.name, part)
        for other, variant in variants:
            self.definition(variant, other)
        name = f"{definition.name}_{number}" if number else definition.name
        parameters = "Machines *s" + (", const Message *m" if definition.takes_message else "")
        parameters += "".join(f", {C_TYPES[t.name]} {n}" for n, t in definition.parameters.items())
        arguments = ", ".join(["s", *(["m"] if definition.takes_message else []), *definition.parameters])
        note = f"{self.machine.file.name}:{definition.line}"
        if definition.result is not None:
            self.function("uint64_t", name, parameters, note)
            self.choose(name, arguments, variants, True)
            self.line(f"return {self.expr(definition.result)}", 1)
            return
        self.function("void", name, parameters + ", Out *out", note)
        self.choose(name, arguments + ", out", variants, False)
        self.body(definition.body)

    def body(self, body: list) -> None:
        lines = list(self.statements(body))
        if any(text.startswith("message = ") for _, text in lines):
            self.line("cdef Message *message", 1)
        for depth, text in lines:
            self.line(text, depth + 1)

    def row(self, row: Row) -> None:
        self.self_name = row.self_name
        guards = self.differing(row.name, "guard")
        if row.guard or guards:
            for number, variant in guards:
                self.guard(variant, f"{row.name}_when_{number}", [])
            self.guard(row, f"{row.name}_when", guards)
        bodies = self.differing(row.name, "body")
        for number, variant in bodies:
            self.effects(variant, f"{row.name}_{number}", [])
        self.effects(row, row.name, bodies)

    def guard(self, row: Row, name: str, variants: list[tuple[int, Any]]) -> None:
        self.function("bint", name, "Machines *s, const Message *m", f"{self.machine.file.name}:{row.line}")
        self.choose(name, "s, m", variants, True)
        conjuncts = [self.inner(c) if len(row.guard) > 1 else self.expr(c) for c in row.guard]
        self.line(f"return {' and '.join(conjuncts) or True}", 1)

    def effects(self, row: Row, name: str, variants: list[tuple[int, Any]]) -> None:
        note = f"{self.machine.file.name}:{row.line}  {row.text}".rstrip()
        self.function("void", name, "Machines *s, const Message *m, Out *out", note)
        self.choose(name, "s, m, out", variants, False)
        self.body(row.body)

    def condition(self, row: Row) -> str:
        machine = self.machine
        parts = []
        if len(row.states) < len(machine.states):
            tests = [f"state == {state_id(machine, name)}" for name in row.states]
            parts.append(f"({' or '.join(tests)})" if len(tests) > 1 else tests[0])
        if row.guard or self.differing(row.name, "guard"):
            parts.append(f"{machine.key}_{row.name}_when(s, m)")
        return " and ".join(parts)

    def step(self) -> None:
        machine = self.machine
        self.function("int", "step", "Machines *s, const Message *m, Out *out", "", "")
        self.line("# Takes the event with the one row that fits; returns the row, or IGNORED.", 1)
        self.line(f"cdef uint32_t state = s.{machine.key}.state", 1)
        for number, event in enumerate(machine.events()):
            self.line(f"{'el' if number else ''}if m.type == M_{constant(event)}:", 1)
            for row in sorted((r for r in machine.rows if event in r.events), key=lambda r: r.otherwise):
                condition = self.condition(row)
                depth = 2
                if condition:
                    self.line(f"if {condition}:", 2)
                    depth = 3
                self.line(f"{machine.key}_{row.name}(s, m, out)", depth)
                self.line(f"s.taken[{row_id(machine, row)}] += 1", depth)
                self.line(f"return {row_id(machine, row)}", depth)
                if not condition:
                    break
        self.line("return IGNORED", 1)
        self.function("int", "candidates", "Machines *s, const Message *m", "", "")
        self.line("# How many rows, those with `otherwise` apart, have a guard that holds: never two.", 1)
        self.line(f"cdef uint32_t state = s.{machine.key}.state", 1)
        self.line("cdef int count = 0", 1)
        for row in machine.rows:
            if not row.otherwise:
                tests = " or ".join(f"m.type == M_{constant(event)}" for event in row.events)
                condition = self.condition(row)
                self.line(f"if ({tests})" + (f" and {condition}:" if condition else ":"), 1)
                self.line("count += 1", 2)
        self.line("return count", 1)

    def dispatch(self) -> None:
        keys = list(self.unit.machines)
        self.line()
        self.line()
        self.line("cdef enum:")
        self.line(f"MACHINES = {len(keys)}", 1)
        self.line()
        self.line()
        for what, extra in (("step", ", Out *out"), ("candidates", "")):
            parameters = f"uint32_t machine, Machines *s, const Message *m{extra}"
            self.line(f"cdef int machines_{what}({parameters}) noexcept nogil:")
            for index, key in enumerate(keys):
                self.line(f"if machine == {index}:", 1)
                self.line(f"return {key}_{what}(s, m{', out' if extra else ''})", 2)
            self.line("return IGNORED", 1)
            self.line()
            self.line()

    def names(self) -> None:
        unit = self.unit
        rows = unit.rows()
        self.line("MESSAGE_NAMES = (" + ", ".join(repr(name) for name in ("", *unit.messages)) + ")")
        self.line("ROW_NAMES = (" + ", ".join(repr(f"{m.key}.{r.name}") for m, r in rows) + ",)")
        self.snapshot()
        self.values("values", "uint64_t *to", "to")
        self.values("load", "const uint64_t *from_", "from_")

    def snapshot(self) -> None:
        scalars = [
            f"{machine.key}.{name}"
            for machine in self.unit.machines.values()
            for name in ("state", *(v.name for v in machine.variables.values() if not v.type.key))
        ]
        self.line(f"SNAPSHOT_NAMES = {tuple(scalars)!r}")
        self.line()
        self.line("cdef enum:")
        self.line(f"SNAPSHOT = {len(scalars)}", 1)
        self.line()
        self.line()
        self.line("cdef void machines_snapshot(const Machines *s, uint64_t *to) noexcept nogil:")
        self.line("# Every variable that is no map, in the order of SNAPSHOT_NAMES.", 1)
        for index, name in enumerate(scalars):
            self.line(f"to[{index}] = s.{name}", 1)

    def values(self, name: str, parameter: str, array: str) -> None:
        """All state as one row of integers, for comparing, hashing and printing; and back."""
        loading = name == "load"
        self.line()
        self.line()
        self.line(f"cdef size_t machines_{name}(Machines *s, {parameter}) noexcept nogil:")
        self.line("cdef size_t n = 0", 1)
        self.line("cdef uint32_t i", 1)
        labels = []
        for machine in self.unit.machines.values():
            for variable, type in [("state", Type("Replica"))] + [
                (v.name, v.type) for v in machine.variables.values()
            ]:
                place = f"s.{machine.key}.{variable}"
                if not type.key:
                    self.copy(place, array, C_TYPES[type.name], loading, 1)
                    labels.append((f"{machine.key}.{variable}", ""))
                    continue
                count = "SLOTS" if type.key == "Instance" else "REPLICAS_MAX + 1"
                parts = [f"{place}.at[i]", f"{place}.value[i]"] if type.key == "Instance" else [f"{place}[i]"]
                self.line(f"for i in range({count}):", 1)
                for part in parts:
                    self.copy(part, array, "uint64_t", loading, 2)
                labels.append((f"{machine.key}.{variable}", type.key))
        self.line("return n", 1)
        if not loading:
            self.line()
            self.line()
            self.line(f"VALUE_NAMES = {tuple(labels)!r}")
            self.line()
            self.line("cdef enum:    # how many values there are")
            self.line("VALUE_COUNT = " + " + ".join(
                {"": "1", "Replica": "(REPLICAS_MAX + 1)", "Instance": "2 * SLOTS"}[key] for _, key in labels), 1)

    def copy(self, place: str, array: str, kind: str, loading: bool, depth: int) -> None:
        cast = f"<{kind}>" if kind != "uint64_t" else ""
        self.line(f"{place} = {cast}{array}[n]" if loading else f"{array}[n] = {place}", depth)
        self.line("n += 1", depth)


def named(machine: Machine, name: str) -> Row | Definition:
    """Its row or definition of that name."""
    return next((row for row in machine.rows if row.name == name), None) or machine.definitions[name]


def dump(part: Any) -> str:
    """A text that is the same for the same code, wherever it stands."""
    return ";".join(ast.dump(node) for node in part) if isinstance(part, list) else part and ast.dump(part) or ""


def emit_cython(unit: Unit, variants: Sequence[Unit] = ()) -> str:
    """The unit as a file for Cython's `include`."""
    return CythonEmitter(unit, variants).emit()
