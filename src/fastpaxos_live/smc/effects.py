"""What a row does and what its guard looks at, the definitions that it uses included."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .ir import Machine, Row, Unit
from .types import self_call

Reads = set[tuple[str, str]]  # where: a machine's key, "m", "setting", "pure" or "constant"; and what


@dataclass(frozen=True, slots=True)
class Op:
    """`kind`: assign, become, send, persist or effect; `name` is the variable, the state or the message."""

    kind: str
    name: str
    line: int
    waits: bool = False  # a send with after=


def paths(machine: Machine, body: list[ast.stmt], self_name: str) -> list[list[Op]]:
    """Each way through a body, as what is done on it in order."""
    whole: list[list[Op]] = [[]]
    for statement in body:
        match statement:
            case ast.If(_, then, other):
                ways = paths(machine, then, self_name) + paths(machine, other, self_name)
            case ast.Assign(targets):
                ways = [[Op("assign", name, statement.lineno) for t in targets for name in _assigned(t)]]
            case ast.Expr(ast.Call() as call):
                called = self_call(call, self_name)
                if called is None:
                    ways = [list(_done(call))]
                else:
                    definition = machine.definitions[called]
                    ways = paths(machine, definition.body, definition.self_name)
            case _:
                raise AssertionError(ast.unparse(statement))
        whole = [before + way for before in whole for way in ways]
    return whole


def operations(machine: Machine, row: Row) -> list[Op]:
    """All that a row may do, in the order of the text, each once."""
    return list(dict.fromkeys(op for path in paths(machine, row.body, row.self_name) for op in path))


def _assigned(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Tuple(targets):
            for one in targets:
                yield from _assigned(one)
        case ast.Subscript(ast.Attribute(_, name)) | ast.Attribute(_, name):
            yield name


def _done(call: ast.Call) -> Iterator[Op]:
    for option in call.keywords:
        assert isinstance(option.value, ast.Call)
        yield from _done(option.value)
    match call:
        case ast.Call(ast.Name("become"), [ast.Constant(state)]):
            yield Op("become", str(state), call.lineno)
        case ast.Call(ast.Name("persist"), []):
            return  # it only stands for all that was persisted before
        case ast.Call(ast.Name("persist"), [ast.Name()]):
            yield Op("persist", "m", call.lineno)
        case ast.Call(ast.Name("persist"), [ast.Call(ast.Name(name))]):
            yield Op("persist", name, call.lineno)
        case ast.Call(ast.Name("send" | "reply"), [*_, ast.Call(ast.Name(name))]):
            yield Op("send", name, call.lineno, bool(call.keywords))
        case ast.Call(ast.Name(name)):
            yield Op("effect", name, call.lineno)


def guard_reads(unit: Unit, machine: Machine, row: Row) -> Reads:
    """What decides whether the row's guard holds."""
    found: Reads = set()
    for conjunct in row.guard:
        _read(unit, machine, conjunct, row.self_name, found)
    return found


def _read(unit: Unit, machine: Machine, part: ast.expr, self_name: str, found: Reads) -> None:
    for node in ast.walk(part):
        called = self_call(node, self_name)
        definition = machine.definitions.get(called) if called else None
        if definition is not None and definition.result is not None:
            _read(unit, machine, definition.result, definition.self_name, found)
        match node:
            case ast.Attribute(ast.Attribute(ast.Name("own"), key), name):
                found.add((key, name))
            case ast.Attribute(ast.Name("m"), name):
                found.add(("m", name))
            case ast.Attribute(ast.Name(name), variable) if name == self_name:
                if variable == "state" or variable in machine.variables:
                    found.add((machine.key, variable))
            case ast.Call(ast.Name("kth"), [_, _]):
                found.add(("setting", "me"))
            case ast.Call(ast.Name(name)) if name in unit.pures:
                found.add(("pure", name))
            case ast.Name(name) if name in unit.settings:
                found.add(("setting", name))
            case ast.Constant(bool()):
                pass
            case ast.Constant(int(value)):
                found.add(("constant", str(value)))
