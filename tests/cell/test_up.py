"""`fastpaxos-live up`, `serve` and `status` as a user meets them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.terminal import Terminal

from fastpaxos_live.cli.local import ADMIN_OFFSET, PEER_OFFSET
from fastpaxos_live.testing import HOST, WAIT_S, Cell, Connection, connect, free_ports, wait_until

REPLICA_KEYS = {
    "name",
    "client",
    "peer",
    "admin",
    "pid",
    "role",
    "voting",
    "sequence_number",
    "epoch",
    "instance_committed",
    "instance_applied",
    "lease_ms_left",
}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "fastpaxos_live", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=WAIT_S)


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The command failed with this code, and one line on stderr has all the words."""
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


class Up:
    """A running `up`, whose lines are collected as they come."""

    def __init__(self, *arguments: object) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command("up", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)

    def wait_ready(self) -> str:
        """Its `ready:` line."""

        def ready() -> str:
            assert self.process.poll() is None, "".join(self.lines)
            return next((line.strip() for line in list(self.lines) if "ready:" in line), "")

        return wait_until(ready, "up to be ready")

    def finish(self, how: signal.Signals) -> int:
        """Sends the signal; returns the exit code."""
        self.process.send_signal(how)
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        """Ends whatever still runs."""
        if self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.finish(signal.SIGTERM)
            self.process.kill()
            self.process.wait()
        self._reader.join()
        print("".join(self.lines))


def ports_of_up(replicas: int = 3) -> int:
    """Client port of the first of so many replicas, with room for all ports that `up` takes."""
    return free_ports(replicas, (0, PEER_OFFSET, ADMIN_OFFSET))[0]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts `up` with a data directory of the test; all are ended with it."""
    with contextlib.ExitStack() as stack:

        def start(port: int, *arguments: object) -> Up:
            up = Up("--port", port, "--data", tmp_path / "data", "--plain", *arguments)
            stack.callback(up.close)
            return up

        yield start


def status(port: int) -> dict[str, Any]:
    done = run("status", f"{HOST}:{port}", "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("core", "how"),
    [("cython", signal.SIGTERM), ("cython", signal.SIGINT), ("python", signal.SIGTERM)],
)
def test_up_serves_stops_and_continues(start: Any, core: str, how: signal.Signals) -> None:
    port = ports_of_up()
    up = start(port, "--core", core)
    assert up.wait_ready() == f"ready: {HOST}:{port},{HOST}:{port + 1},{HOST}:{port + 2}"
    for offset in range(3):
        with connect(port + offset) as client:
            assert client.set(f"key{offset}", offset)
    assert up.finish(how) == 0, up.lines
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, port)) != 0, "a replica outlived up"

    again = start(port, "--core", core)
    again.wait_ready()
    with connect(port) as client:
        assert client.mget("key0", "key1", "key2") == [b"0", b"1", b"2"]
    assert again.finish(how) == 0, again.lines


def test_the_other_core_continues_with_the_data(start: Any) -> None:
    port = ports_of_up()
    for core, other in (("cython", "python"), ("python", "cython")):
        up = start(port, "--core", core)
        up.wait_ready()
        with connect(port) as client:
            assert client.set(f"written by {core}", 1)
            if core == "python":
                assert client.get(f"written by {other}") == b"1"
        assert up.finish(signal.SIGTERM) == 0


@pytest.mark.parametrize("replicas", [1, 5])
def test_other_sizes(start: Any, replicas: int) -> None:
    port = ports_of_up(replicas)
    up = start(port, "--replicas", replicas)
    assert up.wait_ready().count(HOST) == replicas
    with connect(port + replicas - 1) as client:
        assert client.set("key", 1)
    assert len(status(port)["replicas"]) == replicas


def test_status_and_a_killed_replica_comes_back(start: Any) -> None:
    port = ports_of_up()
    start(port).wait_ready()
    before = status(port)
    assert before.keys() >= {
        "cell",
        "master",
        "failures_tolerated",
        "failures_configured",
        "problems",
        "replicas",
    }
    assert before["failures_configured"] == 1
    assert all(replica.keys() >= REPLICA_KEYS for replica in before["replicas"])
    masters = [replica for replica in before["replicas"] if replica["role"] == "master"]
    assert [replica["name"] for replica in masters] == [before["master"]]
    wait_until(lambda: status(port)["failures_tolerated"] == 1, "a cell without problems")
    assert run("status", f"{HOST}:{port}").returncode == 0

    os.kill(masters[0]["pid"], signal.SIGKILL)
    survivor = next(replica for replica in before["replicas"] if replica["role"] == "replica")
    survivor_port = int(survivor["client"].rpartition(":")[2])

    def is_back() -> bool:
        now = status(survivor_port)
        pids = {replica["name"]: replica["pid"] for replica in now["replicas"]}
        roles = {replica["role"] for replica in now["replicas"]}
        came_back = pids[masters[0]["name"]] not in (None, 0, masters[0]["pid"])
        return came_back and roles == {"master", "replica"} and now["failures_tolerated"] == 1

    wait_until(is_back, "the killed replica to be back")
    with connect(port) as client:
        assert client.set("key", 1)


def test_the_live_table_on_a_terminal(tmp_path: Path) -> None:
    port = ports_of_up()
    with Terminal(command("up", "--port", port, "--data", tmp_path / "data")) as terminal:
        terminal.wait_for(f"ready: {HOST}:{port},{HOST}:{port + 1},{HOST}:{port + 2}")
        with connect(port) as client:
            client.set("key", 1)
        terminal.wait_for("tolerates 1 of 1")
        for heading in ("replica", "role", "number", "epoch", "committed", "applied", "op/s"):
            terminal.wait_for(heading)
        terminal.wait_for("r1")
        assert terminal.finish(signal.SIGINT) == 0
        assert "Traceback" not in terminal.screen


def test_no_restart(start: Any) -> None:
    port = ports_of_up()
    start(port, "--no-restart").wait_ready()
    victim = status(port)["replicas"][2]
    os.kill(victim["pid"], signal.SIGKILL)
    wait_until(lambda: status(port)["replicas"][2]["role"] == "down", "the replica to be down")
    wait_until(lambda: status(port)["failures_tolerated"] == 0, "the others to miss it")
    assert status(port)["problems"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "--replicas", "0"), ["replicas"]),
        (("up", "--replicas", "10"), ["replicas"]),
        (("up", "--port", "70000"), ["port"]),
        (("up", "--fsync", "sometimes"), ["sometimes", "always"]),
        (("up", "--fsync", "interval:x"), ["interval"]),
        (("up", "--core", "rust"), ["rust"]),
        (("serve", "--name", "r1"), ["config"]),
        (("serve", "--config", "/nowhere/cell.toml", "--name", "r1"), ["/nowhere/cell.toml"]),
        (("status", "nonsense"), ["nonsense"]),
        (("dance",), ["dance"]),
        (("up", "--dance"), ["--dance"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use(arguments: tuple[str, ...], words: list[str]) -> None:
    assert_one_line(run(*arguments), 2, *words)


def test_status_of_nobody() -> None:
    port = free_ports(1)[0]
    assert_one_line(run("status", f"{HOST}:{port}"), 1, str(port))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (("fsync = ", "fsink = "), ["fsink", "fsync"]),
        (('name = "r2"', 'name = "r1"'), ["r1"]),
        (("[cell]", "[cell"), ["cell.toml"]),
    ],
)
def test_a_broken_configuration(tmp_path: Path, broken: tuple[str, str], words: list[str]) -> None:
    cell = Cell(tmp_path)
    cell.config.write_text(cell.config.read_text().replace(*broken))
    assert_one_line(run("serve", "--config", cell.config, "--name", "r1"), 2, *words)


def test_an_unknown_name(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    assert_one_line(run("serve", "--config", cell.config, "--name", "r7"), 2, "r7")


def test_an_empty_directory_is_not_taken_for_a_new_replica(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    done = run("serve", "--config", cell.config, "--name", "r1")
    assert done.returncode != 0
    assert_one_line(done, done.returncode, "--new")


def test_a_port_in_use(tmp_path: Path, start: Any) -> None:
    port = ports_of_up()
    with socket.create_server((HOST, port + 1)):
        up = start(port)
        assert up.process.wait(WAIT_S) not in (0, -signal.SIGKILL)
        up.close()
    output = "".join(up.lines)
    assert "Traceback" not in output
    assert str(port + 1) in output


def test_two_processes_on_one_directory(tmp_path: Path) -> None:
    with Cell(tmp_path) as cell:
        second = run("serve", "--config", cell.config, "--name", "r1")
        assert_one_line(second, second.returncode)
        assert second.returncode != 0
        cell.wait_ready()


@pytest.mark.parametrize("core", ["cython", "python"])
@pytest.mark.parametrize("fsync", ["interval:50", "never"])
def test_relaxed_policies_survive_kill_of_all(tmp_path: Path, core: str, fsync: str) -> None:
    with Cell(tmp_path, core=core, fsync=fsync) as cell:
        with Connection(cell.ports[cell.master()]) as connection:
            for n in range(500):
                assert connection.ask(b"SET", b"key%d" % n, b"%d" % n) == b"+OK"
        cell.kill()
        cell.start()
        with cell.client(cell.wait_ready()) as client:
            assert client.mget(f"key{n}" for n in range(500)) == [b"%d" % n for n in range(500)]
