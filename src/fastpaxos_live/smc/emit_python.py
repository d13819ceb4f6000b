"""Plain Python, for the reference core: a function a row, one class a machine."""

import ast

from .emit import Emitter, constant, row_id, source_note, state_id
from .ir import Definition, Row, Type, Unit

HEAD = '''
SEND, PERSIST, EFFECT = range(3)  # kinds of actions
ALL, OTHERS = 254, 255  # in Action.to
IGNORED = 0  # no row took the event


class Action:
    """What a row asks its host for: `after` makes a message wait for all that was persisted up to here."""

    __slots__ = ("kind", "to", "after", "message")

    def __init__(self, kind: int, to: int, after: bool, message: "Message") -> None:
        self.kind = kind
        self.to = to
        self.after = after
        self.message = message


def machines_quorum(s: "Machines", votes: int) -> bool:
    return votes.bit_count() >= s.quorum


def machines_kth(s: "Machines", values: list[int], own: int | None = None) -> int:
    """The majority-th largest value; `own` replaces the own one."""
    taken = values[1:]
    if own is not None:
        taken[s.me - 1] = own
    taken.sort(reverse=True)
    return taken[s.quorum - 1]
'''


class PythonEmitter(Emitter):
    """Writes one module."""

    def variable(self, key: str, name: str) -> str:
        return f"{self.self_name}.{name}" if key == self.machine.key else f"s.{key}.{name}"

    def map_get(self, map: str, key: str, type: Type) -> str:
        return f"{map}.get({key}, 0)" if type.key == "Instance" else f"{map}[{key}]"

    def map_set(self, map: str, key: str, value: str, type: Type) -> str:
        return f"{map}[{key}] = {value}"

    def clear(self, map: str, type: Type) -> str:
        return f"{map} = " + ("{}" if type.key == "Instance" else "[0] * (s.replicas + 1)")

    def extreme(self, name: str, args: list[str]) -> str:
        return f"{name}({', '.join(args)})"

    def pure(self, name: str, args: list[str]) -> str:
        return f"s.host.{name}({', '.join(args)})"

    def action(self, kind: str, to: str, after: bool, message: str, fields: list[tuple[str, str]]) -> list[str]:
        written = "".join(f", {name}={value}" for name, value in fields)
        return [f"out.append(Action({kind}, {to}, {after}, Message({message}, s.me, m.now{written})))"]

    def echo(self) -> list[str]:
        return ["out.append(Action(PERSIST, s.me, False, m))"]

    def emit(self) -> str:
        """The text of the module."""
        unit = self.unit
        self.lines = source_note(unit, "#")
        self.line("# ruff: noqa")
        self.line('"""The machines of one replica: state, and a step for each message."""')
        self.lines += HEAD.splitlines()
        self.tables()
        for self.machine in unit.machines.values():
            self.state_class()
        self.whole()
        for self.machine in unit.machines.values():
            for definition in self.machine.definitions.values():
                self.definition(definition)
            for row in self.machine.rows:
                self.row(row)
            self.step()
        self.line()
        self.line()
        self.line("STEPS = (" + ", ".join(f"{key}_step" for key in unit.machines) + ",)")
        self.line("CANDIDATES = (" + ", ".join(f"{key}_candidates" for key in unit.machines) + ",)")
        return "\n".join(self.lines) + "\n"

    def tables(self) -> None:
        unit = self.unit
        self.line()
        self.line()
        self.line("MESSAGES = (" + ", ".join(repr(name) for name in ("", *unit.messages)) + ")")
        self.line(f"{', '.join('M_' + constant(name) for name in unit.messages)}, = range(1, {len(unit.messages) + 1})")
        rows = unit.rows()
        self.line("ROWS = (" + ", ".join(repr(f"{m.key}.{r.name}") for m, r in rows) + ",)")
        self.line(f"{', '.join(row_id(m, r) for m, r in rows)}, = range(1, {len(rows) + 1})")
        for machine in unit.machines.values():
            self.line(f"{machine.key.upper()}_STATES = {machine.states!r}")
            self.line(f"{', '.join(state_id(machine, s) for s in machine.states)}, = range({len(machine.states)})")
        for index, span in enumerate(unit.spans):
            self.line(f"SPAN_{span} = {index}")
        keys = list(unit.machines)
        self.line("TAKEN_BY = {  # message: the machines that have rows for it, by their place in STEPS")
        for name in unit.messages:
            takers = [i for i, key in enumerate(keys) if name in unit.machines[key].events()]
            self.line(f"M_{constant(name)}: {tuple(takers)!r},", 1)
        self.line("}")
        self.line()
        self.line()
        self.line("class Message:")
        self.line('"""An event, a message or an effect; a field that it does not have is 0."""', 1)
        self.line()
        fields = list(unit.fields())
        self.line(f"__slots__ = {('type', 'sender', 'now', *fields)!r}", 1)
        self.line()
        self.line("def __init__(", 1)
        parameters = ", ".join(f"{name}: int = 0" for name in ("sender", "now", *fields))
        self.line(f"self, type: int, {parameters}", 2)
        self.line(") -> None:", 1)
        for name in ("type", "sender", "now", *fields):
            self.line(f"self.{name} = {name}", 2)

    def state_class(self) -> None:
        machine = self.machine
        self.line()
        self.line()
        self.line(f"class {machine.name}:  # {machine.file.name}:{machine.line}")
        self.line(f'"""{machine.text}"""', 1)
        self.line()
        self.line(f"__slots__ = {('state', *machine.variables)!r}", 1)
        self.line()
        self.line("def __init__(self, replicas: int) -> None:", 1)
        self.line("self.state = 0", 2)
        for variable in machine.variables.values():
            if variable.type.key == "Instance":
                self.line(f"self.{variable.name}: dict[int, int] = {{}}  # {variable.text}", 2)
            elif variable.type.key:
                self.line(f"self.{variable.name} = [0] * (replicas + 1)  # {variable.text}", 2)
            else:
                self.line(f"self.{variable.name} = 0  # {variable.storage}: {variable.text}", 2)

    def whole(self) -> None:
        settings = [name.lower() for name in self.unit.settings]
        keys = list(self.unit.machines)
        self.line()
        self.line()
        self.line("class Machines:")
        self.line('"""All machines of one replica; `host` knows what the specification calls pure."""', 1)
        self.line()
        self.line(f"__slots__ = ('host', 'replicas', 'quorum', {', '.join(map(repr, settings))}, "
                  f"{', '.join(map(repr, keys))}, 'taken')", 1)
        self.line()
        extra = "".join(f", {name}: int" for name in settings)
        self.line(f"def __init__(self, host: object, replicas: int{extra}) -> None:", 1)
        self.line("self.host = host", 2)
        self.line("self.replicas = replicas", 2)
        self.line("self.quorum = replicas // 2 + 1", 2)
        for name in settings:
            self.line(f"self.{name} = {name}", 2)
        for machine in self.unit.machines.values():
            self.line(f"self.{machine.key} = {machine.name}(replicas)", 2)
        self.line("self.taken = [0] * (len(ROWS) + 1)", 2)
        self.snapshot()

    def snapshot(self) -> None:
        scalars = [
            (machine.key, name)
            for machine in self.unit.machines.values()
            for name in ("state", *(v.name for v in machine.variables.values() if not v.type.key))
        ]
        self.line()
        self.line()
        self.line(f"SNAPSHOT = {tuple(f'{key}.{name}' for key, name in scalars)!r}")
        self.line()
        self.line()
        self.line("def snapshot(s: Machines) -> tuple[int, ...]:")
        self.line('"""Every variable that is no map, in the order of SNAPSHOT."""', 1)
        self.line("return (" + ", ".join(f"s.{key}.{name}" for key, name in scalars) + ",)", 1)

    def head(self, name: str, what: str, parameters: str, line: int) -> None:
        self.line()
        self.line()
        self.line(f"def {self.machine.key}_{name}({parameters}):  # {self.machine.file.name}:{line}  {what}")
        self.line(f"{self.self_name} = s.{self.machine.key}", 1)

    def definition(self, definition: Definition) -> None:
        self.self_name = definition.self_name
        parameters = ["s"] + (["m"] if definition.takes_message else []) + list(definition.parameters)
        if definition.result is not None:
            self.head(definition.name, definition.name, ", ".join(parameters), definition.line)
            self.line(f"return {self.expr(definition.result)}", 1)
            return
        self.head(definition.name, definition.name, ", ".join([*parameters, "out"]), definition.line)
        for depth, text in self.statements(definition.body):
            self.line(text, depth + 1)

    def row(self, row: Row) -> None:
        self.self_name = row.self_name
        if row.guard:
            self.head(f"{row.name}_when", f"the guard of {row.name}", "s, m", row.line)
            self.line(f"return {self.conjunction(row.guard)}", 1)
        self.head(row.name, row.name, "s, m, out", row.line)
        for depth, text in self.statements(row.body):
            self.line(text, depth + 1)

    def condition(self, row: Row, state: str, inline: bool) -> str:
        machine = self.machine
        parts = []
        if len(row.states) < len(machine.states):
            ids = [state_id(machine, name) for name in row.states]
            parts.append(f"{state} == {ids[0]}" if len(ids) == 1 else f"{state} in ({', '.join(ids)})")
        self.self_name = row.self_name
        if row.guard:
            if inline:
                whole = not parts and len(row.guard) == 1
                parts += [self.expr(c) if whole else self.inner(c) for c in row.guard]
            else:
                parts.append(f"{machine.key}_{row.name}_when(s, m)")
        return " and ".join(parts)

    def conjunction(self, guard: list[ast.expr]) -> str:
        return " and ".join(self.inner(c) if len(guard) > 1 else self.expr(c) for c in guard)

    def step(self) -> None:
        machine = self.machine
        self.line()
        self.line()
        self.line(f"def {machine.key}_step(s, m, out):")
        self.line('"""Takes the event with the one row that fits; returns the row, or IGNORED."""', 1)
        for name in sorted({row.self_name for row in machine.rows}):
            self.line(f"{name} = s.{machine.key}", 1)
        self.line(f"state = s.{machine.key}.state", 1)
        self.line("type = m.type", 1)
        for number, event in enumerate(machine.events()):
            self.line(f"{'el' if number else ''}if type == M_{constant(event)}:", 1)
            for row in sorted((r for r in machine.rows if event in r.events), key=lambda r: r.otherwise):
                condition = self.condition(row, "state", True)
                depth = 2
                if condition:
                    self.line(f"if {condition}:", 2)
                    depth = 3
                self.line(f"{machine.key}_{row.name}(s, m, out)", depth)
                self.line(f"s.taken[{row_id(machine, row)}] += 1", depth)
                self.line(f"return {row_id(machine, row)}", depth)
        self.line("return IGNORED", 1)
        self.line()
        self.line()
        self.line(f"def {machine.key}_candidates(s, m):")
        self.line('"""The rows, those with `otherwise` apart, whose guard holds: never two."""', 1)
        self.line(f"state = s.{machine.key}.state", 1)
        self.line("rows = []", 1)
        for row in machine.rows:
            if not row.otherwise:
                events = ", ".join("M_" + constant(event) for event in row.events)
                condition = self.condition(row, "state", False)
                test = f"m.type in ({events},)" + (f" and {condition}" if condition else "")
                self.line(f"if {test}:", 1)
                self.line(f"rows.append({row_id(machine, row)})", 2)
        self.line("return rows", 1)


def emit_python(unit: Unit) -> str:
    """The unit as a Python module."""
    return PythonEmitter(unit).emit()
