"""`python -m bench peers`: a compiled cell beside other systems, with the same work, on this machine, now."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from . import contestants, etcd, generator, load, machine, pysyncobj_peer, results, zookeeper
from .contestants import Contestant
from .generator import Load
from .load import Shape
from .measuring import Steps, medians, steady
from .peer import Peer, Workload

OURS = "compiled"
LOADGEN, REDIS_BENCHMARK = "loadgen", "redis-benchmark"

# What the compiled cell of three has to reach: its rate as a multiple of the named system's.
TARGETS: dict[Workload, dict[str, float]] = {
    Workload("SET", Shape(1, 1), 5): {"redis alone": 0.45, "etcd": 2},
    Workload("SET", Shape(20, 1), 5): {"redis alone": 0.55, "etcd": 3},
    Workload("SET", Shape(200, 1), 100): {"redis alone": 0.55, "etcd": 4},
    Workload("SET", Shape(50, 16), 100): {"redis alone": 1.25, "etcd": 17},
    Workload("SET", Shape(50, 64), 100): {"redis alone": 1.25},
    Workload("GET", Shape(50, 1), 100): {"redis alone": 1, "etcd": 5},
    Workload("GET", Shape(50, 16), 100): {"redis alone": 1.8},
}


@dataclass(frozen=True)
class System:
    """A system that may be started here: some are measured in several ways."""

    missing: Callable[[], str]
    start: Callable[[Path], AbstractContextManager[list[Peer]]]


def resp_peer(person: Contestant, name: str, write_means: str, read_means: str, client: str, wait: int = 0) -> Peer:
    """One that speaks RESP. With `wait`, each burst of a connection ends with a WAIT for so many replicas, which
    only our own generator can. Errors or lost connections make a measurement void.
    """
    counts: dict[tuple[Workload, float], int] = {}

    def by_loadgen(port: int, workload: Workload, seconds: float) -> dict[str, float]:
        read = float(workload.command == "GET")
        asked = Load(workload.shape, read, workload.value_bytes, wait_replicas=wait)
        return generator.measure(port, asked, seconds).flawless(f"{name}: {workload}").figures()

    def by_redis_benchmark(port: int, workload: Workload, seconds: float) -> dict[str, float]:
        def send(requests: int) -> dict[str, float]:
            command = workload.command.lower()
            return load.measure(port, command, workload.shape, requests, seconds, workload.value_bytes)

        if (workload, seconds) not in counts:
            counts[workload, seconds] = load.requests_for(send, workload.shape, seconds)
        return send(counts[workload, seconds])

    send_by = by_redis_benchmark if client == REDIS_BENCHMARK else by_loadgen

    def measure(workload: Workload, seconds: float) -> dict[str, float]:
        return steady(name, person.port, lambda port: send_by(port, workload, seconds))

    how = f"{client}, {load.KEYS:,} random keys" + (", a WAIT after each burst of a connection" if wait else "")
    return Peer(name, measure, write_means, read_means, how)


@contextmanager
def our_cell(directory: Path, client: str, replicas: int) -> Iterator[list[Peer]]:
    """Replicas with the compiled core."""
    disks = f"on the disks of {replicas // 2 + 1} of {replicas}"
    with contestants.cell(directory, "cython", replicas) as person:
        load.fill(person.port())
        yield [resp_peer(person, OURS, disks, "linearizable: the master's lease", client)]


@contextmanager
def redis_alone(directory: Path, client: str) -> Iterator[list[Peer]]:
    """One redis-server."""
    with contestants.redis_alone(directory) as person:
        load.fill(person.port())
        yield [resp_peer(person, "redis alone", "on its one disk", "linearizable: there is only one", client)]


@contextmanager
def redis_and_wait(directory: Path) -> Iterator[list[Peer]]:
    """Three redis-servers, asked to wait for one replica (a majority with the master) and for both."""
    with contestants.redis_replicated(directory) as person:
        load.fill(person.port())
        yield [
            resp_peer(
                person,
                f"redis WAIT {count}",
                f"on the master's disk and in the memory of {count} more (they sync as well, but WAIT does not "
                "promise that); a failover may still lose it",
                "",  # the same as redis alone
                LOADGEN,
                count,
            )
            for count in (1, 2)
        ]


def systems(client: str, replicas: int = contestants.REPLICAS) -> dict[str, System]:
    """All that can be measured; `client` loads those that speak RESP, and our cell has so many replicas."""
    return {
        OURS: System(lambda: "", partial(our_cell, client=client, replicas=replicas)),
        "redis alone": System(lambda: "", partial(redis_alone, client=client)),
        "etcd": System(etcd.missing, etcd.members),
        "redis": System(lambda: "", redis_and_wait),
        "pysyncobj": System(pysyncobj_peer.missing, pysyncobj_peer.nodes),
        "zookeeper": System(zookeeper.missing, zookeeper.servers),
    }


def run(
    rounds: int, seconds: float, client: str, replicas: int, beside: Sequence[str], console: Console
) -> dict[str, Any]:
    """Measures, with progress on `console`; `beside` names the systems beside our cell, all if empty. Raises LoadError.

    A row is a workload; `results` has for each system the medians of its rounds and the rates of all, `ratios` the
    compiled cell's rate to each other's, `targets` what is asked of them.
    """
    results.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as data, ExitStack() as stack:
        directory = Path(data)
        facts = results.facts(directory)
        known = {
            name: system
            for name, system in systems(client, replicas).items()
            if name == OURS or not beside or name in beside
        }
        skipped = {name: why for name in known if (why := known[name].missing())}
        for why in skipped.values():
            console.print(f"skipped: {why}", highlight=False, soft_wrap=True)
        people: list[Peer] = []
        for name in [name for name in known if name not in skipped]:
            console.print(f"starting {name}", highlight=False)
            people += stack.enter_context(known[name].start(directory / name.replace(" ", "-")))
        rows = _measure_all(people, rounds, seconds, console)
    if replicas != contestants.REPLICAS:
        rows = [line | {"targets": {}, "met": {}} for line in rows]
    settings = {
        "replicas": replicas,
        "rounds": rounds,
        "seconds": seconds,
        "guarantees": {peer.name: peer.guarantee() for peer in people},
        "load": {peer.name: peer.load for peer in people},
        "skipped": skipped,
        "versions": {
            "etcd": machine.first_line(etcd.program(), "--version") if etcd.program() else "",
            "h2load": machine.first_line("h2load", "--version"),
            "pysyncobj": pysyncobj_peer.installed(),
        },
        "where": "all processes and the load share this machine; the others idle meanwhile",
    }
    return results.result("peers", facts, settings, rows)


def _measure_all(people: list[Peer], rounds: int, seconds: float, console: Console) -> list[dict[str, Any]]:
    plan = [(workload, [p for p in people if workload.command == "SET" or p.read_means]) for workload in TARGETS]
    rows = []
    with Steps(sum(len(those) * (rounds + 1) for _, those in plan), console) as step:
        for workload, those in plan:
            found: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in those}
            for peer in those:
                step(f"{workload} {peer.name} (warm-up)")
                peer.measure(workload, seconds)
            for _ in range(rounds):  # alternating, so that a slow minute hits all alike
                for peer in those:
                    step(f"{workload} {peer.name}")
                    found[peer.name].append(peer.measure(workload, seconds))
            rows.append(row(workload, found))
    return rows


def row(workload: Workload, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """A line of the result, from the rounds of each system."""
    of = {name: medians(rounds) for name, rounds in found.items()}
    ratios = {name: of[OURS]["rps"] / of[name]["rps"] for name in of if name != OURS}
    targets = {name: target for name, target in TARGETS[workload].items() if name in ratios}
    return {
        "command": workload.command,
        "clients": workload.shape.clients,
        "depth": workload.shape.depth,
        "value_bytes": workload.value_bytes,
        "results": {name: of[name] | {"rps_of_rounds": [one["rps"] for one in found[name]]} for name in of},
        "ratios": ratios,
        "targets": targets,
        "met": {name: ratios[name] >= target for name, target in targets.items()},
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the rates, the targets, and what each system's answers mean."""
    settings, rows = result["settings"], result["rows"]
    rounds = f"median of {settings['rounds']} rounds of {settings['seconds']:g} s"
    rates = _table(f"requests/s, {rounds}", "workload", *settings["guarantees"])
    latencies = _table("p50 / p99 in ms", "workload", *settings["guarantees"])
    targets = _table(f"{OURS}: its rate to others', and what is aimed at", "workload", "beside", "ratio", "target", "")
    for line in rows:
        workload = f"{line['command']} {line['clients']} x {line['depth']}, {line['value_bytes']} B"
        cells = [line["results"].get(name) for name in settings["guarantees"]]
        rates.add_row(workload, *(f"{cell['rps']:,.0f}" if cell else "" for cell in cells))
        latencies.add_row(workload, *(f"{cell['p50_ms']:.3g} / {cell['p99_ms']:.3g}" if cell else "" for cell in cells))
        for name, target in line["targets"].items():
            met = "met" if line["met"][name] else "missed"
            targets.add_row(workload, name, f"{line['ratios'][name]:.2f}x", f">= {target:g}x", met)
            workload = ""
    for table in (rates, latencies, targets):
        console.print(table)
    for name, guarantee in settings["guarantees"].items():
        console.print(f"{name}: {guarantee}. Load: {settings['load'][name]}", highlight=False, soft_wrap=True)
    for why in settings["skipped"].values():
        console.print(f"skipped: {why}", highlight=False, soft_wrap=True)
    for text in machine.lines(result):
        console.print(text, highlight=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, collapse_padding=True)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=i == 0)
    return table
