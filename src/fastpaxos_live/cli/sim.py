"""`fastpaxos-live sim`: whole cells in one process, each from one seed."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import SystemRandom
from typing import Annotated

import typer

from ..sim.campaign import Campaign
from ..sim.case import Case, check_settings, parse_names, parse_setting
from ..sim.shrink import ShrinkFailed, shrink
from ..sim.spread import SpreadFailed, spread
from ..sim.strength import Catch, Planted, catch_all
from ..sim.world import Outcome
from .choices import Core, Plan
from .failure import CommandFailed, from_source_tree
from .sim_report import counting, print_campaign, print_catches, print_shrunk, story

FAILURES = Path("soak-failures.txt")
SEEDS = "0:20"
SEEDS_TEXT_MAX = 100
SECONDS_MAX = 100_000.0
FIRST_SEEDS = 1 << 32  # a soak begins at one of them


def sim(
    seeds: Annotated[str, typer.Option(metavar="A:B", help="Run the seeds A to B-1.")] = SEEDS,
    seed: Annotated[int | None, typer.Option(min=0, help="Run this seed only.")] = None,
    plan: Annotated[Plan, typer.Option(help="What the runs are made of.")] = Plan.SWARM,
    core: Annotated[Core, typer.Option(help="Which core to run.")] = Core.CYTHON,
    mutant: Annotated[str, typer.Option(metavar="NAME", help="Run the core with this planted bug.")] = "",
    seconds: Annotated[float, typer.Option(min=1.0, max=SECONDS_MAX, help="Virtual seconds of each run.")] = 10.0,
    only: Annotated[str | None, typer.Option(metavar="NAMES", help="No other faults than these, or 'none'.")] = None,
    without: Annotated[str | None, typer.Option(metavar="NAMES", help="All faults but these.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the plan.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print a line for each event (with --seed).")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="With --trace, also a line for each row taken.")] = False,
    smaller: Annotated[bool, typer.Option("--shrink", help="Make a failing run small (with --seed).")] = False,
    soak: Annotated[bool, typer.Option("--soak", help="Run new seeds until Ctrl-C.")] = False,
    mutants: Annotated[bool, typer.Option("--mutants", help="Plant known bugs: is each found?")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Run on the Dask cluster there.")] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Print which rows and faults there were.")] = False,
    min_operations: Annotated[float | None, typer.Option(min=0, help="Wanted in a virtual second.")] = None,
    min_faults: Annotated[float | None, typer.Option(min=0, help="Wanted in a virtual second.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate cells with faults, and check every answer; the same seed gives the same run."""
    modes = {"--trace": trace, "--shrink": smaller, "--soak": soak, "--mutants": mutants}
    _check_modes([name for name, given in modes.items() if given], seed, rows)
    if mutants:
        _mutants(jobs, as_json)
        return
    wanted = _seeds(seeds) if seed is None else range(seed, seed + 1)
    case = _case(Case(wanted[0], core.value, plan.value, seconds, mutant), only, without, settings or [])
    if smaller:
        _shrink(case, as_json)
    campaign = Campaign()
    if trace:
        campaign.add(case.world(print, rows).run())
    elif soak:
        _soak(campaign, case, SystemRandom().randrange(FIRST_SEEDS) if seed is None else seed, jobs, dask)
    else:
        for _ in _run(campaign, case, wanted, len(wanted), jobs, dask):
            pass
    print_campaign(campaign, coverage, as_json)
    if campaign.violations:
        raise _failure(campaign, case)
    if calm := campaign.calm(min_operations, min_faults):
        raise CommandFailed(f"too little was tried: {calm}")


def _check_modes(given: list[str], seed: int | None, rows: bool) -> None:
    if len(given) > 1:
        raise typer.BadParameter(f"not together with {given[0]}", param_hint=given[1])
    if rows and "--trace" not in given:
        raise typer.BadParameter("needs --trace", param_hint="--rows")
    for name in given:
        if name in ("--trace", "--shrink") and seed is None:
            raise typer.BadParameter("needs --seed", param_hint=name)


def _seeds(text: str) -> range:
    first, colon, end = text.partition(":")
    numbers = colon and first.isdecimal() and end.isdecimal() and len(text) <= SEEDS_TEXT_MAX
    if not (numbers and int(first) < int(end)):
        raise typer.BadParameter(f"{text!r} is not A:B with A below B", param_hint="--seeds")
    return range(int(first), int(end))


def _case(case: Case, only: str | None, without: str | None, settings: list[str]) -> Case:
    if case.mutant and case.mutant not in [mutant.name for mutant in _planted()]:
        raise typer.BadParameter(f"there is no {case.mutant!r}; --mutants names them", param_hint="--mutant")
    case = replace(case, only=_names("--only", only), without=_names("--without", without) or ())
    try:
        case = replace(case, settings=tuple(map(parse_setting, settings)))
        check_settings(case)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None
    return case


def _names(option: str, text: str | None) -> tuple[str, ...] | None:
    try:
        return None if text is None else parse_names(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _run(
    campaign: Campaign, case: Case, seeds: Iterable[int], total: int | None, jobs: int, dask: str | None
) -> Iterator[Outcome]:
    """The outcomes, when the campaign has them."""
    cases = (replace(case, seed=seed) for seed in seeds)
    with counting("{task.fields[rate]:.0f} virtual s/CPU s, violations: {task.fields[violations]}") as progress:
        task = progress.add_task("seeds", total=total, rate=0.0, violations=0)
        try:
            for outcome in spread(cases, jobs, dask):
                campaign.add(outcome)
                rate, violations = campaign.virtual_per_cpu_second, len(campaign.violations)
                progress.update(task, advance=1, rate=rate, violations=violations)
                yield outcome
        except SpreadFailed as error:
            raise CommandFailed(str(error)) from None


def _headline(case: Case, outcome: Outcome) -> str:
    return f"seed {outcome.seed}: {outcome.violation}; see it again with: {case.command('--trace')}"


def _failure(campaign: Campaign, case: Case) -> CommandFailed:
    first, *others = campaign.violations
    case = replace(case, seed=first.seed)
    more = "".join(f"\nseed {other.seed} as well: {other.violation}" for other in others)
    return CommandFailed(_headline(case, first), story(case, first) + more)


def _soak(campaign: Campaign, case: Case, first: int, jobs: int, dask: str | None) -> None:
    typer.echo(f"from seed {first} on, until Ctrl-C; violations go to {FAILURES}", err=True)
    told = 0
    with suppress(KeyboardInterrupt):
        for _ in _run(campaign, case, count(first), None, jobs, dask):
            for outcome in campaign.violations[told:]:
                _write_down(case, outcome)
                told += 1
    for outcome in campaign.violations[told:]:  # Ctrl-C came before it was written down
        _write_down(case, outcome)


def _write_down(case: Case, outcome: Outcome) -> None:
    case = replace(case, seed=outcome.seed)
    text = f"{_headline(case, outcome)}\n{story(case, outcome)}\n\n"
    with FAILURES.open("a") as file:
        file.write(text)
    typer.echo(_headline(case, outcome), err=True)


def _shrink(case: Case, as_json: bool) -> None:
    with counting("runs: {task.fields[runs]}, faults and troubles left: {task.fields[left]}") as progress:
        task = progress.add_task("shrinking", total=None, runs=1, left="?")
        try:
            shrunk = shrink(
                case, told=lambda tried, runs: progress.update(task, runs=runs, left=len(tried.only or ()))
            )
        except ShrinkFailed as error:
            raise CommandFailed(str(error)) from None
    if shrunk is None:
        raise CommandFailed(f"seed {case.seed} shows no violation: there is nothing to shrink")
    print_shrunk(shrunk, as_json)
    raise CommandFailed(_headline(shrunk.case, shrunk.outcome))


def _planted() -> tuple[Planted, ...]:
    planted: tuple[Planted, ...] = from_source_tree("sim.planted").PLANTED
    return planted


def _mutants(jobs: int, as_json: bool) -> None:
    planted = _planted()
    catches: list[Catch] = []
    with counting("not found: {task.fields[escaped]}") as progress:
        task = progress.add_task("mutants", total=len(planted), escaped=0)
        for one in catch_all(planted, jobs):
            catches.append(one)
            progress.update(task, advance=1, escaped=sum(not one.caught_by for one in catches))
    print_catches(catches, as_json)
    slips = [one.name for one in catches if one.slip]
    escaped = [one.name for one in catches if not (one.caught_by or one.slip)]
    wrong = [("planted wrong", slips), ("not found", escaped)]
    if said := [f"{what}: {', '.join(names)}" for what, names in wrong if names]:
        raise CommandFailed("; ".join(said))
