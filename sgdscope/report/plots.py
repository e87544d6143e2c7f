"""Plotly figures, one for each panel; the page's template is what they have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from sgdscope.report import traces
from sgdscope.report.traces import Trace
from sgdscope.results import intervals, style
from sgdscope.results.spectra import Spectrum
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import View, edged, floor, good

INK, FAINT, RULE = traces.INK, "#7A808A", "#E7E9ED"
DARK = {INK: "#E8E9EC", FAINT: "#9AA1AC", RULE: "#2C3038", "#FFFFFF": "#22252B"}
_FONT = "system-ui, -apple-system, Segoe UI, sans-serif"
_AXIS: dict[str, Any] = {
    "gridcolor": RULE,
    "zeroline": False,
    "linecolor": FAINT,
    "ticks": "",
    "automargin": True,
    "title": {"standoff": 8, "font": {"size": 12}},
    "tickformat": "~g",
}
TEMPLATE: dict[str, Any] = {
    "layout": {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "color": INK},
        "margin": {"l": 44, "r": 12, "t": 10, "b": 40},
        "xaxis": {**_AXIS, "showgrid": False, "showline": True},
        "yaxis": _AXIS,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "#FFFFFF",
            "bordercolor": FAINT,
            "align": "left",
            "font": {"color": INK, "family": _FONT, "size": 12.5},
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": FAINT, "activecolor": INK},
        "showlegend": False,
    }
}
# A second y axis, without a scale, for runs that have no value: they stand at its foot.
_FOOT = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}

_PLACES = ["panel", "line", "x"]

Plot = dict[str, Any]
Choice = dict[str, str]


def against_batch(
    view: View, measure: str, choice: Choice, *, eps: float | None = None
) -> Iterator[Plot]:
    """One measure at the end of training against batch size."""
    clean = {}
    if eps is not None:
        above = intervals.over_seeds(view.at_end("test_accuracy"), _PLACES)
        clean = _parts(_gapped(view, above))
    yield from rows_against_batch(view, view.at_end(measure, eps=eps), measure, choice, clean=clean)


def rows_against_batch(
    view: View,
    rows: pd.DataFrame,
    measure: str,
    choice: Choice,
    *,
    clean: Mapping[str, pd.DataFrame],
) -> Iterator[Plot]:
    """One value a run against batch size; ``clean``: test accuracies to draw dashed, by panel."""
    log = style.on_log_axis(measure, good(rows))
    spreads = _parts(_gapped(view, intervals.over_seeds(rows, _PLACES, log=log)))
    axis = {
        "type": "log" if view.axis.log else "linear",
        "tickvals": view.axis.values,
        "ticktext": [view.axis.text(value) for value in view.axis.values],
        "title": {"text": view.axis.label},
    }
    for panel, own in view.by_panel(rows):
        lost = view.lost(own, above=floor(own) if log else None)
        drawn = [*traces.dashed(view, clean[panel], "x")] if panel in clean else []
        if panel in spreads:
            drawn += traces.lines(view, spreads[panel], own, "x")
        drawn += traces.lost(view, lost, "x")
        yield _plot(view, panel, choice, drawn, measure, log=log, xaxis=axis)


def relation(view: View, attack: str, choice: Choice, *, eps: float) -> Iterator[Plot]:
    """Accuracy under an attack against λ₁, one point a run, larger for larger batches."""
    log, rows = edged(view.paired(attack, eps=eps), "top_eigenvalue")
    last = max(len(view.axis.values) - 1, 1)
    grown = {value: 7 + 8 * i / last for i, value in enumerate(view.axis.values)}
    title = {"text": style.label("top_eigenvalue")}
    axis = {"type": "log" if log else "linear", "title": title}
    for panel, own in view.by_panel(rows):
        drawn = []
        for line, some in view.by_line(own):
            for status, group in some.groupby("status"):
                looks = traces.marker(line, group)
                looks |= {"size": [grown.get(x, 7) for x in group["x"]], "opacity": 0.85}
                if status in traces.LOST:
                    looks |= {"symbol": traces.LOST[str(status)], "line": {"width": 1.5}}
                drawn.append(traces.points(line, group, "top_eigenvalue", looks))
        yield _plot(view, panel, choice, drawn, attack, log=False, xaxis=axis)


def against_eps(view: View, attack: str, choice: Choice, *, x: float) -> Iterator[Plot]:
    """Accuracy under an attack against its eps, at one value along the axis."""
    rows = view.by_eps(attack)
    rows = rows[rows["x"] == x]
    spreads = _parts(intervals.over_seeds(rows, ["panel", "line", "eps"]))
    axis = {"title": {"text": "eps"}}
    for panel, own in view.by_panel(rows):
        if panel in spreads:
            drawn = traces.lines(view, spreads[panel], own, "eps")
            yield _plot(view, panel, choice, drawn, attack, log=False, xaxis=axis)


def along(
    view: View, measure: str, rows: pd.DataFrame, choice: Choice, *, by_line: bool
) -> Iterator[Plot]:
    """A value against epoch: the lines at one place along the axis, or the places of one line."""
    log = style.on_log_axis(measure, good(rows))
    spreads = intervals.over_seeds(rows, ["panel", "line", "x", "epoch"], log=log)
    axis = {"title": {"text": "epoch"}}
    for panel, own in view.by_panel(spreads):
        drawn: list[Trace] = []
        for line, name, colour, spread in _compared(view, own, by_line=by_line):
            group = line.key if by_line else name
            looks = {"color": colour, "width": 1.8}
            drawn.append(traces.mean(spread, "epoch", name=name, group=group, line=looks))
            if measure == "top_eigenvalue":
                measured = rows[
                    (rows["panel"] == panel)
                    & (rows["line"] == line.key)
                    & (rows["x"] == spread["x"].iloc[0])
                ]
                drawn.append(traces.limit(measured, name=name, group=group, colour=colour))
        yield _plot(view, panel, choice, drawn, measure, log=log, xaxis=axis)


def against_progress(
    view: View, measure: str, rows: pd.DataFrame, against: str, choice: Choice
) -> Iterator[Plot]:
    """The runs of one line while they trained, against a column that tells how far they had got."""
    log = style.on_log_axis(measure, rows["along"])
    axis: dict[str, Any] = {"type": "log", "title": {"text": style.PROGRESS[against]}}
    if against == "loss":
        axis["autorange"] = "reversed"  # training goes from left to right
    colours = style.axis_colours(view.axis.values)
    for panel, own in view.by_panel(rows):
        drawn = [
            traces.trajectory(
                run.sort_values("epoch"),
                against,
                colours[float(str(x))],
                place=view.axis.named(float(str(x))),
            )
            for (x, _), run in own.groupby(["x", "run"])
        ]
        eps = own["eps"].iloc[0]
        made = _plot(view, panel, choice, drawn, measure, log=log, xaxis=axis)
        yield made if pd.isna(eps) else made | {"panel": f"{panel}, eps {eps:g}"}


def density(line: DrawnLine, spectra: Sequence[Spectrum], choice: Choice) -> Iterator[Plot]:
    """The spectra of one line's runs, side by side on the same axes within a panel."""
    for panel in dict.fromkeys(one.panel for one in spectra):
        own = [one for one in spectra if one.panel == panel]
        floor = min(one.floor for one in own)
        peak = max(float(one.high.max()) for one in own)
        tops = [one.top for one in own if one.top is not None]
        ends = [min(one.grid[0] for one in own), max([*tops, *(one.grid[-1] for one in own)])]
        span = [math.log10(floor), math.log10(2 * peak)]
        layout = {
            "xaxis": {"title": {"text": "eigenvalue"}, "range": ends},
            "yaxis": {"range": span, "dtick": 2, "tickformat": "", "exponentformat": "power"},
        }
        for one in own:
            drawn = [traces.density(one, line, floor)]
            if one.top is not None:
                drawn.append(traces.top(one, line, [floor, 2 * peak]))
            yield {
                "panel": f"{panel}, {one.place}, seed {one.seed}",
                "choice": choice,
                "data": drawn,
                "layout": layout,
            }


def _compared(
    view: View, spreads: pd.DataFrame, *, by_line: bool
) -> Iterator[tuple[DrawnLine, str, str, pd.DataFrame]]:
    """Line, name, colour and means of each curve of a plot."""
    colours = style.axis_colours(view.axis.values)
    for line, own in view.by_line(spreads):
        for x, spread in own.groupby("x"):
            if by_line:
                yield line, line.label, line.colour, spread
            else:
                yield line, view.axis.named(float(str(x))), colours[float(str(x))], spread


def _gapped(view: View, spreads: pd.DataFrame) -> pd.DataFrame:
    """With an empty row for each value that a line lacks, so that the line has a gap there."""
    places = spreads[["panel", "line"]].drop_duplicates()
    values = pd.DataFrame({"x": view.axis.values})
    return places.merge(values, how="cross").merge(spreads, how="left")


def _parts(spreads: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {str(panel): own for panel, own in spreads.groupby("panel", sort=False)}


def _plot(
    view: View,
    panel: str,
    choice: Choice,
    drawn: Iterable[Trace],
    measure: str,
    *,
    log: bool,
    xaxis: dict[str, Any],
) -> Plot:
    layout: dict[str, Any] = {"xaxis": xaxis, "yaxis": {"type": "log" if log else "linear"}}
    if unit := style.unit(measure):
        layout["yaxis"]["title"] = {"text": unit}
    data = list(drawn)
    if any(trace.get("yaxis") == "y2" for trace in data):
        layout["yaxis2"] = _FOOT
    if style.is_accuracy(measure):
        layout["yaxis"]["range"] = [-0.02, 1.02]
        chance = view.chance(panel)
        if chance is not None:
            look = {"color": FAINT, "width": 1.2, "dash": "dot"}
            across = {"xref": "paper", "x0": 0, "x1": 1, "y0": chance, "y1": chance}
            layout["shapes"] = [{"type": "line", "line": look, "layer": "below", **across}]
    return {"panel": panel, "choice": choice, "data": data, "layout": layout}
