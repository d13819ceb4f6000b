"""The steps that benchmarks time do the same in both cores, and what their names say."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.differential.resp_requests import request
from xxhash import xxh64_intdigest

from fastpaxos_live import _probe
from fastpaxos_live.reference import log_frame
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.db_ops import OP_DEL, OP_SET, op_encode
from fastpaxos_live.reference.limits import GROUP_ALIGN

SEED = 7
BYTES = st.binary(max_size=200)
COUNTS = st.integers(0, 9)
KEYS = st.lists(st.sampled_from([b"a", b"b", b"cc", b""]), max_size=6)


def both() -> list[Any]:
    return [reference_probe.Probe(SEED, 1000, 2), _probe.Probe(SEED, 1000, 2)]


def same(name: str, *args: object) -> Any:
    """What both say, which must be one thing."""
    reference, compiled = (getattr(probe, name)(*args) for probe in both())
    assert reference == compiled
    return reference


def frame(payload: bytes, instance: int = 1) -> bytes:
    return log_frame.frame_encode(SEED, log_frame.ACCEPT, 1, 1, instance=instance, payload=payload)


def value(operations: list[bytes], time_ms: int = 5) -> bytes:
    return log_frame.value_encode(SEED, time_ms, 0, len(operations), log_frame.OPERATIONS, b"".join(operations))


@settings(deadline=None)
@given(BYTES, COUNTS)
def test_sums_of_checksums(data: bytes, count: int) -> None:
    mask = (1 << 64) - 1
    assert same("checksum", data, count) == sum(xxh64_intdigest(data, seed) for seed in range(count)) & mask
    sums = [int.from_bytes(frame(data, instance)[:8], "little") for instance in range(1, count + 1)]
    assert same("encode_frames", data, count) == sum(sums) & mask
    same("seal", data, count)


@settings(deadline=None)
@given(st.lists(BYTES, max_size=5), BYTES, st.integers(0, 10_000), st.integers(1, 255))
def test_frames_are_counted_up_to_the_first_bad_one(
    payloads: list[bytes], after: bytes, place: int, damage: int
) -> None:
    data = b"".join(map(frame, payloads))
    assert same("verify_frames", data) == len(payloads)
    same("verify_frames", data + after)
    if data:
        bad = bytearray(data)
        bad[place % len(data)] ^= damage
        assert same("verify_frames", bytes(bad)) < len(payloads)
        assert same("verify_frames", data[:-1]) == len(payloads) - 1


@settings(deadline=None)
@given(st.lists(st.tuples(BYTES, COUNTS), max_size=4))
def test_groups_are_as_long_as_their_frames(groups: list[tuple[bytes, int]]) -> None:
    probes = both()
    end = 0
    for payload, count in groups:
        size = count * len(frame(payload))
        end += log_frame.HEADER_BYTES + size + -size % GROUP_ALIGN if size else 0
        assert [probe.append(frame(payload), count) for probe in probes] == [end, end]


@settings(deadline=None)
@given(st.integers(0, 300))
def test_an_acceptor_stores_and_answers_each_accept(count: int) -> None:
    assert same("accept", count) == (count, max(count - 1, 0), 2 * count)


@settings(deadline=None)
@given(KEYS, KEYS, BYTES)
def test_the_store_gives_what_was_put(keys: list[bytes], others: list[bytes], data: bytes) -> None:
    probes = both()
    for probe in probes:
        probe.put(keys, data)
    assert [probe.get(others) for probe in probes] == [len(data) * sum(key in keys for key in others)] * 2
    reference, compiled = probes
    assert reference.state() == compiled.state()


@settings(deadline=None)
@given(KEYS, KEYS)
def test_a_value_is_applied(keys: list[bytes], gone: list[bytes]) -> None:
    operations = [op_encode(OP_SET, 0, 0, [(key, b"1")]) for key in keys]
    operations += [op_encode(OP_DEL, 0, 0, [(key, b"")]) for key in gone]
    probes = both()
    assert [probe.apply(value(operations)) for probe in probes] == [len(operations)] * 2
    reference, compiled = probes
    assert reference.state() == compiled.state()
    assert compiled.state()[0] == len(set(keys) - set(gone))


@settings(deadline=None)
@given(BYTES, COUNTS)
def test_bytes_of_replies(data: bytes, count: int) -> None:
    assert same("reply", data, count) == count * len(b"$%d\r\n%b\r\n" % (len(data), data))


@settings(deadline=None)
@given(st.lists(st.lists(BYTES, min_size=1, max_size=4), max_size=5), st.integers(1, 50))
def test_requests_are_counted(requests: list[list[bytes]], cut: int) -> None:
    data = b"".join(request(*args) for args in requests)
    assert same("parse", data) == len(requests)
    assert same("parse", data[:-cut]) <= max(len(requests) - 1, 0)


@pytest.mark.parametrize("core", range(2), ids=["reference", "compiled"])
def test_a_step_leaves_the_stream_of_requests_alone(core: int) -> None:
    probe = both()[core]
    assert probe.feed(b"*2\r\n$3\r\nGET\r\n", 1) == b""
    probe.parse(request(b"GET", b"a"))
    probe.reply(b"x", 2)
    assert probe.feed(b"$1\r\na\r\n", 1) == b"$-1\r\n"
