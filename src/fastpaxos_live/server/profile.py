"""Reads the edge's counters: the difference of two readings, and latencies from its buckets."""

from typing import Any

import numpy as np

LINEAR = 8  # buckets for each power of two; below it every value has its own
BUCKETS = 496
WAITING = ("idle", "outside")  # stages in which the loop waits, or Python's event loop has its turn
WRITER = ("groups", "bytes", "wait_us", "write_us")


def bounds() -> np.ndarray:
    """The least value of each bucket."""
    buckets = np.arange(BUCKETS, dtype=np.uint64)
    high = np.maximum(buckets // LINEAR, np.uint64(1)) - np.uint64(1)
    return np.where(buckets < LINEAR, buckets, (buckets % LINEAR + np.uint64(LINEAR)) << high)


def quantile(counts: np.ndarray, share: float) -> int | None:
    """The least value of the bucket in which that share of all values is reached; None of none."""
    total = int(counts.sum())
    if not total:
        return None
    return int(bounds()[np.searchsorted(np.cumsum(counts), share * total)])


def distribution(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Number, mean and two quantiles of the values that a histogram took in between two readings of it."""
    counts = np.array(second["buckets"]) - np.array(first["buckets"])
    count = int(counts.sum())
    return {
        "count": count,
        "mean": (second["sum"] - first["sum"]) / count if count else None,
        "p50": quantile(counts, 0.5),
        "p99": quantile(counts, 0.99),
    }


def parts(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float]:
    """The share of each part in its stage, as found in the rounds that were looked at between two readings."""
    stage_ns = second["stage"] - first["stage"]
    spent = {name: ns - first["parts"].get(name, 0) for name, ns in second["parts"].items()}
    return {name: ns / stage_ns for name, ns in spent.items() if ns}


def difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What happened between two readings of one replica's /profile."""
    elapsed_ns = second["time_ns"] - first["time_ns"]
    rounds = second["rounds"] - first["rounds"]
    operations = second["operations"] - first["operations"]
    stages = {name: ns - first["stages_ns"][name] for name, ns in second["stages_ns"].items()}

    def shown(ns: float) -> dict[str, float | None]:
        return {
            "share": ns / elapsed_ns,
            "us_per_round": ns / rounds / 1000 if rounds else None,
            "ns_per_operation": ns / operations if operations else None,
        }

    busy_ns = sum(ns for name, ns in stages.items() if name not in WAITING)
    return {
        "replica": second["replica"],
        "seconds": elapsed_ns / 1e9,
        "rounds": rounds,
        "operations": operations,
        "busy_share": busy_ns / elapsed_ns,
        "stages": [
            {
                "stage": name,
                **shown(ns),
                "parts": [
                    {"part": part, **shown(ns * share)}
                    for part, share in parts(first["closely_ns"][name], second["closely_ns"][name]).items()
                ],
            }
            for name, ns in stages.items()
        ],
        "calls": {name: count - first["calls"][name] for name, count in second["calls"].items()},
        "bytes": {name: count - first["bytes"][name] for name, count in second["bytes"].items()},
        "writer": {name: second["writer"][name] - first["writer"][name] for name in WRITER},
        "distributions": {
            name: distribution(first["histograms"][name], histogram) for name, histogram in second["histograms"].items()
        },
    }
