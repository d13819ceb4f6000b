"""Both cores, fed the same requests, say the same and end in the same state."""

from pathlib import Path
from random import Random
from re import MULTILINE, findall

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.differential.resp_requests import INTEGERS, KEYS, OPTIONS, VALUES, request, wild

from fastpaxos_live import _probe
from fastpaxos_live.reference import db_ops, resp_fast, resp_parse
from fastpaxos_live.reference import probe as reference_probe

CORE = Path(__file__).parents[2] / "src/fastpaxos_live/core"
VALUE_BYTES_MAX = 4000  # some of VALUES are larger
TIME_MS = 1_700_000_000_000

NAMES = st.sampled_from([*resp_fast.COMMANDS, b"nosuch", b"fpl.x"]).flatmap(
    lambda name: st.sampled_from([name, name.lower()])
)
ARGUMENTS = st.sampled_from(KEYS + VALUES + INTEGERS + OPTIONS) | st.binary(max_size=8)
REQUESTS = st.builds(
    lambda name, args: request(name, *args), NAMES, st.lists(ARGUMENTS, max_size=6)
)
LINES = st.text("abc \"'\\xnrt0\0\t\v\r", max_size=30).map(lambda text: text.encode() + b"\n")
GARBAGE = st.binary(max_size=12) | st.sampled_from(
    [
        b"*2\r\n$4\r\n",
        b"*1\r\n$5000\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"\r\n",
        b"$1\r\n",
        b"*1048577\r\n",
        b"*1\r\n$x\r\n",
    ]
)
STREAMS = st.lists(st.one_of(REQUESTS, REQUESTS, REQUESTS, LINES, GARBAGE), max_size=20).map(
    b"".join
)
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=8)
STEPS = st.lists(st.sampled_from([0, 0, 1, 999, 100_000]), min_size=1, max_size=8)


def pair(resp: int):
    return reference_probe.Probe(7, VALUE_BYTES_MAX, resp), _probe.Probe(7, VALUE_BYTES_MAX, resp)


def feed_both(probes, data: bytes, cuts: list[int], steps: list[int]) -> None:
    reference, compiled = probes
    time_ms = TIME_MS
    at = i = 0
    while at < len(data):
        part = data[at : at + cuts[i % len(cuts)]]
        at += len(part)
        time_ms += steps[i % len(steps)]
        i += 1
        assert compiled.feed(part, time_ms) == reference.feed(part, time_ms), part
        assert compiled.state() == reference.state(), part
        assert compiled.waiting() == reference.waiting(), part


@settings(deadline=None)
@given(STREAMS, st.sampled_from([2, 3]), CUTS, STEPS)
def test_any_stream(data: bytes, resp: int, cuts: list[int], steps: list[int]) -> None:
    feed_both(pair(resp), data, cuts, steps)


@settings(deadline=None)
@given(STREAMS, CUTS)
def test_replies_do_not_depend_on_where_the_stream_is_cut(data: bytes, cuts: list[int]) -> None:
    for whole, pieces in zip(pair(2), pair(2), strict=True):
        expected = whole.feed(data, TIME_MS)
        replies = b""
        at = i = 0
        while at < len(data):
            replies += pieces.feed(data[at : at + cuts[i % len(cuts)]], TIME_MS)
            at += cuts[i % len(cuts)]
            i += 1
        assert replies == expected
        assert pieces.state() == whole.state()


@pytest.mark.parametrize("seed", range(8))
def test_long_streams(seed: int) -> None:
    random = Random(seed)
    data = b"".join(request(*wild(random)) for _ in range(2000))
    cuts = [random.choice([1, 7, 100, 5000]) for _ in range(50)]
    feed_both(
        pair(2 + seed % 2), data, cuts, [random.choice([0, 0, 1, 500, 100_000]) for _ in range(50)]
    )


@pytest.mark.parametrize("seed", range(4))
def test_bytes_gone_wrong(seed: int) -> None:
    random = Random(seed)
    for _ in range(200):
        data = bytearray(b"".join(request(*wild(random)) for _ in range(10)))
        for _ in range(random.randrange(1, 4)):
            data[random.randrange(len(data))] = random.choice(
                [*b"*$\r\n09-", random.randrange(256)]
            )
        feed_both(pair(2), bytes(data), [random.choice([1, 10, 1000])], [0])


@settings(deadline=None)
@given(NAMES, st.lists(ARGUMENTS, max_size=6), st.sampled_from([2, 3]))
def test_operations(name: bytes, args: list[bytes], resp: int) -> None:
    reference, compiled = pair(resp)
    kind, operation = reference.encode(request(name, *args))
    assert compiled.encode(request(name, *args)) == (kind, operation)
    if kind == resp_fast.READ:
        setup = request(b"SET", args[0] if args else b"a", b"1", b"PXAT", b"5000")
        for probe in (reference, compiled):
            probe.feed(setup, 1)
        for clock_ms in (1, 4999, 5000):
            assert compiled.is_due(operation, clock_ms) == reference.is_due(operation, clock_ms)
    if kind in (resp_fast.READ, resp_fast.WRITE):
        assert compiled.slot(operation) == reference.slot(operation)


@settings(deadline=None)
@given(
    st.sampled_from([*range(30), 255]),
    st.integers(0, 255),
    st.sampled_from([1, -1, 2**63 - 1, -(2**63)]),
    st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), min_size=1, max_size=3),
)
def test_any_operation(opcode: int, flags: int, arg: int, items: list[tuple[bytes, bytes]]) -> None:
    """Also those that no request leads to: a newer replica may have proposed them."""
    operation = db_ops.op_encode(
        opcode, flags, abs(arg) % 2**63 or 1 if opcode == db_ops.OP_TTL else arg, items
    )
    reference, compiled = pair(2)
    for probe in (reference, compiled):
        probe.feed(request(b"SET", items[0][0], b"5", b"PX", b"1000"), TIME_MS)
    for time_ms in (TIME_MS, 2**63, 2**64 - 1):
        assert compiled.run(operation, time_ms) == reference.run(operation, time_ms)
        assert compiled.state() == reference.state()


def constants(name: str) -> dict[str, int]:
    lines = findall(
        r"^    ([A-Z_]+) = ([0-9<> ]+?) *(?:#.*)?$", (CORE / name).read_text(), MULTILINE
    )
    return {constant: eval(value) for constant, value in lines}


def test_constants() -> None:
    reference = {
        name: value
        for name, value in vars(db_ops).items()
        if name.startswith(("OP_", "FLAG_", "MISTAKE_")) or name in ("ITEM_BYTES", "REPLY_BYTES_MAX")
    }
    assert constants("db_ops.pxi") == reference
    states = constants("resp_parse.pyx")
    for name in ("MORE", "REQUEST", "TOO_LARGE", "BROKEN"):
        assert states[f"RESP_{name}"] == getattr(resp_parse, name)
    kinds = constants("resp_fast.pyx")
    for name in ("READ", "WRITE", "REPLY", "CALL"):
        assert kinds[f"RESP_{name}"] == getattr(resp_fast, name)
    for name in ("NAME_BYTES_MAX", "SHOWN_BYTES_MAX"):
        assert kinds[name] == getattr(resp_fast, name)


def test_command_tables() -> None:
    rows = findall(r'resp_command\(b"(\w+)", (-?\d+),', (CORE / "resp_fast.pyx").read_text())
    assert {name.encode(): int(arity) for name, arity in rows} == {
        name: row.arity for name, row in resp_fast.COMMANDS.items()
    }
    reference, compiled = pair(2)
    for name in resp_fast.COMMANDS:
        for count in range(7):
            data = request(name, *[b"5"] * count)
            assert compiled.encode(data) == reference.encode(data), data
