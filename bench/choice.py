"""Which setting the rows of a sweep speak for."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .results import Row

NEAR = 0.95  # of the best throughput: within it the latency decides


@dataclass(frozen=True)
class Score:
    """How a setting did under all loads: 1 is that of the best setting under each of them."""

    batch_bytes: int
    window: int
    throughput: float  # geometric mean of its shares of the best
    worst: float  # the smallest of these shares,
    worst_load: str  # and where that was
    p99: float  # geometric mean of how many times the lowest p99 it had

    def __str__(self) -> str:
        return f"batch_bytes = {self.batch_bytes}, window = {self.window}"


@dataclass(frozen=True)
class Choice:
    """The setting to take under one fsync policy, which is itself no matter of speed."""

    fsync: str
    chosen: Score
    near: int
    settings: int
    default: Score | None  # None: it was not measured
    noise: tuple[float, float] | None  # of throughput and p99, as a part of them; None: of one round nobody knows

    @property
    def keep_default(self) -> bool:
        """True when the default is as good as the rounds can tell."""
        if self.default is None or self.noise is None:
            return self.default == self.chosen
        enough = self.default.throughput >= self.chosen.throughput * (1 - self.noise[0])
        return enough and self.default.p99 <= self.chosen.p99 * (1 + self.noise[1])

    @property
    def why(self) -> str:
        """In words."""
        best = self.chosen
        text = (
            f"fsync {self.fsync}: {best}. Over all loads it has {best.throughput:.2f} of the best throughput, and "
            f"{_lowest(self.near, self.settings)} ({best.p99:.2f} times the lowest of each load); its worst is "
            f"{best.worst:.2f} of the best, at {best.worst_load}."
        )
        if self.default is None:
            text += " The default setting was not measured."
        elif self.default == best:
            text += " It is the default."
        else:
            text += f" The default ({self.default}) has {self.default.throughput:.2f}, with p99 at "
            text += f"{self.default.p99:.2f}"
            text += ": no difference within the noise, so keep it." if self.keep_default else ": worth a change."
        if self.noise is None:
            return f"{text} Noise: unknown after a single round."
        return f"{text} Noise: rounds differ by {self.noise[0]:.0%} in throughput and {self.noise[1]:.0%} in p99."

    def told(self) -> dict[str, Any]:
        """For the result file."""
        return {"fsync": self.fsync, **asdict(self.chosen), "keep_default": self.keep_default, "why": self.why}


def _lowest(near: int, settings: int) -> str:
    if near == 1:
        return f"none of the other {settings - 1} comes within {1 - NEAR:.0%} of that" if settings > 1 else "is alone"
    return f"the lowest p99 of the {near} settings (of {settings}) within {1 - NEAR:.0%} of the best of these"


def choose(rows: Sequence[Row], default: tuple[int, int]) -> list[Choice]:
    """For each fsync policy: of the settings near the best throughput that with the lowest p99.

    Each load counts alike, however fast it is. `default` is (batch_bytes, window).
    """
    choices = []
    for fsync in dict.fromkeys(row["fsync"] for row in rows):
        mine = [row for row in rows if row["fsync"] == fsync]
        scores = _scores(mine)
        best = max(score.throughput for score in scores)
        near = [score for score in scores if score.throughput >= NEAR * best]
        chosen = min(near, key=lambda score: (score.p99, -score.throughput))
        known = [score for score in scores if (score.batch_bytes, score.window) == default]
        repeated = min(len(row["rps_of_rounds"]) for row in mine) > 1
        noise = (_spread(mine, "rps"), _spread(mine, "p99_ms")) if repeated else None
        choices.append(Choice(fsync, chosen, len(near), len(scores), known[0] if known else None, noise))
    return choices


def _scores(rows: Sequence[Row]) -> list[Score]:
    best: dict[str, float] = {}
    lowest: dict[str, float] = {}
    settings: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        load = _load(row)
        best[load] = max(best.get(load, 0.0), row["rps"])
        lowest[load] = min(lowest.get(load, row["p99_ms"]), row["p99_ms"])
        settings.setdefault((row["batch_bytes"], row["window"]), []).append(row)
    scores = []
    for (batch_bytes, window), mine in settings.items():
        shares = {_load(row): row["rps"] / best[_load(row)] for row in mine}
        times = [row["p99_ms"] / lowest[_load(row)] for row in mine]
        worst_load = min(shares, key=shares.__getitem__)
        scores.append(
            Score(
                batch_bytes, window, statistics.geometric_mean(shares.values()), shares[worst_load], worst_load,
                statistics.geometric_mean(times),
            )
        )  # fmt: skip
    return scores


def _load(row: Row) -> str:
    return f"{row['clients']}x{row['depth']} of {row['value_bytes']} B"


def _spread(rows: Sequence[Row], key: str) -> float:
    """By how much the rounds of a point differ, as a part of their median; the median over all points."""
    of_rounds = [row[f"{key}_of_rounds"] for row in rows]
    return statistics.median((max(runs) - min(runs)) / statistics.median(runs) for runs in of_rounds)
