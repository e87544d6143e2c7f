"""Curvature against robustness: does one explain the other?"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import charts
from sgdscope.figures import canvas
from sgdscope.figures.drawing import area, draw
from sgdscope.results import style
from sgdscope.results.axis import Axis
from sgdscope.results.view import View
from sgdscope.settings import written


def to_curvature(view: View, attack: str, *, eps: float) -> Figure:
    """Accuracy under an attack against λ₁, one point per run, larger further along the axis."""
    drawn = list(charts.against_curvature(view, attack, eps=eps))
    figure, axes = canvas.sheet(
        [chart.panel for chart in drawn],
        f"{style.label(attack)}, eps = {written(eps)}, against λ₁",
        xlabel=style.label("top_eigenvalue"),
    )
    for ax, chart in zip(axes, drawn, strict=True):
        draw(ax, chart)
    handles = canvas.keys(view.lines, drawn, linestyle="") + _size_keys(view.axis)
    canvas.legend(figure, handles + canvas.extras(drawn), note="one point per run")
    return figure


def _size_keys(axis: Axis) -> list[Line2D]:
    if len(axis.values) < 2:
        return []
    looks: dict[str, Any] = {"color": canvas.FAINT, "marker": "o", "ls": "", "mec": "white"}
    return [
        Line2D([], [], ms=area(size) ** 0.5, label=axis.named(axis.values[-size]), **looks)
        for size in (0, 1)
    ]
