"""Accuracy under attack against the size of the attack."""

from __future__ import annotations

from matplotlib.figure import Figure

from sgdscope.figures import canvas
from sgdscope.results import intervals, style
from sgdscope.results.view import View


def accuracy(view: View, attack: str, panel: str) -> Figure:
    """One panel a value along the axis, from the accuracy without attack at eps = 0."""
    rows = view.by_eps(attack)
    rows = rows[rows["panel"] == panel]
    places = [value for value in view.axis.values if (rows["x"] == value).any()]
    figure, axes = canvas.sheet(
        [view.axis.named(value) for value in places],
        f"{style.label(attack)}, {panel}",
        xlabel="eps (pixels in 0 … 1)",
        height=1.5,
    )
    spreads = intervals.over_seeds(rows, ["x", "line", "eps"])
    for value, ax in zip(places, axes, strict=True):
        canvas.accuracy_axis(ax, view.chance(panel))
        for line, own in view.by_line(spreads[spreads["x"] == value]):
            own = own.set_index("eps")
            canvas.banded(ax, list(own.index), own, line.colour, marker=style.MARKERS[line.mark])
        for line, own in view.by_line(rows[rows["x"] == value]):
            canvas.doubted(ax, own[own["status"] == "done"], "eps", line.colour)
    known = view.chance(panel) is not None
    handles = canvas.keys(view, rows) + canvas.extras(rows.iloc[:0], rows, chance=known)
    note = f"line: mean over seeds; {intervals.describe(spreads['seeds'])}{canvas.left_out(rows)}"
    canvas.legend(figure, handles, note=note)
    return figure
