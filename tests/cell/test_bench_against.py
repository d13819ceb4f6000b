"""`python -m bench against` with real cells, for a short time: the figures are another matter."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench import against
from bench.load import LoadError
from rich.console import Console

CHECKOUT = Path(__file__).parents[2]
LOADS = ("SET:2x4", "GET:1x1:follower")


def test_a_checkout_against_a_copy_of_itself(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(CHECKOUT / "src", copy)
    loads = [against.asked(text) for text in LOADS]
    result = against.compare(against.Program("that", copy), "abc", 2, 0.1, loads, Console(quiet=True))
    assert (result["kind"], result["settings"]["that"], result["settings"]["pairs"]) == ("against", "abc", 2)
    assert [(row["command"], row["clients"], row["depth"], row["at"]) for row in result["rows"]] == [
        ("SET", 2, 4, "master"), ("GET", 1, 1, "follower"),
    ]  # fmt: skip
    for row in result["rows"]:
        rates = [row["results"][name]["rps_of_pairs"] for name in ("this", "that")]
        assert [len(of) for of in rates] == [2, 2]
        assert min(min(of) for of in rates) > 0
        assert 0 < row["low"] <= row["ratio"] <= row["high"]
    against.show(result, Console(quiet=True))


def test_another_program_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "fastpaxos_live").mkdir()  # nothing to be imported: the replicas run the checkout's
    program = against.Program("that", tmp_path)
    with pytest.raises(LoadError, match="that: r1 does not run what is in"), against._cell(program, tmp_path / "cell"):
        pass


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nosuch"], 1, "bench: 'nosuch' is no commit of"),
        (["HEAD", "--shapes", "SET:1x1,PUT:1x1"], 2, "bench: 'PUT:1x1': expected a load such as"),
    ],
)
def test_errors_are_a_line(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "against", "--out", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
