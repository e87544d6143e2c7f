"""Accuracy under attack against the size of the attack."""

from __future__ import annotations

from matplotlib.figure import Figure

from sgdscope import intervals, palette, views
from sgdscope.figures import canvas
from sgdscope.results import Results


def accuracy(results: Results, attack: str) -> Figure:
    """One panel a batch size and (model, data), with the accuracy without attack at eps = 0."""
    rows = views.by_eps(results, attack)
    cells = rows[["model", "data", "batch_size"]].drop_duplicates()
    cells = cells.sort_values(["model", "data", "batch_size"])
    places = [((str(c.model), str(c.data)), int(c.batch_size)) for c in cells.itertuples()]
    several = len(views.panels(rows)) > 1
    titles = [f"{canvas.name(panel)}, " * several + f"batch size {size}" for panel, size in places]
    title = palette.label(attack) + ("" if several else f", {canvas.name(places[0][0])}")
    columns = min(3, rows["batch_size"].nunique())
    figure, axes = canvas.sheet(
        titles, title, xlabel="eps (pixels in 0 … 1)", columns=columns, height=1.5
    )
    by = ["model", "data", "batch_size", "schedule", "schedule_options", "momentum", "eps"]
    spreads = intervals.over_seeds(rows, by)
    chances = [views.chance(results.table, panel[1]) for panel, _ in places]
    for (panel, size), chance, ax in zip(places, chances, axes, strict=True):
        canvas.accuracy_axis(ax, chance)
        within = views.within(spreads[spreads["batch_size"] == size], panel)
        for line in palette.lines(results.runs):
            own = line.of(within).set_index("eps")
            canvas.banded(ax, list(own.index), own, line.colour, marker=palette.MARKERS[line.mark])
    handles = canvas.keys(palette.lines(rows))
    handles += canvas.extras(rows.iloc[:0], chance=any(chance is not None for chance in chances))
    canvas.legend(figure, handles, note=f"mean over seeds; {intervals.describe(spreads['seeds'])}")
    return figure
