"""Somebody spoils a file of the log of a replica that runs: nobody can rely on what that one says of it."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpaxos_live.log.segments import file_name
from fastpaxos_live.testing import LONG_LEASE, Cell

SEGMENT = 1 << 16


def remove(path: Path) -> None:
    path.unlink()


def zero(path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


SPOILED = {
    remove: r"lost state: \S+/log.0000000[12] is missing",
    zero: r"log corrupt: instance \d+ is damaged",
}


@pytest.mark.parametrize(("core", "spoil"), [("cython", remove), ("cython", zero), ("python", zero)])
def test_a_replica_whose_log_is_spoiled_ends(tmp_path: Path, core: str, spoil: Callable[[Path], None]) -> None:
    with Cell(tmp_path, core=core, limits={"segment_bytes": SEGMENT}, lease=LONG_LEASE) as cell:
        master = cell.wait_ready()
        behind = next(i for i in cell.ids if i != master)
        with cell.client(master) as client:
            cell.kill(behind)
            for key in range(200):  # more than are kept in memory
                client.set(key, "x" * 10_000)
        for number in (1, 2):  # two, as it may have one of them open to read
            spoil(cell.data(master) / file_name(number))
        cell.restart(behind)
        assert cell.wait_end(master) == 1
        said = [line for line in cell.log(master).read_text().splitlines() if re.search(SPOILED[spoil], line)]
        assert len(said) == 1
        with cell.client(cell.wait_ready()) as client:  # the others go on
            assert client.get("199") == b"x" * 10_000
        cell.wait_equal()
