"""`python -m bench peers` as a user runs it, for a short time: the figures are another matter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench import etcd, peers
from tests.clients.tools import require_tool

CHECKOUT = Path(__file__).parents[2]


def test_peers(tmp_path: Path) -> None:
    require_tool("redis-server")
    require_tool("redis-benchmark")
    command = [sys.executable, "-m", "bench", "peers", "--rounds", "1", "--seconds", "0.1"]
    done = subprocess.run(
        [*command, "--json", "--out", str(tmp_path)], capture_output=True, text=True, timeout=300, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "peers.json").read_text()) == result
    skipped = result["settings"]["skipped"]
    assert skipped == peers.missing()
    measured = peers.GUARANTEES.keys() - skipped.keys()
    assert {peers.OURS, peers.REDIS} <= measured
    assert len(result["rows"]) == len(peers.WORKLOADS)
    for row, work in zip(result["rows"], peers.WORKLOADS, strict=True):
        assert (row["command"], row["clients"], row["value_bytes"]) == (
            work.command.upper(), work.shape.clients, work.value_bytes,
        )  # fmt: skip
        assert row["results"].keys() == measured
        for name, ratio in row["ratios"].items():
            assert ratio == row["results"][peers.OURS]["rps"] / row["results"][name]["rps"] > 0


@pytest.mark.parametrize(("command", "path"), [("set", "/etcdserverpb.KV/Put"), ("get", "/etcdserverpb.KV/Range")])
def test_what_etcd_is_sent(command: str, path: str) -> None:
    where, body = etcd.request(command, 5)
    assert where == path
    assert body[:1] == b"\0"
    assert int.from_bytes(body[1:5], "big") == len(body) - 5
    message = bytes([0x0A, len(etcd.KEY)]) + etcd.KEY
    assert body[5:] == (message + b"\x12\x05xxxxx" if command == "set" else message)
