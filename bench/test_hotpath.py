"""The parts of the hot path, on both cores, with pytest-benchmark: `make bench`.

Times are of one process without sockets and disk: they say what the code costs, never what a cell
serves. Each call does many operations, in a loop that is C in the compiled core, so that the call
itself hardly counts; the same operations in each call, so that what they touch is in the processor's
cache. The group of a benchmark is its part, so that both cores stand side by side.
"""

from collections.abc import Iterator
from functools import cache
from itertools import count as count_from
from typing import Any

import pytest

from bench.hotpath import Measure
from fastpaxos_live import _probe
from fastpaxos_live._api import Config
from fastpaxos_live._select import load_core
from fastpaxos_live.reference import db_ops, log_frame
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.log_machines import ROW_ACCEPTOR_ACCEPT, ROWS
from fastpaxos_live.testing import request as resp_request

pytestmark = pytest.mark.benchmark(min_rounds=5, disable_gc=True, warmup=True, warmup_iterations=2)

SEED = 4711
VALUE_BYTES_MAX = 8 << 20
TIME_MS = 1_700_000_000_000
KEYS = 100_000
VALUE = b"x" * 100
SIZES = [100, 4096, 64 << 10]
CALL_BYTES = 1 << 20  # so much does a call do at most,
CALL_COUNT = 1000  # and so many operations
FRAMES = 500  # to a follower, in a call

CORES = {"compiled": "cython", "reference": "python"}
PROBES = {"compiled": _probe.Probe, "reference": reference_probe.Probe}


@pytest.fixture(params=CORES)
def core(request: pytest.FixtureRequest) -> str:
    """The core to measure."""
    return request.param


def make_probe(core: str) -> Any:
    """A parser, an empty store, a log."""
    return PROBES[core](SEED, VALUE_BYTES_MAX, 2)


def key(n: int) -> bytes:
    """The n-th key; they jump about as random ones do."""
    return b"key:%012d" % (n * 7919 % KEYS)


@cache
def filled(core: str) -> Any:
    """A probe with KEYS keys, used by all that don't change it. It has done growing, as a replica has soon."""
    probe = make_probe(core)
    probe.put([key(n) for n in range(KEYS)], VALUE)
    while probe.tidy():
        pass
    return probe


def requests(command: bytes, first: int, count: int) -> bytes:
    """So many SETs or GETs of keys from the first-th on."""
    rest = (VALUE,) if command == b"SET" else ()
    return b"".join(resp_request(command, key(n), *rest) for n in range(first, first + count))


def replies(command: bytes, count: int) -> bytes:
    """What these are answered."""
    return (b"+OK\r\n" if command == b"SET" else b"$%d\r\n%b\r\n" % (len(VALUE), VALUE)) * count


def operations(count: int) -> bytes:
    """So many SETs, as they stand in a value."""
    return b"".join(db_ops.op_encode(db_ops.OP_SET, 0, 0, [(key(n), VALUE)]) for n in range(count))


def count_for(size: int) -> int:
    """How many operations of this size a call does."""
    return min(CALL_COUNT, max(CALL_BYTES // size, 1))


def text(size: int) -> str:
    """A size for a title."""
    return f"{size} B" if size < 1024 else f"{size >> 10} KiB"


# --- the log
@pytest.mark.parametrize("size", [64, *SIZES[1:]], ids=text)
def test_xxh64(measure: Measure, core: str, size: int) -> None:
    data, count = b"x" * size, count_for(size)
    measure(f"XXH64, {text(size)}", core, count, count * size, make_probe(core).checksum, data, count)


@pytest.mark.parametrize("size", SIZES, ids=text)
def test_frame_encode(measure: Measure, core: str, size: int) -> None:
    payload, count = b"x" * size, count_for(size)
    total = count * (log_frame.HEADER_BYTES + size)
    measure(f"frame encode, {text(size)}", core, count, total, make_probe(core).encode_frames, payload, count)


@pytest.mark.parametrize("size", SIZES, ids=text)
def test_frame_verify(measure: Measure, core: str, size: int) -> None:
    count = count_for(size)
    frames = log_frame.frame_encode(SEED, log_frame.ACCEPT, 1, 1, payload=b"x" * size) * count
    verified = measure(
        f"frame verify, {text(size)}", core, count, len(frames), make_probe(core).verify_frames, frames
    )
    assert verified == count


@pytest.mark.parametrize("size", SIZES, ids=text)
def test_log_append(measure: Measure, core: str, size: int) -> None:
    frame, count = log_frame.frame_encode(SEED, log_frame.ACCEPT, 1, 1, payload=b"x" * size), count_for(size)
    append = make_probe(core).append
    measure(f"log append, {text(size)} frames to a group", core, count, count * len(frame), append, frame, count)


def test_acceptor_step(measure: Measure, core: str) -> None:
    count, size = CALL_COUNT, log_frame.HEADER_BYTES
    accepted = measure("acceptor step: ACCEPT to ACK", core, count, count * size, make_probe(core).accept, count)
    assert accepted == (count, count - 1, 2 * count)


@pytest.mark.parametrize("size", [1, 16, 1000])
def test_batch_seal(measure: Measure, core: str, size: int) -> None:
    data = operations(size)
    count = count_for(len(data))
    part = f"batch seal, {size} SET{'s' if size > 1 else ''}"
    measure(part, core, count, count * len(data), make_probe(core).seal, data, count)


# --- requests
@pytest.mark.parametrize("command", [b"SET", b"GET"], ids=bytes.decode)
def test_resp_parse(measure: Measure, core: str, command: bytes) -> None:
    data = requests(command, 0, CALL_COUNT)
    part = f"RESP parse to operation, {command.decode()}"
    assert measure(part, core, CALL_COUNT, len(data), make_probe(core).parse, data) == CALL_COUNT


def test_store_get(measure: Measure, core: str) -> None:
    keys = [key(n) for n in range(CALL_COUNT)]
    size = CALL_COUNT * len(VALUE)
    assert measure("store get", core, CALL_COUNT, size, filled(core).get, keys) == size


def test_store_put(measure: Measure, core: str) -> None:
    keys = [key(n) for n in range(CALL_COUNT)]
    measure("store put", core, CALL_COUNT, CALL_COUNT * len(VALUE), filled(core).put, keys, VALUE)


def test_apply(measure: Measure, core: str) -> None:
    body = operations(CALL_COUNT)
    value = log_frame.value_encode(SEED, TIME_MS, 0, CALL_COUNT, log_frame.OPERATIONS, body)
    part = "apply a value of SETs, no replies"
    assert measure(part, core, CALL_COUNT, len(value), filled(core).apply, value) == CALL_COUNT


@pytest.mark.parametrize("size", SIZES[:2], ids=text)
def test_reply(measure: Measure, core: str, size: int) -> None:
    count = count_for(size)
    total = count * len(b"$%d\r\n\r\n" % size) + count * size
    reply = make_probe(core).reply
    assert measure(f"reply encode, {text(size)}", core, count, total, reply, b"x" * size, count) == total


@pytest.mark.parametrize("command", [b"SET", b"GET"], ids=bytes.decode)
def test_parse_and_apply(measure: Measure, core: str, command: bytes) -> None:
    data = requests(command, 0, CALL_COUNT)
    part = f"{command.decode()}: parse, store, reply"
    assert measure(part, core, CALL_COUNT, len(data), filled(core).feed, data, TIME_MS) == replies(command, CALL_COUNT)


# --- a whole replica
class Alone:
    """A replica in this process, the only one of its cell or one of three; its disk is ready at once."""

    def __init__(self, core: str, me: int, replicas: int) -> None:
        self.now = 1_000_000
        self.replica = load_core(CORES[core]).Replica(Config(
            cell_id=SEED, replica=me, replicas=replicas, incarnation=1, seed=1, clients=["127.0.0.1:1"] * replicas,
            lease_us=600_000, lease_master_us=500_000, beat_us=20_000, boost_us=10**15, election_us=0,
            window=4, batch_bytes=1 << 20, value_bytes_max=VALUE_BYTES_MAX, wait_master_us=10**7,
            write_timeout_us=10**7, redirect=0,
        ))  # fmt: skip
        self.replica.start(self.now, TIME_MS)

    def turn(self) -> None:
        """A turn, then all of the disk's work."""
        replica = self.replica
        self.now += 10
        replica.turn(self.now, TIME_MS)
        while (group := replica.drain_disk()) is not None:
            position, data, _ = group
            replica.durable(position + len(data))

    def rule(self) -> None:
        """Until it is master; only alone in its cell."""
        while not self.replica.status()["serving"]:
            self.now += 100_000
            self.turn()

    def serve(self, pipelines: list[bytes]) -> bytes:
        """Each of these in a turn, on one connection; the replies."""
        replica, found = self.replica, []
        for data in pipelines:
            replica.clock(self.now, TIME_MS)
            replica.feed_client(1, data)
            self.turn()
            found += [replica.drain_client(conn) for conn in replica.drain_clients()]
        return b"".join(found)

    def follow(self, frames: bytes) -> bytes:
        """Frames of replica 1; what it is sent."""
        self.replica.clock(self.now, TIME_MS)
        assert self.replica.feed_peer(1, 0, frames)
        self.turn()
        return self.replica.drain_peer(1, 0)


@cache
def master(core: str) -> Alone:
    """The only replica of its cell, with KEYS keys and a client."""
    alone = Alone(core, 1, 1)
    alone.rule()
    alone.replica.open_client(1)
    alone.serve([requests(b"SET", first, CALL_COUNT) for first in range(0, KEYS, CALL_COUNT)])
    return alone


@pytest.mark.parametrize("depth", [1, 16, 64])
@pytest.mark.parametrize("command", [b"SET", b"GET"], ids=bytes.decode)
def test_whole_replica(measure: Measure, core: str, command: bytes, depth: int) -> None:
    count = 1024
    pipelines = [requests(command, first, depth) for first in range(0, count, depth)]
    size = sum(map(len, pipelines))
    part = f"whole replica, {command.decode()}, pipeline {depth}"
    assert measure(part, core, count, size, master(core).serve, pipelines) == replies(command, count)


def accepts(value: bytes) -> Iterator[tuple[bytes]]:
    """Frames of a reign of replica 1, FRAMES at a time; each says that those before are chosen."""
    number = 1 << 24 | 1 << 16 | 1
    for first in count_from(1, FRAMES):
        yield (
            b"".join(
                log_frame.frame_encode(SEED, log_frame.ACCEPT, 1, 1, number, at, mark=at - 1, sent=1, payload=value)
                for at in range(first, first + FRAMES)
            ),
        )


@pytest.mark.parametrize("size", [1, 16])
def test_follower(measure: Measure, core: str, size: int) -> None:
    follower = Alone(core, 2, 3)
    follower.replica.open_peer(1, 0)
    value = log_frame.value_encode(SEED, TIME_MS, 0, size, log_frame.OPERATIONS, operations(size))
    frames = accepts(value)
    part = f"follower: ACCEPT of {size} SET{'s' if size > 1 else ''} to ACK, applied"
    total = FRAMES * (log_frame.HEADER_BYTES + len(value))
    sent = measure(part, core, FRAMES, total, follower.follow, setup=lambda: next(frames))
    ack = log_frame.frame_decode(SEED, sent, 0, len(sent))
    assert ack.type == log_frame.ACK
    assert ack.instance == follower.replica.rows()[ROWS[ROW_ACCEPTOR_ACCEPT - 1]]
