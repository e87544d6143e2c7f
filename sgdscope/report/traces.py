"""Plotly traces: means with their bands, and single runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sgdscope.results import style
from sgdscope.results.spectra import Spectrum
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import View, doubtful

Trace = dict[str, Any]

INK = "#22242A"
LOST = {"diverged": "x-thin-open", "collapsed": "triangle-down-open"}


def lines(view: View, spreads: pd.DataFrame, rows: pd.DataFrame, x: str) -> Iterator[Trace]:
    """For each schedule and momentum the mean with its band, and a point for each run."""
    runs = dict(view.by_line(rows[rows["status"] == "done"]))
    for line, spread in view.by_line(spreads):
        several = bool((spread["seeds"] > 1).any())
        looks = {"symbol": style.SYMBOLS[line.mark], "size": 8, "color": line.colour}
        yield mean(
            spread, x, name=line.label, group=line.key, said=_said(view, x),
            line={"color": line.colour, "width": 2}, marker=looks if several else None,
        )  # fmt: skip
        size = {"size": 5, "opacity": 0.7} if several else {"size": 8}
        yield points(line, runs[line], x, marker(line, runs[line]) | size)


def dashed(view: View, spreads: pd.DataFrame, x: str) -> Iterator[Trace]:
    """The test accuracy of each schedule and momentum, to be compared with."""
    for line, spread in view.by_line(spreads):
        looks = {"color": line.colour, "width": 1.3, "dash": "dash"}
        name = f"{line.label}: test accuracy"
        yield mean(spread, x, name=name, group=line.key, said=_said(view, x), line=looks)


def _said(view: View, x: str) -> str:
    """A column, in print."""
    return view.axis.label if x == "x" else x


def mean(
    spread: pd.DataFrame,
    x: str,
    *,
    name: str,
    group: str,
    line: dict[str, Any],
    said: str | None = None,
    marker: dict[str, Any] | None = None,
) -> Trace:
    """The means, each with low, high and the number of seeds.

    The page's script draws the band from them and writes the values that are pointed at.
    """
    columns = [numbers(spread[column]) for column in ("low", "high", "seeds")]
    hover = f"<b>{name}</b><br>{said or x} %{{x}}: <b>%{{text}}</b>"
    if (spread["seeds"] > 1).any():
        hover += "<br>%{customdata[0]:.4g} – %{customdata[1]:.4g}, seeds: %{customdata[2]}"
    return _scatter(
        x=numbers(spread[x]),
        y=numbers(spread["middle"]),
        mode="lines+markers" if marker else "lines",
        line=line,
        marker=marker,
        legendgroup=group,
        customdata=[list(row) for row in zip(*columns, strict=True)],
        meta="mean" if "dash" not in line else "beside",
        hovertemplate=f"{hover}<extra></extra>",
    )


def limit(rows: pd.DataFrame, *, name: str, group: str, colour: str) -> Trace:
    """The learning rate's stability limit along training."""
    once = rows.drop_duplicates("epoch").sort_values("epoch")
    return _scatter(
        x=numbers(once["epoch"]),
        y=numbers(once["limit"]),
        mode="lines",
        line={"color": colour, "width": 1.2, "dash": "dot"},
        legendgroup=group,
        hovertemplate=f"<b>{name}</b><br>stability limit %{{y:.4g}}<extra></extra>",
    )


def trajectory(rows: pd.DataFrame, x: str, colour: str, *, place: str) -> Trace:
    """One run while it trained: a point each time it was measured; ``place``: along the axis."""
    name = f"{place}, seed {rows['seed'].iloc[0]}"
    return _scatter(
        x=numbers(rows[x]),
        y=numbers(rows["along"]),
        mode="lines+markers",
        line={"color": colour, "width": 1.4},
        marker={"size": 5},
        legendgroup=place,
        customdata=numbers(rows["epoch"]),
        hovertemplate=f"<b>{name}</b><br>epoch %{{customdata}}<br>%{{x:.4g}}: "
        "<b>%{y:.4g}</b><extra></extra>",
    )


def density(one: Spectrum, line: DrawnLine, floor: float) -> Trace:
    """A spectrum, with gaps where nothing lies; the page's script draws the band."""
    there = one.density >= floor
    low, high = (np.clip(edge, floor, None) for edge in (one.low, one.high))
    edges = zip(numbers(pd.Series(low)), numbers(pd.Series(high)), strict=True)
    return _scatter(
        x=numbers(pd.Series(one.grid)),
        y=numbers(pd.Series(one.density).where(there)),
        mode="lines",
        line={"color": line.colour, "width": 1.5},
        legendgroup=line.key,
        customdata=[list(edge) for edge in edges],
        meta="mean",
        hovertemplate="eigenvalue %{x:.4g}<br>density %{customdata[0]:.3g} – "
        "%{customdata[1]:.3g}<extra></extra>",
    )


def top(one: Spectrum, line: DrawnLine, ends: list[float]) -> Trace:
    """Where λ₁ lies."""
    return _scatter(
        x=numbers(pd.Series([one.top, one.top])),
        y=ends,
        mode="lines",
        line={"color": INK, "width": 1.3, "dash": "dot"},
        legendgroup=line.key,
        hovertemplate=f"{one.mark}: %{{x:.4g}}<extra></extra>",
    )


def lost(view: View, rows: pd.DataFrame, x: str) -> Iterator[Trace]:
    """Diverged and collapsed runs by their own symbols; without a value, at the plot's foot."""
    for line, own in view.by_line(rows):
        for status, symbol in LOST.items():
            valued = own["value"].notna()
            looks = {"symbol": symbol, "size": 10, "color": line.colour}
            looks["line"] = {"width": 2, "color": line.colour}
            here = own["status"] == status
            if (here & valued).any():
                yield points(line, own[here & valued], x, looks)
            if (here & ~valued).any():
                foot = points(line, own[here & ~valued].assign(value=0.03), x, looks)
                foot["yaxis"] = "y2"
                yield foot


def points(line: DrawnLine, rows: pd.DataFrame, x: str, marker: dict[str, Any]) -> Trace:
    """One point a run; the page's script writes what it says when pointed at."""
    return _scatter(
        x=numbers(rows[x]),
        y=numbers(rows["value"]),
        mode="markers",
        marker=marker,
        legendgroup=line.key,
        customdata=[int(place) for place in rows["reading"]],
        meta="runs",
        hovertemplate="%{text}<extra></extra>",
    )


def marker(line: DrawnLine, rows: pd.DataFrame) -> dict[str, Any]:
    """A line's marker; hollow where the value need not be believed."""
    symbol = style.SYMBOLS[line.mark]
    doubted = doubtful(rows)
    looks: dict[str, Any] = {"color": line.colour, "symbol": symbol}
    if doubted.any():
        looks["symbol"] = [f"{symbol}-open" if doubt else symbol for doubt in doubted]
        looks["line"] = {"width": [2 if doubt else 0 for doubt in doubted], "color": line.colour}
    return looks


def numbers(values: pd.Series) -> list[float | int | None]:
    """Five digits of each: more than any screen shows."""
    return [_short(value) if math.isfinite(value) else None for value in values.tolist()]


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else float(f"{value:.5g}")


def _scatter(**what: Any) -> Trace:
    """A plotly trace as JSON: plotly's own classes check each of a million values."""
    return {"type": "scatter"} | {name: value for name, value in what.items() if value is not None}
