"""The load generator: its buckets, what it sends and counts, and that a stall shows at a fixed rate."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bench import build, generator
from bench.generator import Load, Measured, measure
from bench.load import LoadError, Shape

ONE = Shape(1, 1)
STALL_S = 0.2


@contextmanager
def server(answer: Callable[[int, list[bytes]], bytes | None], piece: int = 1 << 20) -> Iterator[int]:
    """Answers each request by `answer(number, arguments)`, in pieces of so many bytes; None: hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, client.makefile("rb") as file:
            number = 0
            while line := file.readline():
                arguments = []
                for _ in range(int(line[1:])):
                    size = int(file.readline()[1:])
                    arguments.append(file.read(size + 2)[:-2])
                reply = answer(number, arguments)
                if reply is None:
                    return
                for at in range(0, len(reply), piece):
                    client.sendall(reply[at : at + piece])
                number += 1

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def ok(_number: int, _arguments: list[bytes]) -> bytes:
    return b"+OK\r\n"


# --- buckets


def test_every_latency_is_in_the_bucket_that_says_so() -> None:
    loadgen = build.module("loadgen")
    lowest = [int(low) for low in loadgen.lowest()]
    assert lowest == sorted(set(lowest))
    chooser = random.Random(4711)
    latencies = [chooser.getrandbits(chooser.randint(1, 64)) for _ in range(10_000)]
    latencies += [low + step for low in lowest[1:] for step in (-1, 0)] + [2**64 - 1]
    for latency in latencies:
        index = loadgen.bucket(latency)
        assert lowest[index] <= latency
        assert index + 1 == len(lowest) or latency < lowest[index + 1]


def test_percentiles_are_as_exact_as_said() -> None:
    loadgen = build.module("loadgen")
    lowest = loadgen.lowest()
    latencies = np.random.default_rng(4711).lognormal(13, 1.5, 20_001).astype(np.uint64)
    counts = np.zeros((2, len(lowest)), dtype=np.uint64)
    for latency in latencies:
        counts[0, loadgen.bucket(int(latency))] += 1
    found = Measured(lowest, counts, [int(latencies.max()), 0], 1.0, 0.0, 0, "", 0, 0, 0)
    for percent in (1, 50, 99, 99.9, 100):
        exact = np.percentile(latencies, percent, method="inverted_cdf") / 1e6
        assert found.percentile_ms(percent) == pytest.approx(exact, rel=generator.RELATIVE_ERROR)
    assert found.percentile_ms(50, slice(1, 2)) == 0.0


# --- coordinated omission


def test_a_stall_shows_at_a_fixed_rate() -> None:
    """A fifth of the requests were due in it, though the one connection could send only one of them."""
    stalled = []

    def answer(number: int, _arguments: list[bytes]) -> bytes:
        if number == 100:
            stalled.append(number)
            time.sleep(STALL_S)
        return b"+OK\r\n"

    with server(answer) as port:
        found = measure(port, Load(ONE, rate=500), 1.0)
    assert stalled == [100]
    assert found.percentile_ms(99) > STALL_S * 1000 * 0.9
    assert found.percentile_ms(90) > STALL_S * 1000 * 0.4
    assert found.answered == 500


def test_what_is_never_answered_counts_with_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "DRAIN_S", 0.1)
    with server(lambda number, _: b"+OK\r\n" if number < 10 else b"") as port:
        found = measure(port, Load(ONE, rate=400), 0.5)
    assert (found.answered, found.late, found.counts.sum()) == (10, 190, 200)
    assert found.percentile_ms(50) > 100  # due before 0.3 s, looked at after 0.6 s


# --- what is sent and counted


@pytest.mark.parametrize("rate", [0, 3000])
def test_requests_are_those_that_were_asked_for(rate: float) -> None:
    seen = []

    def answer(_number: int, arguments: list[bytes]) -> bytes:
        seen.append(arguments)
        return b"+OK\r\n" if arguments[0] == b"SET" else b"$-1\r\n"

    load = Load(Shape(3, 5), read_share=0.5, value_bytes=7, keys=10, rate=rate)
    with server(answer) as port:
        found = measure(port, load, 0.2)
    assert found.answered == len(seen) and len(seen) % 5 == 0
    if rate:
        assert len(seen) == 600
    writes, reads = ([one for one in seen if one[0] == name] for name in (b"SET", b"GET"))
    assert [int(row.sum()) for row in found.counts] == [len(writes), len(reads)]
    assert found.misses == len(reads)
    assert {one[2] for one in writes} == {b"x" * 7}
    assert {one[1] for one in seen} <= {b"key:%012d" % n for n in range(10)}
    assert len({one[1] for one in seen}) > 1 and writes and reads


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_replies_may_come_in_pieces(piece: int) -> None:
    replies = [b"$5\r\na\r\nbc\r\n", b"$0\r\n\r\n", b"$-1\r\n", b":12\r\n", b"_\r\n", b"+OK\r\n"]
    with server(lambda number, _: replies[number % 6], piece) as port:
        found = measure(port, Load(Shape(1, 6), read_share=1.0, rate=600), 0.1)
    assert (found.answered, found.misses, found.errors, found.lost) == (60, 20, 0, 0)


def test_errors_are_counted_and_not_timed() -> None:
    with server(lambda number, _: b"-MOVED 1 a:1\r\n" if number % 4 == 1 else b"+OK\r\n") as port:
        found = measure(port, Load(Shape(1, 4), rate=400), 0.1)
    assert (found.answered, found.errors, found.first_error) == (30, 10, "-MOVED 1 a:1")


def test_a_lost_connection_is_counted() -> None:
    with server(lambda number, _: b"+OK\r\n" if number < 3 else None) as port:
        found = measure(port, Load(Shape(2, 1)), 0.2)
    assert (found.answered, found.late, found.lost) == (6, 2, 2)


def test_what_nobody_asked_for_ends_the_connection() -> None:
    with server(lambda number, _: b"+OK\r\n+OK\r\n" if number == 3 else b"+OK\r\n") as port:
        found = measure(port, Load(ONE), 0.2)
    assert (found.answered, found.lost) == (4, 1)


@pytest.mark.parametrize(("acknowledged", "errors"), [(2, 0), (1, 40)])
def test_a_burst_counts_when_enough_replicas_have_it(acknowledged: int, errors: int) -> None:
    asked = []

    def answer(_number: int, arguments: list[bytes]) -> bytes:
        asked.append(arguments[0])
        return b"+OK\r\n" if arguments[0] == b"SET" else b":%d\r\n" % (acknowledged if len(asked) > 5 else 2)

    with server(answer) as port:
        found = measure(port, Load(Shape(1, 4), rate=440, wait_replicas=2), 0.1)
    assert asked == [b"SET", b"SET", b"SET", b"SET", b"WAIT"] * 11
    assert (found.answered, found.errors) == (44 - errors, errors)


# --- mistakes


def test_who_can_not_be_loaded_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(LoadError, match=f"127.0.0.1:{port}: Connection refused"):
        measure(port, Load(ONE), 0.1)
    with server(lambda *_: b"-ERR no\r\n") as port, pytest.raises(LoadError, match="answered: -ERR no$"):
        measure(port, Load(ONE), 0.1)
    with pytest.raises(LoadError, match="MiB of buffers"):
        measure(port, Load(Shape(1000, 1000), value_bytes=8 << 20), 0.1)


def test_a_module_is_compiled_once_and_a_mistake_in_it_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "__file__", str(tmp_path / "build.py"))
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    source = tmp_path / "fpl_sample.pyx"
    source.write_text("def two():\n    return 2\n")
    assert build.module("fpl_sample").two() == 2
    (made,) = (tmp_path / "build/bench-extensions").iterdir()
    before = made.stat().st_mtime_ns
    build.module.cache_clear()
    assert build.module("fpl_sample").two() == 2
    assert made.stat().st_mtime_ns == before
    source.write_text("def two(:\n")
    build.module.cache_clear()
    with pytest.raises(build.BuildError, match=r"fpl_sample.pyx does not compile: \S*fpl_sample.pyx:1:8: ") as error:
        build.module("fpl_sample")
    assert "\n" not in str(error.value)
