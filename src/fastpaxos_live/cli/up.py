"""`fastpaxos-live up`: a local cell, each replica a process of its own."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from ..server.config import CellConfig, parse_fsync
from .asking import Asker, Info, Member, report
from .child import Child
from .choices import Core
from .failure import CommandFailed
from .local import lock_directory, open_cell
from .serve import choose_core
from .table import cell_table

POLL_S = 0.1  # until the cell is ready
REFRESH_S = 1.0  # after that
STOP_S = 10.0  # a replica that has not stopped by then is killed
ASK_TIMEOUT_S = 1.0


def up(
    replicas: Annotated[
        int | None, typer.Option(min=1, max=9, help="How many; 3 for a new cell.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=63_000, help="Of the first replica; 7001 for a new cell."),
    ] = None,
    data: Annotated[
        Path, typer.Option(help="The cell's directory; made when it is not there.")
    ] = Path("fastpaxos-data"),
    fsync: Annotated[
        str | None, typer.Option(help="always, interval:MS or never; always for a new cell.")
    ] = None,
    core: Annotated[Core | None, typer.Option(help="Which core the replicas run on.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines only, no live table.")] = False,
    no_restart: Annotated[
        bool, typer.Option("--no-restart", help="Leave a replica down that died.")
    ] = False,
) -> None:
    """Run a local cell until Ctrl-C; the next start on the same directory goes on with its data."""
    policy = parse_fsync(fsync) if fsync is not None else None
    lock_directory(data)
    cell = open_cell(data, replicas, port, policy)
    choose_core(core, cell)  # of the environment, as the replicas will
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    live = sys.stdout.isatty() and not plain
    supervisor = Supervisor(cell, data, core, restart=not no_restart, stop=stop, live=live)
    try:
        supervisor.run()
    finally:
        supervisor.close()


class Supervisor:
    """Starts the replicas, watches them, shows them, and stops them."""

    def __init__(
        self,
        cell: CellConfig,
        directory: Path,
        core: str | None,
        *,
        restart: bool,
        stop: threading.Event,
        live: bool,
    ) -> None:
        self.cell = cell
        self.restart = restart
        self.stop = stop
        self.console = Console()
        self.live = live
        self.asker = Asker(ASK_TIMEOUT_S)
        self.members = [
            Member(replica.name, replica.client, str(replica.peer), str(replica.admin))
            for replica in cell.replicas
        ]
        self.children = [
            Child(cell.path, replica.name, directory, core) for replica in cell.replicas
        ]
        self.ready = False
        self.said: set[str] = set()  # problems on the last look
        self.rates = Rates()

    def run(self) -> None:
        """Until it is told to stop. Raises CommandFailed when the cell can't start."""
        for replica in self.cell.replicas:
            self.say(f"{replica.name}: peers {replica.peer}, admin http://{replica.admin}/status")
        for child in self.children:
            child.start()
        while not self.stop.wait(POLL_S):
            master = self.look()["master"]
            if any(child.name == master and child.answered for child in self.children):
                break
        if self.stop.is_set():
            return
        self.ready = True
        clients = ",".join(str(replica.client) for replica in self.cell.replicas)
        self.say(f"ready: {clients}")
        with self.screen() as screen:
            while not self.stop.wait(REFRESH_S):
                result = self.look()
                if screen:
                    screen.update(cell_table(result, self.rates.of(result)), refresh=True)
                else:
                    self.say_changes(result)

    @contextmanager
    def screen(self) -> Iterator[Live | None]:
        """A live table on a terminal, else None."""
        if not self.live:
            yield None
            return
        with Live(console=self.console, auto_refresh=False) as screen:
            yield screen

    def look(self) -> dict[str, Any]:
        """Starts what died again and asks everybody; returns the report."""
        for child in self.children:
            self.mind(child)
        infos: list[Info | None] = self.asker.ask_all(self.members)
        for child, info in zip(self.children, infos, strict=True):
            child.answered |= info is not None and info["process_id"] == child.pid
        result = report(self.cell.name, self.members, infos)
        result["problems"] += [child.trouble for child in self.children if child.trouble]
        return result

    def mind(self, child: Child) -> None:
        """One child: has it ended, and should it be started again? Raises CommandFailed."""
        if child.has_ended():
            if child.refused() and not self.ready:
                raise CommandFailed(child.trouble)
            if not self.restart and not any(other.is_running() for other in self.children):
                raise CommandFailed("no replica is left running")
        elif self.restart and child.is_due():
            child.start()

    def say(self, line: str) -> None:
        print(line, flush=True)

    def say_changes(self, result: dict[str, Any]) -> None:
        """Lines for what is new: the master, the problems that came and went."""
        facts = set(result["problems"])
        if result["master"]:
            facts.add(f"master: {result['master']}")
        for line in sorted(facts - self.said):
            self.say(line)
        for line in sorted(self.said - facts):
            if not line.startswith("master: "):
                self.say(f"no more: {line}")
        self.said = facts

    def close(self) -> None:
        """SIGTERM to all, SIGKILL to those who are still there after STOP_S."""
        for child in self.children:
            child.terminate()
        deadline = time.monotonic() + STOP_S
        for child in self.children:
            child.wait(deadline)
        self.asker.close()


class Rates:
    """Operations per second between two reports."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int, int]] = {}  # name -> (time, pid, operations)

    def of(self, result: dict[str, Any]) -> dict[str, float]:
        """By name, for those of whom the report before told too."""
        now = time.monotonic()
        rates = {}
        for row in result["replicas"]:
            before = self._seen.get(row["name"])
            if row["role"] == "down":
                self._seen.pop(row["name"], None)
                continue
            if before and before[1] == row["pid"]:
                rates[row["name"]] = max(0, row["operations"] - before[2]) / (now - before[0])
            self._seen[row["name"]] = (now, row["pid"], row["operations"])
        return rates
