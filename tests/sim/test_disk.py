"""The simulated disk: what a crash leaves is a part of the write under way, and nothing else."""

from random import Random

import pytest

from fastpaxos_live.sim.check import Violation
from fastpaxos_live.sim.disk import SECTOR, Disk

OLD = bytes([1]) * 1024
NEW = bytes([2]) * (3 * SECTOR + 64)


def disk_with_a_write_under_way() -> Disk:
    disk = Disk()
    disk.write(0, OLD)
    assert disk.complete() == len(OLD)
    disk.write(len(OLD), NEW)
    return disk


def test_what_is_being_written_is_not_there_yet() -> None:
    disk = disk_with_a_write_under_way()
    assert disk.read(0, 10_000) == OLD
    assert disk.complete() == len(OLD + NEW)
    assert disk.read(1000, 100) == (OLD + NEW)[1000:1100]


def test_a_crash_leaves_any_part_of_the_write_and_keeps_the_rest() -> None:
    seen: dict[str, set[bytes]] = {}
    for seed in range(400):
        disk = disk_with_a_write_under_way()
        left = disk.crash(Random(seed))
        assert disk.image.startswith(OLD) and disk.durable == len(OLD)
        seen.setdefault(left, set()).add(bytes(disk.image[len(OLD) :]))
    assert seen["nothing"] == {b""}
    assert seen["all"] == {NEW}
    assert len(seen["bytes"]) > 50
    for torn in seen["bytes"] | seen["sectors"]:
        part = torn.rstrip(b"\0")
        assert len(torn) == len(NEW) and NEW.startswith(part)
    assert {len(torn.rstrip(b"\0")) for torn in seen["sectors"]} == {0, SECTOR, 2 * SECTOR, 3 * SECTOR}
    assert any(torn.startswith(b"\0") and torn.strip(b"\0") for torn in seen["holes"])


def test_a_crash_without_a_write_leaves_all() -> None:
    disk = Disk()
    disk.write(0, OLD)
    disk.complete()
    assert disk.crash(Random(1)) == "idle"
    assert disk.image == OLD


@pytest.mark.parametrize("position, data", [(64, OLD), (0, OLD[:63]), (0, b"")])
def test_groups_follow_each_other(position: int, data: bytes) -> None:
    with pytest.raises(Violation, match="write group"):
        Disk().write(position, data)


def test_one_write_at_a_time() -> None:
    with pytest.raises(Violation, match="a write is under way"):
        disk_with_a_write_under_way().write(len(OLD), NEW)


def test_recovery_may_cut_the_tail_but_nothing_durable() -> None:
    disk = disk_with_a_write_under_way()
    disk.crash(Random(1))
    disk.cut(len(OLD))
    assert disk.image == OLD
    with pytest.raises(Violation, match="were durable"):
        disk.cut(len(OLD) - 64)
