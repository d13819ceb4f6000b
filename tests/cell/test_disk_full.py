"""Real replicas whose disks are full: nobody dies, nothing that was answered is lost, and all goes on afterwards."""

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from fastpaxos_live.testing import Cell, Connection, request, wait_until

SEGMENT_BYTES = 1 << 17
VALUE_BYTES = 5000
WRITES_MAX = 500
IDLE = 300  # connections that say nothing, to each port

pytestmark = pytest.mark.parametrize("core", ["cython", "python"])


class Full:
    """Decides whether the replicas' disks are full."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def set(self, error: str) -> None:
        self._path.write_text(error)

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def full_cell(directory: Path, library: Path, core: str, replicas: int) -> Iterator[tuple[Cell, Full]]:
    flag = directory / "full"
    env = {i: {"LD_PRELOAD": str(library), "FPL_FULL": str(flag)} for i in range(1, replicas + 1)}
    limits = {"segment_bytes": SEGMENT_BYTES}
    with Cell(directory / "cell", replicas=replicas, core=core, limits=limits, env=env) as cell:
        yield cell, Full(flag)


def write_until_refused(client: redis.Redis, said: dict[str, bytes]) -> str:
    for _ in range(WRITES_MAX):
        key, value = f"k{len(said)}", os.urandom(VALUE_BYTES)
        try:
            client.set(key, value)
        except redis.ResponseError as error:
            assert client.get(key) is None
            return str(error)
        said[key] = value
    raise AssertionError("nothing is refused")


def disk_full(cell: Cell, i: int) -> bool:
    return bool(cell.info(i)["disk_full"])


def test_full_disks(tmp_path: Path, preload: Callable[[str], Path], core: str) -> None:
    with full_cell(tmp_path, preload("lack_room"), core, 3) as (cell, full):
        said: dict[str, bytes] = {}
        with cell.client(cell.wait_ready()) as client:
            client.set("before", "1")
        full.set("ENOSPC")
        master = cell.wait_ready()
        with cell.client(master) as client:
            assert "disk full, nothing was done" in write_until_refused(client, said)
            assert {key: client.get(key) for key in said} == said
            assert all(disk_full(cell, i) for i in cell.ids)
            with pytest.raises(redis.ResponseError, match="disk full"):
                client.set("large", b"x" * (2 * SEGMENT_BYTES))
            cell.check_alive()
            log = cell.log(master).read_text()
            assert log.count("no new log file can be made") == 1
            assert "No space left on device" in log
        full.clear()
        wait_until(lambda: not any(disk_full(cell, i) for i in cell.ids), "room")
        with cell.client(cell.wait_ready()) as client:
            client.set("after", "1")
        cell.wait_equal()
        cell.kill(*cell.ids)
        cell.start()
        with cell.client(cell.wait_ready()) as client:
            assert {key: client.get(key) for key in said} == said
            assert client.get("after") == b"1"


def test_a_write_that_nobody_could_refuse_waits(tmp_path: Path, preload: Callable[[str], Path], core: str) -> None:
    """It needs files that can't be made, which shows only when it is on its way to the disk."""
    with full_cell(tmp_path, preload("lack_room"), core, 1) as (cell, full):
        full.set("ENOSPC")
        with Connection(cell.ports[1]) as client, Connection(cell.ports[1]) as other:
            client.send(request(b"SET", b"large", b"x" * (3 * SEGMENT_BYTES)))
            wait_until(lambda: disk_full(cell, 1), "a full disk")
            assert other.ask(b"SET", b"small", b"1").startswith(b"-ERR disk full")
            full.clear()
            assert client.reply() == b"+OK"
            wait_until(lambda: not disk_full(cell, 1), "room")
            assert other.ask(b"SET", b"small", b"1") == b"+OK"
        cell.kill(1)
        cell.start(1)
        cell.wait_ready()
        with Connection(cell.ports[1]) as client:
            assert client.ask(b"STRLEN", b"large") == b":%d" % (3 * SEGMENT_BYTES)


def test_a_good_stop_drops_what_waits_for_room(tmp_path: Path, preload: Callable[[str], Path], core: str) -> None:
    """Nobody was told that it was done."""
    with full_cell(tmp_path, preload("lack_room"), core, 1) as (cell, full):
        with Connection(cell.ports[1]) as client:
            assert client.ask(b"SET", b"small", b"1") == b"+OK"
            full.set("ENOSPC")
            client.send(request(b"SET", b"large", b"x" * (3 * SEGMENT_BYTES)))
            wait_until(lambda: disk_full(cell, 1), "a full disk")
            assert cell.stop(1) == 0
        assert "FATAL" not in cell.log(1).read_text()
        full.clear()
        cell.start(1)
        cell.wait_ready()
        with Connection(cell.ports[1]) as client:
            assert client.ask(b"GET", b"small") == b"1"
            assert client.ask(b"EXISTS", b"large") == b":0"


def test_an_error_is_no_want_of_room(tmp_path: Path, preload: Callable[[str], Path], core: str) -> None:
    with full_cell(tmp_path, preload("lack_room"), core, 1) as (cell, full):
        full.set("EIO")
        with cell.client(1) as client, pytest.raises(redis.RedisError):
            for i in range(WRITES_MAX):
                client.set(f"k{i}", b"x" * VALUE_BYTES)
        assert cell.wait_end(1) == 1
        assert "FATAL" in cell.log(1).read_text()


def idle_sockets(stack: contextlib.ExitStack, port: int) -> None:
    for _ in range(IDLE):
        sock = stack.enter_context(socket.socket())
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(("127.0.0.1", port))


def test_no_descriptor_left(tmp_path: Path, core: str) -> None:
    """The log goes from file to file, and who is connected is served."""
    with Cell(tmp_path, core=core, limits={"segment_bytes": SEGMENT_BYTES}) as cell:
        master = cell.wait_ready()
        pid = cell.pid(master)
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with cell.client(master) as client, contextlib.ExitStack() as stack:
            client.set("before", "1")
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (files + 4, limits[1]))
            for port in (cell.ports[master], cell.peer_ports[master], cell.admin_ports[master]):
                idle_sockets(stack, port)
            for i in range(200):  # a megabyte: several files
                assert client.set(f"k{i}", b"x" * VALUE_BYTES)
            assert client.info()["disk_full"] == 0
            cell.check_alive()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        wait_until(lambda: cell.info(master)["connected_clients"] == 1, "the idle clients to be gone")
        with Connection(cell.ports[master]) as late:
            assert late.ask(b"GET", b"before") == b"1"
        assert cell.master() == master
        assert cell.stop(master, signal.SIGTERM) == 0
