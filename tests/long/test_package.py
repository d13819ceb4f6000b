"""What is handed on: the source distribution builds a wheel from nothing but itself, and that runs a cell where nothing
else of this tree is."""

import os
import re
import signal
import subprocess
import sys
import tarfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from fastpaxos_live.cli.local import ADMIN_OFFSET, PEER_OFFSET
from fastpaxos_live.testing import connect, free_ports

ROOT = Path(__file__).parents[2]
BUILD_S = 1200.0


def run(*command: str | Path) -> str:
    """What it prints; a failure shows all of that."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, cwd="/", env=clean())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean() -> dict[str, str]:
    """The environment without what leads to this tree."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FPL_"))}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of both; the wheel was made from the source distribution, in an environment of its own."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel and what it depends on."""
    place = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", place)
    (wheel,) = built.glob("*.whl")
    run(place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    return place / "bin"


def names_of_wheel(built: Path) -> list[str]:
    (wheel,) = built.glob("*.whl")
    return ZipFile(wheel).namelist()


def metadata(built: Path) -> Message:
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(file.read(name))


def test_the_source_distribution_is_the_tree(built: Path) -> None:
    (packed,) = built.glob("*.tar.gz")
    with tarfile.open(packed) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in listed if not name.startswith(".")} <= names
    assert [name for name in names if re.search(r"\.(so|pyc|c|html)$|generated/", name) and name not in listed] == []


def test_the_wheel_has_no_code_of_tests(built: Path) -> None:
    names = names_of_wheel(built)
    assert [name for name in names if re.search("probe|mutant|planted|catching|^tests|^bench|_generate", name)] == []
    assert [name for name in names if re.search(r"\.(pyx|pxd|pxi|c|h)$", name)] == []
    assert sum(name.endswith(".so") for name in names) == 3
    assert {"fastpaxos_live/py.typed", "fastpaxos_live/reference/replica.py"} <= set(names)


def test_what_a_registry_shows(built: Path) -> None:
    shown = metadata(built)
    assert shown["License-Expression"] == "Apache-2.0"
    assert shown["Description-Content-Type"] == "text/markdown"
    assert "paxos" in shown["Keywords"] and "redis" in shown["Keywords"]
    assert "\n" not in shown["Summary"]


def test_the_wheel_runs_a_cell(installed: Path, tmp_path: Path) -> None:
    port = free_ports(3, (0, PEER_OFFSET, ADMIN_OFFSET))[0]
    command = [installed / "fastpaxos-live", "up", "--port", str(port), "--data", tmp_path / "cell", "--plain"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            if line.startswith("ready: "):
                break
        with connect(port) as client:
            assert client.set("key", "value")
            assert client.get("key") in ("value", b"value")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_planted_bugs_are_not_installed_is_one_line(installed: Path) -> None:
    for command in ("sim", "check"):
        done = subprocess.run(
            [installed / "fastpaxos-live", command, "--mutants"], capture_output=True, text=True, env=clean())
        assert done.returncode == 1
        assert re.fullmatch(r"fastpaxos-live: planted bugs are not installed: .*\n", done.stderr)
    assert "violations: 0" in run(installed / "fastpaxos-live", "sim", "--seeds", "0:2")
