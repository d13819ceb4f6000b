"""ZooKeeper, three servers, loaded by our own generator in ZooKeeper's binary protocol."""

import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fastpaxos_live.testing import HOST, free_ports, wait_until

from . import generator
from .contestants import REPLICAS, process
from .generator import Load
from .load import LoadError
from .measuring import steady
from .peer import Peer, Workload

JAR = Path("/usr/share/java/zookeeper.jar")
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
HEAP = "-Xmx512m"
KEYS = 1000  # nodes
TIMEOUT_S = 10.0
SESSION_S, SESSION_TRIES = 2.0, 8  # to wait for a new session; how often to ask for one
SESSION_MS = 30_000
CREATE, GET_DATA, SET_DATA = 1, 4, 5
NODE_EXISTS = -110
ALL_RIGHTS, ANY_VERSION = 31, -1
REPLY_BYTES = 16  # of each reply: xid, zxid, error


def missing() -> str:
    """What to install for it; "" when all is there."""
    if not JAR.exists() or shutil.which("java") is None:
        return "ZooKeeper is not installed (Debian: apt install zookeeper)"
    return ""


@contextmanager
def servers(directory: Path) -> Iterator[list[Peer]]:
    """Three of them; each write is synced (forceSync is the default)."""
    directory.mkdir()
    ports = free_ports(3 * REPLICAS)
    clients = ports[:REPLICAS]
    names = [
        f"server.{i + 1}={HOST}:{ports[REPLICAS + i]}:{ports[2 * REPLICAS + i]};{clients[i]}" for i in range(REPLICAS)
    ]
    with ExitStack() as stack:
        for i in range(REPLICAS):
            data = directory / f"s{i + 1}"
            data.mkdir()
            (data / "myid").write_text(f"{i + 1}\n")
            config = data / "zoo.cfg"
            lines = ["tickTime=2000", "initLimit=10", "syncLimit=5", f"dataDir={data}", "admin.enableServer=false"]
            lines += ["4lw.commands.whitelist=srvr", "maxClientCnxns=0", *names]
            config.write_text("\n".join(lines) + "\n")
            command = ["java", HEAP, "-cp", str(JAR), MAIN, str(config)]
            stack.enter_context(process(command, data / "log"))

        def led() -> int:
            return wait_until(lambda: leader(clients), "a ZooKeeper leader")

        wait_until(lambda: create_nodes(led(), KEYS), "nodes of ZooKeeper")
        yield [
            Peer(
                name="zookeeper",
                measure=lambda workload, seconds: steady(
                    "zookeeper", led, lambda port: measure(port, workload, seconds)
                ),
                write_means="on the disks of 2 of 3",
                read_means="what this server has applied: may be old",
                load=f"bench's generator, ZooKeeper's protocol, setData and getData on {KEYS} nodes",
            )
        ]


def leader(ports: list[int]) -> int:
    """The client port of the server that leads; 0 when none does."""
    for port in ports:
        try:
            with socket.create_connection((HOST, port), TIMEOUT_S) as asked:
                asked.sendall(b"srvr")
                if b"Mode: leader" in asked.makefile("rb").read():
                    return port
        except OSError:
            continue
    return 0


def measure(port: int, workload: Workload, seconds: float) -> dict[str, float]:
    """Loads the server on `port`. Raises LoadError."""
    if workload.command == "GET":
        fill = Workload("SET", workload.shape, workload.value_bytes)
        measure(port, fill, min(seconds, 1.0))
    read = float(workload.command == "GET")
    load = Load(workload.shape, read_share=read, value_bytes=workload.value_bytes, keys=KEYS)
    path = _string(_path(0))
    write = _packet(SET_DATA, path + _string(b"x" * workload.value_bytes) + struct.pack(">i", ANY_VERSION))
    requests = [(text, text.index(b"/key:") + len(b"/key:")) for text in (write, _packet(GET_DATA, path + b"\0"))]
    with ExitStack() as stack:
        sockets = [stack.enter_context(_session(port)) for _ in range(workload.shape.clients)]
        found = generator.drive(sockets, requests, load, seconds, zookeeper=True)
    return found.flawless(f"zookeeper: {workload}").figures()


def create_nodes(port: int, count: int) -> bool:
    """Those that requests name; False when the server hangs up, which led for a moment only. Raises LoadError."""
    rights = struct.pack(">ii", 1, ALL_RIGHTS) + _string(b"world") + _string(b"anyone")
    try:
        with _session(port) as session, session.makefile("rb") as replies:
            for n in range(count):
                session.sendall(_packet(CREATE, _string(_path(n)) + _string(b"") + rights + struct.pack(">i", 0)))
                reply = replies.read(int.from_bytes(replies.read(4), "big"))
                if len(reply) < REPLY_BYTES:
                    return False
                (error,) = struct.unpack_from(">i", reply, REPLY_BYTES - 4)
                if error not in (0, NODE_EXISTS):
                    raise LoadError(f"zookeeper: creating a node was answered with error {error}")
    except ConnectionError:
        return False
    except OSError as error:
        raise LoadError(f"zookeeper, port {port}: {error}") from None
    return True


def _session(port: int) -> socket.socket:
    """A connection with a session of its own. Raises LoadError.

    ZooKeeper 3.8.0 holds an answer back now and then, until something else is asked of it: so that asks again.
    """
    for _ in range(SESSION_TRIES):
        try:
            return _open(port)
        except TimeoutError:
            continue
        except OSError as error:
            raise LoadError(f"zookeeper, port {port}: {error}") from None
    raise LoadError(f"zookeeper, port {port}: no session in {SESSION_TRIES} times {SESSION_S:.0f} s")


def _open(port: int) -> socket.socket:
    """The same, asked for once. Raises OSError (TimeoutError without an answer) and LoadError."""
    session = socket.create_connection((HOST, port), SESSION_S)
    try:
        session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session.sendall(_string(struct.pack(">iqiq", 0, 0, SESSION_MS, 0) + _string(bytes(16)) + b"\0"))
        size = int.from_bytes(session.recv(4, socket.MSG_WAITALL), "big")
        if size == 0 or len(session.recv(size, socket.MSG_WAITALL)) != size:
            raise LoadError("zookeeper gave no session")
    except BaseException:
        session.close()
        raise
    session.settimeout(TIMEOUT_S)
    return session


def _path(number: int) -> bytes:
    return b"/" + generator.KEY % number


def _packet(operation: int, body: bytes) -> bytes:
    return struct.pack(">iii", len(body) + 8, 1, operation) + body


def _string(text: bytes) -> bytes:
    return struct.pack(">i", len(text)) + text
