"""`fastpaxos-live check`: the model check of the machines as they ship."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..check import run
from ..check.run import Found
from ..check.scopes import SCOPES
from .failure import CommandFailed, from_source_tree


def check(
    scope: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Explore this scope only.")] = None,
    mutants: Annotated[bool, typer.Option("--mutants", help="Put known mistakes in: is each noticed?")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each bounded scope.")] = 30.0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    rows: Annotated[bool, typer.Option("--rows", help="Print how often each row was taken.")] = False,
    charts: Annotated[bool, typer.Option("--charts", help="Print how each mutant goes wrong.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explore the protocol's machines in small worlds, completely where a scope is not called bounded."""
    if mutants:
        _mutants(jobs, charts, as_json)
        return
    names = [one.name for one in SCOPES]
    for name in scope or []:
        if name not in names:
            raise typer.BadParameter(f"there is no scope {name!r}; there are: {', '.join(names)}", param_hint="--scope")
    wanted = [one for one in SCOPES if not scope or one.name in scope]
    found: list[Found] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("scopes", total=len(wanted))
        for one in run.explore_all(wanted, seconds, jobs):
            found.append(one)
            progress.advance(task)
    bad = [one for one in found if one.violation]
    cut = [one for one in found if not one.complete and not one.bounded and not one.violation]
    if as_json:
        print(json.dumps({"violations": len(bad), "scopes": [asdict(one) for one in found]}, indent=2))
    else:
        _print(found, rows)
    for one in bad:
        raise CommandFailed(f"scope {one.name}: {one.violation}")
    if cut:
        raise CommandFailed(f"scope {cut[0].name} was not explored to its end")


def _print(found: list[Found], rows: bool) -> None:
    console = Console()
    table = Table("scope", "states", "transitions", "steps", "seconds", "explored")
    for one in found:
        table.add_row(
            one.name, f"{one.states:,}", f"{one.transitions:,}", str(one.depth), f"{one.seconds:.1f}",
            "VIOLATION" if one.violation else "completely" if one.complete else "bounded",
        )  # fmt: skip
    console.print(table)
    for one in found:
        if one.chart:
            print(f"{one.name}: {one.violation}\n{one.chart}")
    if rows:
        taken: dict[str, int] = {}
        for one in found:
            for name, count in one.rows.items():
                taken[name] = taken.get(name, 0) + count
        for name, count in taken.items():
            print(f"{name:28}{count or 'never'}")


def _mutants(jobs: int, charts: bool, as_json: bool) -> None:
    catching = from_source_tree("check.catching")
    caught = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("mutants", total=catching.COUNT)
        for one in catching.catch_all(jobs):
            caught.append(one)
            progress.advance(task)
    if as_json:
        print(json.dumps({"mutants": [asdict(one) for one in caught]}, indent=2))
    else:
        table = Table("mutant", "caught by", "what it says", "seconds")
        for one in caught:
            table.add_row(one.name, one.caught_by or "NOTHING", one.what, f"{one.seconds:.1f}")
        Console().print(table)
        if charts:
            for one in caught:
                print(f"{one.name}: {one.what}\n{one.chart}\n")
    if escaped := [one.name for one in caught if not one.caught_by]:
        raise CommandFailed(f"not noticed: {', '.join(escaped)}")
