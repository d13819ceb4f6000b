"""`fastpaxos-live profile`: where the time of the replicas' loops goes."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.error import URLError
from urllib.request import urlopen

import typer
from rich.console import Console
from rich.table import Table

from ..server.config import Address, parse_address
from ..server.profile import difference
from .asking import Asker, members_of, report
from .failure import CommandFailed
from .status import DEFAULT

TIMEOUT_S = 2.0
MEASURES = {  # of the edge, for people
    "durable_us": "disk wait, us: a group handed to the writer -> durable",
    "chosen_us": "acknowledge wait, us: a batch sealed -> a majority has it",
    "replied_us": "reply wait, us: a batch sealed -> its replies sent",
    "batch_operations": "operations of a batch",
    "batch_bytes": "bytes of a batch",
}
WARM_UP_S = 0.5  # of load before the first reading


def profile(
    address: Annotated[
        str, typer.Argument(metavar="[HOST:PORT]", help="A replica's client address, or several with commas.")
    ] = DEFAULT,
    start: Annotated[bool, typer.Option("--start", help="Start a cell of three under load instead.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Between the two readings.")] = 5.0,
    clients: Annotated[int, typer.Option(min=1, max=10_000, help="With --start.")] = 50,
    depth: Annotated[int, typer.Option(min=1, max=10_000, help="Requests under way of each client.")] = 16,
    command: Annotated[str, typer.Option(help="A test of redis-benchmark: set, get, incr, ...")] = "set",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also plot the stages into this .png file.")] = None,
    flame: Annotated[Path | None, typer.Option(help="Also write the master's flame graph, an .svg file.")] = None,
) -> None:
    """Show where the time of the replicas goes, by stages of their loops."""
    if out is not None and out.suffix != ".png":
        raise typer.BadParameter("--out takes a .png file")
    if flame is not None and not shutil.which("py-spy"):
        raise CommandFailed("--flame needs py-spy (pip install 'fastpaxos-live[bench]')")
    if not start:
        result = measure([parse_address(text) for text in address.split(",")], seconds, flame)
    else:
        with _loaded_cell(clients, depth, command) as addresses:
            result = measure(addresses, seconds, flame)
    if out is not None:
        plot(result, out)
    if as_json:
        print(json.dumps(result, indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console.width = 120
    for replica in result["replicas"]:
        console.print(heading(replica, result["master"]), highlight=False)
        console.print(table(replica))
        if replica["writer"]["groups"]:
            console.print(groups(replica["writer"]), highlight=False)
        batches = distributions(replica)
        if batches.row_count:
            console.print(batches)


@contextmanager
def _loaded_cell(clients: int, depth: int, command: str) -> Iterator[list[Address]]:
    from ..testing import HOST, Cell  # not for those who only look at a cell

    if not shutil.which("redis-benchmark"):
        raise CommandFailed("--start needs redis-benchmark (apt-get install redis-tools)")
    with tempfile.TemporaryDirectory() as directory, Cell(directory) as cell:
        # -l: until it is ended
        load = ["redis-benchmark", "-l", "-q", "-r", "100000", "-c", str(clients), "-P", str(depth)]
        process = subprocess.Popen(
            [*load, "-t", command, "-h", HOST, "-p", str(cell.ports[cell.wait_ready()])],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(WARM_UP_S)
            if process.poll() is not None:
                raise CommandFailed(f"redis-benchmark ended by itself; does it know the test {command}?")
            yield [Address(HOST, port) for port in cell.ports.values()]
        finally:
            process.kill()
            process.wait()


def measure(addresses: list[Address], seconds: float, flame: Path | None) -> dict[str, Any]:
    """Two readings of all replicas that answer, the master first. Raises CommandFailed."""
    asker = Asker()
    try:
        info = next((info for info in map(asker.ask, addresses) if info), None)
        if info is None:
            raise CommandFailed(f"no replica answers at {','.join(map(str, addresses))}")
        members = members_of(info)
        cell = str(info["cell"])
        before = report(cell, members, asker.ask_all(members))
        rows = [row for row in before["replicas"] if row["role"] != "down"]
        rows.sort(key=lambda row: row["role"] != "master")
        first = [read(row["admin"]) for row in rows]
        if flame is None:
            time.sleep(seconds)
        else:
            record(rows[0]["pid"], seconds, flame)
        second = [read(row["admin"]) for row in rows]
        after = report(cell, members, asker.ask_all(members))
    finally:
        asker.close()
    if before["master"] != after["master"]:
        raise CommandFailed(f"the master changed meanwhile: {before['master']}, then {after['master']}")
    replicas = [difference(*pair) for pair in zip(first, second, strict=True)]
    return {"cell": cell, "master": before["master"], "replicas": replicas}


def read(admin: str) -> dict[str, Any]:
    """GET /profile. Raises CommandFailed."""
    try:
        with urlopen(f"http://{admin}/profile", timeout=TIMEOUT_S) as response:
            counters: dict[str, Any] = json.load(response)
    except (URLError, OSError, ValueError) as error:
        raise CommandFailed(f"no profile at http://{admin}/profile: {error}") from None
    if "stages_ns" not in counters:
        raise CommandFailed(f"{counters['replica']} runs on the core python, which counts nothing")
    return counters


def record(pid: int, seconds: float, file: Path) -> None:
    """A flame graph of this process, its C functions included. Raises CommandFailed."""
    command = ["py-spy", "record", "--native", "--format", "flamegraph", "--output", str(file)]
    done = subprocess.run(
        [*command, "--duration", str(max(1, round(seconds))), "--pid", str(pid)], capture_output=True, text=True
    )
    if done.returncode:
        raise CommandFailed(f"py-spy failed: {done.stderr.strip()}")


def heading(replica: dict[str, Any], master: str | None) -> str:
    role = "master" if replica["replica"] == master else "replica"
    rounds, operations = (replica[name] / replica["seconds"] for name in ("rounds", "operations"))
    return (
        f"\n{replica['replica']} ({role}): busy {replica['busy_share']:.1%}, {rounds:,.0f} rounds/s, "
        f"{operations:,.0f} op/s"
    )


def groups(writer: dict[str, int]) -> str:
    size, wait_us, write_us = (writer[name] / writer["groups"] for name in ("bytes", "wait_us", "write_us"))
    return (
        f"log writer: {writer['groups']:,} groups of {size:,.0f} bytes, each waits {wait_us:,.0f} us and is written "
        f"and synced in {write_us:,.0f} us"
    )


def table(replica: dict[str, Any]) -> Table:
    """One replica's stages, each followed by its parts, for people."""
    shown = Table()
    shown.add_column("stage")
    for heading in ("share", "us/round", "ns/op"):
        shown.add_column(heading, justify="right")
    for row in replica["stages"]:
        for name, found in ((row["stage"], row), *((f"  {part['part']}", part) for part in row["parts"])):
            shown.add_row(name, f"{found['share']:.1%}", *texts(found["us_per_round"], found["ns_per_operation"]))
    return shown


def distributions(replica: dict[str, Any]) -> Table:
    """How long groups and batches of one replica waited, and the size of batches."""
    shown = Table()
    shown.add_column("groups and batches")
    for heading in ("number", "mean", "p50", "p99"):
        shown.add_column(heading, justify="right")
    for name, what in MEASURES.items():
        row = replica["distributions"][name]
        if row["count"]:
            shown.add_row(what, f"{row['count']:,}", *texts(row["mean"]), f"{row['p50']:,}", f"{row['p99']:,}")
    return shown


def texts(*numbers: float | None) -> Iterable[str]:
    return ("-" if number is None else f"{number:,.1f}" for number in numbers)


def plot(result: dict[str, Any], file: Path) -> None:
    """The shares of the stages as one bar for each replica. Raises CommandFailed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CommandFailed("--out needs matplotlib (pip install 'fastpaxos-live[bench]')") from None
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    names = [replica["replica"] for replica in result["replicas"]]
    left = [0.0] * len(names)
    for number, stage in enumerate(row["stage"] for row in result["replicas"][0]["stages"]):
        shares = [replica["stages"][number]["share"] for replica in result["replicas"]]
        axes.barh(names, shares, left=left, label=stage)
        left = [begin + share for begin, share in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("share of the time")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    try:
        figure.savefig(file)
    except OSError as error:
        raise CommandFailed(f"can't write {file}: {error.strerror}") from None
