"""Runs on a Dask cluster are the runs that they are here."""

import json
import socket
import sys
from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from fastpaxos_live.cli import run
from fastpaxos_live.sim import spread
from fastpaxos_live.sim.case import Case

CASES = [Case(seed, seconds=2.0) for seed in (5, 3, 4, 1, 2, 9)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


def failed(capsys: pytest.CaptureFixture[str], address: str) -> str:
    assert run(["sim", "--seeds", "0:4", "--dask", address]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_the_outcomes_are_the_same_and_in_the_same_order(cluster: str) -> None:
    here = list(spread.spread(CASES))
    there = list(spread.spread(CASES, dask=cluster))
    assert [outcome.seed for outcome in there] == [case.seed for case in CASES]
    assert [outcome.trace_hash for outcome in there] == [outcome.trace_hash for outcome in here]


def test_the_command(cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    hashes = []
    for where in (["--dask", cluster], ["--jobs", "2"]):
        assert run(["sim", "--seeds", "0:6", "--seconds", "2", "--json", *where]) == 0
        hashes.append(json.loads(capsys.readouterr().out)["trace_hash"])
    assert hashes[0] == hashes[1]


def test_what_runs_without_end_can_be_left(cluster: str) -> None:
    outcomes = spread.spread((Case(seed, seconds=1.0) for seed in iter(int, 1)), dask=cluster)
    assert next(outcomes).seed == 0
    outcomes.close()


def test_nobody_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "CLUSTER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert address in failed(capsys, address)
    assert address in failed(capsys, address)
    assert "rubbish" in failed(capsys, "rubbish")


def test_no_workers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "CLUSTER_S", 0.5)
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as cluster:
        assert "no workers" in failed(capsys, cluster.scheduler_address)


def test_without_the_package(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "fastpaxos-live[dask]" in failed(capsys, "127.0.0.1:8786")
