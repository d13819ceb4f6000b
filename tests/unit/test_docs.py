"""What users meet is documented: commands, options, settings, fields; and the documents' links."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from fastpaxos_live import __version__, _api
from fastpaxos_live.check import scopes
from fastpaxos_live.cli import application
from fastpaxos_live.generated.machines import ROWS
from fastpaxos_live.server import config
from fastpaxos_live.server.command_table import COMMANDS
from fastpaxos_live.server.info import Counters, View, info_text
from fastpaxos_live.sim.faults.unhandled import UNHANDLED
from fastpaxos_live.sim.plan import FAULTS
from fastpaxos_live.smc.__main__ import main as smc
from fastpaxos_live.smc.compile import compile_files
from fastpaxos_live.spec import MACHINES, SPECS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
SPECIFICATION = (ROOT / "docs/specification.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
EVERYTHING = "\n".join(path.read_text() for path in DOCUMENTS)


def command_line() -> dict[str, list[str]]:
    """The options of each command of the command line."""
    group = typer.main.get_command(application([]))
    return {
        name: [option for parameter in command.params for option in parameter.opts]
        for name, command in group.commands.items()
    }


@pytest.mark.parametrize("command", command_line())
def test_every_command_and_option_is_documented(command: str) -> None:
    assert re.search(rf"fastpaxos-live {command}\b", EVERYTHING)
    options = [option for option in command_line()[command] if option.startswith("--")]
    assert [option for option in options if option not in EVERYTHING] == []


def test_every_setting_is_documented() -> None:
    tables = {
        "[cell]": config._Cell,
        "[[replica]]": config._Replica,
        "[limits]": config.Limits,
        "[lease]": config.Lease,
    }
    rows = [line.split("|")[1] for line in OPERATIONS.splitlines() if line.startswith("| `[")]
    for table, kind in tables.items():
        mine = " ".join(row for row in rows if f"`{table} " in row)
        documented = set(re.findall(r"(\w+)`", mine))
        assert documented == set(kind.__struct_fields__), table


def test_documented_defaults_are_the_defaults() -> None:
    rows = re.findall(r"^\| `\[(limits|lease)\] (\w+)` \| (\d+) \|", OPERATIONS, re.M)
    assert len(rows) == len(config.Limits.__struct_fields__) + len(config.Lease.__struct_fields__)
    for table, key, value in rows:
        defaults = {"limits": config.Limits(), "lease": config.Lease()}[table]
        assert getattr(defaults, key) == int(value), key


EXAMPLE = "\n".join(re.findall(r"```toml\n(.*?)```", OPERATIONS, re.S))


def test_the_example_is_a_configuration() -> None:
    cell = config.parse_config(EXAMPLE, Path("/cells/example.toml"))
    assert cell.name == "example"


def tell(found: re.Match[str]) -> str:
    return f"{found[1]}N" if found[1] else f"{found[2]}_X"


@pytest.mark.parametrize("role", ["master", "replica"])
def test_every_field_of_info_is_documented(role: str) -> None:
    cell = config.parse_config(EXAMPLE, Path("/cells/example.toml"))
    status = dict.fromkeys(_api.Status.__annotations__, 1)
    followers = {member.id: (1, 1) for member in cell.replicas[1:]}
    status |= {"role": role, "serving": role == "master", "heard": [1], "followers": followers, "linked": [1]}
    counts = dict.fromkeys(_api.Counts.__annotations__, 1) | {"calls": {"get": 1}, "errors": {"ERR": 1}}
    view = View(status, counts, cell, cell.replicas[0], Counters())
    table = OPERATIONS.partition("## INFO")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", table))
    fields = re.findall(r"^(\w+):", info_text(view, ["all"]), re.M)
    assert len(fields) > 40
    names = [re.sub(r"^(slave|member)\d$|^(cmdstat|errorstat)_\w+$", tell, field) for field in fields]
    assert [name for name in names if name not in documented] == []


def test_every_command_of_clients_is_documented() -> None:
    table = OPERATIONS.partition("## Commands")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")]
    documented = set(re.findall(r"[A-Z-]{2,}", " ".join(rows)))
    names = {
        part.upper()
        for command in COMMANDS.values()
        for entry in (command, *command.subcommands)
        for part in [entry.name.partition("|")[2] or entry.name]
    }
    assert documented == names - {"HELP"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_files_that_documents_name_exist() -> None:
    folders = "core|reference|server|cli|log|db|sim|smc|spec|check"
    for name in re.findall(rf"`((?:{folders})/[\w/]+\.\w+)`", EVERYTHING):
        assert (ROOT / "src/fastpaxos_live" / name).exists(), name


def defines(path: Path, function: str) -> bool:
    """Is there a function of that name in the file?"""
    return re.search(rf"^\s*(?:def|cp?def)\b[^=\n]*?\b{function}\(", path.read_text(), re.M) is not None


def test_the_walk_of_a_set_leads_through_the_code() -> None:
    walk = (ROOT / "docs/walk-of-a-set.md").read_text()
    steps = re.findall(r"^\|.*\| `([\w/.]+)` \| `(\w+)` \|$", walk, re.M)
    assert len(steps) >= 25
    wrong = [step for step in steps if not defines(ROOT / "src/fastpaxos_live" / step[0], step[1])]
    assert wrong == []
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.p[xy][xi]"))
    named = set(re.findall(r"`((?:core|log|acceptor|coordinator|edge|writer|fdb|resp)_\w+)`", walk))
    assert [name for name in named if name not in code] == []


def test_every_fault_is_documented() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "src/fastpaxos_live/sim").rglob("*.py"))
    counted = {*FAULTS, *re.findall(r"\bcount\(\"(\w+[a-z])\"\)", code)}
    assert {"crash", "loss", "corrupt", "read_fails"} <= counted
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs/simulator.md").read_text()))
    assert counted <= documented


def test_what_the_simulator_leaves_out_is_documented() -> None:
    text = (ROOT / "docs/simulator.md").read_text()
    for name, (damage, today, lifted_by) in UNHANDLED.items():
        assert f"| `{name}` | {damage} | {today} | {lifted_by} |\n" in text


def test_words_of_the_glossary_are_in_the_code() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for row in (ROOT / "docs/glossary.md").read_text().splitlines():
        where = row.split("|")[4] if row.startswith("| ") else ""
        for name in re.findall(r"`([A-Za-z_]\w+)`", where):
            assert re.search(rf"\b{name}\b", code) or list(ROOT.rglob(f"src/**/{name}.py*")), name


def test_readme_and_changelog() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make run" in readme and "make test" in readme
    for verb in re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[0].split():
        assert f"make {verb}" in readme
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    policies = (ROOT / "docs/what-ok-means.md").read_text()
    for kind in ("always", "interval:MS", "never"):
        assert f"`{kind}`" in readme and f"`{kind}`" in policies


# --- the protocol and its specification
def rows_named(text: str) -> set[str]:
    return set(re.findall(rf"`((?:{'|'.join(MACHINES)})\.[a-z_]+)`", text))


def test_rows_that_documents_name_exist() -> None:
    named = rows_named(EVERYTHING)
    assert len(named) >= 35
    assert named <= set(ROWS)
    assert set(re.findall(r"^\| (\w+) \| .* \| [\w, ]+ \|$", PROTOCOL, re.M)) >= set(MACHINES)


def test_states_of_the_machines_are_documented() -> None:
    for machine in compile_files(SPECS).machines.values():
        assert re.search(rf"^\| {machine.key} \|.*\| {', '.join(machine.states)} \|$", PROTOCOL, re.M), machine.name


def test_the_readme_compiles_the_specifications(capsys: pytest.CaptureFixture[str]) -> None:
    smc([str(path) for path in SPECS])
    files = f"src/fastpaxos_live/spec/{{{','.join(MACHINES)}}}.py"
    assert f"smc {files}\n{capsys.readouterr().out}" in (ROOT / "README.md").read_text()
    assert files in SPECIFICATION


BALLOT = re.findall(r"```python\n(.*?)```", SPECIFICATION, re.S)[0]


def findings(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the compiler says of a text, each finding a line that starts with the name of the file."""
    path.write_text(text)
    smc([str(path)])
    out, err = capsys.readouterr()
    return (out + err).replace(f"{path.parent}/", "")


def test_the_specification_of_the_document_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = findings(tmp_path / "ballot.py", BALLOT, capsys)
    assert said.strip() in SPECIFICATION and said.endswith("no findings\n")


def wrong_ballots() -> Iterator[tuple[str, str, str]]:
    """What is replaced in it, by what, and what is said of that according to the document."""
    shown = SPECIFICATION.partition("## Static checks")[2].partition("```text\n")[2].partition("```")[0]
    for part in re.split(r"^(?=\S)", shown, flags=re.M)[1:]:
        change, _, said = part.partition("\n")
        old, _, new = change.partition("  ->  ")
        yield old, new, re.sub(r"\n {8}", " ", said)


@pytest.mark.parametrize(("old", "new", "said"), list(wrong_ballots()))
def test_findings_are_as_the_document_says(
    old: str, new: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert BALLOT.count(old) == 1
    found = findings(tmp_path / "ballot.py", BALLOT.replace(old, new), capsys)
    assert found.splitlines() == [line.strip() for line in said.splitlines()]


def test_every_scope_and_invariant_is_documented() -> None:
    check = SPECIFICATION.partition("## The model check")[2]
    assert [scope.name for scope in scopes.SCOPES if f"| {scope.name} | {scope.text} |" not in check] == []
    world = "".join(path.read_text() for path in (ROOT / "src/fastpaxos_live/check").glob("*.pxi"))
    texts = set(re.findall(r"fail\(b\"(.+?)\"\)", world))
    assert len(texts) > 15
    said = " ".join(check.split())
    assert [text for text in texts if f"`{text}`" not in said] == []


def assigned_in_python(path: Path) -> Iterator[str]:
    """Assignments to a variable of a machine; a name that stands for a machine counts as one."""
    tree = ast.parse(path.read_text())
    stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute | ast.Subscript)]
    names = set(MACHINES)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=True))
                names |= {last_name(name) for name, value in pairs if last_name(value) in MACHINES}
    for node in stored:
        place = node.value if isinstance(node, ast.Subscript) else node
        if isinstance(node.ctx, ast.Store | ast.Del) and isinstance(place, ast.Attribute):
            if last_name(place.value) in names:
                yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def assigned_in_cython(path: Path) -> Iterator[str]:
    """The same, by the text of each line; a pointer to a machine counts as one."""
    text = path.read_text()
    kinds = "|".join(machine.capitalize() for machine in MACHINES)
    names = [*MACHINES, *re.findall(rf"cdef (?:{kinds}) \*(\w+)", text)]
    place = re.compile(rf"\b(?:{'|'.join(names)})\.\w+(?:\[[^]]*\])?\s*(?:[-+|&^]|<<|>>)?=(?!=)")
    for number, line in enumerate(text.splitlines(), 1):
        if place.search(line.partition("#")[0]):
            yield f"{path.name}:{number}: {line.strip()}"


def test_only_rows_change_what_the_machines_know() -> None:
    """protocol.md says so: promised numbers, votes, leases, marks and roles are changed by generated code only."""
    package = ROOT / "src/fastpaxos_live"
    wrong = [text for path in sorted((package / "reference").glob("*.py")) for text in assigned_in_python(path)]
    wrong += [text for path in sorted((package / "core").glob("*.p[xy][xdi]")) for text in assigned_in_cython(path)]
    assert wrong == []


def test_assignments_to_machines_are_seen(tmp_path: Path) -> None:
    python, cython = tmp_path / "one.py", tmp_path / "one.pyx"
    python.write_text("a, b = s.acceptor, 1\na.last = 1\ns.reign.acked[2] += 1\nself.acceptor = 3\nx = a.last == 1\n")
    assert len(list(assigned_in_python(python))) == 2
    cython.write_text("cdef Reign *r = &s.reign\nr.beat = 1\ns.acceptor.last += 1\nif s.acceptor.last == 1: pass\n")
    assert len(list(assigned_in_cython(cython))) == 2
