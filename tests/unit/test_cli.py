"""The command line in this process: what it says to wrong use and to wrong files. tests/cell has the running cells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastpaxos_live import __version__
from fastpaxos_live.cli import COMMANDS, run
from fastpaxos_live.cli.asking import Info, Member, report
from fastpaxos_live.cli.choices import Plan
from fastpaxos_live.cli.local import CONFIG, DRAFT, config_text, create_cell, lock_directory, open_cell
from fastpaxos_live.server.config import Address, FsyncPolicy, load_config
from fastpaxos_live.sim.plan import PLANS

CELL = config_text(3, 7001, FsyncPolicy("always"))
WRONG_USE = {
    "dance": "dance",
    "up --dance": "--dance",
    "up now": "now",
    "up --replicas 0": "replicas",
    "up --replicas 10": "replicas",
    "up --replicas many": "valid integer",
    "up --port 0": "port",
    "up --port 65000": "port",
    "up --fsync sometimes": "always, interval:MS or never",
    "up --fsync interval:0": "1 to 60000",
    "up --core rust": "rust",
    "serve": "--config",
    "serve --name r1": "--config",
    "serve --config cell.toml": "--name",
    "status nonsense": "host:port",
    "status 127.0.0.1:0": "1 to 65535",
    "status [::1": "host:port",
    "status 127.0.0.1:7001,": "host:port",
    "sim --seeds none": "none",
    "sim --core rust": "rust",
    "sim --plan rust": "rust",
    "sim --seed 1 --rows": "--trace",
    "sim --trace": "--seed",
    "sim --shrink": "--seed",
    "sim --seed 1 --shrink --trace": "--trace",
    "sim --soak --mutants": "--soak",
    "sim --mutant rust": "rust",
    "sim --only rust": "rust",
    "sim --without loss,rust": "rust",
    "sim --set rust=1": "rust",
    "sim --set clients=many": "many",
    "sim --set clients=2.5": "2.5",
    "sim --set clients=-1": "negative",
    "sim --seconds 1e300": "100000",
    "sim --set delay_us=3": "delay_us",
}  # fmt: skip


def failed(capsys: pytest.CaptureFixture[str], code: int, *args: str) -> str:
    """Runs the command, which must end with that code and say why in one line on stderr."""
    assert run(list(args)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastpaxos-live: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("line", WRONG_USE)
def test_wrong_use(capsys: pytest.CaptureFixture[str], line: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert WRONG_USE[line] in failed(capsys, 2, *line.split())
    assert list(tmp_path.iterdir()) == []


def test_a_core_that_is_none_is_told_before_anything_is_started(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTPAXOS_CORE", "zzz")
    assert "FASTPAXOS_CORE=zzz: choose one of" in failed(capsys, 2, "up", "--data", str(tmp_path / "cell"))


def test_every_plan_can_be_chosen() -> None:
    assert list(Plan) == list(PLANS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"fastpaxos-live {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"fastpaxos-live {command}" in out


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("fsync =", "fsink =", "did you mean 'fsync'?"),
        ("[cell]", "[sell]", "'sell'"),
        ("[cell]", "[cell", "cell.toml"),
        ('name = "r2"', 'name = "r1"', "r1"),
        ("127.0.0.1:7002", "127.0.0.1:7001", "127.0.0.1:7001"),
        ("127.0.0.1:7002", "127.0.0.1", "host:port"),
        ("127.0.0.1:7002", "10.1.2.3:7002", "insecure"),
        ('fsync = "always"', 'fsync = "sometimes"', "sometimes"),
        ('id = "', 'id = "x', "hexadecimal"),
    ],
)
def test_serve_with_a_wrong_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, old: str, new: str, word: str
) -> None:
    path = tmp_path / "cell.toml"
    path.write_text(CELL.replace(old, new, 1))
    line = failed(capsys, 2, "serve", "--config", str(path), "--name", "r1")
    assert word in line
    assert str(path) in line


def test_serve_without_its_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "cell.toml"
    assert str(path) in failed(capsys, 2, "serve", "--config", str(path), "--name", "r1")


def test_serve_a_stranger(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "cell.toml"
    path.write_text(CELL)
    assert "r1, r2, r3" in failed(capsys, 2, "serve", "--config", str(path), "--name", "sirius")
    assert "did you mean 'r1'?" in failed(capsys, 2, "serve", "--config", str(path), "--name", "r1x")


def test_an_unknown_core_from_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cell.toml"
    path.write_text(CELL)
    monkeypatch.setenv("FASTPAXOS_CORE", "rust")
    assert "cython, python" in failed(capsys, 2, "serve", "--config", str(path), "--name", "r1")


@pytest.mark.parametrize("option", [["--replicas", "5"], ["--port", "7101"], ["--fsync", "never"]])
def test_a_cell_is_not_changed_by_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: list[str]
) -> None:
    (tmp_path / "cell").mkdir()
    create_cell(tmp_path / "cell", 3, 7001, FsyncPolicy("always"))
    line = failed(capsys, 2, "up", "--data", str(tmp_path / "cell"), *option)
    assert option[0] in line
    assert option[1] in line


def test_up_takes_no_foreign_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    assert "neither empty nor" in failed(capsys, 1, "up", "--data", str(tmp_path))
    assert "letter.txt" in failed(capsys, 1, "up", "--data", str(tmp_path / "letter.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_up_runs_once_on_a_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lock = lock_directory(tmp_path / "cell")
    try:
        assert "another `up`" in failed(capsys, 1, "up", "--data", str(tmp_path / "cell"))
    finally:
        os.close(lock)


def test_a_first_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    create_cell(whole, 3, 7001, FsyncPolicy("always"))
    (whole / CONFIG).rename(whole / DRAFT)  # as it stands just before the end
    before = load_config(whole / DRAFT).id
    cell = open_cell(whole, None, None, None)
    assert cell.id == before
    assert [replica.client.port for replica in cell.replicas] == [7001, 7002, 7003]
    assert not (whole / DRAFT).exists()


MEMBERS = [
    Member(f"r{n}", Address("127.0.0.1", 7000 + n), f"127.0.0.1:{8000 + n}", f"127.0.0.1:{9000 + n}")
    for n in (1, 2, 3)
]


def info(number: int, role: str = "replica", **more: object) -> Info:
    """INFO of replica `number`, as redis-py gives it."""
    return {
        "cell": "local", "cell_id": "0x1", "replica": f"r{number}", "replica_role": role, "process_id": number,
        "serving": int(role == "master"), "voting": 1, "sequence_number": 1 << 24, "epoch": 1,
        "instance_committed": 10, "instance_applied": 10, "lease_ms_left": 0, "operations_applied": 5,
        "reads_answered": 5, "failures_tolerated": 1, "heard": ["r1", "r2", "r3"], **more,
    }  # fmt: skip


def problems(*infos: Info | None) -> list[str]:
    return report("local", MEMBERS, infos)["problems"]


def test_report_of_a_sound_cell() -> None:
    result = report("local", MEMBERS, [info(1, "master"), info(2), info(3)])
    assert result["problems"] == []
    assert (result["master"], result["failures_tolerated"], result["failures_configured"]) == ("r1", 1, 1)
    assert [row["role"] for row in result["replicas"]] == ["master", "replica", "replica"]


@pytest.mark.parametrize(
    ("infos", "words"),
    [
        ((info(1, "master", failures_tolerated=0, heard=["r1", "r2"]), info(2), None), ["r3 (127.0.0.1:7003)", "0 of"]),
        ((info(1), info(2), info(3)), ["no replica serves as master"]),
        ((info(1, "master"), info(2, voting=0), info(3)), ["r2 does not vote"]),
        ((info(1, "master", instance_committed=5000), info(2), info(3)), ["r2 is 4990 instances behind"]),
        ((info(1, "master", heard="r1"), info(2), info(3)), ["r1 does not hear r2", "r1 does not hear r3"]),
        ((info(1, "master"), info(3), info(3)), ["127.0.0.1:7002 is replica r3 of cell local, not r2"]),
        ((info(1, "master"), info(2, cell_id="0x2"), info(3)), ["r2 has another cell id"]),
    ],
)
def test_report_names_what_is_wrong(infos: tuple[Info | None, ...], words: list[str]) -> None:
    said = "\n".join(problems(*infos))
    for word in words:
        assert word.replace("0 of", "tolerates 0 failures of 1 configured") in said


def test_of_two_masters_the_later_one_counts() -> None:
    result = report("local", MEMBERS, [info(1, "master"), info(2, "master", sequence_number=2 << 24), info(3)])
    assert result["master"] == "r2"
    assert [row["role"] for row in result["replicas"]] == ["replica", "master", "replica"]


def test_a_replica_imports_only_what_it_runs() -> None:
    """What it answers a request with comes with it, too: nothing of this is imported later."""
    program = (
        "import sys; from fastpaxos_live.cli import application; application(['serve']); "
        "import fastpaxos_live.server.main, fastpaxos_live.server.commands, fastpaxos_live.server._edge; "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "fastpaxos_live._core" in imported
    strangers = ("numpy", "redis", "fastpaxos_live.sim", "fastpaxos_live.check", "fastpaxos_live.smc",
                 "fastpaxos_live.generated.machines", "fastpaxos_live.cli.up")  # fmt: skip
    assert [name for name in strangers if name in imported] == []
