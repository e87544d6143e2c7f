"""Plotly figures, one a panel; the page adds what is alike in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sgdscope import intervals, palette, views
from sgdscope.palette import Line
from sgdscope.results import Results
from sgdscope.views import Panel

INK, FAINT, RULE = "#22242A", "#7A808A", "#E7E9ED"
LOST = {"diverged": "x-thin-open", "collapsed": "triangle-down-open"}
Plot = dict[str, Any]


def against_batch(
    results: Results, panel: Panel, measure: str, *, eps: float | None = None
) -> Plot:
    """One measure at the end of training against batch size."""
    rows = views.within(results.at_end(measure, eps=eps), panel)
    good = rows.loc[rows["status"] == "done", "value"]
    log = palette.on_log_axis(measure, good)
    traces: list[go.Scatter] = []
    if eps is not None:
        clean = views.within(results.at_end("test_accuracy"), panel)
        traces += _lines(results, clean, "batch_size", dashed=True)
    traces += _lines(results, rows, "batch_size", log=log)
    traces += _lost(results, panel, rows, "batch_size")
    layout = _layout(results, panel, measure, log=log)
    sizes = sorted(int(size) for size in results.runs["batch_size"].unique())
    layout["xaxis"] = {
        "type": "log",
        "tickvals": sizes,
        "ticktext": [f"{size}" for size in sizes],
        "title": {"text": "batch size"},
    }
    return _plot(panel, traces, layout)


def relation(results: Results, panel: Panel, attack: str, *, eps: float) -> Plot:
    """Accuracy under an attack against λ₁, one point a run."""
    rows = views.within(views.paired(results, attack, eps=eps), panel)
    sizes = sorted(rows["batch_size"].unique())
    traces = []
    for line in palette.lines(results.runs):
        for status, own in line.of(rows).groupby("status"):
            grown = [7 + 8 * sizes.index(s) / max(len(sizes) - 1, 1) for s in own["batch_size"]]
            marker = _marker(line, own) | {"size": grown}
            if status in LOST:
                marker |= {"symbol": LOST[str(status)], "line": {"width": 1.5}}
            traces.append(_points(line, own, "top_eigenvalue", marker))
    layout = _layout(results, panel, attack, log=False)
    log = palette.on_log_axis("top_eigenvalue", rows["top_eigenvalue"])
    layout["xaxis"] = {
        "type": "log" if log else "linear",
        "title": {"text": palette.label("top_eigenvalue")},
    }
    return _plot(panel, traces, layout)


def against_eps(results: Results, panel: Panel, attack: str, size: int) -> Plot:
    """Accuracy under an attack against its eps, at one batch size."""
    rows = views.within(views.by_eps(results, attack), panel)
    rows = rows[rows["batch_size"] == size]
    layout = _layout(results, panel, attack, log=False)
    layout["xaxis"] = {"title": {"text": "eps"}, "rangemode": "tozero"}
    return _plot(panel, _lines(results, rows, "eps"), layout)


def along(
    results: Results, panel: Panel, measure: str, rows: pd.DataFrame, *, by_line: bool
) -> Plot:
    """A value against epoch, one line a batch size or one a schedule and momentum."""
    rows = views.within(rows, panel)
    log = palette.on_log_axis(measure, rows.loc[rows["status"] == "done", "value"])
    traces = []
    for line, name, colour, own in _compared(results, rows, by_line=by_line):
        spread = intervals.over_seeds(own, ["epoch"], log=log)
        traces += _banded(line if by_line else None, name, colour, spread, "epoch")
        if measure == "top_eigenvalue":
            one = own.drop_duplicates("epoch").sort_values("epoch")
            traces.append(
                go.Scatter(
                    x=_numbers(one["epoch"]),
                    y=_numbers(views.stability_limit(line.momentum, one["rate"])),
                    mode="lines",
                    line={"color": colour, "width": 1.2, "dash": "dot"},
                    name=f"{name}: stability limit",
                    legendgroup=line.key if by_line else name,
                    hovertemplate="stability limit %{y:.4g}<extra></extra>",
                )
            )
    layout = _layout(results, panel, measure, log=log)
    layout["xaxis"] = {"title": {"text": "epoch"}}
    return _plot(panel, traces, layout)


def _compared(
    results: Results, rows: pd.DataFrame, *, by_line: bool
) -> Iterator[tuple[Line, str, str, pd.DataFrame]]:
    sizes = sorted(results.runs["batch_size"].unique())
    colours = palette.batch_colours(sizes)
    for line in palette.lines(results.runs):
        own = line.of(rows)
        if own.empty:
            continue
        if by_line:
            yield line, line.label, line.colour, own
            continue
        for size, group in own.groupby("batch_size"):
            yield line, f"batch size {size}", colours[int(str(size))], group


def _lines(
    results: Results, rows: pd.DataFrame, x: str, *, log: bool = False, dashed: bool = False
) -> Iterator[go.Scatter]:
    spreads = intervals.over_seeds(rows, ["schedule", "schedule_options", "momentum", x], log=log)
    for line in palette.lines(results.runs):
        spread, own = line.of(spreads), line.of(rows)
        if spread.empty:
            continue
        if dashed:
            yield go.Scatter(
                x=_numbers(spread[x]),
                y=_numbers(spread["middle"]),
                mode="lines",
                line={"color": line.colour, "width": 1.3, "dash": "dash"},
                legendgroup=line.key,
                hovertemplate=f"test accuracy %{{y:.4g}}<extra>{line.label}</extra>",
            )
            continue
        yield from _banded(line, line.label, line.colour, spread, x, marked=True)
        good = own[own["status"] == "done"]
        yield _points(line, good, x, _marker(line, good) | {"size": 5, "opacity": 0.75})


def _banded(
    line: Line | None,
    name: str,
    colour: str,
    spread: pd.DataFrame,
    x: str,
    *,
    marked: bool = False,
) -> Iterator[go.Scatter]:
    """The band as one closed outline, then the middle."""
    group = line.key if line else name
    if (spread["high"] > spread["low"]).any():
        yield go.Scatter(
            x=_numbers(pd.concat([spread[x], spread[x][::-1]])),
            y=_numbers(pd.concat([spread["high"], spread["low"][::-1]])),
            fill="toself",
            fillcolor=palette.see_through(colour, 0.16),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            legendgroup=group,
        )
    marker: dict[str, Any] = {}
    if marked and line:
        marker = {"symbol": palette.SYMBOLS[line.mark], "size": 8, "color": colour}
    yield go.Scatter(
        x=_numbers(spread[x]),
        y=_numbers(spread["middle"]),
        mode="lines+markers" if marked else "lines",
        line={"color": colour, "width": 2},
        marker=marker,
        name=name,
        legendgroup=group,
        customdata=[
            [_short(low), _short(high), int(seeds)]
            for low, high, seeds in zip(spread["low"], spread["high"], spread["seeds"], strict=True)
        ],
        hovertemplate=f"<b>{name}</b><br>{x.replace('_', ' ')} %{{x}}: %{{y:.4g}}"
        "<br>%{customdata[0]} – %{customdata[1]}, seeds: %{customdata[2]}<extra></extra>",
    )


def _points(line: Line, rows: pd.DataFrame, x: str, marker: dict[str, Any]) -> go.Scatter:
    """One point a run; the page writes the hover text from the run's reading."""
    reading = rows["reading"] if "reading" in rows else pd.Series(-1, index=rows.index)
    return go.Scatter(
        x=_numbers(rows[x]),
        y=_numbers(rows["value"]),
        mode="markers",
        marker=marker,
        legendgroup=line.key,
        customdata=[int(i) for i in reading],
        meta={"runs": True},
        hovertemplate="%{text}<extra></extra>",
    )


def _marker(line: Line, rows: pd.DataFrame) -> dict[str, Any]:
    symbol = palette.SYMBOLS[line.mark]
    doubted = views.doubtful(rows)
    return {
        "color": line.colour,
        "symbol": [f"{symbol}-open" if doubt else symbol for doubt in doubted],
        "line": {"width": [2 if doubt else 0 for doubt in doubted], "color": line.colour},
    }


def _lost(results: Results, panel: Panel, rows: pd.DataFrame, x: str) -> Iterator[go.Scatter]:
    everything = views.within(views.with_lost(results, rows), panel)
    for line in palette.lines(results.runs):
        for status, symbol in LOST.items():
            own = line.of(everything)
            own = own[own["status"] == status]
            for group, axis in ((own[own["value"].notna()], "y"), (own[own["value"].isna()], "y2")):
                if group.empty:
                    continue
                shown = group if axis == "y" else group.assign(value=0.03)
                marker = {"symbol": symbol, "size": 10, "color": line.colour}
                marker["line"] = {"width": 2, "color": line.colour}
                trace = _points(line, shown, x, marker)
                trace.yaxis = axis
                yield trace


def _layout(results: Results, panel: Panel, measure: str, *, log: bool) -> Plot:
    layout: Plot = {"yaxis": {"type": "log" if log else "linear"}}
    if palette.is_accuracy(measure):
        layout["yaxis"]["range"] = [-0.02, 1.02]
        layout["meta"] = {"range": [-0.02, 1.02]}
        chance = views.chance(results.table, panel[1])
        if chance is not None:
            line = {"color": FAINT, "width": 1.2, "dash": "dot"}
            across = {"xref": "paper", "x0": 0, "x1": 1, "y0": chance, "y1": chance}
            layout["shapes"] = [{"type": "line", "line": line, "layer": "below", **across}]
    return layout


def _plot(panel: Panel, traces: Any, layout: Plot) -> Plot:
    figure = go.Figure(list(traces), {**layout, "template": None})
    made = figure.to_plotly_json()
    made["layout"].pop("template", None)
    return {"panel": " on ".join(panel), **made}


def _numbers(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else _short(value) for value in values]


def _short(value: float) -> float:
    """Five digits: more than any screen shows."""
    return float(f"{value:.5g}")
