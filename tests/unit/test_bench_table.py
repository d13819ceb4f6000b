"""What bench's table1 and sweep make of figures."""

from typing import Any

import pytest
from bench import choice, paper, writes
from bench.load import LoadError
from bench.measuring import steady

PRINTED = """\
====== SET ======
  2000 requests completed in 0.10 seconds

Latency by percentile distribution:
0.000% <= 0.087 milliseconds (cumulative count 1)
99.805% <= 5.791 milliseconds (cumulative count 1996)
99.902% <= 7.095 milliseconds (cumulative count 1998)
100.000% <= 11.215 milliseconds (cumulative count 2000)

Cumulative distribution of latencies:
0.005% <= 0.103 milliseconds (cumulative count 1)
100.000% <= 12.103 milliseconds (cumulative count 2000)

Summary:
  throughput summary: 27662.52 requests per second
  latency summary (msec):
          avg       min       p50       p95       p99       max
        0.549     0.080     0.359     2.807     4.399    11.215
"""


def test_figures_of_redis_benchmark() -> None:
    assert writes.parse(PRINTED) == {
        "rps": 27662.52, "mean_ms": 0.549, "p50_ms": 0.359, "p99_ms": 4.399, "p999_ms": 7.095
    }  # fmt: skip
    with pytest.raises(LoadError, match="printed no figures"):
        writes.parse("nothing")


def test_units_of_the_paper() -> None:
    line = paper.Line(4, 8192, "KB/s", 800, 200)
    assert line.operations(800) == 100
    assert line.figure(100) == 800
    assert line.mean_ms == 40
    assert paper.TABLE_1[0].operations(91) == 91


def row(batch: int, rps: list[float], p99: list[float], clients: int = 1, fsync: str = "always") -> dict[str, Any]:
    return {
        "batch_bytes": batch, "window": 1, "fsync": fsync, "value_bytes": 5, "clients": clients, "depth": 1,
        "rps": sorted(rps)[1], "p99_ms": sorted(p99)[1], "rps_of_rounds": rps, "p99_ms_of_rounds": p99,
    }  # fmt: skip


def test_near_the_best_throughput_the_latency_decides() -> None:
    rows = [
        row(1, [99, 100, 101], [4, 4, 4]),
        row(2, [96, 96, 97], [2, 2, 2]),
        row(3, [80, 80, 81], [1, 1, 1]),
    ]
    (found,) = choice.choose(rows, (1, 1))
    assert (found.chosen.batch_bytes, found.near, found.settings) == (2, 2, 3)
    assert found.chosen.throughput == pytest.approx(0.96)
    assert found.chosen.p99 == pytest.approx(2)
    assert not found.keep_default
    assert "worth a change" in found.why


def test_each_load_counts_alike() -> None:
    rows = [
        row(1, [10, 10, 10], [1, 1, 1], clients=1),
        row(1, [900, 900, 900], [1, 1, 1], clients=50),
        row(2, [5, 5, 5], [1, 1, 1], clients=1),
        row(2, [1000, 1000, 1000], [1, 1, 1], clients=50),
    ]
    (found,) = choice.choose(rows, (2, 1))
    assert found.chosen.batch_bytes == 1
    assert (found.chosen.worst, found.chosen.worst_load) == (0.9, "50x1 of 5 B")


def test_the_default_stays_when_the_rounds_differ_by_more() -> None:
    rows = [row(1, [80, 100, 120], [1, 2, 3]), row(2, [90, 101, 125], [1, 1.9, 3])]
    (found,) = choice.choose(rows, (1, 1))
    assert found.chosen.batch_bytes == 2
    assert found.keep_default
    assert "keep it" in found.why


def test_each_policy_has_a_choice_of_its_own() -> None:
    rows = [
        row(1, [100, 100, 100], [1, 1, 1], fsync="always"),
        row(2, [50, 50, 50], [1, 1, 1], fsync="always"),
        row(1, [100, 100, 100], [1, 1, 1], fsync="never"),
        row(2, [200, 200, 200], [1, 1, 1], fsync="never"),
    ]
    found = choice.choose(rows, (9, 1))
    assert [(each.fsync, each.chosen.batch_bytes) for each in found] == [("always", 1), ("never", 2)]
    assert "was not measured" in found[0].why


def test_noise_of_a_single_round_is_unknown() -> None:
    rows = [row(1, [1, 1, 1], [1, 1, 1]), row(2, [2, 2, 2], [1, 1, 1])]
    for each in rows:
        each["rps_of_rounds"] = each["rps_of_rounds"][:1]
    (found,) = choice.choose(rows, (1, 1))
    assert not found.keep_default
    assert "unknown after a single round" in found.why


def test_a_measurement_is_repeated_when_the_master_changes() -> None:
    ports = iter([1, 2, 2, 2, 2])
    asked = []

    def measure(port: int) -> int:
        asked.append(port)
        if len(asked) == 2:
            raise LoadError("redis-benchmark: Error from server: TRYAGAIN the master changed")
        return port

    # 1 became 2 meanwhile; 2 then says that it is none; at last it stays.
    assert steady("cell", lambda: next(ports), measure) == 2
    assert asked == [1, 2, 2]


def test_other_errors_end_a_measurement() -> None:
    def measure(port: int) -> int:
        raise LoadError("not done after 60 s")

    with pytest.raises(LoadError, match="not done"):
        steady("cell", lambda: 1, measure)


def test_a_master_that_never_stays_is_an_error() -> None:
    ports = iter(range(100))
    with pytest.raises(LoadError, match="cell: the master changed in each"):
        steady("cell", lambda: next(ports), lambda port: port)
