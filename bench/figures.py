"""Figures of the report: what is to be seen, apart from who draws it. plotly draws the page, matplotlib the PNGs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

Number = float | None  # None: a gap

# Okabe and Ito's colours, which the colour-blind tell apart; each goes with a marker of its own.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
PLOTLY_MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")
PNG_MARKERS = ("o", "s", "D", "^", "P", "X", "*", "v")
MUTED = "#C9CDD2"
INK, GRID = "#22262A", "#E4E7EA"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
SERIES_MAX = len(COLOURS)  # more can't be told apart: the others are muted
TICKS_MAX = 7  # of a logarithmic axis, for a narrow screen
LABEL_COLUMNS = 26
# The same look in each figure; others take what is left.
LOOKS = {"compiled": 0, "reference": 1, "redis alone": 2, "paper, 2006": 6}
PNG_DPI = 150


@dataclass(frozen=True)
class Axis:
    """What is measured, with its unit."""

    title: str
    log: bool = False


@dataclass(frozen=True)
class Series:
    """Points that belong together; `texts` say more about each of them. Muted: only there for comparison."""

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    texts: Sequence[str] = ()
    muted: bool = False


@dataclass(frozen=True)
class Dots:
    """A line for each label, with the value of each series on it."""

    name: str  # of the PNG
    title: str
    labels: Sequence[str]
    values: dict[str, Sequence[Number]]
    axis: Axis


@dataclass(frozen=True)
class Lines:
    """Curves; stepped: each value holds from its point on."""

    name: str
    title: str
    series: Sequence[Series]
    x: Axis
    y: Axis
    stepped: bool = False
    x_labels: Sequence[str] = ()  # names of the points 0, 1, ... instead of numbers


@dataclass(frozen=True)
class HeatMap:
    """A value for each pair of settings; colours reach from `low` to `high`, the same in maps to be compared."""

    name: str
    title: str
    x_title: str
    y_title: str
    x_labels: Sequence[str]
    y_labels: Sequence[str]
    values: Sequence[Sequence[Number]]  # by y, then x
    unit: str
    low: float
    high: float


Figure = Dots | Lines | HeatMap


def short(value: Number) -> str:
    """A number in few characters: 1.2M, 34k, 5.6."""
    if value is None:
        return ""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def _on(axis: Axis, value: Number) -> bool:
    """Can the axis show it?"""
    return value is not None and (value > 0 or not axis.log)


def _shown(axis: Axis, values: Sequence[Number]) -> list[Number]:
    return [value if _on(axis, value) else None for value in values]


def log_ticks(values: Sequence[Number]) -> list[float]:
    """Round numbers for a logarithmic axis: 1, 2 and 5 of each power of ten, fewer of a wide range."""
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return []
    low, high = min(known), max(known)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps, stride in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
        ticks = [step * 10.0**power for power in powers[::stride] for step in steps]
        ticks = [tick for tick in ticks if low * 0.7 <= tick <= high * 1.4]
        if len(ticks) <= TICKS_MAX:
            break
    return ticks


def _all(series: Iterable[Sequence[Number]]) -> list[Number]:
    return [value for values in series for value in values]


def _looks(names: Sequence[str]) -> dict[str, int]:
    """The index of each name's colour and marker."""
    free = [i for i in range(SERIES_MAX) if i not in {LOOKS.get(name) for name in names}]
    others = [name for name in names if name not in LOOKS]
    return LOOKS | {name: free[i % len(free)] for i, name in enumerate(others)}


# --- plotly
def to_html(figure: Figure) -> str:
    """A <div> that needs plotly's script on the page."""
    import plotly.graph_objects as go

    drawing = go.Figure()
    height = {Dots: _plotly_dots, Lines: _plotly_lines, HeatMap: _plotly_heat_map}[type(figure)](go, drawing, figure)
    drawing.update_layout(
        template="none", height=height, margin={"l": 12, "r": 16, "t": 8, "b": 8}, paper_bgcolor="white",
        font={"family": FONT, "size": 13, "color": INK}, hoverlabel={"bgcolor": "white", "font": {"color": INK}},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yref": "container", "yanchor": "top"},
    )  # fmt: skip
    for axis in (drawing.layout.xaxis, drawing.layout.yaxis):
        axis.update(automargin=True, gridcolor=GRID, zeroline=False, title={"standoff": 10})
    config = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
    html = drawing.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=f"figure-{figure.name}")
    return str(html)


def _plotly_axis(axis: Axis, values: Sequence[Number]) -> dict[str, Any]:
    if not axis.log:
        return {"title": {"text": axis.title}}
    ticks = log_ticks(values)
    texts = [short(tick) for tick in ticks]
    return {"title": {"text": axis.title}, "type": "log", "tickvals": ticks, "ticktext": texts}


def _legend_room(names: Sequence[str]) -> int:
    # Pixels above the plot, for a narrow screen.
    return 30 + 22 * math.ceil(sum(len(name) + 6 for name in names) / 44)


def _plotly_dots(go: Any, drawing: Any, figure: Dots) -> int:
    labels = ["<br>".join(wrap(label, LABEL_COLUMNS)) for label in figure.labels]
    looks = _looks(list(figure.values))
    for name, values in figure.values.items():
        marker = {"size": 11, "color": COLOURS[looks[name]], "symbol": PLOTLY_MARKERS[looks[name]]}
        drawing.add_trace(
            go.Scatter(
                x=_shown(figure.axis, values), y=labels, name=name, mode="markers", marker=marker,
                hovertemplate="%{y}<br>%{x:,.4~g}<extra>" + name + "</extra>",
            )
        )  # fmt: skip
    drawing.update_xaxes(**_plotly_axis(figure.axis, _all(figure.values.values())))
    drawing.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=labels)
    room = _legend_room(list(figure.values))
    drawing.update_layout(margin_t=room)
    lines = sum(label.count("<br>") + 1 for label in labels)
    return room + 60 + 14 * len(labels) + 18 * lines


def _plotly_lines(go: Any, drawing: Any, figure: Lines) -> int:
    bright = [series for series in figure.series if not series.muted]
    for series in sorted(figure.series, key=lambda series: not series.muted):  # muted ones lie below
        i = bright.index(series) % SERIES_MAX if not series.muted else 0
        line = {"color": MUTED, "width": 1} if series.muted else {"color": COLOURS[i], "width": 2}
        hover = "%{text}<br>" if series.texts else ""
        drawing.add_trace(
            go.Scatter(
                x=_shown(figure.x, series.x), y=_shown(figure.y, series.y), name=series.name,
                text=list(series.texts) or None, mode="lines+markers", showlegend=not series.muted,
                line={**line, "shape": "hv" if figure.stepped else "linear"},
                marker={"size": 5 if series.muted else 8, "symbol": PLOTLY_MARKERS[i]},
                hovertemplate=hover + "%{x:,.4~g}, %{y:,.4~g}<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
    drawing.update_xaxes(**_plotly_axis(figure.x, _all(series.x for series in figure.series)))
    drawing.update_yaxes(**_plotly_axis(figure.y, _all(series.y for series in figure.series)))
    if figure.x_labels:
        names = [label.replace(" ", "<br>") for label in figure.x_labels]
        ticks = {"tickvals": list(range(len(names))), "ticktext": names}
        drawing.update_xaxes(**ticks, range=[-0.3, len(figure.x_labels) - 0.7])
    room = _legend_room([series.name for series in bright])
    drawing.update_layout(margin_t=room)
    return room + 380


def _plotly_heat_map(go: Any, drawing: Any, figure: HeatMap) -> int:
    place = f"{figure.x_title} %{{x}}<br>{figure.y_title} %{{y}}<br>"
    drawing.add_trace(
        go.Heatmap(
            x=list(figure.x_labels), y=list(figure.y_labels), z=[list(row) for row in figure.values],
            text=[[short(value) for value in row] for row in figure.values], texttemplate="%{text}",
            zmin=figure.low, zmax=figure.high, colorscale="Cividis", xgap=2, ygap=2,
            colorbar={"title": {"text": figure.unit, "side": "right"}, "thickness": 12, "tickformat": "~s"},
            hovertemplate=place + f"%{{z:,.4~g}} {figure.unit}<extra></extra>",
        )
    )  # fmt: skip
    drawing.update_xaxes(type="category", title={"text": figure.x_title})
    drawing.update_yaxes(type="category", title={"text": figure.y_title})
    return 120 + 46 * max(len(figure.y_labels), 3)


# --- matplotlib
def to_png(figure: Figure, directory: Path) -> Path:
    """Writes NAME.png; returns its path."""
    import matplotlib.figure

    drawing = matplotlib.figure.Figure(figsize=(8, _png_height(figure)), layout="constrained")
    axes = drawing.subplots()
    {Dots: _png_dots, Lines: _png_lines, HeatMap: _png_heat_map}[type(figure)](drawing, axes, figure)
    axes.set_title("\n".join(wrap(figure.title, 80)), loc="left", fontsize=11, color=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path = directory / f"{figure.name}.png"
    drawing.savefig(path, dpi=PNG_DPI)
    return path


def _png_height(figure: Figure) -> float:
    if isinstance(figure, Dots):
        return 1.8 + 0.28 * len(figure.labels)
    if isinstance(figure, HeatMap):
        return 1.6 + 0.5 * max(len(figure.y_labels), 3)
    return 5.0


def _png_axis(axes: Any, side: str, what: Axis, values: Sequence[Number]) -> None:
    axes.set(**{f"{side}label": what.title})
    if what.log:
        ticks = log_ticks(values)
        axes.set(**{f"{side}scale": "log"})
        getattr(axes, f"set_{side}ticks")(ticks, [short(tick) for tick in ticks])
        getattr(axes, f"set_{side}ticks")([], minor=True)


def _png_dots(drawing: Any, axes: Any, figure: Dots) -> None:
    places = range(len(figure.labels))
    looks = _looks(list(figure.values))
    for name, values in figure.values.items():
        shown = [(value, place) for value, place in zip(values, places, strict=False) if _on(figure.axis, value)]
        axes.scatter(
            [value for value, _ in shown], [place for _, place in shown], label=name, s=45,
            color=COLOURS[looks[name]], marker=PNG_MARKERS[looks[name]], zorder=3,
        )  # fmt: skip
    axes.set_yticks(list(places), list(figure.labels))
    axes.invert_yaxis()
    _png_axis(axes, "x", figure.axis, _all(figure.values.values()))
    axes.grid(color=GRID, zorder=0)
    drawing.legend(loc="outside lower center", ncols=4, frameon=False)


def _png_lines(drawing: Any, axes: Any, figure: Lines) -> None:
    bright = [series for series in figure.series if not series.muted]
    for series in figure.series:
        i = bright.index(series) % SERIES_MAX if not series.muted else 0
        style = {"color": MUTED, "linewidth": 1, "zorder": 2} if series.muted else {"color": COLOURS[i], "zorder": 3}
        points = [
            (x, y) for x, y in zip(series.x, series.y, strict=True) if _on(figure.x, x) and _on(figure.y, y)
        ]
        axes.plot(
            [x for x, _ in points], [y for _, y in points], label=None if series.muted else series.name, markersize=5,
            marker=PNG_MARKERS[i], drawstyle="steps-post" if figure.stepped else "default", **style,
        )  # fmt: skip
    _png_axis(axes, "x", figure.x, _all(series.x for series in figure.series))
    _png_axis(axes, "y", figure.y, _all(series.y for series in figure.series))
    if figure.x_labels:
        axes.set_xticks(range(len(figure.x_labels)), [label.replace(" ", "\n") for label in figure.x_labels])
    axes.grid(color=GRID, zorder=0)
    drawing.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _png_heat_map(drawing: Any, axes: Any, figure: HeatMap) -> None:
    values = [[math.nan if value is None else value for value in row] for row in figure.values]
    image = axes.imshow(values, cmap="cividis", vmin=figure.low, vmax=figure.high, aspect="auto", origin="lower")
    middle = (figure.low + figure.high) / 2
    for y, row in enumerate(figure.values):
        for x, value in enumerate(row):
            colour = "white" if value is None or value < middle else "black"
            axes.text(x, y, short(value), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(figure.x_labels)), list(figure.x_labels))
    axes.set_yticks(range(len(figure.y_labels)), list(figure.y_labels))
    axes.set_xlabel(figure.x_title)
    axes.set_ylabel(figure.y_title)
    drawing.colorbar(image, label=figure.unit, format=lambda value, _: short(value))
