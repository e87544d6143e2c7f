"""Measures along the axis, one curve a line; against batch size it is the paper's own view."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope.figures import canvas
from sgdscope.results import covariates, intervals, style
from sgdscope.results.view import View, floor, good

BY = ["panel", "line", "x"]


def measure(view: View, name: str) -> Figure:
    """One measure at the end of training."""
    rows = view.at_end(name)
    log = style.on_log_axis(name, good(rows))
    accuracy = style.is_accuracy(name)
    figure, axes = _sheet(view, rows, style.label(name))
    spreads = intervals.over_seeds(rows, BY, log=log)
    for panel, ax in axes.items():
        ax.set_ylabel(style.unit(name))
        if log:
            canvas.log_axis(ax.yaxis)
        if accuracy:
            canvas.accuracy_axis(ax, view.chance(panel), stretched=True)
        _lines(view, ax, spreads[spreads["panel"] == panel])
        _marks(view, ax, rows[rows["panel"] == panel], floor=floor(rows) if log else None)
    middle = "geometric mean" if log else "mean"
    handles = canvas.keys(view, rows) + _others(view, rows, axes, accuracy=accuracy)
    note = f"line: {middle} over seeds; {intervals.describe(spreads['seeds'])}"
    canvas.legend(figure, handles, note=note)
    return figure


def attack(view: View, name: str, *, eps: float) -> Figure:
    """Accuracy under an attack, with the test accuracy beside it, dashed."""
    rows, clean = view.at_end(name, eps=eps), view.at_end("test_accuracy")
    figure, axes = _sheet(view, rows, f"{style.label(name)}, eps = {eps:g}")
    spreads, above = intervals.over_seeds(rows, BY), intervals.over_seeds(clean, BY)
    for panel, ax in axes.items():
        canvas.accuracy_axis(ax, view.chance(panel))
        _lines(view, ax, above[above["panel"] == panel], dashed=True)
        _lines(view, ax, spreads[spreads["panel"] == panel])
        _marks(view, ax, rows[rows["panel"] == panel])
    handles = canvas.keys(view, rows)
    if not clean.empty:
        looks: dict[str, Any] = {"color": canvas.FAINT, "lw": 0.8, "ls": "--"}
        handles.append(Line2D([], [], label="test accuracy", **looks))
    handles += _others(view, rows, axes, accuracy=True)
    note = f"line: mean over seeds; {intervals.describe(spreads['seeds'])}"
    canvas.legend(figure, handles, note=note)
    return figure


def why(view: View, panel: str) -> Figure:
    """What else differs along the axis: progress, noise, stability and confidence."""
    found = covariates.causes(view)
    found = found[found["panel"] == panel]
    shown = {name: own for name in covariates.LABELS if len(own := covariates.values(found, name))}
    figure, axes = canvas.sheet(
        [canvas.folded(covariates.LABELS[name]) for name in shown],
        f"What else differs, {panel}",
        xlabel=view.axis.label,
        columns=4,
        height=1.5,
        share="none",
    )
    seeds = []
    for ax, (name, rows) in zip(axes, shown.items(), strict=True):
        canvas.knob_axis(ax, view.axis)
        log = style.on_log_axis(name, good(rows))
        if log:
            canvas.log_axis(ax.yaxis)
        spreads = intervals.over_seeds(rows, BY, log=log)
        seeds.append(spreads["seeds"])
        _lines(view, ax, spreads)
        _marks(view, ax, rows, floor=floor(rows) if log else None)
    rows = next(iter(shown.values()))
    handles = canvas.keys(view, rows) + canvas.extras(view.lost(rows), rows, chance=False)
    canvas.legend(figure, handles, note=f"{canvas.MEANS}; {intervals.describe(*seeds)}")
    return figure


def _sheet(view: View, rows: pd.DataFrame, title: str) -> tuple[Figure, dict[str, Axes]]:
    panels = [panel for panel, _ in view.by_panel(rows)]
    figure, axes = canvas.sheet(panels, title, xlabel=view.axis.label)
    for ax in axes:
        canvas.knob_axis(ax, view.axis)
    return figure, dict(zip(panels, axes, strict=True))


def _lines(view: View, ax: Axes, spreads: pd.DataFrame, *, dashed: bool = False) -> None:
    for line, own in view.by_line(spreads):
        looks: dict[str, Any] = {"marker": style.MARKERS[line.mark]}
        if dashed:
            own = own.assign(low=own["middle"], high=own["middle"])
            looks = {"linestyle": "--", "linewidth": 0.8, "alpha": 0.8}
        canvas.banded(ax, view.axis.values, own.set_index("x"), line.colour, **looks)


def _marks(view: View, ax: Axes, rows: pd.DataFrame, *, floor: float | None = None) -> None:
    """Runs that are in no line, and values that need not be believed."""
    middle = (len(view.lines) - 1) / 2
    for line, own in view.by_line(view.lost(rows, above=floor)):
        # A little aside, in powers of two, so that one line's marks do not hide another's.
        aside = 0.07 * (int(line.key.removeprefix("line")) - middle) * view.axis.log
        canvas.marks(ax, own, "x", line.colour, shift=aside)
    for line, own in view.by_line(rows[rows["status"] == "done"]):
        canvas.doubted(ax, own, "x", line.colour)


def _others(
    view: View, rows: pd.DataFrame, axes: dict[str, Axes], *, accuracy: bool
) -> list[Line2D]:
    """Legend entries of what is not a line."""
    known = accuracy and any(view.chance(panel) is not None for panel in axes)
    return canvas.extras(view.lost(rows), rows, chance=known)
