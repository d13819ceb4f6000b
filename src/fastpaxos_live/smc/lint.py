"""Static checks beyond types: what would be forgotten, dropped in silence, decided twice, or never happen.

Guards are compared by trying small values on the code made from them: a finding comes with values that show it, and
no finding is no proof. All is deterministic.
"""

import ast
import re
from pathlib import Path

from .effects import operations, paths
from .emit import constant, row_id, state_id
from .ir import Machine, Row, SpecError, Unit
from .samples import Result, Sampler
from .types import self_call

HOST_NAMES = ("step", "candidates")  # functions of every machine beside its rows
# What generated code has in any case; with `s.`, fields of all machines together.
TAKEN = (
    "Action", "ActionKind", "InstanceMap", "Machines", "Message", "Out", "machines_candidates", "machines_kth",
    "machines_load", "machines_quorum", "machines_snapshot", "machines_step", "machines_values", "map_get", "map_set",
    "out_add", "out_echo", "s.host", "s.quorum", "s.replicas", "s.taken",
)  # fmt: skip


def lint(unit: Unit) -> None:
    """Raises SpecError with all findings, one a line, in the order of the files."""
    checks = _Lint(unit)
    checks.names()
    checks.persistence()
    checks.states()
    checks.unused()
    if not checks.broken:
        checks.guards()
    checks.done()


class _Lint:
    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.found: dict[tuple[int, int, str], None] = {}
        self.broken = False  # code made from it would not run

    def add(self, file: Path, line: int, text: str) -> None:
        self.found[self.unit.files.index(file), line, text] = None

    def declared(self, name: str) -> tuple[Path, int]:
        """Where a setting, a span or a function of the host is declared."""
        pattern = re.compile(rf"(\w+, *)*{name}\b[^=]*[:=]")
        for file in self.unit.files:
            for number, text in enumerate(file.read_text().splitlines() if file.exists() else (), 1):
                if pattern.match(text):
                    return file, number
        return self.unit.files[0], 1

    def done(self) -> None:
        if self.found:
            raise SpecError("\n".join(
                f"{self.unit.files[index]}:{line}: {text}" for index, line, text in sorted(self.found)))

    # --- what the emitters take for granted
    def names(self) -> None:
        """Names that generated code needs, or needs for itself."""
        if "me" not in self.unit.settings:
            self.broken = True
            self.add(self.unit.files[0], 1, "a message names its sender by the setting `me`: add me: setting[Replica]")
        for machine in self.unit.machines.values():
            if not machine.rows:
                self.broken = True
                self.add(machine.file, machine.line, f"{machine.name} has no row: add one, or drop the machine")
            for state in machine.states:
                if not state.isidentifier():
                    self.broken = True
                    self.add(machine.file, machine.line, f"state {state!r} is no name: use letters, digits and _")
            for name, line in [(r.name, r.line) for r in machine.rows] + [
                (d.name, d.line) for d in machine.definitions.values()
            ]:
                if name in HOST_NAMES or name.endswith("_when"):
                    self.broken = True
                    self.add(machine.file, line, f"generated code has a function {name} itself: choose another name")

        self.collisions()

    def collisions(self) -> None:
        """Generated code calls no two things the same."""
        first = self.unit.files[0], 1
        seen = dict.fromkeys(TAKEN, "generated code")
        for name, what, (file, line) in [
            *((f"s.{setting.lower()}", f"setting {setting}", first) for setting in self.unit.settings),
            *((f"host_{pure}", f"function {pure}", first) for pure in self.unit.pures),
            *((f"M_{constant(m.name)}", f"{m.kind} {m.name}", (m.file, m.line)) for m in self.unit.messages.values()),
            *(named for machine in self.unit.machines.values() for named in _names(machine)),
        ]:
            if name in seen:
                self.broken = True
                self.add(*(self.declared(what.split()[1]) if (file, line) == first else (file, line)),
                         f"{what} and {seen[name]} would both be {name}: choose another name")
            seen[name] = what

    # --- persistence
    def persistence(self) -> None:
        """What must survive a crash is in the log, and nothing that tells of it leaves before."""
        for machine, row in self.unit.rows():
            if not all(self.unit.messages[event].kind == "record" for event in row.events):
                self.persists(machine, row)

    def persists(self, machine: Machine, row: Row) -> None:
        durable = {v.name for v in machine.variables.values() if v.storage == "durable"}
        for path in paths(machine, row.body, row.self_name):
            assigned = [op for op in path if op.kind == "assign" and op.name in durable]
            if not assigned:
                continue
            what = f"{row.name} assigns durable {assigned[0].name!r}"
            written = False
            for op in path:
                written = written or op.kind == "persist"
                if op.kind == "send" and not op.waits:
                    self.add(machine.file, op.line,
                             f"{what} and sends {op.name} without after=: add after=persist(...)")
                elif op.kind == "send" and not written:
                    self.add(machine.file, op.line, f"{what}, but after= of {op.name} waits for nothing that this row "
                             "persists: name what, as in after=persist(m)")
            if not written:
                self.add(machine.file, assigned[0].line,
                         f"{what} and persists nothing: add persist(m), persist(Event(...)) or after=persist(m)")

    # --- states
    def states(self) -> None:
        """Every state can be entered, and left."""
        for machine in self.unit.machines.values():
            ways: dict[str, set[str]] = {state: set() for state in machine.states}
            for row in machine.rows:
                into = {op.name for op in operations(machine, row) if op.kind == "become"}
                for state in row.states:
                    ways[state] |= into - {state}
            entered, queue = {machine.states[0]}, [machine.states[0]]
            while queue:
                new = ways[queue.pop()] - entered
                entered |= new
                queue += new
            for state in machine.states:
                if state not in entered:
                    self.add(machine.file, machine.line, f"state {state!r} cannot be entered: add "
                             f"become({state!r}) to a row of a state that can, or drop it")
                if len(machine.states) > 1 and not ways[state] and state not in machine.terminal:
                    self.add(machine.file, machine.line, f"state {state!r} has no exit: add a row with become(...), or "
                             f"terminal({state!r})")

    # --- what nobody uses
    def unused(self) -> None:
        """A name without a use is a mistake, or a rest."""
        unit = self.unit
        names: set[str] = set()
        for machine in unit.machines.values():
            for part, self_name in _parts(machine):
                names |= {node.id for node in ast.walk(part) if isinstance(node, ast.Name) and node.id != self_name}
        taken = {event for machine in unit.machines.values() for event in machine.events()}
        for message in unit.messages.values():
            if message.name not in names | taken:
                self.add(message.file, message.line, f"{message.kind} {message.name} is not used: drop it")
            elif message.kind != "effect" and message.name not in taken:
                self.add(message.file, message.line,
                         f"{message.name} is sent, but no machine takes it: add a row for it, or drop it")
        for kind, declared in (("setting", unit.settings), ("function", unit.pures), ("span", unit.spans)):
            for name in declared:
                if name not in names and name != "me":
                    self.add(*self.declared(name), f"{kind} {name} is not used: drop it")
        for machine in unit.machines.values():
            self.unused_definitions(machine)
            self.unused_variables(machine)

    def unused_definitions(self, machine: Machine) -> None:
        called = {self_call(node, name) for part, name in _parts(machine) for node in ast.walk(part)}
        for definition in machine.definitions.values():
            # One with a value and without m may be a question of the host's.
            hosts = definition.result is not None and not definition.takes_message
            if definition.name not in called and not hosts:
                self.add(machine.file, definition.line, f"definition {definition.name} is not used: drop it")

    def unused_variables(self, machine: Machine) -> None:
        read: set[str] = set()
        written: set[str] = set()
        for other in self.unit.machines.values():
            for part, self_name in _parts(other):
                for node in ast.walk(part):
                    match node:
                        case ast.Attribute(ast.Attribute(ast.Name("own"), key), name) if key == machine.key:
                            read.add(name)
                        case ast.Attribute(ast.Name(own), name, ast.Load()) if own == self_name and other is machine:
                            read.add(name)
        for part, self_name in _parts(machine):
            for node in ast.walk(part):
                match node:
                    case ast.Attribute(ast.Name(own), name, ast.Store()) if own == self_name:
                        written.add(name)
                    case ast.Subscript(ast.Attribute(ast.Name(own), name), _, ast.Store()) if own == self_name:
                        written.add(name)
        for variable in machine.variables.values():
            if variable.name not in read | written:
                self.add(machine.file, variable.line, f"variable {variable.name} is not used: drop it")
            elif variable.name not in written:
                self.add(machine.file, variable.line, f"variable {variable.name} is never assigned, so it is always 0: "
                         "assign it, or drop it")
            elif variable.name not in read:
                self.add(machine.file, variable.line, f"variable {variable.name} is assigned and never "
                         "read: drop it, or add a definition by which the host reads it")

    # --- guards
    def guards(self) -> None:
        """One row for each event, and an event for each row."""
        sampler = Sampler(self.unit)
        for machine in self.unit.machines.values():
            fired: set[str] = set()
            for event in machine.events():
                result = sampler.run(machine, event, fired)
                self.overlaps(machine, event, result)
                self.gaps(machine, event, result)
            for row in machine.rows:
                if row.name not in fired:
                    rest = "the rows before it leave it nothing" if row.otherwise else "its guard never holds"
                    self.add(machine.file, row.line, f"row {row.name} can't fire, {rest}: drop it, or mend the guards")

    def overlaps(self, machine: Machine, event: str, result: Result) -> None:
        lines = {row.name: row.line for row in machine.rows}
        for (first, second), witness in result.overlaps.items():
            when = f" when {witness.text}" if witness.text else ""
            self.add(machine.file, max(lines[first], lines[second]),
                     f"rows {first} and {second} can both take ({witness.state}, {event}){when}: make their guards "
                     "exclude each other, or one an otherwise")

    def gaps(self, machine: Machine, event: str, result: Result) -> None:
        states: dict[str, list[str]] = {}  # by what they need
        for state, witness in result.gaps.items():
            if (state, event) not in machine.ignored:
                states.setdefault(f" when {witness.text}" if witness.text else "", []).append(state)
        for when, some in states.items():
            quoted = "".join(f'"{state}", ' for state in some)
            self.add(machine.file, machine.line, f"no row for ({' | '.join(some)}, {event}){when}: add a row, "
                     f"otherwise, or ignore({quoted}{event})")


def _names(machine: Machine) -> list[tuple[str, str, tuple[Path, int]]]:
    """What generated code calls the parts of a machine, what they are, and where they stand."""
    key, here = machine.key, (machine.file, machine.line)
    names = [(machine.name, f"machine {machine.name}", here), (f"s.{key}", f"machine {machine.name}", here)]
    names += [(state_id(machine, state), f"state {state}", here) for state in machine.states]
    for row in machine.rows:
        names.append((row_id(machine, row), f"row {row.name}", (machine.file, row.line)))
        names.append((f"{key}_{row.name}", f"row {row.name}", (machine.file, row.line)))
    for definition in machine.definitions.values():
        names.append((f"{key}_{definition.name}", f"definition {definition.name}", (machine.file, definition.line)))
    return names


def _parts(machine: Machine) -> list[tuple[ast.AST, str]]:
    """All expressions and statements of a machine, each with the name that stands for the machine in it."""
    parts: list[tuple[ast.AST, str]] = []
    for definition in machine.definitions.values():
        body: list[ast.AST] = [definition.result] if definition.result else list(definition.body)
        parts += [(part, definition.self_name) for part in body]
    for row in machine.rows:
        parts += [(part, row.self_name) for part in [*row.guard, *row.body]]
    return parts
