"""Types of a specification: every name known, every value of the type that its place wants."""

import ast
from difflib import get_close_matches
from typing import NoReturn

from .ir import Definition, Machine, Message, SpecError, Type, Unit

BOOL, TIME, REPLICA, REPLICAS, SPAN = Type("Bool"), Type("Time"), Type("Replica"), Type("Replicas"), Type("Span")
ZERO = Type("0")  # a literal integer: of any numeric type
EMPTY = Type("{}")
STATE = Type("state")
NUMERIC = (*(Type(name) for name in ("Number", "Instance", "Time", "Replica")), ZERO)
NUMBER_MAX = (1 << 63) - 1  # of a literal


def self_call(node: ast.AST, self_name: str) -> str | None:
    """The definition that `a.name(...)` calls."""
    match node:
        case ast.Call(ast.Attribute(ast.Name(name), called)) if name == self_name:
            return called
    return None


class Scope:
    """What names mean inside one row or definition; `events` are the messages that `m` may be, None: there is no m.

    With `any_event` they are those of whoever calls, and are looked at there.
    """

    def __init__(
        self, machine: Machine, self_name: str, events: list[Message] | None, parameters: dict[str, Type],
        any_event: bool = False,
    ) -> None:
        self.machine = machine
        self.self_name = self_name
        self.events = events
        self.parameters = parameters
        self.any_event = any_event


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
                events = list(self.unit.messages.values()) if definition.takes_message else None
                scope = Scope(self.machine, definition.self_name, events, definition.parameters, True)
                self.no_recursion(definition, [])
                if definition.result is not None:
                    self.same(definition.result, [definition.result], scope)
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
                        if len(targets) > 1:
                            self.not_read(target, [value], self.assigned(targets), scope)
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
                self.assign(one, its, scope)
                self.not_read(target, [its, *([one.slice] if isinstance(one, ast.Subscript) else [])], done, scope)
                done |= self.assigned([one])
            return
        match target:
            case ast.Attribute(ast.Name(name), variable) if name == scope.self_name:
                type = self.variable(target, scope.machine, variable)
                if type == STATE:
                    self.fail(target, "the state is changed by become(...)")
                if type.key and not isinstance(value, ast.Dict):
                    self.fail(target, f"{variable} is a map: one value of it can be assigned, or {{}} to all")
            case ast.Subscript(ast.Attribute(ast.Name(name), variable), key) if name == scope.self_name:
                whole = self.variable(target, scope.machine, variable)
                if not whole.key:
                    self.fail(target, f"{variable} is no map")
                self.want(key, Type(whole.key), scope)
                type = Type(whole.name)
            case _:
                self.fail(target, f"{ast.unparse(target)} can't be assigned: only variables of the own machine can")
        self.want(value, type, scope)

    def not_read(self, node: ast.AST, parts: list[ast.expr], assigned: set[str], scope: Scope) -> None:
        """What is assigned in one line must not depend on the order."""
        read = set().union(*(self.variables_in(part, scope.self_name) for part in parts)) & assigned
        if read:
            self.fail(node, f"{', '.join(sorted(read))} is assigned and read in one line: use two")

    @staticmethod
    def assigned(targets: list[ast.expr]) -> set[str]:
        stores = {part for target in targets for part in ast.walk(target) if isinstance(part, ast.expr)}
        bare = [one.value if isinstance(one, ast.Subscript) else one for one in stores
                if isinstance(getattr(one, "ctx", None), ast.Store)]
        return {one.attr for one in bare if isinstance(one, ast.Attribute)}

    def variables_in(self, part: ast.expr, self_name: str) -> set[str]:
        """The own variables that it reads, in definitions, too."""
        found = set()
        for node in ast.walk(part):
            definition = self.machine.definitions.get(self_call(node, self_name) or "")
            if definition is not None and definition.result is not None:
                found |= self.variables_in(definition.result, definition.self_name)
            match node:
                case ast.Attribute(ast.Attribute(ast.Name("own"), key), name) if key == self.machine.key:
                    found.add(name)
                case ast.Attribute(ast.Name(name), variable) if name == self_name:
                    found.add(variable)
        return found

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
                self.made(made, scope, travels=not (isinstance(to, ast.Name) and to.id == "me"))
            case "reply", [made]:
                if scope.events is None:
                    self.fail(call, "there is nobody to reply to")
                self.made(made, scope, travels=True)
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
        if call.keywords:
            self.fail(call, "persist() has no option")
        match call.args:
            case [] | [ast.Name("m")]:
                if call.args and scope.events is None:
                    self.fail(call, "there is no m here")
            case [made]:
                self.made(made, scope)
            case _:
                self.fail(call, "persist() or persist(m) or persist(Event(...))")

    def made(self, node: ast.expr, scope: Scope, travels: bool = False) -> None:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            self.fail(node, f"{ast.unparse(node)} is no message")
        message = self.unit.messages.get(node.func.id)
        if message is None or message.kind == "effect":
            near = get_close_matches(node.func.id, self.unit.messages, 1)
            self.fail(node, f"{node.func.id} is no message" + (f"; did you mean {near[0]}?" if near else ""))
        if travels and message.kind != "message":
            self.fail(node, f"{message.kind} {message.name} never travels: send(me, ...), or declare it a message")
        self.arguments(node, message.fields, scope)

    def arguments(self, call: ast.Call, wanted: dict[str, Type], scope: Scope) -> None:
        if len(call.args) != len(wanted) or call.keywords:
            self.fail(call, f"{ast.unparse(call.func)} takes {', '.join(wanted) or 'nothing'}")
        for argument, type in zip(call.args, wanted.values(), strict=True):
            self.want(argument, type, scope)

    def call(self, call: ast.Call, definition: Definition, scope: Scope) -> None:
        arguments = [a for a in call.args if not (isinstance(a, ast.Name) and a.id == "m")]
        counts = len(arguments), len(call.args) - len(arguments), len(call.keywords)
        if counts != (len(definition.parameters), int(definition.takes_message), 0):
            wanted = [", ".join(definition.parameters), "m" if definition.takes_message else ""]
            self.fail(call, f"{definition.name} takes {' and '.join(filter(None, wanted)) or 'nothing'}")
        if definition.takes_message and scope.events is None:
            self.fail(call, "there is no m here")
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
        if found == type or found == ZERO and type in NUMERIC:
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
        if scope.any_event and name not in known:
            self.no_field(node, name, "no message has such a field", known)
        for event in scope.events if not scope.any_event else ():
            if name not in event.fields:
                self.no_field(node, name, f"{event.name} has no such field", event.fields)
        return known[name]

    def no_field(self, node: ast.AST, name: str, text: str, fields: dict[str, Type]) -> NoReturn:
        near = get_close_matches(name, fields, 1)
        self.fail(node, f"m.{name}: {text}" + (f"; did you mean m.{near[0]}?" if near else ""))

    def of(self, node: ast.expr, scope: Scope) -> Type:
        """The type of an expression."""
        match node:
            case ast.Constant(bool()):
                return BOOL
            case ast.Constant(int(value)):
                if value > NUMBER_MAX:
                    self.fail(node, f"{value} is too large: numbers have 64 bits")
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
                return self.same(node, [left, right], scope, numeric=True)
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

    def same(self, node: ast.expr, parts: list[ast.expr], scope: Scope, numeric: bool = False) -> Type:
        """The type that all parts have."""
        types = [t for t in (self.of(part, scope) for part in parts) if t != ZERO]
        if not types:
            return ZERO
        if any(t != types[0] for t in types):
            self.fail(node, f"{ast.unparse(node)} mixes {' and '.join(str(t) for t in types)}")
        if types[0].key or types[0] in (EMPTY, STATE) or numeric and types[0] not in NUMERIC:
            self.fail(node, f"{ast.unparse(node)}: this can't be done with {types[0]}")
        return types[0]

    def compare(self, node: ast.Compare, left: ast.expr, right: ast.expr, scope: Scope) -> Type:
        order = not isinstance(node.ops[0], ast.Eq | ast.NotEq)
        if self.of(left, scope) == STATE and isinstance(left, ast.Attribute) and not order:
            owner = scope.machine
            match left:
                case ast.Attribute(ast.Attribute(ast.Name("own"), key)):
                    owner = self.unit.machines[key]
            state = right.value if isinstance(right, ast.Constant) else None
            if state not in owner.states:
                self.fail(node, f"{ast.unparse(right)} is no state of {owner.name}")
            return BOOL
        self.same(node, [left, right], scope, numeric=order)
        return BOOL

    def value_call(self, node: ast.Call, scope: Scope) -> Type:
        called = self_call(node, scope.self_name)
        if called is not None:
            definition = scope.machine.definitions.get(called)
            if definition is None or definition.result is None:
                self.fail(node, f"{called} is no definition with a value")
            self.call(node, definition, scope)
            inner = Scope(scope.machine, definition.self_name, scope.events, definition.parameters, scope.any_event)
            return self.of(definition.result, inner)
        if node.keywords:
            self.fail(node, f"{ast.unparse(node.func)} has no option")
        match node.func, node.args:
            case ast.Name("max" | "min"), [_, _, *_]:
                return self.same(node, node.args, scope, numeric=True)
            case ast.Name("quorum"), [votes]:
                self.want(votes, REPLICAS, scope)
                return BOOL
            case ast.Name("kth"), [map, *own]:
                whole = self.of(map, scope)
                if whole.key != "Replica":
                    self.fail(node, "kth takes a Map[Replica, T]")
                if len(own) > 1:
                    self.fail(node, "kth takes a map, and what to put for the own value")
                for value in own:
                    self.want(value, Type(whole.name), scope)
                return Type(whole.name)
            case ast.Name(name), _ if name in self.unit.pures:
                pure = self.unit.pures[name]
                self.arguments(node, pure.parameters, scope)
                return pure.result
        self.fail(node, f"{ast.unparse(node.func)} is not known here")
