"""`python -m bench table1`, `sweep` and `recovery` run and say what they should; their figures are another matter."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.clients.tools import require_tool

from fastpaxos_live.testing import wait_until

CHECKOUT = Path(__file__).parents[2]
SETTINGS = {(65536, 1, "always"), (65536, 1, "never"), (1048576, 1, "always"), (1048576, 1, "never")}


@pytest.fixture(autouse=True)
def tools() -> None:
    require_tool("redis-server")
    require_tool("redis-benchmark")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench", *arguments]


def bench(out: Path, *arguments: str) -> dict[str, Any]:
    """The result, which must be the one in the file, too; and the table of it must not fail."""
    done = subprocess.run(
        command(*arguments, "--json", "--out", str(out)), capture_output=True, text=True, timeout=300, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads((out / f"{arguments[0]}.json").read_text()) == result
    return result


def test_table1(tmp_path: Path) -> None:
    result = bench(
        tmp_path, "table1", "--replicas", "3", "--rounds", "1", "--seconds", "0.05", "--database-mb", "1"
    )
    rows = result["rows"]
    lines = [(1, 5), (10, 5), (20, 5), (1, 8192), (4, 8192), (1, 32768)]
    assert [(row["workers"], row["value_bytes"], row["core"]) for row in rows] == [
        (*line, core) for line in lines for core in ("compiled", "reference")
    ]
    for row in rows:
        assert row["replicas"] == 3
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"]
        assert row["to_paper"] == pytest.approx(row["rps"] / row["paper_rps"])
        assert row["to_paper"] * row["of_paper"] == pytest.approx(1)
        kilobytes = row["value_bytes"] / 1024
        assert row["figure"] == pytest.approx(row["rps"] * (kilobytes if row["unit"] == "KB/s" else 1))
        assert ("no snapshots yet" in row["note"]) == (row["paper_figure_with_snapshots"] is not None)
    assert "prints no latencies" in result["settings"]["latency_of_the_paper"]


def test_sweep(tmp_path: Path) -> None:
    result = bench(
        tmp_path, "sweep", "--rounds", "2", "--seconds", "0.05", "--batch-bytes", "65536,1048576", "--window", "1",
        "--fsync", "always,never", "--value-bytes", "10", "--load", "1x1,5x2",
    )  # fmt: skip
    rows = result["rows"]
    assert {(row["batch_bytes"], row["window"], row["fsync"]) for row in rows} == SETTINGS
    assert {(row["value_bytes"], row["clients"], row["depth"]) for row in rows} == {(10, 1, 1), (10, 5, 2)}
    assert len(rows) == len(SETTINGS) * 2
    for row in rows:
        assert len(row["rps_of_rounds"]) == 2
        assert min(row["rps_of_rounds"]) <= row["rps"] <= max(row["rps_of_rounds"])
        assert row["rps"] > 0
    assert [chosen["fsync"] for chosen in result["choice"]] == ["always", "never"]
    for chosen in result["choice"]:
        assert (chosen["batch_bytes"], chosen["window"], chosen["fsync"]) in SETTINGS
        assert f"batch_bytes = {chosen['batch_bytes']}" in chosen["why"]


def test_recovery(tmp_path: Path) -> None:
    result = bench(tmp_path, "recovery", "--keys", "20000", "--rounds", "1")
    rows = {row["what"]: row for row in result["rows"]}
    alone = rows["compiled: a replica, from its log"]
    assert alone["keys"] == 20000
    assert rows["reference: a replica, from its log"]["keys"] == 2000
    for row in (alone, rows["redis alone: from its AOF"]):
        assert row["log_bytes"] > 20000 * 116
        assert row["replay_seconds"] < row["seconds"]
        assert row["rss_bytes"] > row["rss_empty_bytes"]
    assert rows["compiled: the cell, from its logs"]["seconds"] > 0
    assert rows["compiled: from a snapshot"]["note"] == "not built yet"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fsync", "sometimes"], "fsync 'sometimes': expected always, interval:MS or never"),
        (["--window", "0"], "[limits] window"),
        (["--batch-bytes", "1"], "[limits] batch_bytes"),
        (["--value-bytes", "-1"], "'-1'"),
        (["--load", "50"], "'50'"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        command("sweep", *arguments, "--out", str(tmp_path)), capture_output=True, text=True, timeout=60, cwd=CHECKOUT
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_children(tmp_path: Path, how: signal.Signals) -> None:
    process = subprocess.Popen(
        command("recovery", "--out", str(tmp_path)), cwd=CHECKOUT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        started = wait_until(lambda: found if len(found := children(process.pid)) == 3 else [], "three replicas")
        process.send_signal(how)
        assert process.wait(60) != 0
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in started), "the end of its replicas")
    finally:
        process.kill()
        process.wait()
