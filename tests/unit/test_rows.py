"""The log of rows: what a replica notes of the rows it takes, on both cores, and the server's log of it."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from fastpaxos_live._api import Config, Replica
from fastpaxos_live._select import load_core
from fastpaxos_live.reference.limits import TRANSITIONS_MAX
from fastpaxos_live.server import rows
from fastpaxos_live.server.rows import RowLog

LEASE_US = 600_000
START_US = 1_000_000
# What a start changes.
STARTED = {
    "acceptor.quiet": (0, START_US + LEASE_US), "acceptor.kept": (0, LEASE_US), "acceptor.longest": (0, LEASE_US),
}  # fmt: skip


@pytest.fixture(params=["cython", "python"])
def replica(request: pytest.FixtureRequest) -> Replica:
    """The only one of its cell."""
    config = Config(
        cell_id=7, replica=1, replicas=1, incarnation=1, seed=1, clients=["127.0.0.1:7001"], lease_us=LEASE_US,
        lease_master_us=500_000, beat_us=50_000, boost_us=600_000_000, election_us=200_000, window=4,
        batch_bytes=1 << 20, value_bytes_max=1 << 20, wait_master_us=5_000_000, write_timeout_us=5_000_000, redirect=0,
    )  # fmt: skip
    return load_core(request.param).Replica(config)


def test_nothing_is_noted_unless_asked(replica: Replica) -> None:
    replica.start(START_US, 1)
    assert replica.drain_rows() == []
    replica.trace_rows(True)
    replica.turn(START_US + LEASE_US, 1)
    assert replica.drain_rows() != []
    assert replica.drain_rows() == []
    replica.turn(START_US + 2 * LEASE_US, 1)
    replica.trace_rows(False)
    assert replica.drain_rows() == []


def test_a_row_with_what_it_changed(replica: Replica) -> None:
    replica.trace_rows(True)
    replica.start(START_US, 1)
    assert replica.drain_rows() == [
        (START_US, "acceptor.start", "Start", STARTED)
    ]
    replica.turn(START_US + LEASE_US, 1)
    assert replica.drain_rows()[0] == (
        START_US + LEASE_US, "acceptor.speak", "Tick", {"acceptor.state": (0, 1)}
    )  # fmt: skip


def test_the_oldest_are_forgotten(replica: Replica) -> None:
    replica.start(START_US, 1)
    now = START_US
    while not replica.status()["serving"]:
        now += LEASE_US
        replica.turn(now, 1)
        if group := replica.drain_disk():
            replica.durable(group[0] + len(group[1]))
    replica.trace_rows(True)
    for _ in range(TRANSITIONS_MAX + 10):
        now += 50_000
        replica.turn(now, 1)
    noted = replica.drain_rows()
    assert len(noted) == TRANSITIONS_MAX
    assert noted[-1][0] == now
    assert noted[0][0] > START_US + 10 * 50_000


@pytest.fixture
def level() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before = root.level
    yield root
    root.setLevel(before)


@pytest.mark.parametrize("debug", [True, False])
def test_the_server_logs_rows_at_debug_only(
    replica: Replica, level: logging.Logger, debug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict] = []

    class Log:
        def debug(self, event: str, **fields: object) -> None:
            logged.append({"event": event, **fields})

    monkeypatch.setattr(rows, "log", Log())
    level.setLevel(logging.DEBUG if debug else logging.INFO)
    loop = asyncio.new_event_loop()
    row_log = RowLog(loop, replica)
    row_log.start()
    replica.start(START_US, 1)
    loop.run_until_complete(asyncio.sleep(0.1))
    first = {"boot_us": START_US, "row": "acceptor.start", "message": "Start"}
    assert logged == ([{"event": "row", **first, "changed": STARTED}] if debug else [])
    replica.turn(START_US + LEASE_US, 1)
    row_log.stop()
    assert len(logged) > 1 if debug else not logged
    loop.close()
