"""redis-py 5 and 8, unmodified, at the master and at the other replicas."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastpaxos_live.testing import HOST, Cell

EXERCISE = Path(__file__).with_name("exercise.py")


def run(redis_py: Path, program: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a Python program with this release of redis-py before any other."""
    path = os.pathsep.join([os.fspath(redis_py), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *program],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize("protocol", ["default", "2", "3"])
@pytest.mark.parametrize("mode", ["sync", "asyncio", "cluster", "asyncio-cluster"])
def test_an_application(cell: Cell, redis_py: Path, mode: str, protocol: str) -> None:
    master = cell.master()
    follower = next(i for i in cell.ids if i != master)
    for i in (master, follower):
        done = run(redis_py, [os.fspath(EXERCISE), redis_py.name, mode, protocol, str(cell.ports[i])])
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


FOLLOW = """
import sys
from redis.cluster import RedisCluster
cluster = RedisCluster(sys.argv[1], int(sys.argv[2]))
for n in range(10_000):
    cluster.set("follow", n)
    if n == 100:
        print("warm", flush=True)
        sys.stdin.readline()
    if n >= 100 and n % 100 == 99:
        break
assert cluster.get("follow") == b"%d" % n
print("ok", flush=True)
"""


def test_a_cluster_client_follows_the_mastership(tmp_path: Path, redis_py: Path) -> None:
    """A RedisCluster that has a connection to the master goes on when that is killed."""
    with Cell(tmp_path) as cell:
        master = cell.master()
        path = os.pathsep.join([os.fspath(redis_py), os.environ.get("PYTHONPATH", "")])
        with subprocess.Popen(
            [sys.executable, "-c", FOLLOW, HOST, str(cell.ports[master])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        ) as client:
            assert client.stdin and client.stdout
            assert client.stdout.readline() == "warm\n"
            cell.kill(master)
            cell.wait_ready()
            client.stdin.write("\n")
            client.stdin.flush()
            assert client.stdout.readline() == "ok\n"
