"""The commands peers, failover, latency and load as a user runs them, for a short time: figures are another matter."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import etcd, failover, latency, loading, peers
from bench.__main__ import Beside
from bench.failover import Acknowledged
from bench.load import Shape
from bench.peer import Workload
from tests.clients.tools import require_tool

CHECKOUT = Path(__file__).parents[2]


def bench(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=CHECKOUT)


def result_of(out: Path, kind: str, *arguments: str) -> dict[str, Any]:
    done = bench(*arguments, "--json", "--out", str(out))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads((out / f"{kind}.json").read_text()) == result
    assert result["kind"] == kind
    return result


@pytest.fixture
def redis_tools() -> None:
    require_tool("redis-server")
    require_tool("redis-benchmark")


# --- peers


@pytest.mark.usefixtures("redis_tools")
def test_peers(tmp_path: Path) -> None:
    """All that are installed."""
    result = result_of(tmp_path, "peers", "peers", "--rounds", "1", "--seconds", "0.05")
    settings = result["settings"]
    known = peers.systems(peers.LOADGEN)
    assert settings["skipped"] == {name: why for name in known if (why := known[name].missing())}
    measured = set(settings["guarantees"])
    assert measured >= {"compiled", "redis alone", "redis WAIT 1", "redis WAIT 2"}
    assert measured >= known.keys() - settings["skipped"] - {"redis"}
    assert settings["guarantees"]["compiled"].startswith("SET: on the disks of 2 of 3;")
    assert len(result["rows"]) == len(peers.TARGETS)
    for row, (workload, targets) in zip(result["rows"], peers.TARGETS.items(), strict=True):
        shape = Shape(row["clients"], row["depth"])
        assert Workload(row["command"], shape, row["value_bytes"]) == workload
        rates = {name: figures["rps"] for name, figures in row["results"].items()}
        assert row["command"] == "GET" or rates.keys() == measured
        assert rates.keys() >= {"compiled", "redis alone"} and min(rates.values()) > 0
        for name, ratio in row["ratios"].items():
            assert ratio == rates["compiled"] / rates[name]
        assert row["targets"] == {name: target for name, target in targets.items() if name in rates}
        assert row["met"] == {name: row["ratios"][name] >= target for name, target in row["targets"].items()}


@pytest.mark.usefixtures("redis_tools")
def test_peers_of_a_choice(tmp_path: Path) -> None:
    """Five replicas beside one system, loaded by redis-benchmark."""
    choice = ("--client", "redis-benchmark", "--replicas", "5", "--beside", "redis alone")
    result = result_of(tmp_path, "peers", "peers", "--rounds", "1", "--seconds", "0.05", *choice)
    assert result["settings"]["replicas"] == 5
    assert result["settings"]["guarantees"].keys() == {"compiled", "redis alone"}
    assert all(row["targets"] == {} for row in result["rows"])
    assert "3 of 5" in result["settings"]["guarantees"]["compiled"]
    assert all(load.startswith("redis-benchmark") for load in result["settings"]["load"].values())
    assert [row["results"].keys() for row in result["rows"]] == [{"compiled", "redis alone"}] * len(peers.TARGETS)


def test_the_option_names_all_other_systems() -> None:
    assert {one.value for one in Beside} == peers.systems(peers.LOADGEN).keys() - {peers.OURS}


def test_a_row_has_medians_and_verdicts() -> None:
    def rounds(*rates: float) -> list[dict[str, float]]:
        return [{"rps": rate, "p50_ms": 1.0, "p99_ms": 1000 / rate} for rate in rates]

    workload = Workload("SET", Shape(20, 1), 5)
    row = peers.row(workload, {"compiled": rounds(5, 60, 100), "redis alone": rounds(100, 900, 80), "etcd": rounds(21)})
    assert row["ratios"] == {"redis alone": 0.6, "etcd": 60 / 21}
    assert row["targets"] == {"redis alone": 0.55, "etcd": 3}
    assert row["met"] == {"redis alone": True, "etcd": False}
    assert row["results"]["compiled"]["p99_ms"] == 1000 / 60


@pytest.mark.parametrize("size", [5, 100, 200])
def test_what_etcd_is_sent(size: int) -> None:
    frame = etcd.frame(b"key", b"x" * size)
    assert (frame[0], int.from_bytes(frame[1:5], "big")) == (0, len(frame) - 5)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    assert frame[5:] == b"\x0a\x03key" + b"\x12" + length + b"x" * size
    assert etcd.frame(b"key", b"")[5:] == b"\x0a\x03key"


# --- failover


def test_failover(tmp_path: Path) -> None:
    result = result_of(tmp_path, "failover", "failover", "--times", "2")
    assert [row["kill"] for row in result["rows"]] == [1, 2]
    lease = result["settings"]["lease"]
    for row in result["rows"]:
        assert row["killed"] != row["master"]
        assert row["gap_ms"] > lease["replica_ms"] / 2  # nobody is elected as long as the dead one's lease may hold
    gaps = [row["gap_ms"] for row in result["rows"]]
    summary = result["summary"]
    assert (summary["min_ms"], summary["max_ms"]) == (min(gaps), max(gaps))
    assert summary["acknowledged"] > 100 and summary["lost"] == []


def test_the_gap_is_the_pause_that_ends_after_the_kill() -> None:
    times = (1.0, 5.0, 5.5, 5.6, 7.6, 7.7, 7.9)
    acknowledged = [Acknowledged(f"k{at}", "v", at) for at in times]
    assert failover.gap(acknowledged, 5.55) == pytest.approx(2.0)  # 5.6 was on its way when the master died
    assert failover.gap(acknowledged, 7.65) == pytest.approx(0.2)


def test_lost_writes_are_found() -> None:
    acknowledged = [Acknowledged(f"k{n}", str(n), float(n)) for n in range(2 * failover.MGET_KEYS + 10)]
    there: dict[str, str | None] = {one.key: one.value for one in acknowledged}
    assert failover.lost(acknowledged, lambda keys: [there.get(key) for key in keys]) == []
    there["k7"], there[f"k{2 * failover.MGET_KEYS}"] = None, "other"
    assert failover.lost(acknowledged, lambda keys: [there.get(key) for key in keys]) == ["k7", "k2000"]


# --- latency


@pytest.mark.usefixtures("redis_tools")
def test_latency(tmp_path: Path) -> None:
    result = result_of(tmp_path, "latency", "latency", "--rounds", "1", "--seconds", "0.1")
    rows = {row["name"]: row for row in result["rows"]}
    value = {name: row["value"] for name, row in rows.items()}
    assert 0 <= value.pop("stalls of at least 100 us, % of the time") < 100
    assert min(value.values()) > 0
    floor = value["sync beside two, p50 us"] + 2 * value["loopback round trip, p50 us"]
    name = f"SET 1 x 1, p50 / ({latency.FLOOR})"
    assert value[name] == pytest.approx(value["SET 1 x 1, p50 us"] / floor)
    assert (rows[name]["target"], rows[name]["met"]) == (1.6, value[name] <= 1.6)
    for load in ("SET 50 x 1", "SET 50 x 16", "GET 50 x 1", "GET 50 x 16"):
        where = f"{load} at half of the peak"
        row = rows[f"{where}, p99 / p50"]
        assert row["value"] == pytest.approx(value[f"{where}, p99 us"] / value[f"{where}, p50 us"])
        assert (row["target"], row["met"]) == (5, row["value"] <= 5)
    # Frame and value headers, key and value of a lone SET, in a write group of its own.
    assert 128 <= result["settings"]["log_bytes_of_a_set"] <= 512


# --- load


@pytest.mark.usefixtures("redis_tools")
def test_load_beside_redis_benchmark(tmp_path: Path) -> None:
    arguments = ("load", "--compare", "--rounds", "1", "--seconds", "0.1")
    result = result_of(tmp_path, "load-compare", *arguments)
    assert [(row["command"], row["clients"], row["depth"]) for row in result["rows"]] == [
        (command, shape.clients, shape.depth) for command in ("SET", "GET") for shape in loading.SHAPES
    ]
    for row in result["rows"]:
        rates = {name: figures["rps"] for name, figures in row["results"].items()}
        assert row["ratios"]["redis-benchmark"] == rates["loadgen"] / rates["redis-benchmark"] > 0


@pytest.mark.usefixtures("redis_tools")
def test_load_of_a_server(tmp_path: Path) -> None:
    with peers.contestants.redis_server(tmp_path / "redis") as port:
        arguments = ("--port", str(port), "--rate", "1000", "--seconds", "0.2", "--reads", "0.5", "--clients", "4")
        result = result_of(tmp_path, "load", "load", *arguments)
    (everything, writes, reads) = result["rows"]
    assert [row["requests"] for row in result["rows"]] == ["all", "SET", "GET"]
    counts = [sum(count for _, count in row["histogram"]) for row in result["rows"]]
    assert counts[0] == 200 == counts[1] + counts[2]
    assert min(counts) > 0 and result["misses"] > 0
    assert everything["errors"] == everything["late"] == result["lost_connections"] == 0
    assert everything["max_ms"] == max(writes["max_ms"], reads["max_ms"]) >= everything["p99_ms"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("load",), 2, "give either --port or --compare"),
        (("load", "--port", "1", "--compare"), 2, "give either --port or --compare"),
        (("load", "--port", "1"), 1, "127.0.0.1:1: Connection refused"),
        (("load", "--port", "1", "--host", "no.such.host.invalid"), 1, "no.such.host.invalid:1: "),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    done = bench(*arguments, "--out", str(tmp_path), timeout=60)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"bench: {said}") and done.stderr.count("\n") == 1
