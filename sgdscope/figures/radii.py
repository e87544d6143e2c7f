"""Accuracy under attack against the size of the attack."""

from __future__ import annotations

from matplotlib.figure import Figure

from sgdscope import charts
from sgdscope.figures import canvas
from sgdscope.figures.drawing import draw
from sgdscope.results import intervals, style
from sgdscope.results.view import View


def accuracy(view: View, attack: str, panel: str) -> Figure:
    """One panel per value along the axis, from the accuracy without attack at eps = 0."""
    drawn = [chart for chart in charts.against_eps(view, attack) if chart.panel == panel]
    figure, axes = canvas.sheet(
        [view.axis.named(chart.at) for chart in drawn if chart.at is not None],
        f"{style.label(attack)}, {panel}",
        xlabel="eps (pixels in 0 … 1)",
        height=1.5,
    )
    for ax, chart in zip(axes, drawn, strict=True):
        draw(ax, chart)
    handles = canvas.keys(view.lines, drawn) + canvas.extras(drawn)
    rows = view.at_end(attack)
    lost = canvas.left_out(rows[rows["panel"] == panel])
    seeds = intervals.describe(*[chart.seeds for chart in drawn[:1]])
    canvas.legend(figure, handles, note=f"line: mean over seeds; {seeds}{lost}")
    return figure
