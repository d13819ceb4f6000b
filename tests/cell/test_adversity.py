"""Clients and strangers that misbehave: the cell goes on serving everybody else."""

import contextlib
import resource
import socket
import threading
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from fastpaxos_live.log.handshake import NONCE_BYTES, Handshake, Hello, handshake_key, short_frame
from fastpaxos_live.reference.limits import VALUE_BYTES_MAX
from fastpaxos_live.reference.log_frame import BEAT, CHALLENGE, HELLO, PROPOSE, frame_encode
from fastpaxos_live.testing import Cell, Closed, Connection, request, wait_until

MEGABYTE = 1 << 20
GROWTH_MAX = 64 * MEGABYTE  # of a replica's memory, for a client that never reads
IDLE_CONNECTIONS = 2000
CELL_ID = 4711  # of the test kit
CHALLENGE_BYTES = len(short_frame(CHALLENGE, bytes(NONCE_BYTES)))


@pytest.fixture
def port(cell: Cell) -> int:
    """Client port of the master."""
    return cell.ports[cell.master()]


@pytest.fixture
def bystander(port: int) -> Iterator[Connection]:
    """A well-behaved client, connected before the trouble begins and served after it."""
    with Connection(port) as connection:
        assert connection.ask(b"SET", b"bystander", b"here") == b"+OK"
        yield connection
        assert connection.ask(b"GET", b"bystander") == b"here"
        assert connection.ask(b"SET", b"bystander", b"still here") == b"+OK"


pytestmark = pytest.mark.usefixtures("bystander")


def test_a_value_above_the_limit_is_refused_and_the_connection_stays(port: int) -> None:
    with Connection(port) as connection:
        connection.send(request(b"SET", b"large", b"x" * (VALUE_BYTES_MAX + 1)))
        assert connection.reply().startswith(b"-ERR")
        assert connection.ask(b"SET", b"small", b"1") == b"+OK"
        assert connection.ask(b"EXISTS", b"large") == b":0"


def test_the_largest_value_is_kept(cell: Cell, port: int) -> None:
    value = bytes(range(256)) * (VALUE_BYTES_MAX // 256)
    with Connection(port) as connection:
        assert connection.ask(b"SET", b"largest", value) == b"+OK"
        assert connection.ask(b"GET", b"largest") == value
    follower = next(i for i in cell.ids if cell.ports[i] != port)
    with Connection(cell.ports[follower]) as connection:
        assert connection.ask(b"GET", b"largest") == value
        assert connection.ask(b"DEL", b"largest") == b":1"


@pytest.mark.parametrize(
    "garbage",
    [
        b"*-7\r\n",
        b"*1\r\n$-5\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*1\r\n$4294967296\r\n",
        b"*x\r\n",
        b"*1\r\n:5\r\n",
        b"*2\r\n$3\r\nGET\r\n!oops\r\n",
        b'SET "unbalanced\r\n',
        b"x" * (100 << 10),
    ],
    ids=lambda garbage: repr(garbage[:24]),
)
def test_a_malformed_request_is_a_protocol_error(port: int, garbage: bytes) -> None:
    with Connection(port) as connection:
        connection.send(request(b"PING") + garbage)
        assert connection.reply() == b"+PONG"
        if garbage == b"*-7\r\n":  # an empty request, as in Redis
            assert connection.ask(b"PING") == b"+PONG"
            return
        assert connection.reply().startswith(b"-ERR Protocol error")
        assert connection.is_closed()


HOSTILE = [
    request(b"CONFIG", b"GET", b"*" * 30 + b"x"),
    request(b"CONFIG", b"GET", b"*a" * 50_000 + b"x"),
    request(b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", b"*[a-z]" * 40 + b"9"),
    request(b"COMMAND", b"INFO", *[b"get"] * 20_000),
    request(b"COMMAND", b"DOCS", *[b"client"] * 200),
    request(b"CLIENT", b"SETNAME", b"x" * VALUE_BYTES_MAX),
    request(*[b"PING"] * 10_000),
    request(b"DEL", *[b"%08d" % n for n in range(800_000)]),
    request(b"MSET", *[b"x" * 70] * 120_000),
    request(b"SELECT", b"9" * 60_000),
]


@pytest.mark.parametrize("where", ["master", "follower"])
def test_each_hostile_request_gets_one_answer(cell: Cell, port: int, where: str) -> None:
    follower = next(i for i in cell.ids if cell.ports[i] != port)
    with Connection(port if where == "master" else cell.ports[follower]) as connection:
        for hostile in HOSTILE:
            connection.send(hostile + request(b"ECHO", b"and on"))
            while (reply := connection.reply()) != b"and on":
                assert reply
    cell.check_alive()


HELLO_OF_TLS = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))


def test_idle_and_strange_connections_to_all_ports(cell: Cell, port: int) -> None:
    with contextlib.ExitStack() as stack:
        for i in cell.ids:
            for other in (cell.ports[i], cell.peer_ports[i], cell.admin_ports[i]):
                for n in range(50):
                    connection = stack.enter_context(Connection(other))
                    with contextlib.suppress(ConnectionError):
                        connection.send([b"", b"*", b"GET / HTTP/1.1\r\n", HELLO_OF_TLS][n % 4])
        for i in cell.ids:
            with urlopen(f"http://127.0.0.1:{cell.admin_ports[i]}/status", timeout=30) as reply:
                assert reply.status == 200
        cell.wait_ready()


def test_binary_garbage_gets_an_answer_or_a_closed_connection(port: int) -> None:
    with Connection(port) as connection, contextlib.suppress(ConnectionError):
        connection.send(bytes(range(256)) * 512 + b"\r\n")
        assert connection.reply().startswith(b"-ERR")


def test_requests_left_half_sent(cell: Cell, port: int) -> None:
    whole = request(b"SET", b"half", b"x" * 1000)
    with contextlib.ExitStack() as stack:
        for cut in range(1, len(whole), 7):
            stack.enter_context(Connection(port)).send(whole[:cut])
        cell.wait_ready()
    with Connection(port) as connection:
        assert connection.ask(b"EXISTS", b"half") == b":0"


def test_one_byte_at_a_time(port: int) -> None:
    with Connection(port) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request(b"SET", b"slow", b"1") + b"GET slow\r\n" + request(b"GET", b"slow"):
            connection.send(bytes([byte]))
        assert [connection.reply() for _ in range(3)] == [b"+OK", b"1", b"1"]


@pytest.fixture
def many_files() -> Iterator[None]:
    """Lets this process, too, open as many files as the system allows it."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("many_files")
def test_two_thousand_idle_connections(cell: Cell, port: int) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Connection(port)) for _ in range(IDLE_CONNECTIONS)]
        assert idle[0].ask(b"SET", b"idle", b"1") == b"+OK"
        assert idle[-1].ask(b"GET", b"idle") == b"1"
        with cell.client(cell.master()) as client:
            for n in range(100):
                client.set("busy", n)
        assert int(client.info()["connected_clients"]) >= IDLE_CONNECTIONS
    wait_until(
        lambda: int(cell.info(cell.master())["connected_clients"]) < 100,
        "the idle clients to be gone",
    )


TAKEN_MAX = 512 * MEGABYTE  # by default half of it is kept for one client, then its connection ends


def pipeline_without_reading(connection: Connection, requests: bytes) -> int:
    """Sends over and over until the other side takes no more, or ends it; returns the bytes it took."""
    taken = 0
    connection.socket.settimeout(1.0)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while taken < TAKEN_MAX:
            taken += connection.socket.send(requests)
    return taken


@pytest.mark.parametrize("where", ["master", "follower"])
def test_a_client_that_never_reads_its_replies(cell: Cell, port: int, where: str) -> None:
    follower = next(i for i in cell.ids if cell.ports[i] != port)
    target = cell.master() if where == "master" else follower
    with Connection(port) as connection:
        assert connection.ask(b"SET", b"chunk", b"x" * 65536) == b"+OK"
    before = {i: cell.memory(i) for i in cell.ids}
    with Connection(cell.ports[target], receive_buffer=4096) as glutton:
        get = request(b"GET", b"chunk")
        taken = pipeline_without_reading(glutton, get * 1000)
        assert taken < TAKEN_MAX, "nothing pushed back, and nothing ended it"
        assert taken // len(get) * 65536 > 4 * GROWTH_MAX, "asked for too little to prove anything"
        with cell.client(cell.master()) as client:
            for n in range(100):
                client.set("meanwhile", n)
                assert client.get("meanwhile") == b"%d" % n
        # It was ended at the limit of what is kept for one client, and gave all of that back.
        wait_until(
            lambda: max(cell.memory(i) - before[i] for i in cell.ids) < GROWTH_MAX,
            "the memory of the client to be back",
        )


def test_a_client_that_reads_late_gets_every_reply_in_order(port: int) -> None:
    words = [b"%0100d" % n for n in range(200_000)]
    requests = b"".join(request(b"ECHO", word) for word in words)
    with Connection(port) as connection:
        sender = threading.Thread(target=connection.send, args=(requests,))
        sender.start()
        # Until the cell takes no more, since its output waits; or all, where it could keep all.
        sender.join(1.0)
        assert [connection.reply() for _ in words] == words
        sender.join()


def test_large_replies_of_a_pipeline(cell: Cell) -> None:
    value = b"x" * MEGABYTE
    for i in cell.ids:
        with Connection(cell.ports[i]) as connection:
            assert connection.ask(b"SET", b"chunk", value) == b"+OK"
            connection.send(request(b"GET", b"chunk") * 100)
            assert all(connection.reply() == value for _ in range(100))


def test_a_connection_closed_in_the_middle_of_a_pipeline(cell: Cell, port: int) -> None:
    requests = b"".join(request(b"SET", b"key%d" % n, b"v" * 100) for n in range(2000))
    for i in cell.ids:
        for cut in (len(requests), len(requests) - 50, len(requests) // 2):
            with Connection(cell.ports[i]) as connection:
                connection.send(requests[:cut])
            with Connection(cell.ports[i]) as connection:  # closed by a reset instead
                connection.send(requests[:cut])
                linger = (1).to_bytes(4, "little") + bytes(4)
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def test_a_pipeline_of_64_megabytes(cell: Cell, port: int) -> None:
    value = b"x" * 65536
    requests = b"".join(request(b"SET", b"bulk%d" % (n % 16), value) for n in range(1024))
    for i in cell.ids:
        with Connection(cell.ports[i], timeout=120.0) as connection:
            connection.socket.setblocking(True)
            connection.send(requests)
            for _ in range(1024):
                assert connection.reply() == b"+OK"


def test_garbage_on_the_peer_port(cell: Cell) -> None:
    for peer_port in cell.peer_ports.values():
        for garbage in (
            b"GET / HTTP/1.1\r\n\r\n" * 8,
            bytes(64),
            b"\xff" * 100_000,
            request(b"PING"),
        ):
            with Connection(peer_port) as stranger, contextlib.suppress(ConnectionError):
                stranger.send(garbage + bytes(64))
                assert stranger.is_closed()


ABSURD = [
    frame_encode(CELL_ID, BEAT, 1, 1, number=1 << 60, instance=1 << 40, mark=1 << 40),
    frame_encode(CELL_ID, PROPOSE, 1, 1, number=(1 << 64) - 1),
]


def told_by_peers(cell: Cell, said: bytes) -> Iterator[bytes]:
    """What each replica says, until it closes, to somebody who says this and then frames of the protocol."""
    for peer_port in cell.peer_ports.values():
        told = b""
        with Connection(peer_port) as stranger, contextlib.suppress(ConnectionError):
            stranger.send(said + b"".join(ABSURD))
            while part := stranger.socket.recv(65536):
                told += part
        yield told


@pytest.mark.parametrize("claim", ["nothing", "r1", "r2"])
def test_a_stranger_who_knows_the_cell_id_is_told_nothing(cell: Cell, claim: str) -> None:
    """Nothing but a nonce if it asks for one; and what it says changes nothing."""
    name = claim.encode()
    for said in (
        b"".join(ABSURD),
        frame_encode(0, HELLO, 1, 1, instance=1 << 40, extra=CELL_ID, payload=name),
        frame_encode(0, HELLO, 1, 1, instance=(1 << 64) - 1, extra=CELL_ID, payload=name + bytes(32)),
    ):
        assert list(told_by_peers(cell, said)) == [b""] * 3
    for told in told_by_peers(cell, short_frame(CHALLENGE, bytes(NONCE_BYTES))):
        assert told == short_frame(CHALLENGE, told[-NONCE_BYTES:])
    assert max(cell.info(i)["promised"] for i in cell.ids) < 1 << 60


def test_a_stranger_with_another_key_is_told_nothing(cell: Cell) -> None:
    settings = {"members": "r1,r2,r3", "fsync": "always"}
    for secret in (None, bytes(32)):
        for i in cell.ids:
            own = Hello(CELL_ID, 1, "r1", 1, settings, 0, 1 << 40, i)
            handshake = Handshake(handshake_key(CELL_ID, secret), own, bytes(NONCE_BYTES), calls=True)
            with Connection(cell.peer_ports[i]) as stranger, contextlib.suppress(ConnectionError):
                stranger.send(handshake.begin())
                told = b""
                while part := stranger.socket.recv(65536):
                    told += part
                    if len(told) == CHALLENGE_BYTES:
                        assert not handshake.feed(told[:64])
                        stranger.send(handshake.feed(told[64:]))
            assert told == short_frame(CHALLENGE, told[-NONCE_BYTES:])


def test_a_connection_to_the_peer_port_that_says_nothing(cell: Cell) -> None:
    with contextlib.ExitStack() as stack:
        for peer_port in cell.peer_ports.values():
            for _ in range(20):
                stack.enter_context(Connection(peer_port)).send(bytes(10))
        cell.wait_ready()


def test_a_closed_connection_raises_in_the_kit(port: int) -> None:
    with Connection(port) as connection:
        assert connection.ask(b"QUIT") == b"+OK"
        with pytest.raises(Closed):
            connection.ask(b"PING")
            connection.reply()
