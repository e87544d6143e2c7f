"""Curvature against robustness: does the one explain the other?"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope.figures import canvas
from sgdscope.results import style
from sgdscope.results.axis import Axis
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import LOST, View, edged


def to_curvature(view: View, attack: str, *, eps: float) -> Figure:
    """Accuracy under an attack against λ₁, a point a run, larger further along the axis."""
    log, rows = edged(view.paired(attack, eps=eps), "top_eigenvalue")
    panels = view.by_panel(rows)
    figure, axes = canvas.sheet(
        [panel for panel, _ in panels],
        f"{style.label(attack)}, eps = {eps:g}, against λ₁",
        xlabel=style.label("top_eigenvalue"),
    )
    for (panel, within), ax in zip(panels, axes, strict=True):
        if log:
            canvas.log_axis(ax.xaxis)
        canvas.accuracy_axis(ax, view.chance(panel))
        for line, own in view.by_line(within):
            _scatter(ax, line, own, view.axis.values)
            done = own[own["status"] == "done"]
            canvas.doubted(ax, done, "top_eigenvalue", line.colour)
    known = any(view.chance(panel) is not None for panel, _ in panels)
    handles = canvas.keys(view, rows, linestyle="") + _size_keys(view.axis)
    handles += canvas.extras(rows, rows, chance=known)
    canvas.legend(figure, handles, note="one point a run")
    return figure


def _scatter(ax: Axes, line: DrawnLine, rows: pd.DataFrame, values: list[float]) -> None:
    for status, own in rows.groupby("status"):
        lost = status in LOST
        ax.scatter(
            own["top_eigenvalue"],
            own["value"],
            s=[_area(values.index(x) if x in values else 0, values) for x in own["x"]],
            marker=canvas.MARKS.get(str(status), style.MARKERS[line.mark]),
            facecolor="none" if lost and status != "diverged" else line.colour,
            edgecolor=line.colour if lost else "white",
            linewidth=0.8 if lost else 0.4,
            alpha=0.9,
            zorder=3,
        )


def _area(rank: int, values: list[float]) -> float:
    """Of a marker, in square points."""
    return 8 + 26 * rank / max(len(values) - 1, 1)


def _size_keys(axis: Axis) -> list[Line2D]:
    values = axis.values
    if len(values) < 2:
        return []
    looks: dict[str, Any] = {"color": canvas.FAINT, "marker": "o", "ls": "", "mec": "white"}
    return [
        Line2D([], [], ms=_area(rank, values) ** 0.5, label=axis.named(values[rank]), **looks)
        for rank in (0, len(values) - 1)
    ]
