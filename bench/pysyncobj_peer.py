"""PySyncObj, three processes with journals; the load is made in the leader's process."""

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastpaxos_live.testing import HOST, free_ports, wait_until

from .contestants import REPLICAS
from .load import LIMIT_S, PATIENCE, LoadError
from .measuring import steady
from .peer import Peer, Workload


def missing() -> str:
    """What to install for it; "" when all is there."""
    return "" if installed() else "PySyncObj is not installed (pip install pysyncobj)"


def installed() -> str:
    """Its version; "" for none."""
    try:
        return version("pysyncobj")
    except PackageNotFoundError:
        return ""


@contextmanager
def nodes(directory: Path) -> Iterator[list[Peer]]:
    """Three of them, with default settings and a journal each."""
    directory.mkdir()
    addresses = [f"{HOST}:{port}" for port in free_ports(REPLICAS)]
    with ExitStack() as stack:
        started = []
        for i, own in enumerate(addresses):
            others = ",".join(address for address in addresses if address != own)
            started.append(stack.enter_context(_node(own, others, directory / f"n{i}")))

        def leader() -> int:
            return next((i for i, node in enumerate(started, 1) if _ask(node, {}, LIMIT_S)["leader"]), 0)

        def led() -> int:
            return wait_until(leader, "a PySyncObj leader")

        led()
        yield [
            Peer(
                name="pysyncobj",
                measure=lambda workload, seconds: steady(
                    "pysyncobj", led, lambda i: _measure(started[i - 1], workload, seconds)
                ),
                write_means="in the page cache of 2 of 3: its journal is never synced",
                read_means="",  # of a dictionary in the caller's process
                load="callers in the leader's process, no sockets",
            )
        ]


@contextmanager
def _node(own: str, others: str, data: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bench.pysyncobj_node", own, others, f"{data}.journal"]
    with Path(f"{data}.log").open("wb") as log:
        started = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=Path(__file__).parents[1],
        )
    with started:
        try:
            yield started
        finally:
            started.kill()


def _ask(node: subprocess.Popen[str], question: dict[str, Any], limit: float) -> dict[str, Any]:
    """Raises LoadError."""
    assert node.stdin is not None and node.stdout is not None
    try:
        node.stdin.write(json.dumps(question) + "\n")
        node.stdin.flush()
    except OSError:
        raise LoadError("a PySyncObj process ended by itself") from None
    ready, _, _ = select.select([node.stdout], [], [], limit)
    line = node.stdout.readline() if ready else ""
    if not line:
        raise LoadError("a PySyncObj process does not answer")
    return json.loads(line)


def _measure(node: subprocess.Popen[str], workload: Workload, seconds: float) -> dict[str, float]:
    shape = workload.shape
    question = {"callers": shape.clients * shape.depth, "value_bytes": workload.value_bytes, "seconds": seconds}
    found = _ask(node, question, LIMIT_S + PATIENCE * seconds)
    if "error" in found:
        raise LoadError(f"pysyncobj: {found['error']}")
    return found
