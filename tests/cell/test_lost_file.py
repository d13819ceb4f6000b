"""Somebody removes a file of the log of a replica that runs: nobody can rely on what that one says of it."""

import re
from pathlib import Path

import pytest

from fastpaxos_live.log.segments import file_name
from fastpaxos_live.testing import LONG_LEASE, Cell


@pytest.mark.parametrize("core", ["cython", "python"])
def test_a_replica_whose_log_is_not_there_ends(tmp_path: Path, core: str) -> None:
    with Cell(tmp_path, core=core, limits={"segment_bytes": 1 << 16}, lease=LONG_LEASE) as cell:
        master = cell.wait_ready()
        behind = next(i for i in cell.ids if i != master)
        with cell.client(master) as client:
            cell.kill(behind)
            for key in range(200):  # more than are kept in memory
                client.set(key, "x" * 10_000)
        for number in (1, 2):  # two, as it may have one of them open to read
            (cell.data(master) / file_name(number)).unlink()
        cell.restart(behind)
        assert cell.wait_end(master) == 1
        said = cell.log(master).read_text()
        assert re.search(r"lost state: \S+/log.0000000[12] is missing", said)
        with cell.client(cell.wait_ready()) as client:  # the others go on
            assert client.get("199") == b"x" * 10_000
        cell.wait_equal()
