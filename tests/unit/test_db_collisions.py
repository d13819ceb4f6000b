"""Keys whose hashes are equal: XXH64 withstands nobody who chooses keys, whatever the seed of the table.

In each lane of a stripe two words are multiplied and added up, one after the other: what is added to the first can be
taken back by the second, for about half of all seeds. Each lane of each stripe is such a switch, one by one.
"""

from collections import defaultdict
from itertools import product
from random import Random
from typing import Any

import pytest
from xxhash import xxh64_intdigest

from fastpaxos_live import _probe
from fastpaxos_live.reference import log_frame
from fastpaxos_live.reference import probe as reference_probe
from fastpaxos_live.reference.db_ops import FLAG_ABSOLUTE, OP_DEL, OP_SET, op_encode

PRIME_2 = 0xC2B2AE3D27D4EB4F
INVERSE = pow(PRIME_2, -1, 1 << 64)
WORD = (1 << 64) - 1
SEED = 3
T = 1_000_000


def switched(word: int, added: int) -> int:
    return (word * PRIME_2 + added & WORD) * INVERSE & WORD


def colliding_keys(stripes: int, least: int) -> list[bytes]:
    """At least so many of one hash, each of 64 bytes a stripe."""
    for begin in range(1000):
        words = [[Random(f"{begin} {at}").getrandbits(64) + i & WORD for i in range(8)] for at in range(stripes)]
        found = defaultdict(list)
        for on in product((False, True), repeat=4 * stripes):
            key = b""
            for at, stripe in enumerate(words):
                low, high = stripe[:4], stripe[4:]
                for lane in range(4):
                    if on[4 * at + lane]:
                        low[lane], high[lane] = switched(low[lane], 1 << 32), switched(high[lane], 1 << 63)
                key += b"".join(word.to_bytes(8, "little") for word in low + high)
            found[xxh64_intdigest(key, SEED)].append(key)
        most = max(found.values(), key=len)
        if len(most) >= least:
            return most
    raise AssertionError("no keys of one hash were found")


def apply(probe: Any, time_ms: int, *operations: bytes) -> None:
    body = b"".join(operations)
    probe.apply(log_frame.value_encode(SEED, time_ms, 0, len(operations), log_frame.OPERATIONS, body))


def put(key: bytes, value: bytes = b"", deadline_ms: int = T) -> bytes:
    return op_encode(OP_SET, FLAG_ABSOLUTE, deadline_ms, [(key, value)])


@pytest.mark.parametrize("order", range(4))
def test_any_number_of_equal_deadlines(order: int) -> None:
    keys = colliding_keys(3, 100)
    Random(order).shuffle(keys)
    compiled, reference = (make(SEED, 1000, 2) for make in (_probe.Probe, reference_probe.Probe))
    for probe in (compiled, reference):
        for key in keys:
            apply(probe, 1, put(key, key))
        for key in keys[::3]:
            apply(probe, 1, op_encode(OP_DEL, 0, 0, [(key, b"")]))
        for key in keys[::2]:
            apply(probe, 1, put(key, b"", T + 1))
        compiled.check()
    assert compiled.state() == reference.state()
    for probe in (compiled, reference):
        apply(probe, T)
    compiled.check()
    assert compiled.state() == reference.state()


@pytest.mark.parametrize("trial", range(12))
def test_the_order_of_removal_does_not_depend_on_where_a_key_lies(trial: int) -> None:
    """One of the compiled stores has nothing left to do after each value, the other one does it with new keys only."""
    random = Random(trial)
    pair = colliding_keys(1, 2)[:2]
    random.shuffle(pair)
    busy, idle, reference = (make(SEED, 1000, 2) for make in (_probe.Probe, _probe.Probe, reference_probe.Probe))
    count = random.randrange(5, 60)
    at = random.randrange(count)
    for probe in (busy, idle, reference):
        for i in range(count):
            apply(probe, 1, put(b"%d" % i, b"x", T + 9))
            if i == at:
                apply(probe, 1, put(pair[0], b"first"))
            if i == min(count - 1, at + 3):
                apply(probe, 1, put(pair[1], b"second"))
            while probe is idle and probe.tidy():
                pass
        # So many others are due before that the limit of one value lies between the two.
        apply(probe, 1, *[put(b"before %d" % i, b"", T - 1) for i in range(1023)])
        while probe is idle and probe.tidy():
            pass
        apply(probe, T)
    assert busy.state() == idle.state() == reference.state()
