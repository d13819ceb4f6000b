"""The segment files on a real disk."""

import errno
import os
import resource
import stat
import time
from threading import Thread

import pytest

from fastpaxos_live.log.recovery import Recovery
from fastpaxos_live.log.segments import SEGMENT_HEADER_BYTES, SegmentHeader, file_name
from fastpaxos_live.log.storage import SLICE_BYTES, NoRoom, Storage, StorageError
from fastpaxos_live.server.files import OsDirectory

SEGMENT = 8192
HEADER = SegmentHeader(cell_id=7, replica=2, disk_id=99, number=0, segment_bytes=SEGMENT)


def open_storage(path, *, fresh=False, header=HEADER):
    directory = OsDirectory(path)
    directory.enter(make=False)
    try:
        return Storage(directory, header, fresh=fresh)
    except StorageError:
        directory.close()
        raise


@pytest.fixture
def storage(tmp_path):
    found = open_storage(tmp_path, fresh=True)
    yield found
    found.close()


def names(path):
    return sorted(os.listdir(path))


def pattern(size, start=0):
    return bytes((start + at * 7) % 255 + 1 for at in range(size))


def test_the_first_file_is_whole_at_once(storage, tmp_path):
    assert names(tmp_path) == ["log.00000000"]
    file = tmp_path / "log.00000000"
    assert file.stat().st_size == SEGMENT_HEADER_BYTES + SEGMENT
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert storage.end == SEGMENT
    assert storage.read(0, SEGMENT) == bytes(SEGMENT)


def test_what_is_written_is_read(storage, tmp_path):
    data = pattern(3 * SEGMENT)
    storage.write(100, data)
    storage.sync()
    assert storage.read(100, len(data)) == data
    assert storage.read(0, 100) == bytes(100)
    assert names(tmp_path) == [file_name(number) for number in range(4)]
    again = open_storage(tmp_path)
    assert again.end == 4 * SEGMENT
    assert again.read(SEGMENT - 5, 10) == data[SEGMENT - 105 : SEGMENT - 95]
    again.close()


def test_reading_behind_the_end_fails(storage):
    with pytest.raises(StorageError, match="log.00000001 is missing"):
        storage.read(SEGMENT - 1, 2)


def test_a_file_is_prepared_once(storage, tmp_path):
    storage.write(0, pattern(100))
    storage.prepare(1)
    storage.write(SEGMENT, pattern(100, 3))
    storage.prepare(1)
    assert storage.read(SEGMENT, 100) == pattern(100, 3)


@pytest.mark.parametrize(("size", "files"), [(SEGMENT - 64, 1), (SEGMENT, 2), (SEGMENT + 64, 2), (2 * SEGMENT, 3)])
def test_a_write_that_reaches_the_end_of_a_file_makes_the_next_one(storage, tmp_path, size, files):
    storage.write(0, pattern(size))
    assert len(names(tmp_path)) == files


def test_the_next_file_is_there_before_a_byte_is_written(storage, monkeypatch):
    def full(name):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.directory, "create", full)
    with pytest.raises(OSError, match="No space"):
        storage.write(0, pattern(SEGMENT + 64))
    assert storage.read(0, SEGMENT) == bytes(SEGMENT)


def test_what_the_disk_cannot_read_is_lost(storage, monkeypatch):
    """Memory may be there again soon; what a disk has given up is not (PML 5.1)."""

    def fails(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "pread", fails)
    error = errno.ENOMEM
    with pytest.raises(OSError, match="Cannot allocate memory"):
        storage.read(0, 64)
    error = errno.EIO
    with pytest.raises(StorageError, match=r"^lost state: \S+/log.00000000 can't be read: Input/output error$"):
        storage.read(0, 64)


def test_what_a_shorter_file_had_is_lost(storage, tmp_path):
    end = SEGMENT_HEADER_BYTES + 100
    os.truncate(tmp_path / "log.00000000", end)
    assert storage.read(0, 100) == bytes(100)
    with pytest.raises(StorageError, match=rf"^lost state: \S+/log.00000000 ends at byte {end}$"):
        storage.read(0, 101)


class Fails:
    """Makes operations of files fail: `operations` has an error for each name, `passes` says how many go well."""

    def __init__(self, storage, monkeypatch):
        self.operations = {}
        self.passes = 0
        self.calls = []
        for name in ("create", "rename"):
            monkeypatch.setattr(storage.directory, name, self.spy(name, getattr(storage.directory, name)))
        for name in ("pwrite", "fdatasync"):
            monkeypatch.setattr(os, name, self.spy(name, getattr(os, name)))

    def spy(self, name, work):
        def call(*args):
            self.calls.append(name)
            if name in self.operations:
                self.passes -= 1
                if self.passes < 0:
                    raise OSError(self.operations[name], os.strerror(self.operations[name]))
            return work(*args)

        return call


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("operation", ["create", "pwrite", "fdatasync", "rename"])
def test_want_of_room_is_no_end(storage, tmp_path, monkeypatch, operation, error):
    fails = Fails(storage, monkeypatch)
    fails.operations[operation] = error
    for _ in range(2):
        with pytest.raises(NoRoom):
            storage.prepare(1)
        with pytest.raises(NoRoom):
            storage.write(SEGMENT - 64, pattern(64))
    assert storage.read(0, SEGMENT) == bytes(SEGMENT)
    assert storage.limit == SEGMENT - SEGMENT // 4
    if operation == "pwrite":  # of any file
        fails.operations.clear()
    storage.write(0, pattern(SEGMENT - 64))  # nothing of it needs the new one
    fails.operations.clear()
    storage.write(SEGMENT - 64, pattern(SEGMENT))
    storage.sync()
    assert names(tmp_path) == ["log.00000000", "log.00000001"]
    again = open_storage(tmp_path)
    assert again.read(0, 2 * SEGMENT - 64) == pattern(SEGMENT - 64) + pattern(SEGMENT)
    again.close()


@pytest.mark.parametrize("operation", ["create", "pwrite", "fdatasync", "rename"])
def test_other_errors_are_final(storage, monkeypatch, operation):
    Fails(storage, monkeypatch).operations[operation] = errno.EIO
    with pytest.raises(OSError, match="Input/output error") as raised:
        storage.prepare(1)
    assert not isinstance(raised.value, NoRoom)


def test_a_sync_that_failed_does_not_succeed_later(storage, monkeypatch):
    """The kernel tells of it once."""
    storage.write(0, pattern(64))
    fails = Fails(storage, monkeypatch)
    fails.operations["fdatasync"] = errno.EIO
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            storage.sync()
        fails.operations.clear()


def test_want_of_room_in_a_write_is_final(storage, monkeypatch):
    Fails(storage, monkeypatch).operations["pwrite"] = errno.ENOSPC
    with pytest.raises(OSError, match="No space") as raised:
        storage.write(0, pattern(64))
    assert not isinstance(raised.value, NoRoom)


@pytest.mark.parametrize(("operation", "creates"), [("pwrite", 1), ("fdatasync", 2)])
def test_only_what_was_synced_is_not_written_again(tmp_path, monkeypatch, operation, creates):
    slices = 4
    header = HEADER._replace(segment_bytes=slices * SLICE_BYTES)
    storage = open_storage(tmp_path, fresh=True, header=header)
    fails = Fails(storage, monkeypatch)
    fails.operations[operation], fails.passes = errno.ENOSPC, slices // 2 + (operation == "pwrite")  # and the header
    with pytest.raises(NoRoom):
        storage.prepare(1)
    fails.operations.clear()
    storage.prepare(1)
    assert fails.calls.count("create") == creates
    assert fails.calls.count("fdatasync") == slices + (creates - 1) * (slices // 2 + 1)
    assert storage.read(slices * SLICE_BYTES, SLICE_BYTES) == bytes(SLICE_BYTES)
    storage.close()


def test_the_log_goes_on_without_descriptors(storage, tmp_path):
    """Those that it has are enough: one that is prepared stays open, one is spare, and old ones are closed."""
    for number in range(3):
        storage.write(number * SEGMENT, pattern(SEGMENT))
        storage.sync()
    limits, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        for number in range(3, 20):
            storage.write(number * SEGMENT, pattern(SEGMENT, number))
            storage.sync()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for file in taken:
            os.close(file)
    assert storage.read(19 * SEGMENT, SEGMENT) == pattern(SEGMENT, 19)


def test_two_threads_without_descriptors(tmp_path, monkeypatch):
    """The spare descriptor of a directory is one for both: neither ends a file of the other."""
    directory = OsDirectory(tmp_path)
    directory.enter(make=False)
    for name in ("a", "b"):
        file = directory.create(name)
        file.pwrite(name.encode(), 0)
        file.close()
    limits, taken, wrong = resource.getrlimit(resource.RLIMIT_NOFILE), [], []

    def read(name):
        for _ in range(200):
            try:
                file = directory.open(name)
            except OSError as error:
                if error.errno == errno.EMFILE:
                    continue
                wrong.append(error)
                return
            try:
                if file.pread(1, 0) != name.encode():
                    wrong.append(name)
                file.close()
            except OSError as error:
                wrong.append(error)

    close = os.close
    try:
        monkeypatch.setattr(os, "close", lambda file: (close(file), time.sleep(0.001)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, limits[1]))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        threads = [Thread(target=read, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        monkeypatch.undo()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for file in taken:
            os.close(file)
        directory.close()
    assert wrong == []


def test_a_write_to_several_files_after_another_one(storage):
    for at in range(3):
        storage.write(at * SEGMENT, pattern(SEGMENT))
    storage.write(3 * SEGMENT, pattern(3 * SEGMENT))
    storage.sync()
    assert storage.read(3 * SEGMENT, 3 * SEGMENT) == pattern(3 * SEGMENT)


def test_every_file_written_to_is_synced_older_first(storage, tmp_path, monkeypatch):
    storage.prepare(1)
    storage.prepare(2)
    synced = []
    fdatasync = os.fdatasync

    def spy(file):
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
        fdatasync(file)

    monkeypatch.setattr(os, "fdatasync", spy)
    storage.prepare(3)
    synced.clear()
    storage.write(SEGMENT - 10, pattern(SEGMENT + 20))
    assert synced == []
    storage.sync()
    assert synced == ["log.00000000", "log.00000001", "log.00000002"]
    storage.sync()
    assert len(synced) == 3
    storage.write(2 * SEGMENT + 10, pattern(10))
    storage.sync()
    assert synced[3:] == ["log.00000002"]


def test_a_missing_first_file_is_lost_state(tmp_path):
    with pytest.raises(StorageError, match=r"lost state: .*log.00000000 is missing"):
        open_storage(tmp_path)


def test_a_gap_is_lost_state(storage, tmp_path):
    storage.write(0, pattern(3 * SEGMENT))
    (tmp_path / "log.00000001").unlink()
    with pytest.raises(StorageError, match=r"lost state: .*log.00000001 is missing"):
        open_storage(tmp_path)


def test_a_file_of_another_size(storage, tmp_path):
    os.truncate(tmp_path / "log.00000000", 5000)
    with pytest.raises(StorageError, match="has 5000 bytes, want 12288"):
        open_storage(tmp_path)


@pytest.mark.parametrize("field", ["cell_id", "replica", "disk_id"])
def test_a_file_of_somebody_else(storage, tmp_path, field):
    with pytest.raises(StorageError, match=rf"log.00000000: {field} mismatch"):
        open_storage(tmp_path, header=HEADER._replace(**{field: 1}))


def test_a_file_under_another_number(storage, tmp_path):
    storage.prepare(1)
    os.rename(tmp_path / "log.00000001", tmp_path / "log.00000000")
    with pytest.raises(StorageError, match="number mismatch: got 1, want 0"):
        open_storage(tmp_path)


def test_settling_zeroes_the_rejected_end(storage, tmp_path):
    storage.write(0, pattern(3 * SEGMENT))
    storage.sync()
    cut = SEGMENT + 640
    again = open_storage(tmp_path)
    again.settle(Recovery(cut, 2 * SEGMENT + 100, "doubtful", 0), cut)
    assert names(tmp_path) == ["log.00000000", "log.00000001"]
    assert again.end == 2 * SEGMENT
    assert again.read(0, cut) == pattern(3 * SEGMENT)[:cut]
    assert again.read(cut, SEGMENT - 640) == bytes(SEGMENT - 640)
    again.close()


def test_settling_zeroes_no_more_than_it_must(storage):
    storage.write(0, pattern(2000))
    storage.settle(Recovery(640, 1000, "torn", 0), 640)
    expected = pattern(2000)
    assert storage.read(0, 2000) == expected[:640] + bytes(360) + expected[1000:]


def test_a_file_that_settling_removed_is_read_no_more(storage, tmp_path):
    """Another one has its number later: what is read then is what was written there."""
    data = pattern(2 * SEGMENT)
    storage.write(0, data)
    storage.sync()
    again = open_storage(tmp_path)
    assert again.read(SEGMENT, SEGMENT) == data[SEGMENT:]  # as recovery does it
    again.settle(Recovery(100, 2 * SEGMENT, "torn", 0), 100)
    again.write(100, data[::-1])
    assert again.read(SEGMENT, 100) == data[::-1][SEGMENT - 100 : SEGMENT]
    again.close()


def test_settling_at_a_border(storage, tmp_path):
    storage.write(0, pattern(2 * SEGMENT))
    again = open_storage(tmp_path)
    again.settle(Recovery(SEGMENT, 2 * SEGMENT, "doubtful", 0), SEGMENT)
    assert names(tmp_path) == ["log.00000000", "log.00000001"]
    assert again.read(SEGMENT, SEGMENT) == bytes(SEGMENT)
    again.close()


def test_settling_syncs_what_a_killed_process_left(storage, tmp_path, monkeypatch):
    storage.write(0, pattern(SEGMENT + 100))
    again = open_storage(tmp_path)
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    again.settle(Recovery(SEGMENT + 128, SEGMENT + 128, "clean", 0), SEGMENT + 128)
    assert len(synced) == 2
    again.close()

