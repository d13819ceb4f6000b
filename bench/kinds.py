"""What the report shows of each kind of result: tables, figures, and the one metric that runs are compared by.

Other commands write the results, perhaps older or newer ones: what a row lacks is a gap.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .figures import SERIES_MAX, Axis, Dots, Figure, HeatMap, Lines, Number, Series, short
from .results import Row

Result = dict[str, Any]

RATE = Axis("requests/s", log=True)
GAP = "\N{EN DASH}"


@dataclass(frozen=True)
class Table:
    """Cells are texts; numbers stand right. A folded one shows only its title at first."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


@dataclass(frozen=True)
class Kind:
    """How one kind is shown. `points` gives the metric of each line of a run, in `unit`."""

    title: str
    about: str
    unit: str
    more_is_better: bool
    points: Callable[[Result], dict[str, Number]]
    tables: Callable[[Result], list[Table]]
    figures: Callable[[Sequence[Result]], list[list[Figure]]]  # of all runs, oldest first; in rows that belong together


# --- values out of rows
def number(value: Any) -> Number:
    """The value, if it is a number that can be shown."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def inner(row: Row, *keys: str) -> Any:
    """What lies below these keys; None where one is missing."""
    found: Any = row
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def figure_text(value: Any) -> str:
    """A number with three digits that count, anything else as it is."""
    if value is None:
        return GAP
    if (found := number(value)) is None:
        return ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return f"{found:,.0f}" if found == int(found) or abs(found) >= 100 else f"{found:.3g}"


def any_text(value: Any) -> str:
    """Also of lists and maps."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {any_text(one)}" for key, one in value.items()) or GAP
    return ", ".join(map(any_text, value)) or GAP if isinstance(value, list) else figure_text(value)


def ratio_text(value: Any) -> str:
    """A ratio."""
    found = number(value)
    return GAP if found is None else f"{found:,.0f}x" if found >= 100 else f"{found:.3g}x"


def bytes_text(value: Any) -> str:
    """A size in bytes, with its unit."""
    found = number(value)
    if found is None:
        return GAP
    for limit, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if found >= limit:
            return f"{found / limit:.3g} {unit}"
    return f"{found:.3g} B"


def load_text(row: Row) -> str:
    """Who asks how: `SET 50x16, 100 B`."""
    command, clients, depth = (row.get(key) for key in ("command", "clients", "depth"))
    parts = [str(command)] if command is not None else []
    if clients is not None:
        parts.append(f"{clients}x{depth}" if depth is not None else f"{clients}")
    text = " ".join(parts)
    size = row.get("value_bytes")
    return text if size is None else f"{text}, {bytes_text(size)}" if text else bytes_text(size)


def names_in(rows: Sequence[Row], key: str) -> list[str]:
    """All names that the maps below `key` have, in order of their first appearance."""
    return list(dict.fromkeys(name for row in rows if isinstance(row.get(key), dict) for name in row[key]))


def rest(rows: Sequence[Row], shown: Sequence[str]) -> list[str]:
    """Keys of plain values that are not shown yet."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, dict | list))
    return [key for key in keys if key not in shown]


# --- cells side by side: quick, peers
def _contest_points(result: Result) -> dict[str, Number]:
    rows = result["rows"]
    return {
        f"{load_text(row)}: {name}": number(inner(row, "results", name, "rps"))
        for row in rows
        for name in names_in([row], "results")
    }


def _verdict(ratio: Any, target: Any) -> str:
    """A ratio, and whether it is at least the target."""
    found, least = number(ratio), number(target)
    if found is None or least is None:
        return ratio_text(ratio)
    return f"{ratio_text(ratio)} ({'met' if found >= least else 'missed'}: {least:g})"


def _percentiles(figures: Any) -> str:
    if not isinstance(figures, dict):
        return GAP
    return f"{figure_text(figures.get('p50_ms'))} / {figure_text(figures.get('p99_ms'))}"


def _contest_tables(result: Result) -> list[Table]:
    rows = result["rows"]
    names, compared = names_in(rows, "results"), names_in(rows, "ratios")
    old_ratios = [key for key in rest(rows, ()) if key.startswith("compiled_to_")]
    others = rest(rows, ("command", "clients", "depth", "value_bytes", *old_ratios))
    ratios = [f"compiled / {key[len('compiled_to_') :]}" for key in old_ratios]
    ratios += [f"ratio to {name}" for name in compared]
    speed = [
        [
            load_text(row),
            *(figure_text(inner(row, "results", name, "rps")) for name in names),
            *(ratio_text(row.get(key)) for key in old_ratios),
            *(_verdict(inner(row, "ratios", name), inner(row, "targets", name)) for name in compared),
            *(figure_text(row.get(key)) for key in others),
        ]
        for row in rows
    ]
    latency = [
        [
            load_text(row),
            *(_percentiles(inner(row, "results", name)) for name in names),
        ]
        for row in rows
    ]
    told = [
        Table(title, ["name", title.lower()], [[name, any_text(text)] for name, text in of.items()])
        for key, title in (("guarantees", "What an answer means"), ("skipped", "Not measured"))
        if isinstance(of := inner(result, "settings", key), dict)
    ]
    return [
        Table("Requests/s, and ratios", ["clients x pipeline", *names, *ratios, *others], speed),
        Table("Latency in ms: p50 / p99", ["clients x pipeline", *names], latency),
        *told,
    ]


def _contest_figures(kind: str) -> Callable[[Sequence[Result]], list[list[Figure]]]:
    def figures(runs: Sequence[Result]) -> list[list[Figure]]:
        rows = runs[-1]["rows"]
        labels = [load_text(row) for row in rows]

        def dots(key: str, title: str, axis: Axis) -> Figure:
            found = {
                name: [number(inner(row, "results", name, key)) for row in rows] for name in names_in(rows, "results")
            }
            return Dots(f"{kind}-{key}", title, labels, found, axis)

        return [
            [dots("rps", "Throughput (more is better)", RATE)],
            [dots("p99_ms", "99th percentile of latency (less is better)", Axis("p99 in ms", log=True))],
        ]

    return figures


# --- two commits
def _against_label(row: Row) -> str:
    return f"{load_text(row)}{', at a follower' if row.get('at') == 'follower' else ''}"


def _against_points(result: Result) -> dict[str, Number]:
    return {_against_label(row): number(row.get("ratio")) for row in result["rows"]}


def _against_figures(runs: Sequence[Result]) -> list[list[Figure]]:
    rows = runs[-1]["rows"]
    ends = {"low": "low end of 95 %", "ratio": "ratio of medians", "high": "high end of 95 %"}
    values = {name: [number(row.get(key)) for row in rows] for key, name in ends.items()}
    labels = [_against_label(row) for row in rows]
    return [[Dots("against-ratio", "This / that (more is better)", labels, values, Axis("ratio of requests/s"))]]


# --- table 1
def _paper_label(row: Row) -> str:
    return f"{figure_text(row.get('workers'))} x {bytes_text(row.get('value_bytes'))}, {row.get('replicas')} replicas"


def _table1_points(result: Result) -> dict[str, Number]:
    return {f"{_paper_label(row)}: {row.get('core')}": number(row.get("rps")) for row in result["rows"]}


def _table1_tables(result: Result) -> list[Table]:
    rows = []
    for row in result["rows"]:
        ours, paper = number(row.get("rps")), number(row.get("paper_rps"))
        rows.append([
            _paper_label(row), figure_text(row.get("core")), figure_text(ours), figure_text(paper),
            ratio_text(ours / paper if ours is not None and paper else None),
            ratio_text(paper / ours if ours and paper is not None else None),
            *(figure_text(row.get(key)) for key in ("p50_ms", "p99_ms", "p999_ms")),
        ])  # fmt: skip
    columns = ["workers x value", "core", "operations/s", "paper, 2006", "to the paper", "of ours", "p50 ms", "p99 ms"]
    return [Table("Throughput and latency beside the paper's", [*columns, "p99.9 ms"], rows)]


def _table1_figures(runs: Sequence[Result]) -> list[list[Figure]]:
    labels: dict[str, dict[str, Number]] = {}
    for row in runs[-1]["rows"]:
        values = labels.setdefault(_paper_label(row), {})
        values[str(row.get("core"))] = number(row.get("rps"))
        values["paper, 2006"] = number(row.get("paper_rps"))
    series = dict.fromkeys(name for values in labels.values() for name in values)
    values = {name: [of.get(name) for of in labels.values()] for name in series}
    title = "Operations/s of the paper's table 1 (more is better)"
    return [[Dots("table1-rps", title, list(labels), values, Axis("operations/s", log=True))]]


# --- sweep
def _setting(row: Row) -> str:
    return f"{bytes_text(row.get('batch_bytes'))}, window {figure_text(row.get('window'))}"


def _sweep_points(result: Result) -> dict[str, Number]:
    return {
        f"{row.get('fsync')}, {_setting(row)}: {load_text(row)}": number(row.get("rps")) for row in result["rows"]
    }


def _sweep_tables(result: Result) -> list[Table]:
    tables = []
    found = result.get("choice")
    choices = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    if choices:
        rows = [
            [figure_text(one.get("fsync")), _setting(one), figure_text(one.get("why"))] for one in choices
        ]
        tables.append(Table("Which setting to choose, and why", ["fsync", "batch limit, window", "why"], rows))
    keys = ("rps", "p50_ms", "p99_ms")
    rows = [
        [figure_text(row.get("fsync")), _setting(row), load_text(row), *(figure_text(row.get(key)) for key in keys)]
        for row in result["rows"]
    ]
    columns = ["fsync", "batch limit, window", "clients x pipeline, value", "requests/s", "p50 ms", "p99 ms"]
    return [*tables, Table("All points", columns, rows, folded=True)]


def _groups(rows: Sequence[Row], label: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(label(row), []).append(row)
    return groups


def _sweep_figures(runs: Sequence[Result]) -> list[list[Figure]]:
    rows = runs[-1]["rows"]
    figures: list[list[Figure]] = []
    for load, mine in _groups(rows, load_text).items():
        rates = [rate for row in mine if (rate := number(row.get("rps"))) is not None]
        if rates:
            policies = _groups(mine, lambda row: figure_text(row.get("fsync")))
            figures.append([_heat_map(len(figures), load, name, of, rates) for name, of in policies.items()])
    curves: list[Figure] = []
    policies = _groups(rows, lambda row: f"fsync {row.get('fsync')}, {bytes_text(row.get('value_bytes'))}")
    for name, mine in policies.items():
        for key, percentile in (("p50_ms", "p50"), ("p99_ms", "p99")):
            curves.append(_curves(len(curves), f"{name}: {percentile} against throughput", mine, key))
    return [*figures, *(curves[at : at + 2] for at in range(0, len(curves), 2))]


def _heat_map(at: int, load: str, fsync: str, rows: Sequence[Row], rates: Sequence[float]) -> HeatMap:
    def order(key: str) -> list[float]:
        return sorted({value for row in rows if (value := number(row.get(key))) is not None})

    found = {(row.get("batch_bytes"), row.get("window")): number(row.get("rps")) for row in rows}
    batches, windows = order("batch_bytes"), order("window")
    return HeatMap(
        f"sweep-{at + 1}-fsync-{''.join(c if c.isalnum() else '-' for c in fsync)}",
        f"Throughput, fsync {fsync}, {load}", "window", "batch limit", [figure_text(window) for window in windows],
        [bytes_text(batch) for batch in batches],
        [[found.get((batch, window)) for window in windows] for batch in batches], "requests/s", min(rates), max(rates),
    )  # fmt: skip


def _curves(at: int, title: str, rows: Sequence[Row], key: str) -> Lines:
    """A curve for each setting; of many only the fastest are in colour."""
    settings = _groups(rows, _setting)

    def peak(name: str) -> float:
        return max((number(row.get("rps")) or 0.0 for row in settings[name]), default=0.0)

    ranks = {name: rank for rank, name in enumerate(sorted(settings, key=peak, reverse=True))}
    bright = SERIES_MAX if len(settings) <= SERIES_MAX else SERIES_MAX // 2
    series = []
    for name, mine in settings.items():
        points = sorted(mine, key=lambda row: number(row.get("rps")) or 0.0)
        series.append(
            Series(
                name, [number(row.get("rps")) for row in points], [number(row.get(key)) for row in points],
                [load_text(row) for row in points], ranks[name] >= bright,
            )
        )  # fmt: skip
    latency = Axis(f"{key.removesuffix('_ms')} in ms", log=True)
    return Lines(f"sweep-curves-{at + 1}", title, series, RATE, latency)


# --- failover
def _gaps(result: Result) -> list[float]:
    return sorted(gap for row in result["rows"] if (gap := number(row.get("gap_ms"))) is not None)


def quantile(values: Sequence[float], part: float) -> Number:
    """Of sorted values: the smallest with at least that part of them at or below it."""
    return values[max(math.ceil(part * len(values)) - 1, 0)] if values else None


def _failover_points(result: Result) -> dict[str, Number]:
    gaps = _gaps(result)
    median = statistics.median(gaps) if gaps else None
    return {"median": median, "p90": quantile(gaps, 0.9), "longest": quantile(gaps, 1)}


def _failover_tables(result: Result) -> list[Table]:
    gaps = _gaps(result)
    values = [len(gaps), quantile(gaps, 0), *_failover_points(result).values()]
    columns = ["kills", "shortest", "median", "p90", "longest"]
    return [
        Table("Gap in writes after kill -9 of the master, ms", columns, [[figure_text(value) for value in values]]),
        *plain_tables(result, "Each kill", folded=True),
    ]


def _failover_figures(runs: Sequence[Result]) -> list[list[Figure]]:
    series = []
    for at, run in enumerate(runs):
        gaps = _gaps(run)
        shares: list[Number] = [100 * (n + 1) / len(gaps) for n in range(len(gaps))]
        series.append(Series(run_name(run), gaps, shares, muted=at < len(runs) - SERIES_MAX))
    title = "Distribution: kills whose gap in writes was at most so long"
    return [[Lines("failover-gaps", title, series, Axis("gap in ms"), Axis("kills, %"), stepped=True)]]


# --- hotpath
def _hotpath_points(result: Result) -> dict[str, Number]:
    return {f"{row.get('part')}: {row.get('core')}": number(row.get("ns_per_operation")) for row in result["rows"]}


def _hotpath_tables(result: Result) -> list[Table]:
    parts = _groups(result["rows"], lambda row: figure_text(row.get("part")))
    cores = list(dict.fromkeys(figure_text(row.get("core")) for row in result["rows"]))
    rows = []
    for part, mine in parts.items():
        of = {figure_text(row.get("core")): row for row in mine}
        line = [part]
        for core in cores:
            rate = number(inner(of, core, "bytes_per_second"))
            line += [
                figure_text(inner(of, core, "ns_per_operation")), figure_text(None if rate is None else rate / 1e6)
            ]
        rows.append([*line, ratio_text(mine[0].get("compiled_to_reference"))])
    columns = [title for core in cores for title in (f"{core}, ns", f"{core}, MB/s")]
    return [Table("Cost of an operation", ["part", *columns, "compiled is faster"], rows)]


def _hotpath_figures(runs: Sequence[Result]) -> list[list[Figure]]:
    parts: dict[str, dict[str, Number]] = {}
    for row in runs[-1]["rows"]:
        parts.setdefault(figure_text(row.get("part")), {})[figure_text(row.get("core"))] = number(
            row.get("ns_per_operation")
        )
    cores = dict.fromkeys(core for of in parts.values() for core in of)
    values = {core: [of.get(core) for of in parts.values()] for core in cores}
    return [[Dots("hotpath-ns", "Cost of an operation (less is better)", list(parts), values, Axis("ns", log=True))]]


# --- latency, recovery, and kinds that are not known
def plain_tables(result: Result, title: str = "Rows", folded: bool = False) -> list[Table]:
    """All that the rows say."""
    rows = result["rows"]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[any_text(row.get(key)) for key in keys] for row in rows]
    return [Table(title, [key.replace("_", " ") for key in keys], cells, folded)]


def _latency_points(result: Result) -> dict[str, Number]:
    return {figure_text(row.get("name")): number(row.get("value")) for row in result["rows"]}


def _recovery_label(row: Row) -> str:
    keys = number(row.get("keys"))
    return figure_text(row.get("what")) + (f", {short(keys)} keys" if keys is not None else "")


def _recovery_points(result: Result) -> dict[str, Number]:
    return {_recovery_label(row): number(row.get("seconds")) for row in result["rows"]}


def _recovery_tables(result: Result) -> list[Table]:
    rows, shown = result["rows"], ("what", "keys", "seconds", "rss_bytes", "rss_per_key")
    others = rest(rows, shown)
    lines = [
        [
            *(figure_text(row.get(key)) for key in shown[:3]), bytes_text(row.get("rss_bytes")),
            figure_text(row.get("rss_per_key")), *(figure_text(row.get(key)) for key in others),
        ]
        for row in rows
    ]  # fmt: skip
    columns = ["what", "keys", "seconds", "memory (RSS)", "bytes a key", *(key.replace("_", " ") for key in others)]
    return [Table("Start-up time and memory", columns, lines)]


def _no_points(result: Result) -> dict[str, Number]:
    return {}


def _no_figures(runs: Sequence[Result]) -> list[list[Figure]]:
    return []


def run_name(result: Result) -> str:
    """Which run: its date and commit."""
    date = str(result.get("date") or "undated")[:16].replace("T", " ")
    commit = str(result.get("commit") or "")
    return f"{date} {commit[:8]}{'+' if commit.endswith('-changed') else ''}".strip()


KINDS = {
    "against": Kind(
        "Against another commit", "Fresh cells of two commits in turns: ratio of medians with its 95 % interval.",
        "this / that", True, _against_points, _contest_tables, _against_figures,
    ),
    "quick": Kind(
        "Quick comparison", "Both cores and one redis-server alone, every write on disk before its reply.",
        "requests/s", True, _contest_points, _contest_tables, _contest_figures("quick"),
    ),
    "peers": Kind(
        "Peers", "The same loads on a cell and on other systems, with the ratios to reach.",
        "requests/s", True, _contest_points, _contest_tables, _contest_figures("peers"),
    ),
    "table1": Kind(
        "Table 1 of the paper", "Workers that each wait for their answer: section 8 of Paxos Made Live.",
        "operations/s", True, _table1_points, _table1_tables, _table1_figures,
    ),
    "latency": Kind(
        "Latency", "Ratios with the target that each has to keep.",
        "value", False, _latency_points, lambda result: plain_tables(result, "Ratios and targets"), _no_figures,
    ),
    "failover": Kind(
        "Failover", "How long no write is answered after the master was killed.",
        "gap in ms", False, _failover_points, _failover_tables, _failover_figures,
    ),
    "recovery": Kind(
        "Recovery", "From the start of a process to serving, and the memory it then has.",
        "seconds", False, _recovery_points, _recovery_tables, _no_figures,
    ),
    "sweep": Kind(
        "Sweep", "Batch limit, window and fsync policy under many loads.",
        "requests/s", True, _sweep_points, _sweep_tables, _sweep_figures,
    ),
    "hotpath": Kind(
        "Hot path", "What the code of each part costs, without sockets and disk.",
        "ns per operation", False, _hotpath_points, _hotpath_tables, _hotpath_figures,
    ),
}  # fmt: skip


def kind_of(name: str) -> Kind:
    """A kind that is not known gets a plain table."""
    return KINDS.get(name) or Kind(name, "", "", True, _no_points, plain_tables, _no_figures)
