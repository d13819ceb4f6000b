"""The rules of the house: sizes, directions of import, what the layers may not touch, mirrors."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from fastpaxos_live import _api, _core, _reference
from fastpaxos_live.reference import db_ops, limits, log_acceptor, log_coordinator, log_frame
from fastpaxos_live.reference.resp_fast import COMMANDS as CORE_COMMANDS
from fastpaxos_live.server.command_table import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/fastpaxos_live"
CORE = PACKAGE / "core"
REFERENCE = PACKAGE / "reference"

LINE_MAX = 120
FUNCTION_MAX = 70
FILE_MAX = 800

# Which packages and modules of ours each may import; what is not named here may import all.
BOTTOM = {"_api", "_core", "_reference", "_select", "reference"}
MAY_IMPORT = {
    "_api": set(),
    "_select": set(),
    "_reference": {"reference"},
    "reference": {"reference"},
    "log": BOTTOM | {"log"},
    "db": BOTTOM | {"log", "db"},
    "server": BOTTOM | {"log", "db", "server", "__init__"},
    "sim": BOTTOM | {"log", "db", "sim", "__init__"},
    "testing": set(),
}
BELOW_SERVER = ("_api", "_reference", "_select", "reference", "log", "db")
OUTSIDE_WORLD = {
    "asyncio", "datetime", "multiprocessing", "os", "random", "select", "selectors", "socket",
    "ssl", "subprocess", "threading", "time", "uvloop",
}  # fmt: skip
READS_ENVIRONMENT = {"_select"}  # chooses the core by FASTPAXOS_CORE
C_LIBRARY = {"libc.stdint", "libc.stdio", "libc.stdlib", "libc.string"}
C_HEADERS = {"stdint.h", "stddef.h", "stdio.h", "stdlib.h", "string.h"}
C_ONLY = {
    "buf",  # Python has bytearray,
    "expect",  # assert,
    "xxh64",  # the xxhash package,
    "replica_face",  # and needs no wrapper class
}
LAYERS = {"log": 0, "db": 1, "resp": 2}  # prefixes of files in core/ and reference/, lowest first


def sources(*suffixes: str) -> list[Path]:
    return sorted(
        path
        for folder in ("src", "tests", "bench")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes
    )


def name_of(path: Path) -> str:
    """The package or module of ours that a file belongs to, as in MAY_IMPORT."""
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """("ours", name) or ("other", top module) for each import of a file, wherever it stands."""
    package = ["fastpaxos_live", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            names = [[*base, alias.name] for alias in node.names]
        for name in names:
            if name[0] != "fastpaxos_live":
                yield "other", name[0]
            else:
                known = len(name) > 1 and not name[1].startswith("__version")
                yield "ours", name[1] if known else "__init__"


@pytest.mark.parametrize(
    "path", sources(".py", ".pyi", ".pyx", ".pxd", ".pxi"), ids=lambda path: str(path.name)
)
def test_size_of_files_and_lines(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= FILE_MAX
    assert [number for number, line in enumerate(lines, 1) if len(line) > LINE_MAX] == []


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def cython_functions(path: Path) -> Iterator[tuple[str, int]]:
    """By indentation: from the line that defines a function to the last one that is deeper."""
    name, indent, start, last = "", -1, 0, 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if name and depth <= indent and not line.lstrip().startswith(")"):
            yield name, last - start + 1
            name = ""
        found = re.match(r"\s*(?:def|cp?def)\b[^=]*?(\w+)\(", line)
        if not name and found:
            name, indent, start = found[1], depth, number
        last = number
    if name:
        yield name, last - start + 1


def test_length_of_functions() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for suffixes, functions in (
            ((".py",), python_functions),
            ((".pyx", ".pxi"), cython_functions),
        )
        for path in sources(*suffixes)
        for name, lines in functions(path)
        if lines > FUNCTION_MAX
    ]
    assert long == []


def test_imports_run_down() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if (allowed := MAY_IMPORT.get(name_of(path))) is not None
        for kind, name in imports(path)
        if kind == "ours" and name not in allowed
    ]
    assert wrong == []


def test_nothing_below_the_server_touches_the_outside() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = name_of(path)
        if name not in BELOW_SERVER:
            continue
        forbidden = OUTSIDE_WORLD - ({"os"} if name in READS_ENVIRONMENT else set())
        wrong += [f"{path}: {module}" for kind, module in imports(path) if module in forbidden]
        wrong += [
            f"{path}: open()"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "open"
        ]
    assert wrong == []


def test_the_simulator_has_no_sockets_threads_or_loops() -> None:
    forbidden = {"asyncio", "uvloop", "socket", "select", "ssl", "threading"}
    wrong = [
        f"{path.name}: {module}"
        for path in sorted((PACKAGE / "sim").glob("*.py"))
        for kind, module in imports(path)
        if module in forbidden
    ]
    assert wrong == []


def test_the_simulator_drives_the_product_as_it_is() -> None:
    """No subclass of a product's class in it, and nothing of the product's is replaced."""
    wrong = []
    for path in sorted((PACKAGE / "sim").glob("*.py")):
        tree = ast.parse(path.read_text())
        product = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level == 2
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {root_name(base) for base in node.bases}
                wrong += [f"{path.name}: class {node.name}({base})" for base in bases & product]
            targets = node.targets if isinstance(node, ast.Assign) else []
            patched = {root_name(target) for target in targets if isinstance(target, ast.Attribute)}
            wrong += [f"{path.name}: assigns to an attribute of {name}" for name in patched & product]
            if isinstance(node, ast.Call) and root_name(node.func) == "setattr":
                wrong.append(f"{path.name}: setattr")
    assert wrong == []


def root_name(node: ast.expr) -> str:
    """The `a` of `a.b.c`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_the_core_makes_no_system_call() -> None:
    for path in [PACKAGE / "_core.pyx", *CORE.iterdir()]:
        text = path.read_text()
        modules = re.findall(r"^\s*(?:from\s+([\w.]+)\s+cimport|cimport\s+([\w.]+))", text, re.M)
        assert {a or b for a, b in modules} <= C_LIBRARY, path
        headers = re.findall(r"^\s*(?:cdef extern from|#include) [\"<](.+)[\">]", text, re.M)
        assert set(headers) <= C_HEADERS, path
        assert not re.search(r"^\s*(from|import) (?!libc)\w", text, re.M), path


def test_every_file_of_the_core_is_included_once() -> None:
    included = re.findall(r'^include "core/(.+)"', (PACKAGE / "_core.pyx").read_text(), re.M)
    assert sorted(included) == sorted(path.name for path in CORE.glob("*.p*"))


def test_core_and_reference_mirror_each_other() -> None:
    core = {path.stem for path in CORE.glob("*.p*")}
    reference = {path.stem for path in REFERENCE.glob("*.py")} - {"__init__"}
    assert core - C_ONLY == reference
    assert C_ONLY <= core


def enums(path: Path) -> dict[str, int]:
    """The constants of all C enums of a file of the core."""
    constants: dict[str, int] = {}
    value, inside = -1, False
    for line in path.read_text().splitlines():
        code = line.partition("#")[0].rstrip()
        if code and not code.startswith(" "):
            inside, value = code.startswith("cdef enum"), -1
        elif code and inside:
            name, _, given = code.strip().partition(" = ")
            value = eval(given, {}) if given else value + 1
            constants[name] = value
    return constants


def constants(module: object) -> dict[str, int]:
    return {name: value for name, value in vars(module).items() if name.isupper() and type(value) is int}


def test_limits_are_the_same_in_both_cores() -> None:
    compiled = enums(CORE / "limits.pxi")
    assert compiled == constants(limits)
    assert len(compiled) >= 15


def test_operations_are_the_same_in_both_cores() -> None:
    compiled, named = enums(CORE / "db_ops.pxi"), constants(db_ops)
    for prefix in ("OP_", "FLAG_"):
        opcodes = {name: value for name, value in compiled.items() if name.startswith(prefix)}
        assert opcodes == {name: value for name, value in named.items() if name.startswith(prefix)}
        assert len(opcodes) >= 8


@pytest.mark.parametrize("path", sorted(CORE.glob("*_*.p*")), ids=lambda path: path.stem)
def test_other_constants_are_the_same_in_both_cores(path: Path) -> None:
    compiled = enums(path)
    if path.stem not in C_ONLY:
        named = constants(import_module(f"fastpaxos_live.reference.{path.stem}"))
        common = compiled.keys() & named.keys()
        assert {name: compiled[name] for name in common} == {name: named[name] for name in common}


def test_the_constants_that_both_cores_must_share_are_shared() -> None:
    for module, some in (
        (log_frame, {"ACCEPT", "PROMISED", "HANGUP", "NOOP", "FRAME_MAGIC", "HEADER_BYTES"}),
        (log_acceptor, {"PROMISE_ROW", "ACCEPT_ROW", "KNOWN_ROW"}),
        (log_coordinator, {"FOLLOWER", "SERVING", "SUSPECT_ROW", "STALE_ROW"}),
    ):
        compiled = enums(CORE / f"{module.__name__.rpartition('.')[2]}.pyx")
        assert some <= compiled.keys() & constants(module).keys()


def test_rows_have_the_same_names_in_both_cores() -> None:
    assert _core.ACCEPTOR_ROW_NAMES == log_acceptor.ROWS
    assert _core.COORDINATOR_ROW_NAMES == log_coordinator.ROWS


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*_*.py")), ids=lambda path: path.stem)
def test_layers_within_the_reference(path: Path) -> None:
    layer = LAYERS.get(path.stem.split("_")[0])
    if layer is None:  # replica_*: joins the layers
        return
    imported = re.findall(r"^from \.(\w+) import", path.read_text(), re.M)
    imported += re.findall(r"^from \. import (\w+)", path.read_text(), re.M)
    for name in imported:
        assert LAYERS.get(name.split("_")[0], layer if name == "limits" else 9) <= layer, name


@pytest.mark.parametrize("path", sorted(CORE.glob("*_*.py*")), ids=lambda path: path.stem)
def test_layers_within_the_core(path: Path) -> None:
    code = re.sub(r'#.*|"[^"]*"', "", path.read_text())
    forbidden = {"log": r"\b(f?db|resp|replica)_\w+", "db": r"\b(f?log|resp|replica)_\w+"}
    pattern = forbidden.get(path.stem.split("_")[0])
    if pattern is not None:
        assert re.findall(pattern, code) == []


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("module", [_core, _reference], ids=["cython", "python"])
def test_both_cores_have_the_interface(module: object) -> None:
    asked = public(_api.Replica)
    assert asked <= public(module.Replica)
    if module is _core:
        assert public(_core.Replica) == asked


def test_both_cores_know_the_commands_of_the_table() -> None:
    assert {name.decode().lower() for name in CORE_COMMANDS} == set(COMMANDS)
    for name, command in CORE_COMMANDS.items():
        if command.shape.__name__ != "_call":
            assert command.arity == COMMANDS[name.decode().lower()].arity, name


def test_the_text_speaks_of_the_project_only() -> None:
    leaks = re.compile("/" + "work/|/" + "tmp/|" + "TO" + "DO|FIX" + "ME|NotImplemented" + "Error")
    files = [*sources(".py", ".pyi", ".pyx", ".pxd", ".pxi"), *(ROOT / "docs").glob("*.md")]
    files += [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    wrong = [str(path.relative_to(ROOT)) for path in files if leaks.search(path.read_text())]
    assert wrong == []
