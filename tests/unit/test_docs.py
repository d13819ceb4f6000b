"""What users meet is documented: commands, options, settings, fields; and the documents' links."""

import re
from pathlib import Path

import pytest
import typer

from fastpaxos_live import __version__, _api
from fastpaxos_live.cli import app
from fastpaxos_live.server import config
from fastpaxos_live.server.command_table import COMMANDS
from fastpaxos_live.server.info import Counters, View, info_text
from fastpaxos_live.sim.plan import FAULTS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
WRITER = "src/fastpaxos_live/server/edge_writer.pxi"
EVERYTHING = "\n".join(path.read_text() for path in DOCUMENTS)


def command_line() -> dict[str, list[str]]:
    """The options of each command of the command line."""
    group = typer.main.get_command(app)
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


@pytest.mark.parametrize("role", ["master", "replica"])
def test_every_field_of_info_is_documented(role: str) -> None:
    cell = config.parse_config(EXAMPLE, Path("/cells/example.toml"))
    status = dict.fromkeys(_api.Status.__annotations__, 1)
    status |= {"role": role, "serving": role == "master", "heard": [1]}
    view = View(status, cell, cell.replicas[0], Counters())
    table = OPERATIONS.partition("## INFO")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(\w+)`", table))
    fields = re.findall(r"^(\w+):", info_text(view, []), re.M)
    assert len(fields) > 40
    names = [re.sub(r"^(slave|member)\d$", r"\1N", field) for field in fields]
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
    folders = "core|reference|server|cli|log|db|sim|smc|spec"
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
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.pyx"))
    named = set(re.findall(r"`((?:core|log|acceptor|coordinator|edge|writer|fdb|resp)_\w+)`", walk))
    assert [name for name in named if name not in code + (ROOT / WRITER).read_text()] == []


def test_every_fault_is_documented() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "src/fastpaxos_live/sim").glob("*.py"))
    counted = {*FAULTS, *re.findall(r"\bcount\(\"(\w+[a-z])\"\)", code)}
    assert {"crash", "loss", "corrupt", "read_fails"} <= counted
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs/simulator.md").read_text()))
    assert counted <= documented


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
