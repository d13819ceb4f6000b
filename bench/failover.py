"""`python -m bench failover`: how long writes pause when the master is killed, and that no acknowledged one is lost."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from fastpaxos_live.server.config import Lease
from fastpaxos_live.testing import Cell, Connection, wait_until

from . import contestants, machine, results
from .measuring import Steps

INTERVAL_S = 0.002  # between a reply and the writer's next request
PATIENCE_S = 30.0  # of a write: the cell gives up earlier
SETTLE_S = 0.5  # of undisturbed writing before the next kill
MGET_KEYS = 1000


@dataclass(frozen=True)
class Acknowledged:
    """A write whose OK came; `at` on the clock of time.monotonic."""

    key: str
    value: str
    at: float


class Writer:
    """A client that writes a new key every INTERVAL_S, at one replica until that goes, then at the next one.

    A write without OK (refused, unknown, connection lost) is not repeated: the next key is another.
    """

    def __init__(self, name: str, ports: Sequence[int]) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.failed = 0
        self._name, self._ports = name, ports
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        at, n = 0, 0
        while not self._stop.is_set():
            try:
                with Connection(self._ports[at % len(self._ports)], PATIENCE_S) as connection:
                    while not self._stop.wait(INTERVAL_S):
                        n += 1
                        self._write(connection, f"{self._name}:{n}", str(n))
            except OSError:
                self.failed += 1
                at += 1
                self._stop.wait(INTERVAL_S)

    def _write(self, connection: Connection, key: str, value: str) -> None:
        reply = connection.ask(b"SET", key.encode(), value.encode())
        if reply == b"+OK":
            self.acknowledged.append(Acknowledged(key, value, time.monotonic()))
        else:
            self.failed += 1

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)


class Writers:
    """One for each replica, so that whichever goes others write on."""

    def __init__(self, cell: Cell) -> None:
        ports = [cell.ports[i] for i in cell.ids]
        self._all = [Writer(f"w{i}", ports[i:] + ports[:i]) for i in range(len(ports))]

    def acknowledged(self) -> list[Acknowledged]:
        """What all of them got so far, in the order of time."""
        return sorted((one for writer in self._all for one in tuple(writer.acknowledged)), key=lambda one: one.at)

    def failed(self) -> int:
        """Writes without OK so far."""
        return sum(writer.failed for writer in self._all)

    def all_write_since(self, moment: float) -> bool:
        """Whether each had an OK after that moment."""
        return all(writer.acknowledged and writer.acknowledged[-1].at > moment for writer in self._all)

    def __enter__(self) -> "Writers":
        for writer in self._all:
            writer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._all:
            writer.__exit__()


def run(times: int, console: Console) -> dict[str, Any]:
    """Kills the master so often. A row is a kill; `summary` has the distribution, and how many writes were lost."""
    results.BUILD.mkdir(exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=results.BUILD) as name:
        facts = results.facts(Path(name))
        with Cell(
            Path(name) / "cell", replicas=contestants.REPLICAS, limits=contestants.SHIPPED, with_parent=True
        ) as cell:
            with Writers(cell) as writers, Steps(times, console) as step:
                for n in range(times):
                    step(f"kill {n + 1}")
                    rows.append({"kill": n + 1, **_kill(cell, writers)})
            cell.wait_equal()
            acknowledged = writers.acknowledged()
            missing = lost(acknowledged, lambda keys: _values(cell, keys))
    settings = {
        "replicas": contestants.REPLICAS,
        "fsync": "always",
        "lease": msgspec.structs.asdict(Lease()),
        "writers": contestants.REPLICAS,
        "interval_ms": INTERVAL_S * 1000,
        "times": times,
    }
    summary = {**distribution([row["gap_ms"] for row in rows]), "acknowledged": len(acknowledged), "lost": missing}
    return results.result("failover", facts, settings, rows, summary=summary)


def _kill(cell: Cell, writers: Writers) -> dict[str, Any]:
    """kill -9 of the master; then everything as before, with the replica back."""
    settled = time.monotonic() + SETTLE_S
    wait_until(lambda: writers.all_write_since(settled), "writes by all writers")
    victim, failed_before = cell.master(), writers.failed()
    killed = time.monotonic()
    cell.kill(victim)
    master = cell.master()
    served = time.monotonic()
    wait_until(lambda: writers.all_write_since(served), "writes by all writers after the kill")
    row = {
        "gap_ms": gap(writers.acknowledged(), killed) * 1000,
        "killed": victim,
        "master": master,
        "not_acknowledged": writers.failed() - failed_before,
    }
    cell.start(victim)
    wait_until(
        lambda: cell.info(cell.master())["failures_tolerated"] == contestants.REPLICAS // 2,
        "the killed replica to be back",
    )
    return row


def gap(acknowledged: Sequence[Acknowledged], killed: float) -> float:
    """Seconds without an OK: the longest pause that ended after the kill.

    The last OK of the old master may be read a moment after the kill, so the first one after it ends no pause.
    """
    times = np.array([one.at for one in acknowledged])
    first = max(1, int(np.searchsorted(times, killed)))
    return float(np.max(times[first:] - times[first - 1 : -1]))


def lost(acknowledged: Sequence[Acknowledged], values: Callable[[list[str]], list[str | None]]) -> list[str]:
    """Keys of acknowledged writes that are not there, or not as they were written."""
    missing = []
    for at in range(0, len(acknowledged), MGET_KEYS):
        chunk = acknowledged[at : at + MGET_KEYS]
        found = values([one.key for one in chunk])
        missing += [one.key for one, value in zip(chunk, found, strict=True) if value != one.value]
    return missing


def _values(cell: Cell, keys: list[str]) -> list[str | None]:
    with cell.client(cell.master(), decode_responses=True) as client:
        return client.mget(keys)


def distribution(gaps_ms: Sequence[float]) -> dict[str, float]:
    """Least, median, ninth decile and most."""
    values = np.percentile(gaps_ms, (0, 50, 90, 100))
    return dict(zip(("min_ms", "median_ms", "p90_ms", "max_ms"), (float(value) for value in values), strict=True))


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the distribution, and whether all acknowledged writes are there."""
    summary, settings = result["summary"], result["settings"]
    table = Table(title=f"pause of writes after kill -9 of the master, {settings['times']} times", box=box.SIMPLE_HEAD)
    for column in ("min", "median", "p90", "max"):
        table.add_column(column, justify="right")
    table.add_row(*(f"{summary[f'{name}_ms']:,.0f} ms" for name in ("min", "median", "p90", "max")))
    console.print(table)
    lease = settings["lease"]
    console.print(
        f"lease {lease['replica_ms']} ms, election up to {lease['election_ms']} ms more, heartbeat every "
        f"{lease['beat_ms']} ms; {settings['writers']} writers, one write every {settings['interval_ms']:g} ms each",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"acknowledged writes: {summary['acknowledged']:,}; lost: {len(summary['lost'])}",
        highlight=False,
        soft_wrap=True,
    )
    for text in machine.lines(result):
        console.print(text, highlight=False, soft_wrap=True)
