"""redis-cli and redis-benchmark, unmodified, at the master and at the other replicas."""

import os
import subprocess

import pytest
from tests.clients.tools import require_tool
from tests.terminal import Terminal

from fastpaxos_live.testing import HOST, Cell


@pytest.fixture(params=["master", "follower"])
def port(request: pytest.FixtureRequest, cell: Cell) -> int:
    master = cell.master()
    follower = next(i for i in cell.ids if i != master)
    return cell.ports[master if request.param == "master" else follower]


def cli(port: int, *arguments: str, text: str | None = None) -> str:
    """What redis-cli prints; it must succeed."""
    require_tool("redis-cli")
    done = subprocess.run(
        ["redis-cli", "-h", HOST, "-p", str(port), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    return done.stdout.strip()


def test_commands(port: int) -> None:
    assert cli(port, "set", "cli", "hello world") == "OK"
    assert cli(port, "get", "cli") == "hello world"
    assert cli(port, "-3", "get", "cli") == "hello world"
    assert cli(port, "-3", "get", "none") == ""
    assert cli(port, "incr", "cli").startswith("ERR value is not an integer")
    assert cli(port, "nonsense").startswith("ERR unknown command")
    assert cli(port, "-e", "ping") == "PONG"


def test_commands_from_a_file(port: int) -> None:
    lines = "".join(f'set "cli {n}" {n}\nget "cli {n}"\n' for n in range(20))
    assert cli(port, text=lines).split() == [word for n in range(20) for word in ("OK", str(n))]


def test_a_person_at_redis_cli(port: int) -> None:
    command = [require_tool("redis-cli"), "-h", HOST, "-p", str(port)]
    with Terminal(command, env={"REDISCLI_HISTFILE": os.devnull}) as terminal:
        # Only at the prompt: redis-cli throws away what was typed before it.
        for line, reply in (
            ("set person 41", "OK"),
            ("incr person", "(integer) 42"),
            ("get nobody", "(nil)"),
        ):
            terminal.wait_for(f"{HOST}:{port}>")
            terminal.enter(line)
            terminal.wait_for(reply)
        terminal.wait_for(f"{HOST}:{port}>")
        terminal.enter("quit")
        assert terminal.finish() == 0


def test_mass_insertion(port: int) -> None:
    lines = "".join(f"SET pipe{n} {n}\r\n" for n in range(5000))
    assert "errors: 0, replies: 5000" in cli(port, "--pipe", text=lines)


def test_info(port: int) -> None:
    info = dict(line.split(":", 1) for line in cli(port, "info").splitlines() if ":" in line)
    assert info["redis_version"].startswith("7.2")
    assert info["redis_mode"] == "cluster"
    assert info["failures_configured"] == "1"
    assert info["fsync"] == "always"


def test_cluster_mode(cell: Cell, port: int) -> None:
    master_port = cell.ports[cell.master()]
    assert cli(port, "-c", "set", "cluster", "1").splitlines()[-1] == "OK"
    assert cli(port, "-c", "get", "cluster").splitlines()[-1] == "1"
    slots = cli(port, "cluster", "slots").split()
    assert slots[:4] == ["0", "16383", HOST, str(master_port)]
    assert "cluster_state:ok" in cli(port, "cluster", "info")
    nodes = cli(port, "cluster", "nodes").splitlines()
    assert len(nodes) == 3
    assert sum("myself" in node for node in nodes) == 1
    assert f":{port}@" in next(node for node in nodes if "myself" in node)


def test_redirection_of_a_cluster_client(cell: Cell) -> None:
    follower = next(i for i in cell.ids if i != cell.master())
    told = cli(cell.ports[follower], text="readonly\nset moved 1\n").splitlines()
    assert told[0] == "OK"
    assert told[1].startswith("MOVED ")
    assert told[1].endswith(f" {HOST}:{cell.ports[cell.master()]}")


@pytest.mark.parametrize("extra", [[], ["-3"], ["--threads", "2"]])
def test_benchmark(port: int, extra: list[str]) -> None:
    require_tool("redis-benchmark")
    command = ["redis-benchmark", "-h", HOST, "-p", str(port), "-t", "set,get,incr,mset"]
    command += ["-c", "50", "-P", "16", "-r", "100000", "-n", "20000", "--csv", *extra]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "rror" not in output and "WARNING" not in output, output
    rates = [line.split('","')[1] for line in done.stdout.splitlines() if line.startswith('"')]
    assert len([rate for rate in rates if rate != "rps"]) == 4, output
