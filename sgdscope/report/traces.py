"""A chart's curves and runs as plotly's traces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from sgdscope.charts import Chart, Curve, Dots
from sgdscope.results import style
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import doubtful

Trace = dict[str, Any]

INK = "#22242A"
LOST = {"diverged": "x-thin-open", "collapsed": "triangle-down-open"}


def of(chart: Chart) -> Iterator[Trace]:
    """Every trace of a chart: the curves, then single runs over them, then marks."""
    several = {curve.key for curve in chart.curves if _several(curve)}
    for curve in chart.curves:
        yield _curve(curve, chart)
    for one in chart.dots:
        if "size" in one.rows:
            yield from _sized(one)
        else:
            size = {"size": 5, "opacity": 0.7} if one.line.key in several else {"size": 8}
            yield _points(one.line, one.rows, _marker(one.line, one.rows) | size)
    for one in chart.lost:
        yield from _lost(one)
    if chart.peak is not None and chart.window is not None:
        yield _peak(*chart.peak, chart.window, chart.line)


def _several(curve: Curve) -> bool:
    return curve.role == "mean" and bool((curve.points["seeds"] > 1).any())


def _curve(curve: Curve, chart: Chart) -> Trace:
    """A curve; the page's script draws its band from low and high, and its hover text."""
    made: Trace = {
        "x": numbers(curve.points["at"]),
        "y": numbers(curve.points["middle"]),
        "mode": "lines",
        "line": {"color": curve.colour, **_LOOKS[curve.role]},
        "legendgroup": curve.key,
        "hovertemplate": f"{_hover_text(curve, chart)}<extra></extra>",
    }
    if curve.role == "run":
        made |= {"mode": "lines+markers", "marker": {"size": 5}}
        made["customdata"] = numbers(curve.points["epoch"])
    elif curve.role != "limit":
        names = [name for name in ("low", "high", "seeds") if name in curve.points]
        columns = zip(*(numbers(curve.points[name]) for name in names), strict=True)
        made["customdata"] = [list(row) for row in columns]
        made["meta"] = "beside" if curve.role == "beside" else "mean"
    if curve.mark is not None and _several(curve):
        looks = {"symbol": style.SYMBOLS[curve.mark], "size": 8, "color": curve.colour}
        made |= {"mode": "lines+markers", "marker": looks}
    return _scatter(**made)


_LOOKS: dict[str, dict[str, Any]] = {
    "mean": {"width": 2},
    "beside": {"width": 1.3, "dash": "dash"},
    "run": {"width": 1.4},
    "limit": {"width": 1.2, "dash": "dot"},
    "density": {"width": 1.5},
}


def _hover_text(curve: Curve, chart: Chart) -> str:
    """The hover text of a curve."""
    if curve.role == "density":
        return "eigenvalue %{x:.4g}<br>density %{customdata[0]:.3g} – %{customdata[1]:.3g}"
    name = f"<b>{curve.label}</b><br>"
    if curve.role == "run":
        return f"{name}epoch %{{customdata}}<br>%{{x:.4g}}: <b>%{{y:.4g}}</b>"
    if curve.role == "limit":
        return f"{name}stability limit %{{y:.4g}}"
    said = f"{name}{chart.x.label} %{{x}}: <b>%{{text}}</b>"
    if (curve.points["seeds"] > 1).any():
        said += "<br>%{customdata[0]:.4g} – %{customdata[1]:.4g}, seeds: %{customdata[2]}"
    return said


def _sized(one: Dots) -> Iterator[Trace]:
    """Runs of every status, larger further along the axis."""
    for status, rows in one.rows.groupby("status"):
        looks = _marker(one.line, rows)
        looks |= {"size": [7 + 8 * size for size in rows["size"]], "opacity": 0.85}
        if status in LOST:
            looks |= {"symbol": LOST[str(status)], "line": {"width": 1.5}}
        yield _points(one.line, rows, looks)


def _lost(one: Dots) -> Iterator[Trace]:
    """Diverged and collapsed runs with their own symbols; at the plot's foot without a value."""
    valued = one.rows["value"].notna()
    for status, symbol in LOST.items():
        looks = {"symbol": symbol, "size": 10, "color": one.line.colour}
        looks["line"] = {"width": 2, "color": one.line.colour}
        here = one.rows["status"] == status
        if (here & valued).any():
            yield _points(one.line, one.rows[here & valued], looks)
        if (here & ~valued).any():
            foot = _points(one.line, one.rows[here & ~valued].assign(value=0.03), looks)
            foot["yaxis"] = "y2"
            yield foot


def _points(line: DrawnLine, rows: pd.DataFrame, marker: dict[str, Any]) -> Trace:
    """One point per run; the page's script writes its hover text."""
    return _scatter(
        x=numbers(rows["at"]),
        y=numbers(rows["value"]),
        mode="markers",
        marker=marker,
        legendgroup=line.key,
        customdata=[int(place) for place in rows["reading"]],
        meta="runs",
        hovertemplate="%{text}<extra></extra>",
    )


def _marker(line: DrawnLine, rows: pd.DataFrame) -> dict[str, Any]:
    """A line's marker; hollow if the value is doubtful."""
    symbol = style.SYMBOLS[line.mark]
    doubted = doubtful(rows)
    looks: dict[str, Any] = {"color": line.colour, "symbol": symbol}
    if doubted.any():
        looks["symbol"] = [f"{symbol}-open" if doubt else symbol for doubt in doubted]
        looks["line"] = {"width": [2 if doubt else 0 for doubt in doubted], "color": line.colour}
    return looks


def _peak(value: float, name: str, window: tuple[float, float], key: str) -> Trace:
    """A mark at λ₁ in a spectrum."""
    return _scatter(
        x=numbers(pd.Series([value, value])),
        y=list(window),
        mode="lines",
        line={"color": INK, "width": 1.3, "dash": "dot"},
        legendgroup=key,
        hovertemplate=f"{name}: %{{x:.4g}}<extra></extra>",
    )


def numbers(values: pd.Series) -> list[float | int | None]:
    """Each number to five digits: more than any screen shows."""
    return [_short(value) if math.isfinite(value) else None for value in values.tolist()]


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else float(f"{value:.5g}")


def _scatter(**what: Any) -> Trace:
    """A plotly trace as JSON: plotly's own classes check each of a million values."""
    return {"type": "scatter"} | {name: value for name, value in what.items() if value is not None}
