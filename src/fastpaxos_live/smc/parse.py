"""Reads specifications with `ast`: names, shapes and types are checked here, so that an emitter meets no surprise."""

import ast
import re
from collections.abc import Callable
from difflib import get_close_matches
from keyword import kwlist
from pathlib import Path
from typing import NoReturn

from .ir import SCALARS, Definition, Machine, Message, Pure, Row, SpecError, Type, Unit, Variable
from .language import __all__ as words
from .types import Typer

KINDS = {"message": "message", "event": "event", "record": "record", "effect": "effect"}
DEPTH_MAX = 100  # levels of the syntax tree; all that walks over it may recurse
COMMENT = re.compile(r"#\s*(.*)$")
WORDS = {*words, "max", "min"}
# Of generated code: locals of its functions, and what C, Cython or Python don't allow as a name.
LOCALS = {"m", "out", "rows", "s", "state", "type"}
RESERVED = {
    "auto", "cdef", "char", "cimport", "const", "cpdef", "ctypedef", "default", "do", "double", "enum", "extern",
    "float", "goto", "include", "inline", "int", "long", "nogil", "NULL", "register", "restrict", "short", "signed",
    "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", *kwlist,
}  # fmt: skip


def parse(files: list[Path], read: Callable[[Path], str] = Path.read_text) -> Unit:
    """The unit in these files and in those of the same folder that they import from. Raises SpecError.

    `read` gives a file's text, and is there so that a text that is in no file can be compiled.
    """
    unit = Unit(files[0].stem)
    parser = _Parser(unit, read)
    for file in files:
        parser.file(file)
    if not unit.machines:
        raise SpecError(f"{files[0]}:1: there is no @machine class in it")
    for machine, tree in parser.classes:
        parser.machine(machine, tree)
    Typer(unit).check()
    return unit


def _depth(tree: ast.AST) -> int:
    level, depth = [tree], 0
    while level:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


class _Parser:
    def __init__(self, unit: Unit, read: Callable[[Path], str]) -> None:
        self.unit = unit
        self.read = read
        self.lines: dict[Path, list[str]] = {}
        self.at = Path()
        self.classes: list[tuple[Machine, ast.ClassDef]] = []

    def fail(self, node: ast.AST, text: str) -> NoReturn:
        raise SpecError(f"{self.at}:{getattr(node, 'lineno', 1)}: {text}")

    def comment(self, line: int) -> str:
        found = COMMENT.search(self.lines[self.at][line - 1])
        return found[1] if found else ""

    # --- a file
    def file(self, path: Path) -> None:
        if path in self.unit.files:
            return
        try:
            text = self.read(path)
            tree = ast.parse(text, str(path))
            if _depth(tree) > DEPTH_MAX:
                raise SpecError(f"{path}:1: nested more than {DEPTH_MAX} levels deep")
            compile(tree, str(path), "exec")  # what only shows there, like two parameters of one name
        except OSError as error:
            raise SpecError(f"{path}:1: can't be read: {error.strerror}") from None
        except (RecursionError, MemoryError):
            raise SpecError(f"{path}:1: no Python syntax: nested too deeply") from None
        except (SyntaxError, ValueError) as error:
            raise SpecError(f"{path}:{getattr(error, 'lineno', 1) or 1}: no Python syntax: {error}") from None
        self.unit.files.append(path)
        self.lines[path] = text.splitlines()
        for node in tree.body:
            self.at = path
            self.statement(node, ast.get_docstring(tree) or "")

    def statement(self, node: ast.stmt, text: str) -> None:
        match node:
            case ast.Expr(ast.Constant(str())) | ast.Import():
                return
            case ast.ImportFrom(module=str(module), level=level):
                beside = self.at.parent / f"{module}.py"
                if level <= 1 and "." not in module and (level or beside.exists()):
                    here = self.at
                    self.file(beside)
                    self.at = here
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name(kind), [], keywords)) if kind in KINDS:
                self.fresh(node, name)
                fields = self.typed(node, keywords)
                for field, type in fields.items():
                    known = self.unit.fields().get(field, type)
                    if known != type:
                        self.fail(node, f"field {field} is {known} elsewhere: one name has one type")
                    if field in ("sender", "now", "type"):
                        self.fail(node, f"field {field} comes with every message by itself")
                self.unit.messages[name] = Message(
                    name, KINDS[kind], fields, self.at, node.lineno, self.comment(node.lineno))
            case ast.Assign([ast.Name(name)], ast.Call(ast.Name("pure"), [], keywords)):
                self.fresh(node, name)
                types = self.typed(node, keywords)
                if "result" not in types:
                    self.fail(node, f"{name} needs result=TYPE")
                result = types.pop("result")
                self.unit.pures[name] = Pure(name, types, result)
            case ast.Assign([ast.Tuple(names)], ast.Call(ast.Name("spans"), [ast.Constant(count)], [])):
                if count != len(names):
                    self.fail(node, f"spans({len(names)}): as many as names")
                for one in names:
                    if not isinstance(one, ast.Name):
                        self.fail(node, f"{ast.unparse(one)} is no name")
                    self.fresh(node, one.id)
                    self.unit.spans.append(one.id)
            case ast.AnnAssign(ast.Name(name), ast.Subscript(ast.Name("setting"), kind), None):
                self.fresh(node, name)
                self.allowed(node, name.lower())
                self.unit.settings[name] = self.scalar(kind, name)
            case ast.ClassDef(bases=[], keywords=[], decorator_list=[ast.Call(ast.Name("machine"), states, [])]):
                self.declare_machine(node, states, text)
            case _:
                self.fail(node, "not in the language: a specification has messages, settings and @machine classes")

    def fresh(self, node: ast.AST, name: str) -> None:
        if name in WORDS:
            self.fail(node, f"{name} is a word of the language: choose another name")
        if name in self.declared():
            self.fail(node, f"{name} is declared twice")

    def declared(self) -> set[str]:
        return {*self.unit.messages, *self.unit.pures, *self.unit.settings, *self.unit.spans}

    def allowed(self, node: ast.AST, name: str) -> None:
        if name in RESERVED:
            self.fail(node, f"{name} is a word of C, Cython or Python: choose another name")

    def local(self, node: ast.AST, name: str) -> None:
        """A parameter hides nothing."""
        self.allowed(node, name)
        if name in WORDS | self.declared():
            self.fail(node, f"parameter {name} hides what {name} is elsewhere: choose another name")
        if name in LOCALS:
            self.fail(node, f"parameter {name}: generated code has a {name} itself, choose another name")

    def typed(self, node: ast.AST, keywords: list[ast.keyword]) -> dict[str, Type]:
        for keyword in keywords:
            if keyword.arg is None:
                self.fail(node, f"not in the language: {ast.unparse(keyword)}")
            self.allowed(node, keyword.arg)
        return {str(k.arg): self.scalar(k.value, str(k.arg)) for k in keywords}

    def scalar(self, node: ast.expr, name: str) -> Type:
        type = self.type(node)
        if type.key:
            self.fail(node, f"{name}: only a machine's variable can be a map")
        return type

    def type(self, node: ast.expr) -> Type:
        match node:
            case ast.Name(name) if name in SCALARS:
                return Type(name)
            case ast.Subscript(ast.Name("Map"), ast.Tuple([ast.Name(key), ast.Name(name)])):
                if key in ("Replica", "Instance") and name in ("Number", "Instance", "Time"):
                    return Type(name, key)
        near = get_close_matches(ast.unparse(node), SCALARS, 1)
        self.fail(node, f"{ast.unparse(node)} is no type" + (f"; did you mean {near[0]}?" if near else ""))

    def declare_machine(self, node: ast.ClassDef, states: list[ast.expr], text: str) -> None:
        names = tuple(s.value for s in states if isinstance(s, ast.Constant) and isinstance(s.value, str))
        if len(names) != len(states) or len(set(names)) != len(names) or not names:
            self.fail(node, f"@machine of {node.name} needs its states, each a string and once")
        machine = Machine(node.name, names, self.at, node.lineno, text.split("  PML")[0])
        if machine.key in self.unit.machines:
            self.fail(node, f"machine {node.name} is declared twice")
        self.unit.machines[machine.key] = machine
        self.classes.append((machine, node))

    # --- a machine
    def machine(self, machine: Machine, tree: ast.ClassDef) -> None:
        self.at = machine.file
        ignores: list[ast.Call] = []
        for node in tree.body:
            match node:
                case ast.Expr(ast.Constant(str())):
                    pass
                case ast.AnnAssign(ast.Name(name), kind, None):
                    self.variable(machine, name, kind, node.lineno)
                case ast.FunctionDef():
                    self.function(machine, node)
                case ast.Expr(ast.Call(ast.Name("ignore"), _, []) as call):
                    ignores.append(call)
                case ast.Expr(ast.Call(ast.Name("terminal"), states, [])):
                    for state in states:
                        self.known_state(machine, state)
                        machine.terminal.add(ast.literal_eval(state))
                case _:
                    self.fail(node, "not in the language: a machine has variables, definitions, rows and ignore(...)")
        for call in ignores:
            self.ignore(machine, call)

    def variable(self, machine: Machine, name: str, kind: ast.expr, line: int) -> None:
        storage = "volatile"
        match kind:
            case ast.Subscript(ast.Name("durable" | "lazy" as storage), kind):
                pass
        self.allowed(kind, name)
        if name in machine.variables or name == "state":
            self.fail(kind, f"variable {name} is declared twice" if name != "state" else "`state` is there by itself")
        machine.variables[name] = Variable(name, self.type(kind), storage, line, self.comment(line))

    def known_state(self, machine: Machine, node: ast.expr) -> None:
        if not isinstance(node, ast.Constant) or node.value not in machine.states:
            self.fail(node, f"{ast.unparse(node)} is no state of {machine.name}")

    def ignore(self, machine: Machine, call: ast.Call) -> None:
        states = [a.value for a in call.args if isinstance(a, ast.Constant)]
        events = [a.id for a in call.args if isinstance(a, ast.Name)]
        for arg in call.args:
            if isinstance(arg, ast.Constant):
                self.known_state(machine, arg)
            elif not isinstance(arg, ast.Name):
                self.fail(call, f"{ast.unparse(arg)} is neither a state nor an event")
        if not events:
            self.fail(call, 'ignore(Event) or ignore("state", Event)')
        for event in events:
            if event not in machine.events():
                self.fail(call, f"{machine.name} has no row for {event}: there is nothing to ignore")
            machine.ignored |= {(str(state), event) for state in states or machine.states}

    def function(self, machine: Machine, node: ast.FunctionDef) -> None:
        arguments = node.args.args
        others = node.args.posonlyargs or node.args.vararg or node.args.kwonlyargs or node.args.kwarg
        if not arguments or others or node.decorator_list or node.args.defaults:
            self.fail(node, f"{node.name}: write `def {node.name}(a, m: Event)` or `def {node.name}(a, x: Type)`")
        if any(node.name == row.name for row in machine.rows) or node.name in machine.definitions:
            self.fail(node, f"{node.name} is there twice")
        self.local(node, arguments[0].arg)
        if len(arguments) == 2 and arguments[1].arg == "m" and arguments[1].annotation is not None:
            machine.rows.append(self.row(machine, node))
            return
        if arguments[0].annotation is not None:
            self.fail(node, f"{node.name}: only a row has states; name its event: `m: Event`")
        parameters = {}
        for argument in arguments[1:]:
            if argument.arg == "m":
                if argument.annotation is not None:
                    self.fail(node, f"{node.name}: a row takes its event and nothing else")
                continue
            self.local(node, argument.arg)
            if argument.annotation is None:
                self.fail(node, f"{node.name}: parameter {argument.arg} needs a type")
            parameters[argument.arg] = self.scalar(argument.annotation, argument.arg)
        result = node.body[0].value if isinstance(node.body[0], ast.Return) and len(node.body) == 1 else None
        body = [] if result else self.body(node.body)
        machine.definitions[node.name] = Definition(
            node.name, parameters, any(a.arg == "m" for a in arguments), result, body, arguments[0].arg, node.lineno)

    def body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]

    def row(self, machine: Machine, node: ast.FunctionDef) -> Row:
        first, second = node.args.args
        states = machine.states
        if first.annotation is not None:
            if not isinstance(first.annotation, ast.Constant) or not isinstance(first.annotation.value, str):
                self.fail(node, f'{node.name}: states are written {first.arg}: "one | other"')
            states = tuple(name.strip() for name in first.annotation.value.split("|"))
            for state in states:
                if state not in machine.states:
                    self.fail(node, f"{node.name}: {state!r} is no state of {machine.name}")
        assert second.annotation is not None
        events = tuple(name.strip() for name in ast.unparse(second.annotation).split("|"))
        for event in events:
            message = self.unit.messages.get(event)
            if message is None or message.kind == "effect":
                near = get_close_matches(event, self.unit.messages, 1)
                self.fail(node, f"{node.name}: {event} is no message" + (f"; did you mean {near[0]}?" if near else ""))
        body = self.body(node.body)
        guard: list[ast.expr] = []
        otherwise = False
        if body and isinstance(body[0], ast.Expr) and self.is_call(body[0].value, "when"):
            call = body[0].value
            assert isinstance(call, ast.Call)
            if call.keywords or not call.args:
                self.fail(call, f"{node.name}: when(...) takes conditions")
            guard = [a for a in call.args if not (isinstance(a, ast.Name) and a.id == "otherwise")]
            otherwise = len(guard) < len(call.args)
            body = body[1:]
        for inner in body:
            for part in ast.walk(inner):
                if self.is_call(part, "when"):
                    self.fail(part, f"{node.name}: when(...) comes first, once: a row that does not fire has no effect")
        return Row(node.name, states, events, otherwise, guard, body, first.arg, node.lineno, self.comment(node.lineno))

    @staticmethod
    def is_call(node: ast.AST, name: str) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
