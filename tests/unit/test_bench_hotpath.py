"""`python -m bench hotpath`, for a short time and few parts: the figures are another matter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench import hotpath

CHECKOUT = Path(__file__).parents[2]


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "hotpath", "--seconds", "0.001", *args]
    # As a user runs it: within pytest-xdist benchmarks are disabled.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=CHECKOUT, env=env)


def test_parts_on_both_cores(tmp_path: Path) -> None:
    done = bench("-k", "test_resp_parse or test_store_get", "--json", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "hotpath.json").read_text()) == result
    assert result["kind"] == "hotpath"
    parts = {"RESP parse to operation, SET", "RESP parse to operation, GET", "store get"}
    assert {(row["part"], row["core"]) for row in result["rows"]} == {
        (part, core) for part in parts for core in ("compiled", "reference")
    }
    ns = {(row["part"], row["core"]): row["ns_per_operation"] for row in result["rows"]}
    for row in result["rows"]:
        assert row["bytes_per_second"] > 0
        assert row["compiled_to_reference"] == ns[row["part"], "reference"] / ns[row["part"], "compiled"]


@pytest.mark.parametrize("select", ["nosuchbenchmark", "a and"])
def test_a_bad_choice_is_one_line(tmp_path: Path, select: str) -> None:
    done = bench("-k", select, "--out", str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(r"bench: .+\n", done.stderr), done.stderr


def test_a_row_divides_a_call() -> None:
    row = hotpath.row("part", {"core": "compiled", "operations": 1000, "bytes": 5000}, 0.002, 7)
    assert row["ns_per_operation"] == pytest.approx(2000)
    assert row["bytes_per_second"] == pytest.approx(2.5e6)
    assert hotpath.with_ratios([row]) == [row]
