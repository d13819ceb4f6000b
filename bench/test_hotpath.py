"""The hot path in small, for both cores, with pytest-benchmark: `pytest bench`.

Times are of one core without sockets, disk or agreement: they say what the code costs, never what
a cell serves.
"""

from typing import Any

import pytest

from fastpaxos_live import _core
from fastpaxos_live.reference import log_frame, probe
from fastpaxos_live.testing import request

SEED = 4711
VALUE_BYTES_MAX = 8 << 20
TIME_MS = 1_700_000_000_000
REQUESTS = 1000
KEYS = 100_000

PROBES = {"cython": _core.Probe, "python": probe.Probe}


@pytest.fixture(params=PROBES)
def core(request: pytest.FixtureRequest) -> Any:
    """A parser and a store, with KEYS keys of 100 bytes."""
    core = PROBES[request.param](SEED, VALUE_BYTES_MAX, 2)
    core.feed(requests("SET", KEYS, b"x" * 100), TIME_MS)
    return core


def requests(command: str, count: int, *rest: bytes) -> bytes:
    """That many requests, whose keys jump about as random ones do."""
    return b"".join(request(command.encode(), b"key:%012d" % (n * 7919 % KEYS), *rest) for n in range(count))


@pytest.mark.parametrize("command", ["SET", "GET"])
def test_parse_and_apply(benchmark: Any, core: Any, command: str) -> None:
    benchmark.extra_info["requests"] = REQUESTS
    rest = (b"y" * 100,) if command == "SET" else ()
    data = requests(command, REQUESTS, *rest)
    replies = benchmark(core.feed, data, TIME_MS)
    expected = b"+OK\r\n" if command == "SET" else b"$100\r\n" + b"x" * 100 + b"\r\n"
    assert replies == expected * REQUESTS


@pytest.mark.parametrize("size", [100, 4096, 1 << 20])
def test_encode_a_frame(benchmark: Any, size: int) -> None:
    payload = b"x" * size
    frame = benchmark(log_frame.frame_encode, SEED, log_frame.ACCEPT, 1, 1, payload=payload)
    assert len(frame) == log_frame.HEADER_BYTES + size


@pytest.mark.parametrize("size", [100, 4096, 1 << 20])
def test_verify_a_frame(benchmark: Any, size: int) -> None:
    payload = b"x" * size
    frame = log_frame.frame_encode(SEED, log_frame.ACCEPT, 1, 1, payload=payload)
    decoded = benchmark(log_frame.frame_decode, SEED, frame, 0, len(frame))
    assert decoded.payload == payload
