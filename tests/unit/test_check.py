"""The model check: scopes are explored to their end, and what is wrong is found."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpaxos_live import cli
from fastpaxos_live._generate import GENERATED
from fastpaxos_live.check import catching, run
from fastpaxos_live.check.mutants import MUTANTS, Known
from fastpaxos_live.check.scopes import BEYOND, SCOPES, Scope
from fastpaxos_live.smc.mutate import SpecMutant

CORE = Path(cli.__file__).parents[1] / "_core.pyx"
SMALL = Scope("small", "", {"instances": 1, "rounds": 2, "coordinators": 2, "stands": 2, "crashes": 1})


def scope(name: str) -> Scope:
    return next(one for one in SCOPES if one.name == name)


@pytest.mark.parametrize(
    ("one", "states"),
    [
        (SMALL, 100_438), (scope("two in flight, marks"), 368_535), (scope("boost"), 541_234),
        (scope("boost, two in flight"), 1_771_328), (scope("held reads"), 808_904),
    ],
    ids=lambda value: value.name if isinstance(value, Scope) else "",
)  # fmt: skip
def test_a_scope_is_explored_to_its_end(one: Scope, states: int) -> None:
    found = run.explore(one)
    assert found.violation == ""
    assert found.complete
    assert found.states == states  # another number: the protocol or the world changed, see docs/specification.md


def test_clocks_beyond_their_bound_are_noticed() -> None:
    found = run.explore(BEYOND)
    assert found.violation.startswith("a stale read")
    assert not found.complete


def test_a_limit_ends_an_exploration() -> None:
    found = run.explore(scope("one instance"), 0.05)
    assert not found.complete and found.violation == ""


@pytest.mark.parametrize("known", MUTANTS, ids=lambda known: known.mutant.name.replace(" ", "-"))
def test_a_mutant_is_caught(known: Known) -> None:
    caught = catching.catch(MUTANTS.index(known) + 1)
    assert "check" in caught.caught_by
    assert caught.what


def test_a_mutant_whose_rule_is_gone_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Known(SpecMutant("gone", "acceptor", "no such rule", ""))
    monkeypatch.setattr(catching, "MUTANTS", (gone,))
    caught = catching.catch(1)
    assert caught.caught_by == ""
    assert "not once" in caught.what


def test_a_violation_is_drawn_as_a_chart() -> None:
    known = next(known for known in MUTANTS if known.mutant.name == "one acknowledgement commits")
    chart = catching.catch(MUTANTS.index(known) + 1).chart.splitlines()
    assert chart[0].split() == ["step", "replica", "1", "replica", "2", "replica", "3"]
    assert any(line.split()[1:] == ["stand"] for line in chart)
    assert any("Promise n=1." in line for line in chart)
    assert any("reign.acked_at" in line for line in chart)


def test_what_is_explored_is_what_ships() -> None:
    included = 'include "generated/machines.pxi"'
    assert included in CORE.read_text()
    assert included.replace("generated", "../generated") in (CORE.parent / "check/_explore.pyx").read_text()
    assert (GENERATED / "machines.pxi").exists()


def test_the_command_prints_scopes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "--scope", "two in flight, marks", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["violations"] == 0
    assert [(s["name"], s["states"], s["complete"]) for s in result["scopes"]] == [
        ("two in flight, marks", 368_535, True)
    ]
    assert cli.run(["check", "--scope", "two in flight, marks", "--rows"]) == 0
    assert "acceptor.accept" in capsys.readouterr().out


def test_an_unknown_scope_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "--scope", "nothing"]) == 2
    assert "there is no scope 'nothing'" in capsys.readouterr().err


@pytest.fixture
def escaped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    caught = [catching.Caught("one", "static check", "x", 0.1), catching.Caught("two", "", "", 0.1)]
    monkeypatch.setattr("fastpaxos_live.check.catching.catch_all", lambda jobs: iter(caught))
    yield


def test_a_mutant_that_escapes_is_a_failure(escaped: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "--mutants", "--json"]) == 1
    out = capsys.readouterr()
    assert [one["caught_by"] for one in json.loads(out.out)["mutants"]] == ["static check", ""]
    assert "not noticed: two" in out.err
