"""Drawing a chart on matplotlib's axes."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from sgdscope.charts import Chart, Curve, Dots
from sgdscope.charts.chart import Role
from sgdscope.figures import canvas
from sgdscope.results import style
from sgdscope.results.view import LOST, doubtful

LOOKS: dict[Role, dict[str, Any]] = {
    "mean": {"linewidth": 1.0},
    "beside": {"linestyle": "--", "linewidth": 0.8, "alpha": 0.8},
    "run": {"marker": "o", "markersize": 1.6, "linewidth": 0.8, "alpha": 0.85},
    "limit": {"linestyle": ":", "linewidth": 0.8, "zorder": 1},
    "density": {"linewidth": 0.9},
}


def draw(ax: Axes, chart: Chart, *, stretched: bool = False) -> None:
    """Draw a chart; ``stretched``: accuracies on an axis logarithmic in the error."""
    _scale(ax, chart, stretched=stretched)
    limits: list[list[float]] = []
    for curve in chart.curves:
        if curve.role == "limit":
            if (level := curve.points["middle"].tolist()) in limits:
                continue  # one line if several have the same
            limits.append(level)
        _curve(ax, curve)
    for place, one in enumerate(chart.lost):
        # Shifted a little, in powers of two, so that one line's marks do not hide another's.
        aside = 0.07 * (place - (len(chart.lost) - 1) / 2) * chart.x.log
        _marks(ax, one, shift=aside)
    for one in chart.dots:
        if "size" in one.rows:
            _scatter(ax, one)
        _ring(ax, one)
    if chart.peak is not None:
        ax.axvline(chart.peak[0], **canvas.PEAK)


def _scale(ax: Axes, chart: Chart, *, stretched: bool) -> None:
    if chart.x.knob is not None:
        canvas.knob_axis(ax, chart.x.knob)
    elif chart.x.log:
        canvas.log_axis(ax.xaxis)
    if chart.x.falling and not ax.xaxis_inverted():
        ax.invert_xaxis()
    if chart.is_accuracy:
        canvas.accuracy_axis(ax, chart.chance, stretched=stretched)
    elif chart.log:
        canvas.log_axis(ax.yaxis)
    if chart.window is not None:
        ax.set_ylim(chart.window)


def _curve(ax: Axes, curve: Curve) -> None:
    """A line, with low to high as a band; a gap where nothing was measured."""
    points = curve.points
    looks = {"zorder": 3} | LOOKS[curve.role]
    if curve.mark is not None:
        looks |= {"marker": style.MARKERS[curve.mark], "linewidth": 1.2}
    ax.plot(points["at"], points["middle"], color=curve.colour, **looks)
    if curve.role in ("mean", "density") and (points["high"] > points["low"]).any():
        band: dict[str, Any] = {"color": curve.colour, "alpha": 0.16, "lw": 0, "zorder": 2}
        ax.fill_between(points["at"], points["low"], points["high"], **band)


def _marks(ax: Axes, one: Dots, *, shift: float) -> None:
    """Diverged and collapsed runs with their own symbols; at the bottom edge without a value."""
    for status, marker in canvas.MARKS.items():
        own = one.rows[one.rows["status"] == status]
        valued = own["value"].notna()
        looks: dict[str, Any] = {"marker": marker, "color": one.line.colour, "ls": ""}
        looks |= {"mfc": "white", "markersize": 4.2, "zorder": 5}
        for some, height, transform in (
            (own[valued], own["value"][valued], ax.transData),
            (own[~valued], [0.03] * int((~valued).sum()), ax.get_xaxis_transform()),
        ):
            if len(some):
                ax.plot(some["at"] * 2**shift, height, transform=transform, **looks)


def _ring(ax: Axes, one: Dots) -> None:
    """A ring around every value that carries a flag or did not converge."""
    done = one.rows[one.rows["status"] == "done"]
    own = done[doubtful(done)]
    looks: dict[str, Any] = {"ms": 6.5, "mfc": "none", "mec": one.line.colour, "mew": 0.7}
    ax.plot(own["at"], own["value"], "o", zorder=4, **looks)


def _scatter(ax: Axes, one: Dots) -> None:
    for status, own in one.rows.groupby("status"):
        lost = status in LOST
        ax.scatter(
            own["at"],
            own["value"],
            s=[area(share) for share in own["size"]],
            marker=canvas.MARKS.get(str(status), style.MARKERS[one.line.mark]),
            facecolor="none" if lost and status != "diverged" else one.line.colour,
            edgecolor=one.line.colour if lost else "white",
            linewidth=0.8 if lost else 0.4,
            alpha=0.9,
            zorder=3,
        )


def area(size: float) -> float:
    """The area of a marker, in square points; ``size`` from 0 to 1."""
    return 8 + 26 * size
