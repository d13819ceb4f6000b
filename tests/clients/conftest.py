"""A cell for the clients, and two releases of redis-py side by side."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpaxos_live.testing import LONG_LEASE, Cell

RELEASES = {"5": "redis>=5,<6", "8": "redis>=8"}


@pytest.fixture(scope="session")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    with Cell(tmp_path_factory.mktemp("clients"), lease=LONG_LEASE) as cell:
        yield cell


@pytest.fixture(autouse=True)
def still_serving(cell: Cell) -> Iterator[None]:
    yield
    cell.show_logs()  # pytest shows it when the test failed
    cell.check_alive()


@pytest.fixture(scope="session", params=RELEASES)
def redis_py(request: pytest.FixtureRequest) -> Path:
    """Folder with one release of redis-py, installed once, kept with the virtual environment."""
    folder = Path(sys.prefix) / "redis-py" / request.param
    done = folder / "installed"
    if not done.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade"]
        command += ["--target", os.fspath(folder), RELEASES[request.param]]
        install = subprocess.run(command, capture_output=True, text=True)
        assert install.returncode == 0, install.stderr
        done.touch()
    return folder
