"""What keeps a replica from starting, and what ends it before it serves."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpaxos_live._select import load_core
from fastpaxos_live.log.datadir import Identity, open_data_dir
from fastpaxos_live.log.recovery import CHUNK_BYTES
from fastpaxos_live.log.segments import SEGMENT_HEADER_BYTES
from fastpaxos_live.log.startup import start_up
from fastpaxos_live.server.files import OsDirectory
from fastpaxos_live.server.main import Stopped, StopRequest, replay_progress
from fastpaxos_live.testing import HOST, Cell, Connection, wait_until


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def serve(cell: Cell) -> tuple[int, str]:
    # Runs replica 1, which must end by itself; returns its exit code and what it printed.
    command = [sys.executable, "-m", "fastpaxos_live", "serve", "--config", str(cell.config), "--name", "r1"]
    if not cell.data(1).exists():
        command.append("--new")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def refused(cell: Cell) -> str:
    # The line with which it refuses to start.
    code, text = serve(cell)
    assert code == 1, text
    assert "Traceback" not in text and "FATAL" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("fastpaxos-live: ")]
    assert text.splitlines()[-1] == line
    return line.removeprefix("fastpaxos-live: ")


@pytest.mark.parametrize("which", ["ports", "peer_ports", "admin_ports"])
def test_an_address_in_use(tmp_path: Path, which: str) -> None:
    cell = Cell(tmp_path, replicas=1)
    port = getattr(cell, which)[1]
    with socket.create_server((HOST, port)):
        assert refused(cell) == f"can't listen on {HOST}:{port}: Address already in use"
    cell.start()  # nothing is left that would be in the way
    assert cell.wait_ready() == 1
    cell.kill()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_of_this_machine(tmp_path: Path, host: str) -> None:
    cell = Cell(tmp_path, replicas=1)
    port = cell.ports[1]
    text = cell.config.read_text().replace(f"{HOST}:{port}", f"{host}:{port}")
    cell.config.write_text(text.replace("[cell]", "[cell]\ninsecure = true"))
    assert refused(cell).startswith(f"can't listen on {host}:{port}: ")


def test_a_corrupt_log(tmp_path: Path) -> None:
    with Cell(tmp_path, replicas=1) as cell:
        with Connection(cell.ports[1]) as client:
            for _ in range(10):
                assert client.ask(b"SET", b"key", b"x" * 1000) == b"+OK"
        assert cell.stop(1) == 0
        log = cell.data(1) / "log.00000000"
        data = bytearray(log.read_bytes())
        data[SEGMENT_HEADER_BYTES + 5000] ^= 1
        log.write_bytes(data)
        assert refused(cell).startswith("log corrupt at position ")
        assert log.read_bytes() == data, "a corrupt log is evidence: nothing may change it"


def test_a_signal_ends_the_replay(tmp_path: Path, handlers: None) -> None:
    identity = Identity(7, "main", 1, "r1")
    data_dir = open_data_dir(
        OsDirectory(tmp_path), identity, new=True, fsync="always", disk_id=9, segment_bytes=2 * CHUNK_BYTES
    )
    config = {"cell_id": 7, "replica": 1, "replicas": 1, "incarnation": 1, "seed": 1, "clients": [f"{HOST}:1"]}
    config |= dict.fromkeys(("lease_us", "lease_master_us", "beat_us", "boost_us", "election_us"), 1_000_000)
    config |= {"window": 8, "batch_bytes": 1 << 20, "value_bytes_max": 1 << 20, "redirect": 0}
    config |= {"wait_master_us": 1_000_000, "write_timeout_us": 1_000_000}
    stop = StopRequest()

    def start() -> int:
        started = start_up(data_dir, "", lambda _: load_core("python").Replica(config), None, replay_progress(stop))
        started.storage.close()
        return started.found.position

    assert start() == 0
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Stopped):
        start()
    data_dir.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_in_good_order(tmp_path: Path, how: signal.Signals) -> None:
    cell = Cell(tmp_path, replicas=1)
    cell.start()
    wait_until(lambda: "log replayed" in cell.log(1).read_text(), "the end of the replay")
    assert cell.stop(1, how) == 0, cell.log(1).read_text()


def test_few_descriptors_mean_fewer_clients() -> None:
    code = (
        "import resource as r; from fastpaxos_live.server.sockets import raise_file_limit\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (100, {hard})); print(raise_file_limit(1000), *r.getrlimit(r.RLIMIT_NOFILE))"
    )
    for hard, expected in ((4096, "1000 1128 4096"), (500, "372 500 500"), (128, "1 128 128")):
        done = subprocess.run([sys.executable, "-c", code.format(hard=hard)], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == expected, done.stderr
