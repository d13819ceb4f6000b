"""`fastpaxos-live sim`: what it says of good runs and of bad ones."""

import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fastpaxos_live.cli import run
from fastpaxos_live.sim.campaign import COUNTED
from fastpaxos_live.sim.case import Case
from fastpaxos_live.sim.plan import FAULTS
from fastpaxos_live.sim.planted import PLANTED
from fastpaxos_live.sim.spread import SpreadFailed, spread
from fastpaxos_live.sim.strength import Catch, catch, catch_all
from fastpaxos_live.testing import WAIT_S

COMMAND = import_module("fastpaxos_live.cli.sim")
MUTANT = next(mutant for mutant in PLANTED if mutant.name == "an acknowledgement covers older numbers")
BAD = ["sim", "--mutant", MUTANT.name, "--plan", MUTANT.plan, "--seconds", "4", "--jobs", "2"]

MOMENT_S = 5.0  # for workers to start and run some seeds


def ran(capsys: pytest.CaptureFixture[str], code: int, *args: str) -> tuple[Any, list[str]]:
    """What the command prints as JSON, and the lines on stderr."""
    assert run([*args, "--json"]) == code
    out, err = capsys.readouterr()
    return json.loads(out), err.splitlines()


@pytest.fixture(scope="module")
def failing_seed() -> int:
    found = catch(MUTANT)
    assert found.seed is not None
    return found.seed


def test_a_good_campaign(capsys: pytest.CaptureFixture[str]) -> None:
    result, said = ran(capsys, 0, "sim", "--seeds", "0:6", "--seconds", "3", "--jobs", "2", "--coverage")
    assert said == []
    assert (result["seeds"], result["violations"], result["failed"]) == (6, 0, [])
    assert result["virtual_seconds"] >= 18
    assert result["virtual_per_cpu_second"] > 1
    active = result["operations"] / result["operations_per_virtual_second"]  # seconds that were begun count whole
    assert 6 <= active <= result["virtual_seconds"] + 6
    assert 0 < result["faults_per_virtual_second"] < 20
    times = result["seconds_per_seed"]
    assert times["max"] >= times["mean"] > 0 and times["max_seed"] in range(6)
    assert set(result["faults"]).isdisjoint(result["faults_never"])
    assert {*result["faults"], *result["faults_never"]} >= {*FAULTS, *COUNTED}


def test_seconds_without_an_answer_are_not_active() -> None:
    """As the last one: by then clients have asked all that they ask."""
    outcome = Case(1, seconds=10.0).world().run()
    assert 1 < outcome.active_seconds < outcome.virtual_seconds == 10.0
    assert Case(1, seconds=2.0, settings=(("clients", 0),)).world().run().active_seconds == 0


def test_coverage_names_kinds_that_never_happened(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sim", "--seeds", "0:3", "--seconds", "1", "--only", "crash", "--coverage"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [word for line in lines if "partition" in line for word in line if word == "never"]


def test_too_little_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    small = ("sim", "--seeds", "0:3", "--seconds", "2", "--only", "none")
    ran(capsys, 0, *small)  # nothing is asked of so few seeds
    _, said = ran(capsys, 1, *small, "--min-faults", "0.1")
    assert said == [
        "fastpaxos-live: too little was tried: 0.00 faults in a virtual second; at least 0.1 are wanted"
    ]
    _, said = ran(capsys, 1, *small, "--min-operations", "100000")
    assert "operations in a virtual second; at least 100000 are wanted" in said[0]
    large = ("sim", "--seeds", "0:100", "--seconds", "1", "--only", "none", "--jobs", "2")
    _, said = ran(capsys, 1, *large)
    assert "0.00 faults" in said[0]
    ran(capsys, 0, *large, "--min-faults", "0")


def test_a_bad_run_is_told_whole(capsys: pytest.CaptureFixture[str], failing_seed: int) -> None:
    result, said = ran(capsys, 1, *BAD, "--seconds", "6", "--seed", str(failing_seed))
    assert result["violations"] == len(result["failed"]) == 1
    failed = result["failed"][0]
    assert failed["seed"] == failing_seed
    assert said[0].startswith(f"fastpaxos-live: seed {failing_seed}: {failed['violation']}")
    assert said[1] == f"seed {failing_seed}, plan relay:"
    text = "\n".join(said)
    assert "replicas=3" in text and "faults={'relay'" in text
    for fault in failed["schedule"]:
        assert f"{fault['time']:10.6f} {fault['name']}" in text
    assert failed["schedule"]
    assert "the last 40 events:" in said
    assert len(said) - said.index("the last 40 events:") == 41


def test_a_small_run_is_run_again_by_the_command_that_shrink_prints(
    capsys: pytest.CaptureFixture[str], failing_seed: int
) -> None:
    light = ["--set", "clients=3", "--set", "pipeline=2", "--seconds", "2"]
    seed = next(
        seed for seed in range(60) if run([*BAD, *light, "--seed", str(seed), "--json"]) == 1
    )
    capsys.readouterr()
    small, said = ran(capsys, 1, *BAD, *light, "--seed", str(seed), "--shrink")
    assert len(small["faults"]) + len(small["troubles"]) <= 4
    assert small["runs"] > 5
    assert small["command"] in said[0]
    command = [word for word in shlex.split(small["command"])[1:] if word != "--trace"]
    result, said = ran(capsys, 1, *command)
    assert result["failed"][0]["violation"] == small["violation"]
    assert result["failed"][0]["schedule"] == small["faults"]


def test_nothing_to_shrink(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sim", "--seed", "1", "--seconds", "1", "--shrink"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing to shrink" in err and err.count("\n") == 1


def test_a_soak_ends_with_its_sum(tmp_path: Path) -> None:
    result, _ = soaked(tmp_path, 0, "sim", "--seconds", "1", until="until Ctrl-C")
    assert result["seeds"] > 0
    assert not (tmp_path / "soak-failures.txt").exists()


def test_a_soak_goes_on_after_a_violation(tmp_path: Path, failing_seed: int) -> None:
    result, said = soaked(tmp_path, 1, *BAD, "--seconds", "6", "--seed", str(failing_seed), until="see it again")
    assert result["violations"] > 0
    written = (tmp_path / "soak-failures.txt").read_text()
    for failed in result["failed"]:
        head = f"seed {failed['seed']}: {failed['violation']}; see it again with: "
        assert head in written and head in said
    assert "the last 40 events" in written


def soaked(folder: Path, code: int, *args: str, until: str) -> tuple[Any, str]:
    """Runs new seeds in a process of its own; presses Ctrl-C a moment after it said that."""
    command = [sys.executable, "-m", "fastpaxos_live", *args, "--soak", "--json", "--jobs", "2"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as process:
        said = ""
        while until not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        time.sleep(MOMENT_S)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return json.loads(out), said + err


def test_a_worker_that_dies_is_told_in_one_line() -> None:
    outcomes = spread((Case(seed) for seed in range(1000)), 2)
    next(outcomes)
    multiprocessing.active_children()[0].kill()
    with pytest.raises(SpreadFailed, match=r"a worker process died in a run of one of the seeds \d+(, \d+)*$"):
        for _ in outcomes:
            pass


def test_how_strong_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpaxos_live.sim.planted.PLANTED", (MUTANT,))
    result, said = ran(capsys, 0, "sim", "--mutants")
    assert said == []
    (found,) = result["mutants"]
    assert found["name"] == MUTANT.name
    assert found["caught_by"].startswith("seed ") and f" of plan {MUTANT.plan}: " in found["caught_by"]
    assert found["seconds"] > 0


def test_a_bug_that_is_not_found(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    escaped = catch(MUTANT, seeds=())
    assert (escaped.seed, escaped.caught_by) == (None, None)
    monkeypatch.setattr(COMMAND, "catch_all", lambda mutants, jobs: iter([escaped]))
    result, said = ran(capsys, 1, "sim", "--mutants")
    assert result["mutants"][0]["caught_by"] is None
    assert said == [f"fastpaxos-live: not found: {MUTANT.name}"]


def test_what_is_planted_wrong_does_not_take_the_others_along(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slip = replace(MUTANT, name="slip", module="replica", old="self.store.expire(self.time_ms)", new="no_such_name")
    gone = replace(slip, name="gone", old="no such line")
    escaped = catch(replace(MUTANT, name="escaped"), seeds=())
    catches = [*catch_all([slip, gone, MUTANT], 2), escaped]
    monkeypatch.setattr(COMMAND, "catch_all", lambda mutants, jobs: iter(catches))
    result, said = ran(capsys, 1, "sim", "--mutants")
    assert said == ["fastpaxos-live: planted wrong: slip, gone; not found: escaped"]
    slips = [one["slip"] for one in result["mutants"]]
    assert "a replica raised NameError: " in slips[0] and "not once" in slips[1] and slips[2:] == [None, None]
    assert [bool(one["caught_by"]) for one in result["mutants"]] == [False, False, True, False]
    assert run(["sim", "--mutants"]) == 1
    assert capsys.readouterr().out.count("PLANTED WRONG") == 2


def test_catches_come_in_order() -> None:
    mutants = [MUTANT, next(mutant for mutant in PLANTED if mutant.plan == "restart")]
    catches = list(catch_all(mutants, 2))
    assert all(isinstance(one, Catch) and one.violation for one in catches)
    assert [one.name for one in catches] == [mutant.name for mutant in mutants]
