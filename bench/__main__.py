"""The commands of `python -m bench`."""

import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from fastpaxos_live.server.config import ConfigError
from fastpaxos_live.testing import HOST

from . import against as against_run
from . import failover as failover_run
from . import hotpath as hotpath_run
from . import latency as latency_run
from . import loading, recovery, sweep, table1, tables
from . import peers as peers_run
from . import quick as quick_run
from . import report as report_run
from . import stalls as stalls_run
from .commits import CommitError
from .generator import Load
from .hotpath import HotpathError
from .load import KEYS, VALUE_BYTES, LoadError, Shape
from .results import OUT, save

AGAIN_S = 0.05
FILE_WIDTH = 132  # columns of what is printed into a file

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)


class Client(StrEnum):
    """What makes the requests of servers that speak RESP, as an option."""

    loadgen = peers_run.LOADGEN
    redis_benchmark = peers_run.REDIS_BENCHMARK


class Beside(StrEnum):
    """Systems that peers knows, as an option."""

    redis_alone = "redis alone"
    redis = "redis"
    etcd = "etcd"
    pysyncobj = "pysyncobj"
    zookeeper = "zookeeper"


class Replicas(StrEnum):
    """Sizes of cells, as an option."""

    three = "3"
    five = "5"
    both = "both"


@app.callback()
def commands() -> None:
    """Benchmarks of fastpaxos_live."""


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path, typer.Option(help="Directory for the result, COMMAND.json.")]
Rounds = Annotated[int | None, typer.Option(min=1, help="Rounds; the median counts.")]
Seconds = Annotated[float | None, typer.Option(min=0.05, help="Length of one measurement.")]
REDIS = ("redis-benchmark", "redis-server")
ERRORS = (CommitError, LoadError, HotpathError, AssertionError, OSError)  # AssertionError: no cell, in vain waited for


def _run(
    measure: Callable[[Console], dict[str, Any]],
    show: Callable[[dict[str, Any], Console], None],
    as_json: bool,
    out: Path,
    tools: Sequence[str] = REDIS,
    width: int = FILE_WIDTH,
) -> dict[str, Any]:
    """Measures, saves, prints and returns the result; what goes wrong is one line."""
    for tool in tools:
        if shutil.which(tool) is None:
            _fail(f"{tool} is not installed (Debian: apt install redis)", 1)
    try:
        result = measure(Console(stderr=True))
        save(result, out)
    except ConfigError as error:
        _fail(str(error), 2)
    except ERRORS as error:
        _fail(str(error), 1)
    if as_json:
        print(json.dumps(result))
    else:
        show(result, Console(width=None if sys.stdout.isatty() else width))
    return result


def _fail(text: str, code: int) -> NoReturn:
    print(f"bench: {text}", file=sys.stderr)
    raise typer.Exit(code)


def _integers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        _fail(f"{text!r}: expected whole numbers with commas between them", 2)
    return numbers


def _shapes(text: str) -> list[Shape]:
    found = [re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", word) for word in text.split(",")]
    shapes = [Shape(int(match[1]), int(match[2])) for match in found if match]
    if len(shapes) < len(found):
        _fail(f"{text!r}: expected loads such as 50x16 (clients x depth) with commas between them", 2)
    return shapes


@app.command()
def quick(as_json: AsJson = False, out: Out = OUT, rounds: Rounds = None, seconds: Seconds = None) -> None:
    """Both cores and redis-server alone: SET and GET at 1x1, 20x1, 50x16; every write on disk."""
    _run(lambda console: quick_run.run(rounds or 3, seconds or 2.0, console), tables.show, as_json, out)


@app.command()
def peers(
    as_json: AsJson = False,
    out: Out = OUT,
    quick: Annotated[bool, typer.Option("--quick", help="3 rounds of 1 s instead of 5 of 3 s.")] = False,
    rounds: Rounds = None,
    seconds: Seconds = None,
    client: Annotated[Client, typer.Option(help="Source of load for all that speak RESP.")] = Client.loadgen,
    replicas: Annotated[int, typer.Option(min=1, max=9, help="Size of the compiled cell; others have 3.")] = 3,
    beside: Annotated[list[Beside] | None, typer.Option(help="Only beside this one; repeatable.")] = None,
) -> None:
    """The compiled cell beside redis-server, etcd, PySyncObj and ZooKeeper; says which aims are met."""
    rounds = rounds or (3 if quick else 5)
    seconds = seconds or (1.0 if quick else 3.0)
    named = [one.value for one in beside or ()]
    _run(
        lambda console: peers_run.run(rounds, seconds, client.value, replicas, named, console),
        peers_run.show, as_json, out,
    )  # fmt: skip


@app.command()
def against(
    commit: Annotated[str, typer.Argument(help="A commit of this repository; it is built beside the checkout.")],
    as_json: AsJson = False,
    out: Out = OUT,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of fresh cells.")] = 15,
    shapes: Annotated[
        str, typer.Option(help="Loads with commas: SET or GET, clients x depth, :follower where it is forwarded.")
    ] = ",".join(against_run.SHAPES),
    seconds: Seconds = None,
    require: Annotated[
        float | None, typer.Option(min=0, help="Fail if an interval lies wholly below this ratio.")
    ] = None,
) -> None:
    """This checkout, as it is built now, beside another commit: the ratio of both with its 95 % interval."""
    try:
        loads = [against_run.asked(word) for word in dict.fromkeys(shapes.split(","))]
    except ValueError as error:
        _fail(str(error), 2)
    result = _run(
        lambda console: against_run.run(commit, pairs, seconds or 0.7, loads, console),
        against_run.show, as_json, out, (),
    )  # fmt: skip
    if require is not None and (slow := against_run.slower(result, require)):
        _fail(f"below {require:g} of {commit}: {', '.join(slow)}", 1)


@app.command()
def failover(
    as_json: AsJson = False,
    out: Out = OUT,
    times: Annotated[int, typer.Option(min=1, help="How often the master is killed.")] = 20,
) -> None:
    """How long writes pause after kill -9 of the master. Fails if an acknowledged write is lost."""
    result = _run(lambda console: failover_run.run(times, console), failover_run.show, as_json, out, ())
    if lost := result["summary"]["lost"]:
        _fail(f"acknowledged writes are lost: {', '.join(lost[:5])}", 1)


@app.command()
def stalls(
    as_json: AsJson = False,
    out: Out = OUT,
    keys: Annotated[int, typer.Option(min=1000, help="Keys of the largest store; about 100 bytes each.")] = 10_000_000,
) -> None:
    """The longest that applying one value takes while the store grows, expires and is cleared."""
    _run(lambda console: stalls_run.run(keys, console), stalls_run.show, as_json, out, ())


@app.command()
def latency(as_json: AsJson = False, out: Out = OUT, rounds: Rounds = None, seconds: Seconds = None) -> None:
    """One worker's SET beside disk and loopback, and p99 to p50 at half of the peak; with their targets."""
    _run(
        lambda console: latency_run.run(rounds or 5, seconds or 2.0, console),
        latency_run.show, as_json, out,
    )  # fmt: skip


@app.command()
def load(
    as_json: AsJson = False,
    out: Out = OUT,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Of the server that gets the load.")] = None,
    host: Annotated[str, typer.Option(help="Its address.")] = HOST,
    rate: Annotated[float, typer.Option(min=0, help="Requests/s to offer; 0: as many as get answered.")] = 0.0,
    clients: Annotated[int, typer.Option(min=1, max=10_000, help="Connections.")] = 50,
    depth: Annotated[int, typer.Option(min=1, max=10_000, help="Requests that a connection sends at once.")] = 1,
    reads: Annotated[float, typer.Option(min=0, max=1, help="Share of GETs among the requests.")] = 0.0,
    keys: Annotated[int, typer.Option(min=1, max=10**12, help="Number of keys, drawn at random.")] = KEYS,
    value_bytes: Annotated[int, typer.Option(min=0, help="Size of a value.")] = VALUE_BYTES,
    wait: Annotated[int, typer.Option(min=0, help="End each burst with a WAIT for so many replicas.")] = 0,
    seconds: Seconds = None,
    compare: Annotated[bool, typer.Option("--compare", help="No port: beside redis-benchmark.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of --compare.")] = 3,
) -> None:
    """Loads a server, in a closed loop or at a fixed rate, with a histogram of latencies."""
    if (port is None) != compare:
        _fail("give either --port or --compare", 2)
    length = seconds or 2.0
    if port is None:
        _run(lambda console: loading.compare(rounds, length, console), loading.show_compared, as_json, out)
        return
    asked = Load(Shape(clients, depth), reads, value_bytes, keys, rate, wait)
    _run(lambda console: loading.run(host, port, asked, length, console), loading.show, as_json, out, ())


@app.command("table1")
def table1_(
    as_json: AsJson = False,
    out: Out = OUT,
    quick: Annotated[bool, typer.Option("--quick", help="Some minutes: 3 rounds of 1 s instead of 5 of 5 s.")] = False,
    replicas: Annotated[Replicas, typer.Option(help="Size of the cells.")] = Replicas.both,
    rounds: Rounds = None,
    seconds: Seconds = None,
    database_mb: Annotated[int, typer.Option(min=1, help="Size of the database, as in the paper.")] = 100,
) -> None:
    """The paper's table 1 on both cores, beside its figures of 2006."""
    settings = table1.Settings(
        [3, 5] if replicas is Replicas.both else [int(replicas.value)],
        rounds or (3 if quick else 5),
        seconds or (1.0 if quick else 5.0),
        database_mb << 20,
    )
    _run(lambda console: table1.run(settings, console), table1.show, as_json, out)


@app.command("sweep")
def sweep_(
    as_json: AsJson = False,
    out: Out = OUT,
    quick: Annotated[bool, typer.Option("--quick", help="A small grid in some minutes.")] = False,
    rounds: Rounds = None,
    seconds: Seconds = None,
    batch_bytes: Annotated[str | None, typer.Option(help="Batch limits, with commas.")] = None,
    window: Annotated[str | None, typer.Option(help="Instances in flight, with commas.")] = None,
    fsync: Annotated[str | None, typer.Option(help="Policies, with commas.")] = None,
    value_bytes: Annotated[str | None, typer.Option(help="Sizes of values, with commas.")] = None,
    load: Annotated[str | None, typer.Option(help="Loads, such as 1x1,50x16: clients x depth.")] = None,
) -> None:
    """Batch limit x window x fsync policy x value size x clients; says which setting to choose."""
    grid = sweep.QUICK if quick else sweep.FULL
    grid = sweep.Grid(
        _integers(batch_bytes) if batch_bytes else grid.batch_bytes,
        _integers(window) if window else grid.window,
        fsync.split(",") if fsync else grid.fsync,
        _integers(value_bytes) if value_bytes else grid.value_bytes,
        _shapes(load) if load else grid.shapes,
    )
    seconds = seconds or (0.4 if quick else 1.0)
    _run(lambda console: sweep.run(grid, rounds or 3, seconds, console), sweep.show, as_json, out)


@app.command("recovery")
def recovery_(
    as_json: AsJson = False,
    out: Out = OUT,
    keys: Annotated[int, typer.Option(min=1, help="How many; the reference core gets a tenth.")] = 1_000_000,
    rounds: Rounds = None,
) -> None:
    """Start-up time and memory with many keys, beside redis-server's."""
    _run(lambda console: recovery.run(keys, rounds or 3, console), recovery.show, as_json, out)


@app.command()
def hotpath(
    as_json: AsJson = False,
    out: Out = OUT,
    seconds: Annotated[float, typer.Option(min=0.001, help="Length of one benchmark.")] = 0.5,
    select: Annotated[str, typer.Option("--select", "-k", help="Only these benchmarks, as pytest's -k.")] = "",
) -> None:
    """Single parts of the hot path on both cores: ns per operation and bytes/s."""
    _run(
        lambda console: hotpath_run.run(seconds, select, console), hotpath_run.show, as_json, out, (), hotpath_run.WIDTH
    )


@app.command()
def report(
    files: Annotated[list[Path] | None, typer.Argument(help="Results, or directories of them.")] = None,
    out: Annotated[Path, typer.Option(help="Directory for report.html and the PNGs.")] = OUT,
) -> None:
    """One page (it opens without a network) and PNGs out of result files; compares runs of the same kind."""
    try:
        written = report_run.make(files or [OUT], out)
    except report_run.ReportError as error:
        _fail(str(error), 1)
    print(f"{written[0]}, and {len(written) - 1} figures in {out / report_run.FIGURES}")


def _interrupted_again(unraisable: Any) -> None:
    """Python drops an interrupt that hits a finalizer (redis-py has some): let it come again in a moment."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt | SystemExit):
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)


def main() -> None:
    """Runs the command of the command line; SIGTERM ends it as Ctrl-C does, with all children."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.unraisablehook = _interrupted_again
    app(prog_name="python -m bench")


if __name__ == "__main__":
    main()
