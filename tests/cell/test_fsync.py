"""OK means: on the disks of a majority. A preloaded library holds fdatasync in single replicas."""

import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastpaxos_live.testing import LONG_LEASE, Cell, Connection, request, wait_until

HELD_S = 1.5  # how long a held disk is watched


class Disks:
    """Says whose disks are held: replica i's while its control file exists."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def file(self, i: int) -> Path:
        return self._directory / f"hold.{i}"

    def hold(self, ids: list[int]) -> None:
        for i in ids:
            self.file(i).touch()

    def release(self) -> None:
        for file in self._directory.glob("hold.*"):
            file.unlink()


@pytest.fixture(scope="module", params=["cython", "python"])
def held_cell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, preload: Callable[[str], Path]
) -> Iterator[tuple[Cell, Disks]]:
    directory = tmp_path_factory.mktemp(f"fsync-{request.param}")
    disks = Disks(directory)
    shim = preload("hold_fdatasync")
    env = {i: {"LD_PRELOAD": str(shim), "FPL_HOLD_FILE": str(disks.file(i))} for i in (1, 2, 3)}
    with Cell(directory / "cell", core=request.param, lease=LONG_LEASE, env=env) as cell:
        yield cell, disks


@pytest.fixture
def cell(held_cell: tuple[Cell, Disks]) -> Iterator[Cell]:
    yield held_cell[0]
    held_cell[1].release()
    held_cell[0].show_logs()
    held_cell[0].check_alive()


@pytest.fixture
def disks(held_cell: tuple[Cell, Disks]) -> Disks:
    return held_cell[1]


def held_ids(cell: Cell, held: str) -> list[int]:
    """Replica ids for words: "master", "follower", "followers"."""
    master = cell.wait_ready()
    followers = [i for i in cell.ids if i != master]
    return {
        "master": [master],
        "follower": followers[:1],
        "followers": followers,
        "master and follower": [master, followers[0]],
    }[held]


@pytest.mark.parametrize("held", ["followers", "master and follower"])
def test_no_write_is_answered_while_two_of_three_disks_are_held(cell: Cell, disks: Disks, held: str) -> None:
    ids = held_ids(cell, held)
    port = cell.ports[cell.master()]
    elsewhere = next(cell.ports[i] for i in cell.ids if cell.ports[i] != port)
    with (
        Connection(port) as writer,
        Connection(port) as reader,
        Connection(elsewhere) as forwarded_reader,
    ):
        assert writer.ask(b"SET", b"before", b"1") == b"+OK"
        writer.ask(b"DEL", b"during")
        disks.hold(ids)
        writer.send(request(b"SET", b"during", b"2"))
        deadline = time.monotonic() + HELD_S
        while time.monotonic() < deadline:
            assert reader.ask(b"GET", b"before") == b"1"
            assert reader.ask(b"GET", b"during") == b"$-1"
            assert forwarded_reader.ask(b"GET", b"before") == b"1"
            answered, _, _ = select.select([writer.socket], [], [], 0.02)
            assert not answered, "answered before a majority had it on disk"
        disks.release()
        assert writer.reply() == b"+OK"
        assert reader.ask(b"GET", b"during") == b"2"


@pytest.mark.parametrize("held", ["follower", "master"])
def test_writes_are_answered_while_one_of_three_disks_is_held(cell: Cell, disks: Disks, held: str) -> None:
    ids = held_ids(cell, held)
    port = cell.ports[cell.master()]
    with Connection(port) as writer, Connection(port) as reader:
        assert writer.ask(b"SET", b"n", b"0") == b"+OK"
        disks.hold(ids)
        for n in range(1, 51):
            assert writer.ask(b"SET", b"n", b"%d" % n) == b"+OK"
            assert reader.ask(b"GET", b"n") == b"%d" % n
        disks.release()
        wait_until(lambda: reader.ask(b"GET", b"n") == b"50", "reads after the release")


def test_a_follower_that_was_held_catches_up(cell: Cell, disks: Disks) -> None:
    ids = held_ids(cell, "follower")
    with Connection(cell.ports[cell.master()]) as writer:
        disks.hold(ids)
        for n in range(200):
            assert writer.ask(b"SET", b"key%d" % n, b"v") == b"+OK"
        disks.release()
    cell.wait_equal()
