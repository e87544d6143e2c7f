"""Measures against batch size, one line a schedule and momentum: the paper's own view."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import intervals, palette, views
from sgdscope.figures import canvas
from sgdscope.palette import Line
from sgdscope.results import Results


def measure(results: Results, name: str) -> Figure:
    """One measure at the end of training."""
    rows = results.at_end(name)
    figure, axes = _sheet(results, rows, palette.label(name))
    log = palette.on_log_axis(name, rows.loc[rows["status"] == "done", "value"])
    spreads = _lines(results, rows, axes, log=log)
    if log:
        for ax in axes:
            ax.set_yscale("log")
    known = _finish(results, rows, axes, accuracy=palette.is_accuracy(name), stretched=True)
    handles = canvas.keys(palette.lines(rows)) + canvas.extras(
        views.with_lost(results, rows), chance=known
    )
    canvas.legend(figure, handles, note=_note(spreads, log=log))
    return figure


def attack(results: Results, name: str, *, eps: float) -> Figure:
    """Accuracy under an attack, with the test accuracy beside it, dashed."""
    rows = results.at_end(name, eps=eps)
    clean = results.at_end("test_accuracy")
    figure, axes = _sheet(results, rows, f"{palette.label(name)}, eps = {eps:g}")
    _lines(results, clean, axes, dashed=True)
    spreads = _lines(results, rows, axes)
    known = _finish(results, rows, axes, accuracy=True)
    handles = canvas.keys(palette.lines(rows))
    if not clean.empty:
        handles.append(Line2D([], [], color=canvas.FAINT, ls="--", label="test accuracy"))
    handles += canvas.extras(views.with_lost(results, rows), chance=known)
    canvas.legend(figure, handles, note=_note(spreads, log=False))
    return figure


def _sheet(results: Results, rows: pd.DataFrame, title: str) -> tuple[Figure, list[Axes]]:
    panels = views.panels(rows)
    figure, axes = canvas.sheet(
        [canvas.name(panel) for panel in panels], title, xlabel="batch size"
    )
    for ax in axes:
        canvas.batch_axis(ax, sorted(results.runs["batch_size"].unique()))
    return figure, axes


def _lines(
    results: Results,
    rows: pd.DataFrame,
    axes: Sequence[Axes],
    *,
    log: bool = False,
    dashed: bool = False,
) -> pd.DataFrame:
    """Draw every line in every panel; the spreads drawn."""
    spreads = intervals.over_seeds(
        rows,
        ["model", "data", "schedule", "schedule_options", "momentum", "batch_size"],
        log=log,
    )
    sizes = sorted(results.runs["batch_size"].unique())
    for panel, ax in zip(views.panels(rows), axes, strict=False):
        for line in palette.lines(results.runs):
            own = line.of(views.within(spreads, panel)).set_index("batch_size")
            if dashed:
                own = own.assign(low=own["middle"], high=own["middle"])
                looks = {"linestyle": "--", "linewidth": 0.8, "alpha": 0.8}
            else:
                looks = {"marker": palette.MARKERS[line.mark]}
            canvas.banded(ax, sizes, own, line.colour, **looks)
    return spreads


def _finish(
    results: Results,
    rows: pd.DataFrame,
    axes: Sequence[Axes],
    *,
    accuracy: bool,
    stretched: bool = False,
) -> bool:
    """Add what is not a line; whether a chance level was drawn."""
    lines = palette.lines(results.runs)
    known = False
    for panel, ax in zip(views.panels(rows), axes, strict=True):
        chance = views.chance(results.table, panel[1])
        if accuracy:
            canvas.accuracy_axis(ax, chance, stretched=stretched)
            known = known or chance is not None
        for i, line in enumerate(lines):
            own = line.of(views.within(views.with_lost(results, rows), panel))
            canvas.marks(ax, own, "batch_size", line.colour, shift=_shift(i, lines))
            canvas.doubted(ax, own[own["status"] == "done"], "batch_size", line.colour)
    return known


def _shift(index: int, lines: Sequence[Line]) -> float:
    """How far to move a line's marks aside, in powers of two, so that they do not hide another's."""
    return 0.07 * (index - (len(lines) - 1) / 2)


def _note(spreads: pd.DataFrame, *, log: bool) -> str:
    said = intervals.describe(spreads["seeds"])
    return f"line: {'geometric mean' if log else 'mean'} over seeds; {said}"
