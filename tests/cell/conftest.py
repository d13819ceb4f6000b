"""Cells of real processes, one for each core, shared by the tests of a module."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastpaxos_live.testing import LONG_LEASE, Cell

CORES = ["cython", "python"]


@pytest.fixture(scope="module", params=CORES)
def shared_cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    with Cell(tmp_path_factory.mktemp(f"cell-{request.param}"), core=request.param, lease=LONG_LEASE) as cell:
        yield cell


@pytest.fixture(scope="session")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles NAME.c of this directory to a library for LD_PRELOAD."""
    directory = tmp_path_factory.mktemp("preload")

    def compiled(name: str) -> Path:
        library, source = directory / f"{name}.so", Path(__file__).with_name(f"{name}.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        return library

    return compiled


@pytest.fixture
def cell(shared_cell: Cell) -> Iterator[Cell]:
    """A cell that must still serve, with no replica lost, when the test is over."""
    yield shared_cell
    shared_cell.show_logs()  # pytest shows it when the test failed
    shared_cell.check_alive()
    assert shared_cell.running() == list(shared_cell.ids)
    shared_cell.wait_ready()
