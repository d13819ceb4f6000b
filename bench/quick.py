"""`python -m bench quick`: both cores and redis-server alone, on this machine, now."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from . import contestants, load, results
from .load import Shape
from .measuring import Steps, medians, steady

COMMANDS = ("set", "get")
SHAPES = (Shape(1, 1), Shape(20, 1), Shape(50, 16))


def run(rounds: int, seconds: float, console: Console) -> dict[str, Any]:
    """Measures, with progress on `console`. Returns machine, commit, settings and rows.

    A row has command, shape and, for each contestant, the median of its rounds: rps, p50_ms and
    p99_ms; the single rounds; and the ratios.
    """
    results.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as directory:
        facts = results.facts(Path(directory))
        with contestants.all_contestants(Path(directory)) as people:
            rows = _measure_all(people, rounds, seconds, console)
    settings = {
        "replicas": contestants.REPLICAS,
        "fsync": "always",
        "redis": "appendonly yes, appendfsync always, save ''",
        "value_bytes": load.VALUE_BYTES,
        "keys": load.KEYS,
        "rounds": rounds,
        "seconds": seconds,
        "where": "all processes and the load share this machine; the others idle meanwhile",
    }
    return results.result("quick", facts, settings, rows)


def _measure_all(
    people: list[contestants.Contestant], rounds: int, seconds: float, console: Console
) -> list[dict[str, Any]]:
    total = len(people) * (1 + len(COMMANDS) * len(SHAPES) * (rounds + 1))
    rows = []
    with Steps(total, console) as step:
        for person in people:
            step(f"fill {person.name}")
            load.fill(person.port())
        for command in COMMANDS:
            for shape in SHAPES:
                requests: dict[str, int] = {}
                results: dict[str, list[dict[str, float]]] = {person.name: [] for person in people}
                for person in people:
                    step(f"{command} {shape} {person.name} (warm-up)")
                    requests[person.name] = load.requests_for(
                        partial(load.measure, person.port(), command, shape), shape, seconds
                    )
                for _ in range(rounds):  # alternating, so that a slow minute hits all alike
                    for person in people:
                        step(f"{command} {shape} {person.name}")
                        results[person.name].append(_measure(person, command, shape, requests[person.name], seconds))
                rows.append(_row(command, shape, requests, results))
    return rows


def _measure(
    person: contestants.Contestant, command: str, shape: Shape, requests: int, seconds: float
) -> dict[str, float]:
    return steady(
        person.name, person.port, lambda port: load.measure(port, command, shape, requests, seconds)
    )


def _row(
    command: str,
    shape: Shape,
    requests: dict[str, int],
    results: dict[str, list[dict[str, float]]],
) -> dict[str, Any]:
    of = {
        name: medians(runs) | {"requests": requests[name], "rps_of_rounds": [result["rps"] for result in runs]}
        for name, runs in results.items()
    }
    return {
        "command": command.upper(),
        "clients": shape.clients,
        "depth": shape.depth,
        "results": of,
        "compiled_to_redis": of["compiled"]["rps"] / of["redis alone"]["rps"],
        "compiled_to_reference": of["compiled"]["rps"] / of["reference"]["rps"],
    }
