"""What the emitters share: expressions and statements are walked here, a language says how each thing is written."""

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterator

from .ir import Definition, Machine, Row, Type, Unit

COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def constant(name: str) -> str:
    """`PromiseAgain` and `promise_again` as a constant."""
    parts = ["_" + c if c.isupper() and i and not name[i - 1].isupper() else c for i, c in enumerate(name)]
    return "".join(parts).upper()


def row_id(machine: Machine, row: Row) -> str:
    """The constant of a row."""
    return f"ROW_{machine.key}_{row.name}".upper()


def state_id(machine: Machine, state: str) -> str:
    """The constant of a state."""
    return f"{machine.key}_{state}".upper()


class Emitter(ABC):
    """Base of the languages. `machine` and `self_name` are those of the function being written."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.machine: Machine = next(iter(unit.machines.values()))
        self.self_name = "a"
        self.lines: list[str] = []

    def line(self, text: str = "", depth: int = 0) -> None:
        self.lines.append("    " * depth + text if text else "")

    # --- what a language says
    @abstractmethod
    def variable(self, key: str, name: str) -> str: ...

    def setting(self, name: str) -> str:
        return f"s.{name.lower()}"

    @abstractmethod
    def map_get(self, map: str, key: str, type: Type) -> str: ...

    @abstractmethod
    def map_set(self, map: str, key: str, value: str, type: Type) -> str: ...

    @abstractmethod
    def clear(self, map: str, type: Type) -> str: ...

    @abstractmethod
    def extreme(self, name: str, args: list[str]) -> str: ...

    @abstractmethod
    def pure(self, name: str, args: list[str]) -> str: ...

    @abstractmethod
    def action(self, kind: str, to: str, after: bool, message: str, fields: list[tuple[str, str]]) -> list[str]: ...

    @abstractmethod
    def echo(self) -> list[str]:
        """persist(m)"""

    # --- expressions
    def type_of_map(self, node: ast.expr) -> Type:
        match node:
            case ast.Attribute(ast.Attribute(ast.Name("own"), key), name):
                return self.unit.machines[key].variables[name].type
            case ast.Attribute(_, name):
                return self.machine.variables[name].type
        raise AssertionError(ast.unparse(node))

    def expr(self, node: ast.expr) -> str:
        """An expression; whoever embeds it in a larger one parenthesizes."""
        match node:
            case ast.Constant(str(state)):
                return state_id(self.state_owner, state)
            case ast.Constant(value):
                return str(value)
            case ast.Set([one]):
                return self.one(self.expr(one))
            case ast.Name("NOBODY"):
                return "0"
            case ast.Name(name) if name in self.unit.settings:
                return self.setting(name)
            case ast.Name(name) if name in self.unit.spans:
                return f"SPAN_{name}"
            case ast.Name(name):  # a parameter; ALL and OTHERS are called so in the generated code
                return name
            case ast.Attribute(ast.Name("m"), field):
                return f"m.{field}"
            case ast.Attribute(ast.Attribute(ast.Name("own"), key), name):
                return self.variable(key, name)
            case ast.Attribute(ast.Name(), name):
                return self.variable(self.machine.key, name)
            case ast.Subscript(map, key):
                return self.map_get(self.expr(map), self.expr(key), self.type_of_map(map))
            case ast.Compare(left, [op], [right]):
                self.state_owner = self.machine
                match left:
                    case ast.Attribute(ast.Attribute(ast.Name("own"), key)):
                        self.state_owner = self.unit.machines[key]
                return f"{self.inner(left)} {COMPARE[type(op)]} {self.inner(right)}"
            case ast.BoolOp(op, values):
                word = " and " if isinstance(op, ast.And) else " or "
                return word.join(self.inner(v) for v in values)
            case ast.UnaryOp(ast.Not(), value):
                return f"not {self.inner(value)}"
            case ast.BinOp(left, op, right):
                return f"{self.inner(left)} {'+' if isinstance(op, ast.Add) else '|'} {self.inner(right)}"
            case ast.IfExp(test, yes, no):
                return f"{self.inner(yes)} if {self.inner(test)} else {self.inner(no)}"
            case ast.Call(ast.Name("max" | "min" as name), args):
                return self.extreme(name, [self.expr(a) for a in args])
            case ast.Call(ast.Name("quorum"), [votes]):
                return f"machines_quorum(s, {self.expr(votes)})"
            case ast.Call(ast.Name("kth"), [map, *own]):
                return self.kth(self.expr(map), [self.expr(o) for o in own])
            case ast.Call(ast.Name(name), args):
                return self.pure(name, [self.expr(a) for a in args])
            case ast.Call(ast.Attribute(ast.Name(), name), args):
                return self.call(self.machine.definitions[name], args, False)
        raise AssertionError(ast.unparse(node))

    state_owner: Machine

    def inner(self, node: ast.expr) -> str:
        text = self.expr(node)
        simple = isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.BinOp | ast.IfExp)
        return f"({text})" if simple else text

    def one(self, replica: str) -> str:
        return f"(1 << {replica})"

    def kth(self, map: str, own: list[str]) -> str:
        return f"machines_kth(s, {', '.join([map, *own])})"

    def call(self, definition: Definition, args: list[ast.expr], effects: bool) -> str:
        written = [self.expr(a) for a in args if not (isinstance(a, ast.Name) and a.id == "m")]
        first = ["s"] + (["m"] if definition.takes_message else []) + written + (["out"] if effects else [])
        return f"{self.machine.key}_{definition.name}({', '.join(first)})"

    # --- statements
    def statements(self, body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
        """Depth and text of each line."""
        if not body:
            yield 0, "pass"
        for statement in body:
            match statement:
                case ast.Assign(targets, value):
                    for target in reversed(targets):
                        yield from ((0, text) for text in self.assign(target, value))
                case ast.If(test, then, other):
                    yield 0, f"if {self.expr(test)}:"
                    yield from ((depth + 1, text) for depth, text in self.statements(then))
                    if other:
                        yield 0, "else:"
                        yield from ((depth + 1, text) for depth, text in self.statements(other))
                case ast.Expr(ast.Call() as call):
                    yield from ((0, text) for text in self.do(call))

    def assign(self, target: ast.expr, value: ast.expr) -> Iterator[str]:
        match target:
            case ast.Tuple(targets):
                assert isinstance(value, ast.Tuple)
                for one, its in zip(targets, value.elts, strict=True):
                    yield from self.assign(one, its)
            case ast.Subscript(map, key):
                yield self.map_set(self.expr(map), self.expr(key), self.expr(value), self.type_of_map(map))
            case ast.Attribute(_, name) if self.machine.variables[name].type.key:
                yield self.clear(self.expr(target), self.machine.variables[name].type)
            case _:
                yield f"{self.expr(target)} = {self.expr(value)}"

    def do(self, call: ast.Call) -> Iterator[str]:
        after = [k.value for k in call.keywords]
        for wait in after:
            assert isinstance(wait, ast.Call)
            if wait.args:
                yield from self.do(wait)
        match call:
            case ast.Call(ast.Name("become"), [ast.Constant(str(state))]):
                yield f"{self.variable(self.machine.key, 'state')} = {state_id(self.machine, state)}"
            case ast.Call(ast.Name("send"), [to, ast.Call(ast.Name(name), args)]):
                yield from self.made("SEND", self.expr(to), bool(after), name, args)
            case ast.Call(ast.Name("reply"), [ast.Call(ast.Name(name), args)]):
                yield from self.made("SEND", "m.sender", bool(after), name, args)
            case ast.Call(ast.Name("persist"), []):
                return
            case ast.Call(ast.Name("persist"), [ast.Name("m")]):
                yield from self.echo()
            case ast.Call(ast.Name("persist"), [ast.Call(ast.Name(name), args)]):
                yield from self.made("PERSIST", "s.me", False, name, args)
            case ast.Call(ast.Name(name), args):
                yield from self.made("EFFECT", "s.me", False, name, args)
            case ast.Call(ast.Attribute(ast.Name(), name), args):
                yield self.call(self.machine.definitions[name], args, True)

    def made(self, kind: str, to: str, after: bool, name: str, args: list[ast.expr]) -> list[str]:
        fields = list(zip(self.unit.messages[name].fields, map(self.expr, args), strict=True))
        return self.action(kind, to, after, "M_" + constant(name), fields)


def actions_max(unit: Unit) -> int:
    """The most actions that one row can ask for."""

    def count(machine: Machine, body: list[ast.stmt]) -> int:
        total = 0
        for statement in body:
            if isinstance(statement, ast.If):
                total += count(machine, statement.body) + count(machine, statement.orelse)
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                call = statement.value
                name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
                if name in machine.definitions:
                    total += count(machine, machine.definitions[name].body)
                else:
                    total += 2  # a message, and what it persists
        return total

    return max(count(machine, row.body) for machine, row in unit.rows())


def source_note(unit: Unit, mark: str) -> list[str]:
    """The head of a generated file."""
    names = ", ".join(file.name for file in unit.files)
    return [f"{mark} Made from {names} by `python -m fastpaxos_live.smc`; changes belong there."]
