"""The file with the cell's secret: what it may hold, who may read it, and how it is made."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from structlog.testing import capture_logs

from fastpaxos_live.cli.local import config_text
from fastpaxos_live.server.config import CellConfig, ConfigError, FsyncPolicy, parse_config
from fastpaxos_live.server.secret import cell_secret, make_secret, read_secret

TEXT = "00112233445566778899aAbBcCdDeEfF" * 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(TEXT + "\n")
    path.chmod(0o600)
    return path


def cell_of(path: Path | None) -> CellConfig:
    text = config_text(1, 7001, FsyncPolicy("always"))
    return replace(parse_config(text, Path("/cells/cell.toml")), secret=path)


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_secret(path)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(f"[cell] secret: {path}")
    assert TEXT not in line
    return line.removeprefix(f"[cell] secret: {path}")


@pytest.mark.parametrize("end", ["", "\n"])
def test_it_is_read_as_it_was_written(file: Path, end: str) -> None:
    file.write_text(TEXT + end)
    assert read_secret(file) == bytes.fromhex(TEXT)
    file.chmod(0o400)
    assert read_secret(file) == bytes.fromhex(TEXT)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777])
def test_a_file_that_is_open_to_others_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert refused(file) == f" is open to others (mode {mode:04o}): chmod 600 {file}"


@pytest.mark.parametrize(
    "text", ["", "\n", TEXT[:-1], TEXT[:-2], TEXT + "0", TEXT + "00", TEXT + "\n\n", TEXT[:-1] + "g", " " + TEXT[1:],
             TEXT[:-1] + "\u0663", TEXT + "\r\n", TEXT * 100],
)  # fmt: skip
def test_only_a_whole_secret_will_do(file: Path, text: str) -> None:
    file.write_text(text)
    assert refused(file) == " must hold 64 hexadecimal digits and nothing else"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing").startswith(" is missing: copy it from another replica's machine")
    (tmp_path / "directory").mkdir(mode=0o700)
    assert refused(tmp_path / "directory") == " is not a file"
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refused(tmp_path / "pipe") == " is not a file"
    assert refused(tmp_path / "directory/of/none").startswith(" is missing")


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    old = os.umask(0)
    try:
        assert make_secret(path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o7777 == 0o600
    first = read_secret(path)
    assert not make_secret(path)
    assert read_secret(path) == first
    assert make_secret(tmp_path / "another") and read_secret(tmp_path / "another") != first
    assert sorted(os.listdir(tmp_path)) == ["another", "secret"]


def test_what_is_there_is_never_made_anew(file: Path) -> None:
    file.write_text("")
    assert not make_secret(file)
    link = file.with_name("link")
    link.symlink_to("nowhere")
    assert not make_secret(link)
    assert os.readlink(link) == "nowhere"


def test_it_cannot_be_made_where_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        make_secret(tmp_path / "none/secret")


def test_several_replicas_that_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    start = Barrier(4, timeout=60)

    def make_and_read(_: int) -> tuple[bool, bytes]:
        start.wait()
        return make_secret(tmp_path / "secret"), read_secret(tmp_path / "secret")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(make_and_read, range(4)))
    assert sorted(made for made, _ in found) == [False, False, False, True]
    assert len({secret for _, secret in found}) == 1


def test_a_replica_takes_what_the_configuration_names(tmp_path: Path, file: Path) -> None:
    assert cell_secret(cell_of(file), new=False) == cell_secret(cell_of(file), new=True) == bytes.fromhex(TEXT)
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError, match="is missing"):
        cell_secret(cell_of(missing), new=False)
    with capture_logs() as lines:
        made = cell_secret(cell_of(missing), new=True)
    (line,) = lines
    assert "the same file belongs on every replica's machine" in line["event"] and line["file"] == str(missing)
    assert made is not None and made.hex() not in str(lines)


def test_a_cell_without_a_secret_is_warned_of() -> None:
    with capture_logs() as lines:
        assert cell_secret(cell_of(None), new=True) is None
    (line,) = lines
    assert line["log_level"] == "warning" and "[cell] secret is not set" in line["event"]
