"""The settings of a running cell's leases are changed replica by replica."""

import json
import re
from pathlib import Path
from threading import Event, Thread

import pytest

from fastpaxos_live.testing import Cell, Closed, Connection, wait_until

SHORT = {"replica_ms": 400, "master_ms": 350}
LONG = {"replica_ms": 2500, "master_ms": 2200}


def set_leases(cell: Cell, lease: dict[str, int]) -> None:
    """In the file, for whoever starts from now on."""
    table = "".join(f"{key} = {value}\n" for key, value in lease.items())
    cell.config.write_text(re.sub(r"\[lease\]\n[^[]*", f"[lease]\n{table}\n", cell.config.read_text()))


class Counter:
    """Counts up at one replica after another, and reads at them: no read may show less than what was acknowledged
    before it was asked."""

    def __init__(self, cell: Cell) -> None:
        self.ports = list(cell.ports.values())
        self.acknowledged = 0
        self.reads = 0
        self.stale: list[tuple[int, int]] = []
        self.ended = Event()
        self.threads = [Thread(target=self.run, args=(self.write, 0))]
        self.threads += [Thread(target=self.run, args=(self.read, n)) for n in range(len(self.ports))]

    def __enter__(self) -> "Counter":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def run(self, step, place: int) -> None:
        while not self.ended.is_set():
            try:
                with Connection(self.ports[place % len(self.ports)], timeout=20) as connection:
                    while not self.ended.is_set():
                        step(connection)
            except (ConnectionError, TimeoutError, Closed):
                place += step == self.write  # a reader stays with its replica
                self.ended.wait(0.01)

    def write(self, connection: Connection) -> None:
        reply = connection.ask(b"INCR", b"counter")
        if reply.startswith(b":"):
            self.acknowledged = int(reply[1:])

    def read(self, connection: Connection) -> None:
        least = self.acknowledged
        reply = connection.ask(b"GET", b"counter")
        if reply.isdigit():
            self.reads += 1
            if int(reply) < least:
                self.stale.append((int(reply), least))

    def wait_on(self, writes: int) -> None:
        """Until so many more writes were acknowledged."""
        floor = self.acknowledged + writes
        wait_until(lambda: self.acknowledged >= floor, f"{writes} more writes")


def kept_us(cell: Cell, i: int) -> int:
    """How long grants may last, as replica i's disk has it."""
    return json.loads((Path(cell.data(i)) / "meta.json").read_text())["lease_us"]


@pytest.mark.parametrize("core", ["cython", "python"])
def test_leases_are_changed_in_a_rolling_restart(tmp_path: Path, core: str) -> None:
    with Cell(tmp_path, core=core, lease=SHORT) as cell, Counter(cell) as counter:
        counter.wait_on(20)
        for lease in (LONG, SHORT, SHORT):  # who granted the longer one in its life keeps it until the next
            set_leases(cell, lease)
            others = [i for i in cell.ids if i != cell.wait_ready()]
            for i in [*others, *(set(cell.ids) - set(others))]:  # the master last, and then another one is
                assert cell.stop(i) == 0
                counter.wait_on(5)
                cell.start(i)
                wait_until(lambda i=i: cell.info(i)["serving"] or cell.info(i)["master"], f"r{i}")
                counter.wait_on(20)
        # Each was silent for the longer time, and then forgot it.
        wait_until(lambda: all(kept_us(cell, i) == SHORT["replica_ms"] * 1000 for i in cell.ids), "shorter leases")
        counter.wait_on(20)
        assert counter.reads > 50
        assert counter.stale == []
