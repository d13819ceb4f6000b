"""`fastpaxos-live profile` of real cells."""

import json
import subprocess
import sys
import threading
from pathlib import Path

from fastpaxos_live.testing import HOST, WAIT_S, Cell, connect, free_ports


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastpaxos_live", "profile", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, word: str) -> None:
    assert done.returncode == code, done
    assert len(done.stderr.strip().splitlines()) == 1 and word in done.stderr, done.stderr


def test_stages_of_a_cell_under_load_add_up(cell: Cell) -> None:
    master = cell.wait_ready()
    if cell.core == "python":
        assert_one_line(run(f"{HOST}:{cell.ports[master]}"), 1, "counts nothing")
        return
    stop = threading.Event()

    def load() -> None:
        with connect(cell.ports[master]) as client:
            while not stop.is_set():
                client.set("key", "value")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        done = run(f"{HOST}:{cell.ports[master]}", "--seconds", 0.5, "--json")
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [replica["replica"] for replica in result["replicas"]][0] == result["master"] == f"r{master}"
    assert len(result["replicas"]) == 3
    for replica in result["replicas"]:
        shares = {row["stage"]: row["share"] for row in replica["stages"]}
        # A section that runs at a reading is missing at one end: not exactly all of the time.
        assert 0.8 < sum(shares.values()) < 1.2
        assert 0 < replica["busy_share"] < 1
        assert replica["rounds"] > 0 and replica["writer"]["groups"] > 0
        assert all(count > 0 for count in (*replica["calls"].values(), *replica["bytes"].values()))
        assert replica["distributions"]["durable_us"]["p50"] > 0
        assert_parts(replica["stages"], followed=replica["replica"] != result["master"])
    master_first, *others = result["replicas"]
    assert master_first["operations"] > 0
    assert_batches(master_first["distributions"], master_first["operations"])
    # Batches count where they were sealed.
    assert all(replica["distributions"]["replied_us"]["count"] == 0 for replica in others)


def assert_parts(stages: list[dict], followed: bool) -> None:
    found = {row["stage"]: {part["part"]: part for part in row["parts"]} for row in stages}
    # A follower learns what is chosen from the master, who learns it from a follower or from its own disk.
    assert {"recv", "apply"} <= found["peers"].keys() if followed else "recv" in found["clients"]
    assert any("apply" in parts for parts in found.values())
    for row in stages:
        assert 0 <= sum(part["share"] for part in row["parts"]) <= row["share"]


def assert_batches(found: dict, operations: int) -> None:
    waits = [found[name] for name in ("chosen_us", "replied_us")]
    sizes = [found[name] for name in ("batch_operations", "batch_bytes")]
    assert len({row["count"] for row in (*waits, *sizes)}) == 1
    # One client, who waits for each reply: every batch is one SET.
    assert sizes[0]["mean"] == sizes[0]["p99"] == 1
    assert sizes[0]["count"] == operations
    assert sizes[1]["p50"] > len("key" "value")
    assert 0 < waits[0]["mean"] <= waits[1]["mean"]


def test_started_cell_and_plot(tmp_path: Path) -> None:
    done = run("--start", "--seconds", 0.2, "--clients", 2, "--depth", 2, "--out", tmp_path / "stages.png")
    assert done.returncode == 0, done.stderr
    assert "(master)" in done.stdout and "log writer" in done.stdout
    assert {"recv", "apply"} <= {line.split()[1] for line in done.stdout.splitlines() if line.startswith("│")}
    assert "acknowledge wait" in done.stdout and "operations of a batch" in done.stdout
    assert (tmp_path / "stages.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    assert_one_line(run("nonsense"), 2, "host:port")
    assert_one_line(run(f"{HOST}:{free_ports(1)[0]}"), 1, "no replica answers")
    assert_one_line(run("--out", tmp_path / "stages.gif"), 2, ".png")
