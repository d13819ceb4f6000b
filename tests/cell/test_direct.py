"""The compiled writer goes past the page cache, if each group is synced and the file system can do that."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from fastpaxos_live.testing import Cell, wait_until

SEGMENT_BYTES = 1 << 16  # small: groups that lie in two files, and files that are closed and opened
SIZES = (0, 1, 63, 64, 3_000, 4_000, 4_096, 5_000, 20_000, 60_000, 100_000)  # of values


def writes_directly(pid: int) -> bool:
    """Whether a process has a log file open that is direct; those it only reads are not."""
    for number in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            if "/log." in os.readlink(f"/proc/{pid}/fd/{number}"):
                info = Path(f"/proc/{pid}/fdinfo/{number}").read_text()
                flags = next(line for line in info.splitlines() if line.startswith("flags:")).split()[1]
                if int(flags, 8) & os.O_DIRECT:
                    return True
    return False


def writes_ordinarily(pid: int) -> bool:
    return not writes_directly(pid)


def write_and_restart(cell: Cell, check: Callable[[], None]) -> None:
    """Values of all sizes, twice, and each is there again after kill -9 of all."""
    said = {}
    for turn in range(2):
        with cell.client(cell.wait_ready()) as client:
            for size in SIZES:
                key = f"{turn}.{size}"
                said[key] = os.urandom(size)
                assert client.set(key, said[key])
            check()
            assert {key: client.get(key) for key in said} == said
        cell.kill(*cell.ids)
        cell.restart(*cell.ids)
    with cell.client(cell.wait_ready()) as client:
        assert {key: client.get(key) for key in said} == said
    cell.wait_equal()


@pytest.mark.parametrize(("fsync", "direct"), [("always", True), ("never", False)])
def test_only_synced_groups_go_past_the_page_cache(tmp_path: Path, fsync: str, direct: bool) -> None:
    with Cell(tmp_path, fsync=fsync, limits={"segment_bytes": SEGMENT_BYTES}) as cell:

        def check() -> None:
            for i in cell.ids:
                if direct:
                    wait_until(partial(writes_directly, cell.pid(i)), "a direct log file")
                else:
                    assert not writes_directly(cell.pid(i))

        write_and_restart(cell, check)


@pytest.mark.parametrize("when", ["open", "use"])
def test_a_file_system_that_refuses_gets_ordinary_writes(
    tmp_path: Path, preload: Callable[[str], Path], when: str
) -> None:
    library = preload("refuse_direct")
    env = {i: {"LD_PRELOAD": str(library), "FPL_REFUSE": when} for i in (1, 2, 3)}
    with Cell(tmp_path, limits={"segment_bytes": SEGMENT_BYTES}, env=env) as cell:

        def check() -> None:
            # Refused at use: a file is direct from its opening to the first write, and a follower's may come late.
            for i in cell.ids:
                wait_until(partial(writes_ordinarily, cell.pid(i)), "ordinary log files")

        write_and_restart(cell, check)
