"""The commands of `python -m bench`."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from . import hotpath as hotpath_run
from . import peers as peers_run
from . import quick as quick_run
from .load import LoadError
from .results import OUT, save
from .tables import show

FILE_WIDTH = 132  # columns of what is printed into a file

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def commands() -> None:
    """Benchmarks of fastpaxos_live."""


@app.command()
def quick(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Directory for the result, quick.json.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the median counts.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of one measurement.")] = 2.0,
) -> None:
    """Both cores and redis-server alone: SET and GET at 1x1, 20x1, 50x16; every write on disk."""
    _tell(lambda console: quick_run.run(rounds, seconds, console), show, as_json, out)


@app.command()
def peers(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Directory for the result, peers.json.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="3 rounds of 1 s instead of 5 of 3 s.")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds; the median counts.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Length of one measurement.")] = None,
) -> None:
    """The compiled cell, redis-server alone and etcd under the same loads; says which aims are met."""
    rounds = rounds or (3 if quick else 5)
    seconds = seconds or (1.0 if quick else 3.0)
    _tell(lambda console: peers_run.run(rounds, seconds, console), peers_run.show, as_json, out)


def _tell(
    run: Callable[[Console], dict[str, Any]], show: Callable[[dict[str, Any], Console], None], as_json: bool,
    out: Path | None,
) -> None:
    # Runs it, keeps the result, and prints it.
    for tool in ("redis-benchmark", "redis-server"):
        if shutil.which(tool) is None:
            print(f"bench: {tool} is not installed (Debian: apt install redis)", file=sys.stderr)
            raise typer.Exit(1)
    try:
        result = run(Console(stderr=True))
    except LoadError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if out is not None:
        save(result, out)
    if as_json:
        print(json.dumps(result))
    else:
        show(result, Console(width=None if sys.stdout.isatty() else FILE_WIDTH))


@app.command()
def hotpath(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    out: Annotated[Path, typer.Option(help="Directory for the result, hotpath.json.")] = OUT,
    seconds: Annotated[float, typer.Option(min=0.001, help="Length of one benchmark.")] = 0.5,
    select: Annotated[str, typer.Option("--select", "-k", help="Only these benchmarks, as pytest's -k.")] = "",
) -> None:
    """Single parts of the hot path on both cores: ns per operation and bytes/s."""
    try:
        result = hotpath_run.run(seconds, select, Console(stderr=True))
    except hotpath_run.HotpathError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    save(result, out)
    if as_json:
        print(json.dumps(result))
    else:
        hotpath_run.show(result, Console(width=None if sys.stdout.isatty() else hotpath_run.WIDTH))


app(prog_name="python -m bench")
