"""Curvature against robustness: does the one explain the other?"""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import palette, views
from sgdscope.figures import canvas
from sgdscope.results import Results


def to_curvature(results: Results, attack: str, *, eps: float) -> Figure:
    """Accuracy under an attack against λ₁, one point a run, larger points for larger batches."""
    rows = views.paired(results, attack, eps=eps)
    panels = views.panels(rows)
    title = f"{palette.label(attack)}, eps = {eps:g}, against λ₁"
    figure, axes = canvas.sheet(
        [canvas.name(panel) for panel in panels], title, xlabel=palette.label("top_eigenvalue")
    )
    sizes = sorted(rows["batch_size"].unique())
    for panel, ax in zip(panels, axes, strict=True):
        if palette.on_log_axis("top_eigenvalue", rows["top_eigenvalue"]):
            ax.set_xscale("log")
        canvas.accuracy_axis(ax, views.chance(results.table, panel[1]))
        for line in palette.lines(rows):
            own = line.of(views.within(rows, panel))
            for status, group in own.groupby("status"):
                lost = status != "done"
                ax.scatter(
                    group["top_eigenvalue"],
                    group["value"],
                    s=[
                        10 + 22 * sizes.index(size) / max(len(sizes) - 1, 1)
                        for size in group["batch_size"]
                    ],
                    marker=canvas.MARKS.get(str(status), palette.MARKERS[line.mark]),
                    color="none" if lost else line.colour,
                    edgecolor=line.colour if lost else "white",
                    linewidth=0.7 if lost else 0.4,
                    alpha=0.9,
                    zorder=3,
                )
    handles = canvas.keys(palette.lines(rows), linestyle="")
    handles += canvas.extras(rows, chance=views.chance(results.table, panels[0][1]) is not None)
    small, large = (f"batch size {size}" for size in (sizes[0], sizes[-1]))
    looks = {"color": canvas.FAINT, "marker": "o", "ls": "", "mec": "white"}
    handles += [
        Line2D([], [], ms=3.2, label=small, **looks),
        Line2D([], [], ms=5.7, label=large, **looks),
    ]
    canvas.legend(figure, handles, note="one point a run")
    return figure
