"""The data directory: formatted once, locked, and never mistaken for another."""

import errno
import json
import os
import secrets
import stat
import subprocess
import sys

import pytest
from xxhash import xxh64_hexdigest

from fastpaxos_live.log.datadir import (
    DataDirError,
    Identity,
    Meta,
    check_boot,
    open_data_dir,
)
from fastpaxos_live.server.files import OsDirectory, kernel_boot_id

ME = Identity(cell_id=7, cell="main", replica_id=2, replica="r2")


def open_dir(path, identity=ME, *, new=False, fsync="always"):
    disk = secrets.randbits(64)
    return open_data_dir(OsDirectory(path), identity, new=new, fsync=fsync, disk_id=disk, segment_bytes=8192)


def refused(path, text, **how):
    with pytest.raises(DataDirError, match=text) as error:
        open_dir(path, **how)
    assert "\n" not in str(error.value)


@pytest.fixture
def path(tmp_path):
    """A formatted directory that is not in use."""
    open_dir(tmp_path / "r2", new=True).close()
    return tmp_path / "r2"


def test_a_directory_is_formatted_once(tmp_path):
    path = tmp_path / "deep" / "r2"
    first = open_dir(path, new=True)
    assert (first.meta.incarnation, first.meta.boots, first.meta.format) == (1, 0, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}
    first.close()
    again = open_dir(path)
    assert again.meta == first.meta
    again.close()
    refused(path, "not empty", new=True)


def test_disks_differ(tmp_path):
    disks = {open_dir(tmp_path / name, new=True).meta.disk_id for name in "abc"}
    assert len(disks) == 3


def test_an_empty_directory_is_lost_state(tmp_path):
    refused(tmp_path, "lost state: .*--new")
    refused(tmp_path / "missing", "lost state")
    assert not (tmp_path / "missing").exists()


def test_a_fresh_file_system_counts_as_empty(tmp_path):
    (tmp_path / "lost+found").mkdir()
    refused(tmp_path, "lost state")
    open_dir(tmp_path, new=True).close()


def test_an_interrupted_format_can_be_repeated(tmp_path):
    (tmp_path / "meta.json.new").write_text("{")
    (tmp_path / "lock").touch()
    open_dir(tmp_path, new=True).close()
    assert not (tmp_path / "meta.json.new").exists()


def test_a_lost_meta_file_is_lost_state(path):
    (path / "log.00000000").touch()
    (path / "meta.json").unlink()
    refused(path, "lost state: .*meta.json is missing")
    refused(path, "not empty", new=True)


def test_one_process_at_a_time(path):
    code = "import sys, fcntl, os\nfcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)\n"
    code += "print('locked', flush=True)\nsys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", code, path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        refused(path, "data directory in use")
        other.stdin.close()
        other.wait()
    open_dir(path).close()


def test_a_refusal_releases_the_lock(path):
    refused(path, "mismatch", identity=ME._replace(cell_id=8))
    open_dir(path).close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cell_id": 8}, "another cell: cell id mismatch: got 7, want 8"),
        ({"cell": "test"}, "another cell: cell mismatch: got main, want test"),
        ({"replica_id": 1}, "another replica: replica id mismatch: got 2, want 1"),
        ({"replica": "r2x"}, "another replica: replica mismatch: got r2, want r2x"),
    ],
)
def test_a_directory_of_somebody_else(path, change, text):
    refused(path, text, identity=ME._replace(**change))


def test_unknown_files_are_named(path):
    for name in ("notes.txt", "log.1", "log.00000000x"):
        (path / name).touch()
    refused(path, "unknown files: log.00000000x, log.1, notes.txt$")


def test_unfinished_log_files_are_removed(path):
    (path / "log.00000000").touch()
    (path / "log.00000001.new").touch()
    open_dir(path).close()
    assert sorted(os.listdir(path)) == ["lock", "log.00000000", "meta.json"]


def test_a_damaged_meta_file_is_refused(path):
    text = (path / "meta.json").read_bytes()
    for at in range(len(text) - 1):  # the last byte is the newline
        damaged = bytearray(text)
        damaged[at] ^= 0x15
        (path / "meta.json").write_bytes(damaged)
        with pytest.raises(DataDirError):
            open_dir(path)
    (path / "meta.json").write_bytes(text[: len(text) // 2])
    refused(path, "meta.json is damaged")


@pytest.mark.parametrize(
    "change", [{"incarnation": 1 << 70}, {"incarnation": 0}, {"segment_bytes": 0}, {"boots": -1}, {"lease_us": 1 << 64}]
)
def test_what_no_program_writes_is_refused(path, change):
    fields = {**json.loads((path / "meta.json").read_text()), **change}
    del fields["checksum"]
    checksum = xxh64_hexdigest(json.dumps(fields, sort_keys=True).encode())
    (path / "meta.json").write_text(json.dumps({**fields, "checksum": checksum}))
    refused(path, f"meta.json is damaged: .*{next(iter(change))}")


def test_a_meta_file_that_is_nested_too_deeply_is_refused(path):
    (path / "meta.json").write_text("[" * 100_000)
    refused(path, "meta.json is damaged")


def test_a_newer_format_is_refused(path):
    fields = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps({**fields, "format": 2, "more": 1}))
    refused(path, "format version 2, this program reads up to 1")


def test_starts_are_counted_and_ends_marked(path):
    here = open_dir(path)
    here.begin("never", "boot-a", 600_000)
    here.close()
    here = open_dir(path)
    assert (here.meta.boots, here.meta.boot_id) == (1, "boot-a")
    assert (here.meta.fsync, here.meta.clean) == ("never", False)
    here.begin("always", "boot-b", 600_000)
    here.end()
    here.close()
    here = open_dir(path)
    assert (here.meta.boots, here.meta.fsync, here.meta.clean) == (2, "always", True)
    here.close()


def test_a_disk_that_is_full_makes_a_good_end_no_crash(path, monkeypatch):
    here = open_dir(path)
    here.begin("never", "boot-a", 600_000)
    create = OsDirectory.create

    def full(directory, name):
        if name == "meta.json.new" and "reserve" not in os.listdir(path):
            return create(directory, name)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(OsDirectory, "create", full)
    assert (path / "reserve").stat().st_size >= (path / "meta.json").stat().st_size
    here.end()
    here.close()
    here = open_dir(path)
    assert here.meta.clean
    here.begin("never", "boot-a", 600_000)  # it starts again, without a reserve
    assert "reserve" not in os.listdir(path)
    here.close()


META = Meta(
    format=1, cell_id=7, cell="main", replica_id=2, replica="r2", disk_id=1, incarnation=1,
    segment_bytes=8192, fsync="interval:100", boots=3, boot_id="before", clean=False,
)


@pytest.mark.parametrize(
    ("change", "boot_id", "allowed"),
    [
        ({}, "after", False),
        ({"fsync": "never"}, "after", False),
        ({}, "before", True),
        ({"clean": True}, "after", True),
        ({"fsync": "always"}, "after", True),
        ({"boots": 0}, "after", True),
    ],
)
def test_a_machine_crash_under_a_relaxed_policy(change, boot_id, allowed):
    fields = {name: getattr(META, name) for name in META.__struct_fields__}
    meta = Meta(**{**fields, **change})
    if allowed:
        check_boot("here", meta, boot_id)
    else:
        with pytest.raises(DataDirError, match="may have forgotten what it promised"):
            check_boot("here", meta, boot_id)


def test_the_boot_id_is_the_kernels():
    assert kernel_boot_id() == kernel_boot_id()
    assert len(kernel_boot_id()) == 36


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "r2").touch()
    refused(tmp_path / "r2", "File exists", new=True)
    refused(tmp_path / "r2", "Not a directory")
