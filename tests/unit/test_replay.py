"""A group of the log whose checksums are right and whose contents can't be: neither core takes any of it, and a replica
with such a log does not start."""

from struct import Struct

import pytest
from tests.hand import CELL_ID, WALL_MS, config
from xxhash import xxh64_intdigest

from fastpaxos_live._select import load_core
from fastpaxos_live.log.recovery import LogCorrupt, recover
from fastpaxos_live.reference.db_ops import OP_GET, OP_SET, op_encode
from fastpaxos_live.reference.limits import INSTANCE_MAX, SLOTS
from fastpaxos_live.reference.log_frame import (
    ACCEPT,
    BEAT,
    GROUP_MAGIC,
    HEADER_BYTES,
    LEARN,
    OPERATIONS,
    PROMISED,
    frame_encode,
    value_encode,
)

ME = 1
NUMBER = 1 << 24 | ME << 16 | 1
GROUP = Struct("<QIBBBBIIQQQQQ")


def value(body: bytes = op_encode(OP_SET, 0, 0, [(b"key", b"value")])) -> bytes:
    return value_encode(CELL_ID, WALL_MS, 0, 1, OPERATIONS, body)


def record(kind: int, instance: int = 0, payload: bytes = b"") -> bytes:
    return frame_encode(CELL_ID, kind, ME, 1, NUMBER, instance, payload=payload)


def group(position: int, frames: bytes, mark: int) -> bytes:
    length = -(-(HEADER_BYTES + len(frames)) // 64) * 64
    header = GROUP.pack(0, GROUP_MAGIC, 1, 0, ME, 0, length, 1, position, len(frames), NUMBER, position, mark)[8:]
    return (xxh64_intdigest(header, CELL_ID).to_bytes(8, "little") + header + frames).ljust(length, b"\0")


GOOD = record(PROMISED) + b"".join(record(ACCEPT, at, value()) for at in (1, 2, 3))
FIRST = group(0, GOOD, 2)
BAD = {
    "a chosen mark beyond what is here": (record(ACCEPT, 4, value()), 5),
    "an entry that needs others before": (record(ACCEPT, 4 + SLOTS, value()), 2),
    "a learned entry in a gap": (record(LEARN, 5, value()), 2),
    "an entry of what is applied": (record(ACCEPT, 2, value()), 2),
    "instance 0": (record(ACCEPT, 0, value()), 2),
    "an instance beyond all": (record(ACCEPT, INSTANCE_MAX + 1, value()), 2),
    "a value that is none": (record(ACCEPT, 4, b"x" * 40), 2),
    "a value with a read in it": (record(ACCEPT, 4, value(op_encode(OP_GET, 0, 0, [(b"a", b"")]))), 2),
    "no value": (record(ACCEPT, 4), 2),
    "something else than a record": (record(BEAT, 4), 2),
}


@pytest.fixture(params=["cython", "python"])
def core(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("name", BAD)
def test_none_of_it_is_replayed(core: str, name: str) -> None:
    replica = load_core(core).Replica(config(ME))
    log = FIRST + group(len(FIRST), record(ACCEPT, 3, value()) + BAD[name][0], BAD[name][1])
    assert replica.feed_log(log) == len(FIRST)
    replica.start(1_000_000, WALL_MS)
    assert replica.status()["instance_applied"] == 2
    assert replica.status()["log_position"] == len(FIRST)


def test_a_group_that_can_be_is_replayed(core: str) -> None:
    replica = load_core(core).Replica(config(ME))
    more = b"".join(record(ACCEPT, at, value()) for at in range(3, 4 + SLOTS - 1)) + record(LEARN, 4, value())
    log = FIRST + group(len(FIRST), more, 3 + SLOTS - 1)
    assert replica.feed_log(log) == len(log)
    replica.start(1_000_000, WALL_MS)
    assert replica.status()["instance_applied"] == 3 + SLOTS - 1


@pytest.mark.parametrize("name", BAD)
def test_a_replica_with_such_a_log_does_not_start(core: str, name: str) -> None:
    log = FIRST + group(len(FIRST), BAD[name][0], BAD[name][1]) + bytes(4096)
    with pytest.raises(LogCorrupt, match=f"at position {len(FIRST)} of replica 1: a whole group .* can't be replayed"):
        recover(
            load_core(core).Replica(config(ME)), lambda position, size: log[position : position + size], len(log),
            CELL_ID, ME)  # fmt: skip
