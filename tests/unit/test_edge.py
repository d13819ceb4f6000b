"""Both edges against real sockets and a real process: a cell of one replica for each core."""

import contextlib
import os
import resource
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpaxos_live.testing import Cell, Closed, Connection, request, wait_until

MIB = 1 << 20
KEPT = 64 * MIB  # of the requests of a client that takes no replies
CLIENTS_MAX = 300
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of a socket whose close sends RST
STALLED_S = 1.0  # a sender that gets nothing rid of for so long is stopped
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # what is freed stays in the process then
MEMORY_BYTES = 64 * MIB  # more than one client may take, less than what the tests send


@pytest.fixture(scope="module", params=["cython", "python"])
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    directory = tmp_path_factory.mktemp(request.param)
    limits = {"clients_max": CLIENTS_MAX, "client_bytes_max": KEPT}
    with Cell(directory, replicas=1, core=request.param, limits=limits) as cell:
        yield cell
        cell.check_alive()


@pytest.fixture
def port(cell: Cell) -> Iterator[int]:
    yield cell.ports[1]
    cell.check_alive()
    wait_until(lambda: clients(cell) == 1, "all clients of the test to be gone")


def clients(cell: Cell) -> int:
    return int(cell.info(1)["connected_clients"])


def reset(connection: Connection) -> None:
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def send_until_stopped(connection: Connection, data: bytes, bytes_max: int) -> int:
    # Sends `data` again and again until the other side takes no more; returns the bytes it took.
    sent = 0
    connection.socket.settimeout(STALLED_S)
    try:
        while sent < bytes_max:
            sent += connection.socket.send(data[sent % len(data) :])
    except TimeoutError:
        pass
    return sent


def test_replies_in_many_small_pieces(port: int) -> None:
    with Connection(port, receive_buffer=4096) as small, Connection(port) as other:
        values = [bytes([97 + i]) * (MIB + i) for i in range(3)]
        for i, value in enumerate(values):
            assert other.ask(b"SET", b"piece%d" % i, value) == b"+OK"
        small.send(b"".join(request(b"GET", b"piece%d" % i) for i in range(3)) * 2)
        assert other.ask(b"PING") == b"+PONG"
        for value in values * 2:
            assert small.reply() == value


def test_a_client_that_reads_nothing_is_ended(cell: Cell, port: int) -> None:
    with Connection(port, receive_buffer=4096) as stalled, Connection(port) as other:
        assert other.ask(b"SET", b"large", b"x" * MIB) == b"+OK"
        before = cell.memory(1)
        stalled.send(request(b"GET", b"large") * 8)
        assert stalled.socket.recv(1)  # from now on its replies fill all buffers
        assert other.ask(b"PING") == b"+PONG"
        data = request(b"SET", b"taken", b"y" * MIB)
        assert KEPT < send_until_stopped(stalled, data, 4 * KEPT) < 4 * KEPT
        wait_until(lambda: "does not take its replies" in cell.log(1).read_text(), "a line in the log")
        assert SANITIZED or cell.memory(1) - before < MEMORY_BYTES
        assert other.ask(b"PING") == b"+PONG"
        reset(stalled)


def test_a_client_that_reads_late_goes_on(port: int) -> None:
    with Connection(port, receive_buffer=4096) as late:
        assert late.ask(b"SET", b"large", b"x" * MIB) == b"+OK"
        data = request(b"GET", b"large") + request(b"ECHO", b"y" * MIB)
        sent = send_until_stopped(late, data, KEPT * 3 // 4)
        late.socket.settimeout(30)
        for i in range(2 * (sent // len(data))):
            assert late.reply() == (b"y" if i % 2 else b"x") * MIB


def test_the_last_reply_waits_for_a_slow_reader(port: int) -> None:
    with Connection(port, receive_buffer=4096) as late:
        assert late.ask(b"SET", b"large", b"x" * MIB) == b"+OK"
        late.send(request(b"GET", b"large") * 4 + b"*x\r\n")
        for _ in range(4):
            assert late.reply() == b"x" * MIB
        assert late.reply().startswith(b"-ERR Protocol error")
        assert late.is_closed()


def test_resets_at_any_point(port: int) -> None:
    moments = [b"", b"*3\r\n$3\r\nSE", request(b"SET", b"key", b"value"), request(b"CLIENT", b"ID")]
    moments += [request(b"GET", b"key") * 500, request(b"INCR", b"count") * 500]
    for _ in range(30):
        for moment in moments:
            connection = Connection(port)
            connection.send(moment)
            reset(connection)


def test_what_came_before_the_end_is_answered(cell: Cell, port: int) -> None:
    with Connection(port) as half:
        assert half.ask(b"PING") == b"+PONG"
        cell.pause(1)  # so that it sees the requests and the end at once
        half.send(request(b"PING") + request(b"GET", b"nothing"))
        half.socket.shutdown(socket.SHUT_WR)
        cell.resume(1)
        assert [half.reply(), half.reply()] == [b"+PONG", b"$-1"]
        assert half.is_closed()


def test_the_end_in_the_middle_of_a_request(port: int) -> None:
    with Connection(port) as half:
        half.send(b"*2\r\n$3\r\nGET\r\n$5\r\nab")
        half.socket.shutdown(socket.SHUT_WR)
        assert half.is_closed()


def test_thousands_of_connections_one_after_the_other(port: int) -> None:
    for i in range(2000):
        with Connection(port) as connection:
            if i % 3 == 0:
                assert connection.ask(b"PING") == b"+PONG"
            elif i % 3 == 1:
                connection.send(request(b"SET", b"key", b"value"))


def test_places_are_taken_again_by_many_at_once(port: int) -> None:
    for _ in range(4):
        crowd = [Connection(port) for _ in range(100)]
        for i, connection in enumerate(crowd):
            connection.send(request(b"SET", b"mine%d" % i, b"%d" % i))
            connection.send(request(b"GET", b"mine%d" % i))
        for i, connection in enumerate(crowd):
            assert [connection.reply(), connection.reply()] == [b"+OK", b"%d" % i]
        for connection in crowd[::2]:
            reset(connection)
        for connection in crowd[1::2]:
            connection.close()


def test_calls_keep_their_place_among_commands(port: int) -> None:
    with Connection(port) as connection:
        rounds = 200
        for i in range(rounds):
            name = b"name%d" % i
            connection.send(
                request(b"SET", b"key", name)
                + request(b"CLIENT", b"SETNAME", name)
                + request(b"GET", b"key")
                + request(b"CLIENT", b"GETNAME")
                + request(b"ECHO", name)
            )
        for i in range(rounds):
            name = b"name%d" % i
            assert [connection.reply() for _ in range(5)] == [b"+OK", b"+OK", name, name, name]
        connection.send(request(b"GET", b"nothing") + b"HELLO 3\r\n" + request(b"GET", b"nothing"))
        assert connection.reply() == b"$-1"
        while (line := connection.reply()) != b"_":
            assert line[:1] not in b"-"


def test_one_client_too_many(cell: Cell, port: int) -> None:
    crowd = [Connection(port) for _ in range(CLIENTS_MAX)]
    assert all(connection.ask(b"PING") == b"+PONG" for connection in crowd)
    with Connection(port) as late:
        assert late.reply() == b"-ERR max number of clients reached"
        assert late.is_closed()
    for connection in crowd:
        connection.close()


def test_no_descriptor_left(cell: Cell, port: int) -> None:
    pid = cell.pid(1)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with Connection(port) as first:
        assert first.ask(b"PING") == b"+PONG"
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, limits[1]))
        try:
            with Connection(port) as waiting:
                waiting.send(request(b"PING"))
                wait_until(lambda: "can't accept" in cell.log(1).read_text(), "a warning")
                assert first.ask(b"SET", b"key", b"value") == b"+OK"
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
                assert waiting.reply() == b"+PONG"
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("core", ["cython", "python"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_is_clean(tmp_path: Path, core: str, how: signal.Signals) -> None:
    with Cell(tmp_path, replicas=1, core=core, fsync="never") as cell:
        with Connection(cell.ports[1]) as busy:
            busy.send(request(b"INCR", b"count") * 1000)
            answered = int(busy.reply()[1:])
            assert cell.stop(1, how) == 0
            with contextlib.suppress(Closed):
                while True:
                    answered = int(busy.reply()[1:])
        cell.start()
        cell.wait_ready()
        assert int(cell.client(1).get("count")) >= answered
        assert "cutting" not in cell.log(1).read_text()


@pytest.mark.parametrize("core", ["cython", "python"])
def test_a_failed_write_ends_the_process_once(tmp_path: Path, core: str) -> None:
    with Cell(tmp_path, replicas=1, core=core) as cell:
        with Connection(cell.ports[1]) as client:
            assert client.ask(b"SET", b"kept", b"x" * (2 * MIB)) == b"+OK"
            pid = cell.pid(1)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))
            client.send(request(b"SET", b"lost", b"y"))
            assert client.is_closed()
        assert cell.wait_end(1) == 1
        fatal = [line for line in cell.log(1).read_text().splitlines() if "FATAL" in line]
        assert len(fatal) == 1 and "File too large" in fatal[0]
        cell.start()
        cell.wait_ready()
        with Connection(cell.ports[1]) as client:
            assert client.ask(b"STRLEN", b"kept") == b":%d" % (2 * MIB)
