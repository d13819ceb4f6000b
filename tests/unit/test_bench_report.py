"""`python -m bench report`: a page that needs nothing else, PNGs, and clear errors."""

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from bench import kinds, results
from bench.figures import Figure, log_ticks, short
from bench.report import FIGURES, PAGE, ReportError, make, read

pytest.importorskip("plotly")
pytest.importorskip("matplotlib")

CHECKOUT = Path(__file__).parents[2]
MACHINE = {"processors": 2, "processor": "a <fast> one", "memory_bytes": 3 << 30, "fdatasync_us_p50": 86}
PNG = b"\x89PNG\r\n\x1a\n"


def contest(rps: float) -> dict[str, Any]:
    return {
        "compiled": {"rps": rps, "p50_ms": 0.3, "p99_ms": 1.5},
        "redis alone": {"rps": 2 * rps, "p50_ms": 0.2, "p99_ms": 0.9},
    }


def rows_of(factor: float) -> dict[str, list[results.Row]]:
    """A few rows of each kind, with speeds times `factor`."""
    load = {"command": "SET", "clients": 50, "depth": 16}
    return {
        "quick": [{**load, "results": contest(4321 * factor), "compiled_to_redis": 0.5}],
        "peers": [{**load, "value_bytes": 100, "results": contest(9876 * factor), "ratios": {"redis alone": 0.5},
                   "targets": {"redis alone": 0.45}}],
        "table1": [
            {"workers": 4, "value_bytes": 8192, "replicas": 3, "core": core, "rps": rps * factor, "paper_rps": 118.6}
            for core, rps in (("compiled", 3000.0), ("reference", 1000.0))
        ],
        "latency": [{"name": "SET p50 / disk", "value": 1.43, "target": 1.6}],
        "failover": [{"gap_ms": gap / factor} for gap in (710, 820, 930)],
        "recovery": [{"what": "from the log", "keys": 10**6, "seconds": 2.25, "rss_bytes": 3 << 28}],
        "sweep": [
            {
                "batch_bytes": batch, "window": window, "fsync": fsync, "value_bytes": 100, "clients": clients,
                "depth": 1, "rps": factor * clients * 100 * (batch // 1024 + window), "p50_ms": 1, "p99_ms": 2,
            }
            for batch in (1024, 4096) for window in (1, 4) for fsync in ("always", "never") for clients in (1, 50)
        ],
        "hotpath": [
            {"part": "XXH64, 64 B", "core": core, "ns_per_operation": ns / factor, "bytes_per_second": 5e9}
            for core, ns in (("compiled", 11.25), ("reference", 85.5))
        ],
        "against": [
            {**load, "at": at, "results": {"this": {"rps": 900 * factor}, "that": {"rps": 1000}}, "ratio": 0.9 * factor,
             "low": 0.85 * factor, "high": 0.95 * factor} for at in ("master", "follower")
        ],
        "other": [{"left": "a<b", "inner": {"x": 1}}, {"right": None}],
    }  # fmt: skip


def write(directory: Path, kind: str, rows: list[results.Row], day: int = 1, **more: Any) -> Path:
    facts = results.Facts(MACHINE, f"{day:x}" * 40, f"2026-01-{day:02}T10:00:00+00:00")
    return results.save(results.result(kind, facts, {"seconds": 1}, rows, **more), directory)


def write_all(directory: Path) -> None:
    for day in (1, 2):
        for kind, rows in rows_of(day).items():
            write(directory, kind, rows, day)


class Page(HTMLParser):
    """What a page loads, and its text outside of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [value or "" for key, value in attrs if key in ("src", "srcset", "data", "poster", "background")]
        if tag in ("link", "iframe", "object", "embed", "base"):
            self.loads.append(found.get("href") or tag)
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.inside and tag == self.inside[-1]:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.text += data
        elif self.inside[-1] == "style":
            self.loads += re.findall(r"@import|url\(", data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a report of two runs of each kind."""
    directory = tmp_path_factory.mktemp("report")
    write_all(directory)
    make([directory], directory)
    return directory


def figures(runs: list[kinds.Result]) -> list[Figure]:
    return [figure for group in kinds.kind_of(runs[-1]["kind"]).figures(runs) for figure in group]


def test_the_page_loads_nothing(report: Path) -> None:
    page = Page((report / PAGE).read_text())
    assert page.loads == []
    assert "Plotly.newPlot" in (report / PAGE).read_text()


def test_the_page_has_each_figure_and_the_pngs_are_drawn(report: Path) -> None:
    page = Page((report / PAGE).read_text())
    shown = [
        figure
        for kind in rows_of(1)
        for figure in figures([one for one in read([report]) if one["kind"] == kind])
    ]
    names = {figure.name for figure in shown}
    assert len(names) == len(shown) >= 14
    assert [figure.title for figure in shown if figure.title not in page.text] == []
    compared = {f"{kind}-runs" for kind in kinds.KINDS}
    pngs = {path.stem: path.read_bytes() for path in (report / FIGURES).iterdir()}
    assert pngs.keys() == names | compared
    assert [name for name, data in pngs.items() if not data.startswith(PNG) or len(data) < 2000] == []


def test_the_page_has_the_values(report: Path) -> None:
    page = Page((report / PAGE).read_text())
    for text in (
        "8,642", "19,752", "0.5x (met: 0.45)", "6,000", "1.43", "410", "2.25", "5.62", "a<b", "a <fast> one",
        "8,642 (+100%)", "42.8 (-50%)", "2026-01-02 10:00 22222222", "fdatasync of a small append 86",
    ):  # fmt: skip
        assert text in page.text, text


def test_runs_are_compared_oldest_first_and_once(tmp_path: Path) -> None:
    for day in (2, 1):
        write(tmp_path, "quick", rows_of(day)["quick"], day)
    assert len(read([tmp_path, tmp_path / "runs"])) == 2
    make([tmp_path], tmp_path)
    text = Page((tmp_path / PAGE).read_text()).text
    assert "Newest run: 2026-01-02 10:00 22222222" in text
    assert "2026-01-01 10:00 111111112026-01-02 10:00 22222222" in text
    assert "compiled4,3218,642 (+100%)" in text


def test_a_run_with_gaps_is_shown(tmp_path: Path) -> None:
    for kind, rows in rows_of(1).items():
        keys = sorted({key for row in rows for key in row})
        spoiled = [{key: value for key, value in rows[0].items() if key != gone} for gone in keys]
        spoiled += [dict.fromkeys(keys, bad) for bad in (None, "text", math.nan, [], {}, -1, 0, True)]
        write(tmp_path, kind, [{}, *spoiled])
        write(tmp_path, kind, [], 2)
        write(tmp_path, kind, [*spoiled, {}], 3, choice=[{}, "text"])
    written = make([tmp_path], tmp_path / "out")
    assert written[0] == tmp_path / "out" / PAGE
    assert all(path.stat().st_size for path in written)


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "report", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=CHECKOUT)


def test_the_command(tmp_path: Path) -> None:
    file = write(tmp_path, "quick", rows_of(1)["quick"])
    done = bench(str(file), "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / PAGE).exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"kind": 1, "machine": {}, "settings": {}, "rows": []}', "\xff"]
    + [json.dumps({"kind": "quick", "machine": machine, "settings": {}, "rows": rows})
       for machine, rows in (([], []), ({}, {}), ({}, [1]))],
)  # fmt: skip
def test_a_broken_file_is_one_line(tmp_path: Path, text: str) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(text, encoding="latin-1")
    with pytest.raises(ReportError) as error:
        make([tmp_path], tmp_path)
    assert str(broken) in str(error.value)
    assert "\n" not in str(error.value)


def test_errors_of_the_command_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for path in ("broken.json", "empty", "missing.json"):
        done = bench(str(tmp_path / path), "--out", str(tmp_path))
        assert done.returncode == 1
        assert re.fullmatch(rf"bench: .*{path}.*\n", done.stderr), done.stderr


def test_ticks_of_a_logarithmic_axis() -> None:
    assert log_ticks([0.6, None, 44]) == pytest.approx([0.5, 1, 2, 5, 10, 20, 50])
    assert log_ticks([2, 3]) == pytest.approx([2])
    assert log_ticks([1, 10**9]) == pytest.approx([1, 100, 10**4, 10**6, 10**8])
    assert log_ticks([]) == log_ticks([0, None]) == []


def test_short_numbers() -> None:
    for value, text in ((None, ""), (0.5, "0.5"), (999, "999"), (1200, "1.2k"), (34_567, "34.6k"), (5.6e6, "5.6M")):
        assert short(value) == text
