"""`python -m bench report`: one page, and PNGs, out of result files; runs of the same kind are compared."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import results
from .figures import SERIES_MAX, Axis, Figure, Lines, Number, Series, to_html, to_png
from .kinds import (
    GAP,
    KINDS,
    Kind,
    Result,
    Table,
    any_text,
    bytes_text,
    figure_text,
    kind_of,
    run_name,
)

TITLE = "fastpaxos_live: benchmarks"
PAGE, FIGURES = "report.html", "figures"
NEEDED = ("plotly", "matplotlib")
RUNS_MAX = 8  # columns that a table of runs can have and still be read: the newest count
NUMBER_COLUMNS = 24
SAME = 0.02  # a smaller difference is not worth a mark

STYLE = """
:root { color-scheme: light; --ink: #22262a; --quiet: #5b646d; --line: #e1e5e9; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
       -webkit-text-size-adjust: 100%; }
main, header { max-width: 1160px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 28px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.3rem; margin: 0 0 2px; }
h3 { font-size: 1rem; margin: 22px 0 6px; }
p { margin: 2px 0; }
.quiet { color: var(--quiet); font-size: .87rem; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 8px; margin: 14px 0 4px; }
nav a { padding: 3px 12px; border: 1px solid var(--line); border-radius: 999px; background: white;
        color: var(--accent); text-decoration: none; }
section { background: white; border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px 20px;
          margin: 18px 0; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 0 20px;
        align-items: end; }
.side > div { min-width: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; vertical-align: bottom; }
.number { text-align: right; white-space: nowrap; }
td:first-child { min-width: 9rem; }
.better { color: #0060a0; } .worse { color: #b34700; }
summary { cursor: pointer; color: var(--accent); margin-top: 18px; }
@media (max-width: 600px) { section { padding: 14px 12px; } main, header { padding: 0 8px; } }
"""


class ReportError(Exception):
    """No report can be made; the text says why, in one line."""


def make(paths: Sequence[Path], out: Path) -> list[Path]:
    """Writes the page and the PNGs of all results in these files and directories. Returns what was written.

    Raises ReportError.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ReportError(f"{', '.join(missing)} not installed (pip install {' '.join(missing)})")
    runs = _by_kind(read(paths))
    try:
        (out / FIGURES).mkdir(parents=True, exist_ok=True)
        page = out / PAGE
        page.write_text("".join(_page(runs)), encoding="utf-8")
        pngs = [to_png(figure, out / FIGURES) for kind in runs for figure in _figures(kind, runs[kind])]
    except OSError as error:
        raise ReportError(f"{error.filename or out}: {error.strerror}") from None
    return [page, *pngs]


# --- results
def read(paths: Sequence[Path]) -> list[Result]:
    """All results, each once. Raises ReportError."""
    found: dict[tuple[Any, ...], Result] = {}
    for path in paths:
        for file in sorted([*path.glob("*.json"), *path.glob("runs/*.json")]) if path.is_dir() else [path]:
            result = _load(file)
            found.setdefault((result["kind"], str(result.get("date")), str(result.get("commit"))), result)
    if not found:
        raise ReportError(f"no results in {', '.join(map(str, paths))}: run another command of bench first")
    return list(found.values())


def _load(file: Path) -> Result:
    try:
        result = results.load(file)
    except ValueError as error:
        raise ReportError(str(error)) from None
    rows = result["rows"]
    good = isinstance(result["kind"], str) and isinstance(result["machine"], dict)
    if not good or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ReportError(f"{file}: not a result of bench")
    return result


def _by_kind(found: Sequence[Result]) -> dict[str, list[Result]]:
    """The runs of each kind, oldest first; kinds in the order of KINDS, unknown ones last."""
    order = [*KINDS, *sorted({result["kind"] for result in found} - KINDS.keys())]
    runs = {kind: [result for result in found if result["kind"] == kind] for kind in order}
    return {kind: sorted(mine, key=lambda run: str(run.get("date"))) for kind, mine in runs.items() if mine}


def machine_line(result: Result) -> str:
    """The machine and the versions, in one line."""
    facts = result["machine"]

    def fact(name: str) -> str:
        return figure_text(facts.get(name))

    return (
        f"{fact('processors')} x {fact('processor')}, {bytes_text(facts.get('memory_bytes'))}, {fact('system')}, "
        f"{fact('file_system')}; Python {fact('python')}, Cython {fact('cython')}, uvloop {fact('uvloop')}; "
        f"{fact('redis_server').partition(' sha=')[0]}; fastpaxos_live {fact('fastpaxos_live')}"
    )


def disk_line(result: Result) -> str:
    """How fast the disk was when the run began."""
    p50, p99 = (figure_text(result["machine"].get(f"fdatasync_us_{name}")) for name in ("p50", "p99"))
    return f"fdatasync of a small append {p50} \u00b5s (p99 {p99} \u00b5s)"


# --- comparing runs
def _compared(kind: Kind, runs: Sequence[Result]) -> tuple[list[str], dict[str, list[Number]]]:
    """Names of the newest runs, and the metric of each line in each of them; lines of the newest run come first."""
    shown = runs[-RUNS_MAX:]
    points = [kind.points(run) for run in shown]
    lines = dict.fromkeys(line for of in reversed(points) for line in of)
    return [run_name(run) for run in shown], {line: [of.get(line) for of in points] for line in lines}


def _change(kind: Kind, first: Number, value: Number) -> tuple[str, str]:
    """By how much a value differs from that of the first run, and the class that colours it."""
    if first is None or value is None or first <= 0:
        return "", ""
    change = value / first - 1
    better = (change > 0) == kind.more_is_better
    return f" ({change:+.0%})", "" if abs(change) < SAME else "better" if better else "worse"


def _comparison(name: str, kind: Kind, runs: Sequence[Result]) -> Figure | None:
    """How each line changed since the first of the runs; those that changed most are in colour."""
    names, lines = _compared(kind, runs)
    series: list[tuple[float, Series]] = []
    for line, values in lines.items():
        known = [value for value in values if value is not None and value > 0]
        if len(known) < 2:
            continue
        shares: list[Number] = [None if value is None else value / known[0] for value in values]
        moved = max(abs(math.log(value / known[0])) for value in known)
        series.append((moved, Series(line, [float(n) for n in range(len(names))], shares)))
    if not series:
        return None
    series.sort(key=lambda one: one[0], reverse=True)
    bright = SERIES_MAX if len(series) <= SERIES_MAX else SERIES_MAX // 2
    shown = [Series(one.name, one.x, one.y, (), at >= bright) for at, (_, one) in enumerate(series)]
    better = "more" if kind.more_is_better else "less"
    title = f"Change between runs: {kind.unit}, first run = 1 ({better} is better)"
    return Lines(f"{name}-runs", title, shown, Axis(""), Axis("times the first run"), x_labels=names)


def _figures(name: str, runs: Sequence[Result]) -> Iterator[Figure]:
    kind = kind_of(name)
    for group in kind.figures(runs):
        yield from group
    if (comparison := _comparison(name, kind, runs)) is not None:
        yield comparison


# --- the page
def _page(runs: dict[str, list[Result]]) -> Iterator[str]:
    from plotly.offline import get_plotlyjs

    newest = max((run for mine in runs.values() for run in mine), key=lambda run: str(run.get("date")))
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>{escape(TITLE)}</title>\n<style>{STYLE}</style>\n"
    yield f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n<header>\n<h1>{escape(TITLE)}</h1>\n"
    yield f"<p>Newest run: {escape(run_name(newest))}</p>\n"
    yield f'<p class="quiet">{escape(machine_line(newest))}</p>\n<nav>'
    for at, name in enumerate(runs):
        yield f'<a href="#kind-{at}">{escape(kind_of(name).title)}</a>'
    yield "</nav>\n</header>\n<main>\n"
    for at, (name, mine) in enumerate(runs.items()):
        yield f'<section id="kind-{at}">\n'
        yield from _section(name, mine, machine_line(newest))
        yield "</section>\n"
    yield "</main>\n</body>\n</html>\n"


def _section(name: str, runs: Sequence[Result], usual: str) -> Iterator[str]:
    """The newest run of a kind, then all of them; the machine only where it is not the `usual` one."""
    kind, run = kind_of(name), runs[-1]
    yield f"<h2>{escape(kind.title)}</h2>\n<p>{escape(kind.about)}</p>\n"
    where = "" if machine_line(run) == usual else f"; {machine_line(run)}"
    yield f'<p class="quiet">{escape(f"{run_name(run)}; {disk_line(run)}{where}")}</p>\n'
    for group in kind.figures(runs):
        yield '<div class="side">\n'
        for figure in group:
            yield f"<div><h3>{escape(figure.title)}</h3>\n{to_html(figure)}</div>\n"
        yield "</div>\n"
    for table in kind.tables(run):
        yield from _table(table)
    if len(runs) > 1:
        yield from _runs(name, kind, runs)
    settings = run["settings"] if isinstance(run["settings"], dict) else {}
    rows = [[key.replace("_", " "), any_text(value)] for key, value in settings.items()]
    yield from _table(Table("Settings of this run", ["setting", "value"], rows, folded=True))


def _runs(name: str, kind: Kind, runs: Sequence[Result]) -> Iterator[str]:
    if (figure := _comparison(name, kind, runs)) is not None:
        yield f"<h3>{escape(figure.title)}</h3>\n{to_html(figure)}\n"
    names, lines = _compared(kind, runs)
    if lines:
        note = f"; the newest {RUNS_MAX} of {len(runs)}" if len(runs) > RUNS_MAX else ""
        yield f"<details><summary>All runs: {escape(kind.unit)}{note}</summary>\n<div class=wide><table><tr><th>"
        yield "".join(f"<th class=number>{escape(label)}" for label in names)
        for line, values in lines.items():
            first = next((value for value in values if value is not None), None)
            yield f"\n<tr><td>{escape(line)}"
            for at, value in enumerate(values):
                change, style = _change(kind, first, value) if at else ("", "")
                yield f'<td class="number {style}">{escape(figure_text(value) + change)}'
        yield "\n</table></div></details>\n"
    machines = {machine_line(run) for run in runs}
    if len(machines) > 1:
        rows = [[run_name(run), machine_line(run)] for run in runs]
        yield from _table(Table("These runs differ in machine or versions", ["run", "machine"], rows))


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        return
    right = [at > 0 and all(_is_number(row[at]) for row in table.rows) for at in range(len(table.columns))]
    style = [" class=number" if numbers else "" for numbers in right]
    title = escape(table.title)
    yield f"<details><summary>{title}</summary>\n" if table.folded else f"<h3>{title}</h3>\n"
    yield "<div class=wide><table><tr>"
    yield "".join(f"<th{style[at]}>{escape(column)}" for at, column in enumerate(table.columns))
    for row in table.rows:
        yield "\n<tr>" + "".join(f"<td{style[at]}>{escape(cell)}" for at, cell in enumerate(row))
    yield "\n</table></div>\n" + ("</details>\n" if table.folded else "")


def _is_number(text: str) -> bool:
    # With a unit or a remark; but not a sentence that begins with a number.
    return len(text) <= NUMBER_COLUMNS and (text[:1].isdigit() or text[:1] in ("", "-", GAP))
