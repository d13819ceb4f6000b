"""The simulated disk: what a process, a machine and a failed sync leave of what was written."""

from collections.abc import Callable
from errno import EIO
from random import Random

import pytest

from fastpaxos_live.log.datadir import Identity, open_data_dir
from fastpaxos_live.log.recovery import Recovery
from fastpaxos_live.log.segments import SegmentHeader
from fastpaxos_live.log.storage import Storage
from fastpaxos_live.sim.chosen import Violation
from fastpaxos_live.sim.disk import SECTOR, Died, Disk, SimFile

OLD = bytes([1]) * 2 * SECTOR
NEW = bytes([2]) * (3 * SECTOR + 64)
SEGMENT = 16384


def file_with_an_unsynced_write() -> tuple[Disk, SimFile]:
    disk = Disk("here")
    file = disk.create("a")
    disk.sync()
    file.pwrite(OLD, 0)
    file.sync()
    file.pwrite(NEW, len(OLD))
    return disk, file


def fails(disk: Disk, operation: str, error: Exception) -> Callable[[str], Exception | None]:
    def trouble(name: str) -> Exception | None:
        if name != operation:
            return None
        disk.trouble = None
        return error

    return trouble


def test_a_process_that_dies_loses_nothing_that_it_wrote() -> None:
    disk, _ = file_with_an_unsynced_write()
    disk.release()
    assert disk.open("a").pread(10_000, 0) == OLD + NEW


def test_a_loss_of_power_spares_what_was_synced_and_any_sectors_of_the_rest() -> None:
    seen = set()
    for seed in range(200):
        disk, _ = file_with_an_unsynced_write()
        disk.power_cut(Random(seed))
        data = disk.open("a").pread(10_000, 0)
        assert data.startswith(OLD)
        rest = data[len(OLD) :]
        sectors = [rest[at : at + SECTOR] for at in range(0, len(rest), SECTOR)]
        assert all(sector in (bytes(len(sector)), NEW[: len(sector)]) for sector in sectors)
        seen.add(tuple(any(sector) for sector in sectors))
    assert {(), (True,) * 4} <= seen
    assert any(not kept[0] and kept[-1] for kept in seen if kept), "a hole"


def test_an_overwritten_sector_is_the_old_or_the_new_one() -> None:
    seen = set()
    for seed in range(50):
        disk = Disk("here")
        file = disk.create("a")
        disk.sync()
        file.pwrite(OLD, 0)
        file.sync()
        file.pwrite(b"x" * 10, 100)
        file.pwrite(b"y" * 10, 105)
        disk.power_cut(Random(seed))
        seen.add(file.pread(20, 100))
    assert seen == {b"\1" * 20, b"xxxxx" + b"y" * 10 + b"\1" * 5}


def test_names_that_were_not_synced_are_there_or_not() -> None:
    seen = set()
    for seed in range(100):
        disk = Disk("here")
        disk.create("a")
        disk.create("b")
        disk.sync()
        disk.create("a.new").pwrite(b"new", 0)
        disk.rename("a.new", "a")
        disk.unlink("b")
        assert sorted(disk.names()) == ["a", "b"][:1]
        disk.power_cut(Random(seed))
        seen.add(tuple(sorted(disk.names())))
    assert seen == {("a",), ("a", "b"), ("a", "a.new"), ("a", "a.new", "b")}


def test_a_failed_sync_shows_what_it_lost_until_the_power_goes() -> None:
    disk, file = file_with_an_unsynced_write()
    disk.trouble = fails(disk, "sync", OSError(EIO, "error"))
    with pytest.raises(OSError):
        file.sync()
    file.sync()  # falsely succeeds
    assert file.pread(10_000, 0) == OLD + NEW
    disk.power_cut(Random(1))
    assert file.pread(10_000, 0)[: len(OLD)] == OLD and not any(file.pread(10_000, len(OLD)))


def test_what_is_written_again_after_a_failed_sync_is_durable() -> None:
    disk, file = file_with_an_unsynced_write()
    disk.trouble = fails(disk, "sync", OSError(EIO, "error"))
    with pytest.raises(OSError):
        file.sync()
    file.pwrite(file.pread(10_000, 0), 0)
    file.sync()
    disk.power_cut(Random(1))
    assert file.pread(10_000, 0) == OLD + NEW


def test_a_process_that_dies_in_a_write_leaves_half_of_it() -> None:
    disk, file = file_with_an_unsynced_write()
    disk.trouble = fails(disk, "write", Died())
    with pytest.raises(Died):
        file.pwrite(b"x" * 100, len(OLD + NEW))
    assert file.pread(10_000, 0) == OLD + NEW + b"x" * 50


def test_one_process_has_the_lock() -> None:
    disk = Disk("here")
    disk.lock("lock")
    with pytest.raises(BlockingIOError):
        disk.lock("lock")
    disk.release()
    disk.lock("lock")


# --- the product's code on it
HEADER = SegmentHeader(cell_id=7, replica=2, disk_id=99, number=0, segment_bytes=SEGMENT)
ME = Identity(cell_id=7, cell="main", replica_id=2, replica="r2")


def test_settling_makes_durable_what_a_failed_sync_lost() -> None:
    """fsyncgate: the sync at the next start succeeds for nothing."""
    disk = Disk("here")
    storage = Storage(disk, HEADER, fresh=True)
    first, second = bytes([1]) * (SEGMENT - 640), bytes([2]) * 1280  # the second one lies in two files
    storage.write(0, first)
    storage.sync()
    storage.write(len(first), second)
    disk.trouble = fails(disk, "sync", OSError(EIO, "error"))
    with pytest.raises(OSError):
        storage.sync()
    end = len(first + second)
    again = Storage(disk, HEADER, fresh=False)
    again.settle(Recovery(end, end, "clean", len(first)), len(first))
    disk.power_cut(Random(1))
    assert Storage(disk, HEADER, fresh=False).read(0, end) == first + second


@pytest.mark.parametrize("passes", range(1, 40))
def test_a_cut_that_loses_power_leaves_no_gap(passes: int) -> None:
    for seed in range(5):
        disk = Disk("here")
        storage = Storage(disk, HEADER, fresh=True)
        storage.write(0, bytes([1]) * 5 * SEGMENT)
        storage.sync()
        left = passes

        def trouble(name: str) -> Exception | None:
            nonlocal left
            left -= 1
            return None if left else Died()

        disk.trouble = trouble
        try:
            storage.settle(Recovery(640, 5 * SEGMENT, "doubtful", 0), 0)
        except Died:
            pass
        disk.trouble = None
        disk.power_cut(Random(seed))
        Storage(disk, HEADER, fresh=False)  # raises StorageError for a gap


def test_only_the_last_two_files_hold_what_was_not_synced() -> None:
    for seed in range(20):
        disk = Disk("here")
        storage = Storage(disk, HEADER, fresh=True)
        data = bytes([1]) * 640
        for position in range(0, 5 * SEGMENT, len(data)):
            storage.write(position, data)
        storage.write(5 * SEGMENT, bytes([2]) * 3 * SEGMENT)  # and a group that lies in three at once
        disk.power_cut(Random(seed))
        assert Storage(disk, HEADER, fresh=False).read(0, 4 * SEGMENT) == bytes([1]) * 4 * SEGMENT


def test_a_flipped_bit_stays_whatever_a_failed_sync_or_a_loss_of_power_takes_back() -> None:
    for failed in (False, True):
        disk, file = file_with_an_unsynced_write()
        if failed:
            disk.trouble = fails(disk, "sync", OSError(EIO, "I/O error"))
            with pytest.raises(OSError, match="I/O error"):
                file.sync()
        file.pwrite(NEW, SECTOR)
        file.flip(SECTOR + 3, 4)
        assert file.pread(4, SECTOR) == b"\2\2\2\6"
        disk.power_cut(Random(1))
        assert disk.open("a").pread(4, SECTOR) in (b"\1\1\1\5", b"\2\2\2\6")


def test_every_flipped_bit_of_meta_json_is_noticed() -> None:
    disk = Disk("here")
    open_data_dir(disk, ME, new=True, fsync="always", disk_id=5, segment_bytes=SEGMENT).close()
    size = disk.size("meta.json")
    for at in range(size * 8):
        disk.files["meta.json"].data[at // 8] ^= 1 << at % 8
        with pytest.raises(Exception, match="damaged|format version"):
            open_data_dir(disk, ME, new=False, fsync="always", disk_id=5)
        disk.files["meta.json"].data[at // 8] ^= 1 << at % 8
    open_data_dir(disk, ME, new=False, fsync="always", disk_id=5).close()


def removed() -> tuple[Disk, SimFile]:
    disk = Disk("d")
    file = disk.create("a")
    disk.sync()
    disk.unlink("a")
    return disk, file


def test_it_is_a_violation_to_use_a_file_that_was_removed() -> None:
    disk, file = removed()
    disk.create("a").pwrite(b"new", 0)
    for use in (lambda: file.pread(3, 0), lambda: file.pwrite(b"old", 0)):
        with pytest.raises(Violation, match="d/a is used after it was removed"):
            use()


def test_a_file_that_was_removed_in_vain_is_there() -> None:
    """The power went before the directory was synced."""
    back = 0
    for seed in range(20):
        disk, file = removed()
        disk.power_cut(Random(seed))
        if disk.names():
            assert disk.open("a").pread(0, 0) == b""
            back += 1
    assert 0 < back < 20
