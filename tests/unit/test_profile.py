"""The profile's buckets and the difference of two readings."""

import numpy as np
import pytest

from fastpaxos_live.cli.profile import MEASURES, distributions
from fastpaxos_live.server import _edge
from fastpaxos_live.server.profile import BUCKETS, bounds, difference, parts, quantile


def test_buckets_are_those_of_the_bounds() -> None:
    generator = np.random.default_rng(1)
    values = [*range(300), *(1 << power for power in range(64)), *((1 << power) - 1 for power in range(1, 65))]
    values += [int(value) for value in generator.integers(0, 1 << 40, 1000)]
    expected = np.searchsorted(bounds(), np.array(values, dtype=np.uint64), side="right") - 1
    assert [_edge.bucket_of(value) for value in values] == expected.tolist()
    assert max(expected) == BUCKETS - 1


def test_a_quantile_is_at_most_an_eighth_below_the_exact_one() -> None:
    values = np.sort(np.random.default_rng(2).integers(1, 1_000_000, 999))
    counts = np.bincount([_edge.bucket_of(int(value)) for value in values], minlength=BUCKETS)
    for share in (0.5, 0.99):
        exact = values[int(np.ceil(share * len(values))) - 1]
        found = quantile(counts, share)
        assert found is not None and exact * 7 / 8 <= found <= exact
    assert quantile(np.zeros(BUCKETS, int), 0.5) is None


def histogram(values: list[int]) -> dict:
    buckets = np.bincount([_edge.bucket_of(value) for value in values], minlength=BUCKETS)
    return {"sum": sum(values), "buckets": buckets.tolist()}


def reading(time_ns: int, rounds: int, operations: int, idle: int, turn: int) -> dict:
    return {
        "replica": "r1",
        "time_ns": time_ns,
        "rounds": rounds,
        "operations": operations,
        "stages_ns": {"idle": idle, "turn": turn},
        "closely_ns": {"idle": {"stage": 0, "parts": {}}, "turn": {"stage": 0, "parts": {}}},
        "calls": {"recv": rounds},
        "bytes": {"recv": 10 * rounds},
        "writer": {"groups": rounds, "bytes": 0, "wait_us": 0, "write_us": 0},
        "histograms": {name: histogram([7] * rounds) for name in MEASURES},
    }


def test_a_difference_is_of_what_happened_between() -> None:
    found = difference(reading(1000, 1, 5, 10, 100), reading(3000, 3, 25, 1510, 600))
    assert (found["rounds"], found["operations"], found["calls"]["recv"]) == (2, 20, 2)
    assert found["busy_share"] == pytest.approx(500 / 2000)
    idle, turn = found["stages"]
    assert idle["share"] == pytest.approx(0.75)
    assert (turn["us_per_round"], turn["ns_per_operation"]) == (0.25, 25)
    assert found["distributions"] == {name: {"count": 2, "mean": 7, "p50": 7, "p99": 7} for name in MEASURES}


def test_parts_are_shares_of_what_was_looked_at() -> None:
    first, second = reading(0, 0, 0, 0, 1000), reading(10_000, 10, 100, 0, 5000)
    first["closely_ns"]["turn"] = {"stage": 100, "parts": {"recv": 60}}
    second["closely_ns"]["turn"] = {"stage": 300, "parts": {"recv": 110, "apply": 50}}
    idle, turn = difference(first, second)["stages"]
    assert idle["parts"] == []
    assert [part["part"] for part in turn["parts"]] == ["recv", "apply"]
    for part in turn["parts"]:
        # 50 of 200 ns, so a quarter of the stage's 4000 ns.
        assert (part["share"], part["us_per_round"], part["ns_per_operation"]) == pytest.approx((0.1, 0.1, 10))


def test_a_part_that_did_not_happen_between_is_left_out() -> None:
    reading = {"stage": 100, "parts": {"recv": 60}}
    assert parts(reading, reading) == {}
    assert parts(reading, {"stage": 150, "parts": {"recv": 60}}) == {}


def test_a_distribution_is_of_the_values_between() -> None:
    before, between = [5, 900], [*range(100, 200)]
    first, second = reading(0, 0, 0, 0, 0), reading(1, 0, 0, 0, 0)
    first["histograms"]["chosen_us"] = histogram(before)
    second["histograms"]["chosen_us"] = histogram(before + between)
    found = difference(first, second)["distributions"]["chosen_us"]
    assert (found["count"], found["mean"]) == (100, pytest.approx(np.mean(between)))
    assert 149 * 7 / 8 <= found["p50"] <= 149 and 198 * 7 / 8 <= found["p99"] <= 198


def test_only_what_was_counted_has_a_row() -> None:
    first, second = reading(0, 1, 0, 0, 0), reading(1, 1, 0, 0, 0)
    assert distributions(difference(first, second)).row_count == 0
    second["histograms"]["durable_us"] = histogram([7, 9])
    assert distributions(difference(first, second)).row_count == 1


def test_all_measures_of_the_edge_are_shown() -> None:
    assert _edge.MEASURE_NAMES == tuple(MEASURES)


def test_without_rounds_nothing_is_divided() -> None:
    found = difference(reading(0, 1, 5, 0, 0), reading(10, 1, 5, 10, 0))
    assert found["stages"][1]["us_per_round"] is None and found["stages"][1]["ns_per_operation"] is None
    assert found["distributions"]["chosen_us"] == {"count": 0, "mean": None, "p50": None, "p99": None}
