"""Types of a specification: every name known, every value of the type that its place wants."""

import ast
from difflib import get_close_matches
from typing import NoReturn

from .ir import Definition, Machine, Message, SpecError, Type, Unit

BOOL, TIME, REPLICA, REPLICAS, SPAN = Type("Bool"), Type("Time"), Type("Replica"), Type("Replicas"), Type("Span")
ZERO = Type("0")  # a literal integer: of any numeric type
EMPTY = Type("{}")
STATE = Type("state")
NUMERIC = ("Number", "Instance", "Time", "Replica")


def self_call(node: ast.AST, self_name: str) -> str | None:
    """The definition that `a.name(...)` calls."""
    match node:
        case ast.Call(ast.Attribute(ast.Name(name), called)) if name == self_name:
            return called
    return None


class Scope:
    """What names mean inside one row or definition; `events` are the messages that `m` may be."""

    def __init__(
        self, machine: Machine, self_name: str, events: list[Message] | None, parameters: dict[str, Type]
    ) -> None:
        self.machine = machine
        self.self_name = self_name
        self.events = events
        self.parameters = parameters


class Typer:
    """Checks a whole unit; `of` is the type of one expression."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.machine: Machine = next(iter(unit.machines.values()))

    def fail(self, node: ast.AST, text: str) -> NoReturn:
        raise SpecError(f"{self.machine.file}:{getattr(node, 'lineno', self.machine.line)}: {text}")

    def check(self) -> None:
        """Raises SpecError at the first thing that is wrong."""
        for machine in self.unit.machines.values():
            self.machine = machine
            for definition in self.machine.definitions.values():
                scope = Scope(
                    self.machine, definition.self_name,
                    list(self.unit.messages.values()) if definition.takes_message else None, definition.parameters)
                self.no_recursion(definition, [])
                if definition.result is not None:
                    self.of(definition.result, scope)
                self.statements(definition.body, scope)
            for row in self.machine.rows:
                events = [self.unit.messages[name] for name in row.events]
                scope = Scope(self.machine, row.self_name, events, {})
                for conjunct in row.guard:
                    self.want(conjunct, BOOL, scope)
                self.statements(row.body, scope)

    def no_recursion(self, definition: Definition, path: list[str]) -> None:
        if definition.name in path:
            self.fail(definition.body[0] if definition.body else definition.result or ast.Pass(),
                      f"definition {definition.name} uses itself")
        parts: list[ast.AST] = [definition.result] if definition.result else list(definition.body)
        for part in parts:
            for node in ast.walk(part):
                called = self_call(node, definition.self_name)
                if called in self.machine.definitions:
                    self.no_recursion(self.machine.definitions[called], [*path, definition.name])

    # --- statements
    def statements(self, body: list[ast.stmt], scope: Scope) -> None:
        for statement in body:
            match statement:
                case ast.Assign(targets, value):
                    for target in targets:
                        self.assign(target, value, scope)
                case ast.If(test, then, other):
                    self.want(test, BOOL, scope)
                    self.statements(then, scope)
                    self.statements(other, scope)
                case ast.Expr(ast.Call() as call):
                    self.action(call, scope)
                case ast.For() | ast.While():
                    self.fail(statement, "loops are not in the language: use send(ALL, ...), or an event of its own")
                case _:
                    self.fail(statement, f"not in the language: {ast.unparse(statement).splitlines()[0]}")

    def assign(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        if isinstance(target, ast.Tuple):
            if not isinstance(value, ast.Tuple) or len(value.elts) != len(target.elts):
                self.fail(target, "as many values as variables")
            done: set[str] = set()
            for one, its in zip(target.elts, value.elts, strict=True):
                read = self.variables_in(its, scope)
                if read & done:
                    self.fail(target, f"{', '.join(sorted(read & done))} is assigned and read in one line: use two")
                self.assign(one, its, scope)
                done |= self.variables_in(one.value if isinstance(one, ast.Subscript) else one, scope)
            return
        match target:
            case ast.Attribute(ast.Name(name), variable) if name == scope.self_name:
                type = self.variable(target, scope.machine, variable)
                if type == STATE:
                    self.fail(target, "the state is changed by become(...)")
            case ast.Subscript(ast.Attribute(ast.Name(name), variable), key) if name == scope.self_name:
                whole = self.variable(target, scope.machine, variable)
                if not whole.key:
                    self.fail(target, f"{variable} is no map")
                self.want(key, Type(whole.key), scope)
                type = Type(whole.name)
            case _:
                self.fail(target, f"{ast.unparse(target)} can't be assigned: only variables of the own machine can")
        self.want(value, type, scope)

    @staticmethod
    def variables_in(node: ast.AST, scope: Scope) -> set[str]:
        return {
            n.attr for n in ast.walk(node)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == scope.self_name
        }

    def action(self, call: ast.Call, scope: Scope) -> None:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        after = [k.value for k in call.keywords if k.arg == "after"]
        if call.keywords and (name not in ("send", "reply") or len(after) != len(call.keywords)):
            self.fail(call, "only send and reply have an option, after=persist(...)")
        for wait in after:
            if not (isinstance(wait, ast.Call) and isinstance(wait.func, ast.Name) and wait.func.id == "persist"):
                self.fail(call, "after= takes persist(...)")
            self.persist(wait, scope)
        match name, call.args:
            case "become", [ast.Constant(state)]:
                if state not in scope.machine.states:
                    self.fail(call, f"{state!r} is no state of {scope.machine.name}")
            case "send", [to, made]:
                if not (isinstance(to, ast.Name) and to.id in ("ALL", "OTHERS")):
                    self.want(to, REPLICA, scope)
                self.made(made, scope)
            case "reply", [made]:
                if scope.events is None:
                    self.fail(call, "there is nobody to reply to")
                self.made(made, scope)
            case "persist", _:
                self.persist(call, scope)
            case _ if name in self.unit.messages and self.unit.messages[name].kind == "effect":
                self.arguments(call, self.unit.messages[name].fields, scope)
            case _ if (called := self_call(call, scope.self_name)) in scope.machine.definitions:
                definition = scope.machine.definitions[str(called)]
                if definition.result is not None:
                    self.fail(call, f"{called} has no effect")
                self.call(call, definition, scope)
            case _:
                near = get_close_matches(name, ("become", "send", "reply", "persist", *self.unit.messages), 1)
                more = f"; did you mean {near[0]}?" if near else ""
                self.fail(call, f"{ast.unparse(call.func)} is no action{more}")

    def persist(self, call: ast.Call, scope: Scope) -> None:
        match call.args:
            case [] | [ast.Name("m")]:
                return
            case [made]:
                self.made(made, scope)
            case _:
                self.fail(call, "persist() or persist(m) or persist(Event(...))")

    def made(self, node: ast.expr, scope: Scope) -> None:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            self.fail(node, f"{ast.unparse(node)} is no message")
        message = self.unit.messages.get(node.func.id)
        if message is None or message.kind == "effect":
            near = get_close_matches(node.func.id, self.unit.messages, 1)
            self.fail(node, f"{node.func.id} is no message" + (f"; did you mean {near[0]}?" if near else ""))
        self.arguments(node, message.fields, scope)

    def arguments(self, call: ast.Call, wanted: dict[str, Type], scope: Scope) -> None:
        if len(call.args) != len(wanted):
            self.fail(call, f"{ast.unparse(call.func)} takes {', '.join(wanted) or 'nothing'}")
        for argument, type in zip(call.args, wanted.values(), strict=True):
            self.want(argument, type, scope)

    def call(self, call: ast.Call, definition: Definition, scope: Scope) -> None:
        arguments = [a for a in call.args if not (isinstance(a, ast.Name) and a.id == "m")]
        if definition.takes_message != (len(arguments) < len(call.args)) or len(arguments) != len(
            definition.parameters
        ):
            self.fail(call, f"{definition.name} takes {', '.join((*definition.parameters,))}"
                      + (" and m" if definition.takes_message else ""))
        for argument, type in zip(arguments, definition.parameters.values(), strict=True):
            self.want(argument, type, scope)
        for field in self.fields_read(definition):
            self.field(call, field, scope)

    def fields_read(self, definition: Definition) -> set[str]:
        """The fields of `m` that it reads, those of the definitions it calls included."""
        fields = set()
        parts: list[ast.AST] = [definition.result] if definition.result else list(definition.body)
        for part in parts:
            for node in ast.walk(part):
                match node:
                    case ast.Attribute(ast.Name("m"), field):
                        fields.add(field)
                called = self_call(node, definition.self_name)
                if called in self.machine.definitions:
                    fields |= self.fields_read(self.machine.definitions[called])
        return fields

    # --- expressions
    def want(self, node: ast.expr, type: Type, scope: Scope) -> None:
        found = self.of(node, scope)
        if found == type or found == ZERO and type.name in NUMERIC and not type.key:
            return
        if found == EMPTY and type.key:
            return
        self.fail(node, f"{ast.unparse(node)} is {found}, and {type} is wanted here")

    def variable(self, node: ast.AST, machine: Machine, name: str) -> Type:
        if name == "state":
            return STATE
        if name in machine.variables:
            return machine.variables[name].type
        near = get_close_matches(name, [*machine.variables, *machine.definitions], 1)
        self.fail(node, f"{machine.name} has no variable {name}" + (f"; did you mean {near[0]}?" if near else ""))

    def field(self, node: ast.AST, name: str, scope: Scope) -> Type:
        if scope.events is None:
            self.fail(node, "there is no m here")
        if name == "sender":
            return REPLICA
        if name == "now":
            return TIME
        known = self.unit.fields()
        for event in scope.events:
            if name not in event.fields and (name not in known or len(scope.events) < len(self.unit.messages)):
                near = get_close_matches(name, event.fields, 1)
                more = f"; did you mean m.{near[0]}?" if near else ""
                self.fail(node, f"m.{name}: {event.name} has no such field{more}")
        return known[name]

    def of(self, node: ast.expr, scope: Scope) -> Type:
        """The type of an expression."""
        match node:
            case ast.Constant(bool()):
                return BOOL
            case ast.Constant(int()):
                return ZERO
            case ast.Constant(str()):
                return STATE
            case ast.Dict([], []):
                return EMPTY
            case ast.Set([one]):
                self.want(one, REPLICA, scope)
                return REPLICAS
            case ast.Name(name):
                return self.name(node, name, scope)
            case ast.Attribute(ast.Name("m"), field):
                return self.field(node, field, scope)
            case ast.Attribute(ast.Name(name), variable) if name == scope.self_name:
                return self.variable(node, scope.machine, variable)
            case ast.Attribute(ast.Attribute(ast.Name("own"), key), variable):
                if key not in self.unit.machines:
                    self.fail(node, f"there is no machine {key} beside this one")
                return self.variable(node, self.unit.machines[key], variable)
            case ast.Subscript(map, key):
                whole = self.of(map, scope)
                if not whole.key:
                    self.fail(node, f"{ast.unparse(map)} is no map")
                self.want(key, Type(whole.key), scope)
                return Type(whole.name)
            case ast.Compare(left, [ast.Eq() | ast.NotEq() | ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()], [right]):
                return self.compare(node, left, right, scope)
            case ast.BoolOp(_, values):
                for value in values:
                    self.want(value, BOOL, scope)
                return BOOL
            case ast.UnaryOp(ast.Not(), value):
                self.want(value, BOOL, scope)
                return BOOL
            case ast.BinOp(left, ast.Add(), right):
                return self.same(node, [left, right], scope)
            case ast.BinOp(left, ast.BitOr(), right):
                self.want(left, REPLICAS, scope)
                self.want(right, REPLICAS, scope)
                return REPLICAS
            case ast.IfExp(test, yes, no):
                self.want(test, BOOL, scope)
                return self.same(node, [yes, no], scope)
            case ast.Call():
                return self.value_call(node, scope)
        self.fail(node, f"not in the language: {ast.unparse(node)}")

    def name(self, node: ast.expr, name: str, scope: Scope) -> Type:
        if name in scope.parameters:
            return scope.parameters[name]
        if name in self.unit.settings:
            return self.unit.settings[name]
        if name in self.unit.spans:
            return SPAN
        if name == "NOBODY":
            return REPLICAS
        known = [*scope.parameters, *self.unit.settings, *self.unit.spans, "NOBODY"]
        near = get_close_matches(name, known, 1)
        self.fail(node, f"{name} is not known here" + (f"; did you mean {near[0]}?" if near else ""))

    def same(self, node: ast.expr, parts: list[ast.expr], scope: Scope) -> Type:
        types = [t for t in (self.of(part, scope) for part in parts) if t != ZERO]
        if not types:
            return ZERO
        if any(t != types[0] or t.key for t in types):
            self.fail(node, f"{ast.unparse(node)} mixes {' and '.join(str(t) for t in types)}")
        return types[0]

    def compare(self, node: ast.expr, left: ast.expr, right: ast.expr, scope: Scope) -> Type:
        if self.of(left, scope) == STATE:
            owner = scope.machine
            match left:
                case ast.Attribute(ast.Attribute(ast.Name("own"), key)):
                    owner = self.unit.machines[key]
            state = right.value if isinstance(right, ast.Constant) else None
            if state not in owner.states:
                self.fail(node, f"{ast.unparse(right)} is no state of {owner.name}")
            return BOOL
        self.same(node, [left, right], scope)
        return BOOL

    def value_call(self, node: ast.Call, scope: Scope) -> Type:
        called = self_call(node, scope.self_name)
        if called is not None:
            definition = scope.machine.definitions.get(called)
            if definition is None or definition.result is None:
                self.fail(node, f"{called} is no definition with a value")
            self.call(node, definition, scope)
            inner = Scope(scope.machine, definition.self_name, scope.events, definition.parameters)
            return self.of(definition.result, inner)
        match node.func, node.args:
            case ast.Name("max" | "min"), [_, _, *_]:
                return self.same(node, node.args, scope)
            case ast.Name("quorum"), [votes]:
                self.want(votes, REPLICAS, scope)
                return BOOL
            case ast.Name("kth"), [map, *own]:
                whole = self.of(map, scope)
                if whole.key != "Replica":
                    self.fail(node, "kth takes a Map[Replica, T]")
                for value in own:
                    self.want(value, Type(whole.name), scope)
                return Type(whole.name)
            case ast.Name(name), _ if name in self.unit.pures:
                pure = self.unit.pures[name]
                self.arguments(node, pure.parameters, scope)
                return pure.result
        self.fail(node, f"{ast.unparse(node.func)} is not known here")
