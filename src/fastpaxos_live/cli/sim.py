"""`fastpaxos-live sim`: a whole cell in one process, from one seed."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from .._select import load_core
from ..sim.campaign import Campaign, run_seeds
from ..sim.plan import PLANS
from ..sim.world import World
from .choices import Core, Plan
from .failure import CommandFailed


def sim(
    seeds: Annotated[str, typer.Option(metavar="A:B", help="Run the seeds A to B-1.")] = "0:20",
    seed: Annotated[int | None, typer.Option(min=0, help="Run this seed only.")] = None,
    plan: Annotated[Plan, typer.Option(help="What the runs are made of.")] = Plan.SWARM,
    core: Annotated[Core, typer.Option(help="Which core to run.")] = Core.CYTHON,
    seconds: Annotated[float, typer.Option(min=1.0, help="Virtual seconds of each run.")] = 10.0,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    trace: Annotated[bool, typer.Option("--trace", help="Print a line for each event (with --seed).")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="With --trace, also a line for each row taken.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Print how often each row was taken.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate cells with faults, and check every answer; the same seed gives the same run."""
    wanted = _seeds(seeds) if seed is None else range(seed, seed + 1)
    if rows and not trace:
        raise typer.BadParameter("needs --trace", param_hint="--rows")
    if trace:
        if seed is None:
            raise typer.BadParameter("needs --seed", param_hint="--trace")
        World(seed, load_core(core.value), seconds, print, PLANS[plan.value], rows).run()
    campaign = Campaign()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("seeds", total=len(wanted))
        for outcome in run_seeds(wanted, core.value, jobs, seconds, plan.value):
            campaign.add(outcome)
            progress.advance(task)
    _print(campaign, as_json, coverage)
    if campaign.violations:
        first = campaign.violations[0]
        raise CommandFailed(
            f"seed {first.seed}: {first.violation}; see it again with: "
            f"fastpaxos-live sim --seed {first.seed} --core {core.value} --plan {plan.value} "
            f"--seconds {seconds:g} --trace"
        )


def _seeds(text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise typer.BadParameter(f"{text!r} is not A:B with A below B", param_hint="--seeds")
    return range(int(first), int(end))


def _print(campaign: Campaign, as_json: bool, coverage: bool) -> None:
    result = {
        "seeds": campaign.seeds,
        "violations": len(campaign.violations),
        "operations": campaign.operations,
        "virtual_seconds": round(campaign.virtual_seconds, 3),
        "cpu_seconds": round(campaign.cpu_seconds, 3),
        "trace_hash": campaign.trace_hash,
        "faults": dict(sorted(campaign.faults.items())),
    }
    if as_json:
        print(json.dumps(result | {"rows": dict(campaign.rows)} if coverage else result, indent=2))
        return
    for name, value in result.items():
        print(f"{name}: {value}")
    if coverage:
        _print_rows(campaign)


def _print_rows(campaign: Campaign) -> None:
    # Machine by machine, in the order of the specifications.
    table = Table("machine", "row", title=f"rows taken by {campaign.seeds} runs", title_justify="left")
    table.add_column("times", justify="right")
    before = ""
    for name, times in campaign.rows.items():
        machine, _, row = name.partition(".")
        if machine != before:
            table.add_section()
        count = Text(f"{times:,}") if times else Text("never", "bold red")
        table.add_row(machine if machine != before else "", row, count)
        before = machine
    Console().print(table)
