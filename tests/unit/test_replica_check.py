"""The checks of debugging builds (`core/replica_check.pyx`): each line that is tried here ends the process.

What they look at is spoilt on purpose, by a door that only these builds have; `make asan` tests one of them.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastpaxos_live import _core

ROOT = Path(__file__).parents[2]
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
DEBUGGING = b"\0FPL_SPOIL\0" in Path(_core.__file__).read_bytes()  # in all other builds nothing is left of the door
TURNS = "from tests.hand import Cell; Cell('cython').start().step()"

pytestmark = pytest.mark.skipif(not (DEBUGGING or SANITIZED), reason="no debugging build")


def turn(spoilt: str) -> subprocess.CompletedProcess[str]:
    """A turn of replicas with a client each; what is wrong from then on."""
    environment = os.environ | {"FPL_SPOIL": spoilt}
    return subprocess.run([sys.executable, "-c", TURNS], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_nothing_is_wrong() -> None:
    done = turn("")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("spoilt, said", [
    ("refs", "a client is not named as often as it has references"),
    ("calls", "`calling` is not what the list says"),
    ("given", "`calling` is not what the list says"),
    ("pending", "a client waits for replies that have no place in a batch"),
    ("hooks", "a client has places in batches that it does not wait for"),
    ("bytes", "what is kept for all clients is not what is kept for each"),
])  # fmt: skip
def test_what_is_wrong_ends_the_process(spoilt: str, said: str) -> None:
    done = turn(spoilt)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.splitlines()[0] == f"FATAL fastpaxos_live: {said}"
