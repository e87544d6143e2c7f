"""Measures along the axis, one curve per line; against batch size this is the paper's own view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import charts
from sgdscope.charts import Chart
from sgdscope.figures import canvas
from sgdscope.figures.drawing import draw
from sgdscope.results import covariates, intervals, style
from sgdscope.results.view import View
from sgdscope.settings import written


def measure(view: View, name: str, *, eps: float | None = None) -> Figure:
    """One measure at the end of training, at one eps if it has several."""
    drawn = list(charts.along_axis(view, view.at_end(name, eps=eps), name))
    title = style.label(name) if eps is None else f"{style.label(name)}, eps = {written(eps)}"
    figure = _sheet(view, drawn, title, stretched=True)
    middle = "geometric mean" if drawn and drawn[0].log else "mean"
    handles = canvas.keys(view.lines, drawn) + canvas.extras(drawn)
    canvas.legend(figure, handles, note=_note(drawn, middle))
    return figure


def attack(view: View, name: str, *, eps: float) -> Figure:
    """Accuracy under an attack, with the test accuracy beside it, dashed."""
    rows, clean = view.at_end(name, eps=eps), view.at_end("test_accuracy")
    drawn = list(charts.along_axis(view, rows, name, beside=charts.beside(view, clean)))
    figure = _sheet(view, drawn, f"{style.label(name)}, eps = {written(eps)}", stretched=False)
    handles = canvas.keys(view.lines, drawn)
    if not clean.empty:
        looks: dict[str, Any] = {"color": canvas.FAINT, "lw": 0.8, "ls": "--"}
        handles.append(Line2D([], [], label="test accuracy", **looks))
    canvas.legend(figure, handles + canvas.extras(drawn), note=_note(drawn, "mean"))
    return figure


def why(view: View, panel: str) -> Figure:
    """What else differs along the axis: progress, noise, stability and confidence."""
    found = covariates.causes(view)
    found = found[found["panel"] == panel]
    drawn = [
        chart
        for name in covariates.LABELS
        for chart in charts.along_axis(view, covariates.values(found, name), name)
    ]
    figure, axes = canvas.sheet(
        [canvas.folded(covariates.LABELS[chart.measure]) for chart in drawn],
        f"What else differs, {panel}",
        xlabel=view.axis.label,
        columns=4,
        height=1.5,
        share="none",
    )
    for ax, chart in zip(axes, drawn, strict=True):
        draw(ax, chart)
    handles = canvas.keys(view.lines, drawn) + canvas.extras(drawn)
    seeds = [chart.seeds for chart in drawn]
    canvas.legend(figure, handles, note=f"{canvas.MEANS}; {intervals.describe(*seeds)}")
    return figure


def _sheet(view: View, drawn: Sequence[Chart], title: str, *, stretched: bool) -> Figure:
    panels = [chart.panel for chart in drawn]
    figure, axes = canvas.sheet(panels, title, xlabel=view.axis.label)
    for ax, chart in zip(axes, drawn, strict=True):
        if not chart.is_accuracy:
            ax.set_ylabel(style.unit(chart.measure))
        draw(ax, chart, stretched=stretched)
    return figure


def _note(drawn: Sequence[Chart], middle: str) -> str:
    return f"line: {middle} over seeds; {intervals.describe(*[one.seeds for one in drawn[:1]])}"
