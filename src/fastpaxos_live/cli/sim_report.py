"""What `fastpaxos-live sim` shows: the sum of a campaign, and the story of a run that failed."""

import json
import textwrap
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..sim.campaign import Campaign
from ..sim.case import TROUBLES, Case
from ..sim.faults.schedule import Happened
from ..sim.shrink import LEAST, Shrunk
from ..sim.strength import Catch
from ..sim.world import Outcome

TRACE_LINES = 40  # before a violation
WIDTH = 120


def counting(shown: str) -> Progress:
    """A bar on stderr; `shown` says which fields of the task stand behind it."""
    console = Console(stderr=True)
    columns = "{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn(shown)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def campaign_json(campaign: Campaign, coverage: bool) -> dict[str, Any]:
    """What --json prints."""
    slowest = campaign.slowest
    result = {
        "seeds": campaign.seeds,
        "violations": len(campaign.violations),
        "operations": campaign.operations,
        "virtual_seconds": round(campaign.virtual_seconds, 3),
        "cpu_seconds": round(campaign.cpu_seconds, 3),
        "virtual_per_cpu_second": round(campaign.virtual_per_cpu_second, 1),
        "operations_per_virtual_second": round(campaign.operations_per_second, 2),
        "faults_per_virtual_second": round(campaign.faults_per_second, 2),
        "seconds_per_seed": {
            "mean": round(campaign.cpu_seconds / max(campaign.seeds, 1), 3),
            "max": round(slowest.cpu_seconds, 3) if slowest else 0.0,
            "max_seed": slowest.seed if slowest else None,
        },
        "trace_hash": campaign.trace_hash,
        "faults": dict(sorted(campaign.faults.items())),
        "failed": [
            {"seed": one.seed, "violation": one.violation, "schedule": schedule_json(one.schedule)}
            for one in campaign.violations
        ],
    }
    if coverage:
        never = [kind for kind, times in campaign.fault_counts().items() if not times]
        result |= {"faults_never": never, "rows": dict(campaign.rows)}
    return result


def schedule_json(schedule: Iterable[Happened]) -> list[dict[str, Any]]:
    """The faults of a run; the time in virtual seconds."""
    return [fault._asdict() | {"time": fault.time / 1e6} for fault in schedule]


def print_campaign(campaign: Campaign, coverage: bool, as_json: bool) -> None:
    """The sum, on stdout."""
    result = campaign_json(campaign, coverage)
    if as_json:
        print(json.dumps(result, indent=2))
        return
    for name in ("failed", "rows", "faults_never"):
        result.pop(name, None)
    for name, value in result.items():
        print(f"{name}: {value}")
    if coverage:
        _print_rows(campaign)
        _print_faults(campaign)


def _times(times: int) -> Text:
    return Text(f"{times:,}") if times else Text("never", "bold red")


def _print_rows(campaign: Campaign) -> None:
    # Machine by machine, in the order of the specifications.
    table = Table("machine", "row", title=f"rows taken by {campaign.seeds} runs", title_justify="left")
    table.add_column("times", justify="right")
    before = ""
    for name, times in campaign.rows.items():
        machine, _, row = name.partition(".")
        if machine != before:
            table.add_section()
        table.add_row(machine if machine != before else "", row, _times(times))
        before = machine
    Console().print(table)


def _print_faults(campaign: Campaign) -> None:
    table = Table("fault", title=f"faults in {campaign.seeds} runs", title_justify="left")
    table.add_column("times", justify="right")
    for kind, times in campaign.fault_counts().items():
        table.add_row(kind, _times(times))
    Console().print(table)


def print_catches(catches: list[Catch], as_json: bool) -> None:
    """Which planted bug was found by what, on stdout."""
    if as_json:
        found = [
            {"name": one.name, "caught_by": one.caught_by, "slip": one.slip, "seconds": round(one.seconds, 2)}
            for one in catches
        ]
        print(json.dumps({"mutants": found}, indent=2))
        return
    table = Table("mutant", "caught by", "seconds")
    for one in catches:
        by = f"PLANTED WRONG: {one.slip}" if one.slip else one.caught_by or "NOTHING"
        table.add_row(Text(one.name), Text(by), f"{one.seconds:.1f}")
    Console().print(table)


def print_shrunk(shrunk: Shrunk, as_json: bool) -> None:
    """The small run, on stdout."""
    case, outcome = shrunk.case, shrunk.outcome
    plan = asdict(case.draw(Random(case.seed)))
    troubles = {name: plan[name] for name in case.only or () if name in TROUBLES}
    load = {name: plan[name] for name in LEAST} | {"seconds": case.seconds}
    again = case.command("--trace")
    if as_json:
        small = {
            "violation": outcome.violation, "runs": shrunk.runs, "faults": schedule_json(outcome.schedule),
            "troubles": troubles, "load": load, "command": again,
        }  # fmt: skip
        print(json.dumps(small, indent=2))
        return
    print(f"seed {case.seed}, after {shrunk.runs} runs: {outcome.violation}")
    print("\n".join(_schedule(outcome.schedule)))
    print(f"troubles: {_fields(troubles) or 'none'}\nload: {_fields(load)}\n{again}")


def story(case: Case, outcome: Outcome) -> str:
    """How a run came to its violation: what was drawn, which faults happened, the last that it did."""
    last: deque[str] = deque(maxlen=TRACE_LINES)
    world = case.world(last.append)
    world.run()
    plan = textwrap.wrap(_fields(asdict(world.plan)), WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines = [f"seed {case.seed}, plan {case.plan}:", *plan, *_schedule(outcome.schedule)]
    lines += [f"the last {len(last)} events:", *(f"  {line}" for line in last)]
    if outcome.details:
        lines += ["what was raised:", textwrap.indent(outcome.details.rstrip(), "  ")]
    return "\n".join(lines)


def _schedule(schedule: Iterable[Happened]) -> list[str]:
    lines = [f"  {fault.time / 1e6:10.6f} {fault.name:<18} {fault.what}" for fault in schedule]
    return ["faults:", *(lines or ["  none"])]


def _fields(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}".replace(", ", ",") for name, value in fields.items())
