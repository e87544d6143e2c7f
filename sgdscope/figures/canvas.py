"""What all figures share: sizes, fonts, panels, axes, lines with bands, marks, legends."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    NullLocator,
)

from sgdscope.charts import Chart
from sgdscope.files import write_atomically
from sgdscope.results import style
from sgdscope.results.axis import Axis as Knob
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import LOST, doubtful

FloatArray = npt.NDArray[np.float64]

COLUMN, PAGE = 3.3, 6.8  # widths in inches of one column and of both
ROWS, ROW = 3, 0.14  # of a legend: those that every figure has room for; inches of each further
INK, FAINT = "#22242A", "#8A8F98"
DATES = {"svg": "Date", "pdf": "CreationDate"}  # in a file's metadata, by its kind
TITLE = "sgdscope: {}"  # in a file's metadata, with its name
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that layouts agree everywhere
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "figure.titlesize": 9,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.title_fontsize": 6,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.4,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E7E9ED",
    "grid.linewidth": 0.5,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "text.color": INK,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "sgdscope",
    "pdf.fonttype": 42,
}
MEANS = "line: mean over seeds, geometric on logarithmic axes"
MARKS = {"diverged": "x", "collapsed": "v"}
PEAK: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (1, 1.5))}  # of a density


def in_style() -> AbstractContextManager[None]:
    """A context in which figures are made and saved in sgdscope's style only."""
    looks: dict[Any, Any] = {**mpl.rcParamsDefault, "backend": "agg", **STYLE}
    return mpl.rc_context(looks)


def sheet(
    titles: Sequence[str | None],
    title: str,
    *,
    xlabel: str,
    columns: int | None = None,
    height: float = 1.9,
    share: Literal["all", "row", "none"] = "all",
) -> tuple[Figure, list[Axes]]:
    """A figure with one panel per title, sharing the x axis, and a gap in place of None.

    ``share``: which share the y axis.
    """
    count = len(titles)
    columns = columns or (count if count <= 3 else 2 if count == 4 else 3)
    rows = -(-count // columns)
    size = (COLUMN if columns == 1 else PAGE, height * rows + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.subplots(rows, columns, sharex=True, sharey=share, squeeze=False)
    named = dict(enumerate(titles))
    axes = []
    for i, ax in enumerate(grid.flat):
        if (name := named.get(i)) is None:
            ax.remove()
            continue
        axes.append(ax)
        lowest = named.get(i + columns) is None
        name = folded(name) if columns > 4 else name
        ax.set_title(name, loc="left", color=FAINT if count == 1 else INK)
        ax.tick_params(labelbottom=lowest, labelleft=share == "none" or i % columns == 0)
        ax.set_xlabel(xlabel if lowest else "")
    return figure, axes


def folded(title: str) -> str:
    """A narrow panel's title in two lines: broken at its comma, or where the first is full."""
    return title.replace(", ", ",\n") if ", " in title else textwrap.fill(title, 22)


def write(
    figure: Figure, folder: Path, name: str, *, kinds: Sequence[str] = tuple(DATES)
) -> list[Path]:
    """Write a figure as files of some kinds, without the date, so that bytes are reproducible."""
    files = [folder / f"{name}.{kind}" for kind in kinds]
    for file, kind in zip(files, kinds, strict=True):
        metadata = {DATES[kind]: None, "Title": TITLE.format(name)}
        write_atomically(file, partial(figure.savefig, format=kind, metadata=metadata))
        figure.set_layout_engine("none")  # laid out once for all kinds of file
    return files


def knob_axis(ax: Axes, axis: Knob) -> None:
    """An axis whose ticks are the knob's values themselves; log₂ where they are geometric."""
    values = axis.values
    if axis.log:
        ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(list(values)))
    ax.xaxis.set_major_formatter(FixedFormatter([axis.text(value) for value in values]))
    ax.xaxis.set_minor_locator(NullLocator())
    if axis.log:
        ax.set_xlim(values[0] / 1.25, values[-1] * 1.25)
    else:
        room = 0.08 * (values[-1] - values[0] or 1.0)
        ax.set_xlim(values[0] - room, values[-1] + room)


def log_axis(axis: Axis) -> None:
    """Logarithmic, with plain numbers if they are short, as text rather than paths."""
    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: _between(value, axis)))


def _between(value: float, axis: Axis) -> str:
    """Twos and fives as ticks, on an axis so short that it has hardly any power of ten."""
    low, high = axis.get_view_interval()
    first = f"{value:e}"[0]
    return _power(value) if high < 30 * low and first in "25" else ""


def _power(value: float) -> str:
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    digits = str(round(np.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"


def accuracy_axis(ax: Axes, chance: float | None, *, stretched: bool = False) -> None:
    """From 0 to 1, with chance level drawn.

    Args:
        ax: the axis.
        chance: the accuracy of guessing, if known.
        stretched: logarithmic in the error, so that accuracies near 1 are distinguishable.
    """
    if stretched:
        ax.set_yscale("function", functions=(_stretch, _shrink))
        ax.yaxis.set_major_locator(FixedLocator(style.STRETCH_TICKS))
        ax.yaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in style.STRETCH_TICKS]))
    ax.set_ylim(0 if stretched else -0.03, 1.0005 if stretched else 1.03)
    if chance is not None:
        ax.axhline(chance, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)


def _stretch(accuracy: FloatArray) -> FloatArray:
    return -np.log10(np.maximum(1 - accuracy, -style.STRETCH_END / 2) + style.STRETCH_END)


def _shrink(place: FloatArray) -> FloatArray:
    return 1 + style.STRETCH_END - 10**-place


def keys(lines: Iterable[DrawnLine], charts: Sequence[Chart], **looks: Any) -> list[Line2D]:
    """Legend entries of the lines that are in a chart."""
    there = {key for chart in charts for key in chart.keys}
    return [
        Line2D(
            [], [], color=line.colour, marker=style.MARKERS[line.mark], label=line.label, **looks
        )
        for line in lines
        if line.key in there
    ]


def extras(charts: Sequence[Chart]) -> list[Line2D]:
    """Legend entries of everything else in them: chance, lost runs, doubtful values."""
    entries = []
    if any(chart.chance is not None for chart in charts):
        entries.append(Line2D([], [], color=FAINT, lw=0.8, ls=(0, (1, 2)), label="chance level"))
    shown = [one.rows for chart in charts for one in chart.dots]
    found = {status for own in shown for status in own["status"]}
    found |= {status for chart in charts for one in chart.lost for status in one.rows["status"]}
    looks: dict[str, Any] = {"color": FAINT, "ls": "", "mfc": "white", "markersize": 4.2}
    for status, marker in MARKS.items():
        if status in found:
            entries.append(Line2D([], [], marker=marker, label=f"{status} run", **looks))
    if any(doubtful(own[own["status"] == "done"]).any() for own in shown):
        ring = {**looks, "markersize": 6.0, "mfc": "none", "mew": 0.7}
        entries.append(Line2D([], [], marker="o", label="flagged or unconverged", **ring))
    return entries


def left_out(rows: pd.DataFrame) -> str:
    """How many lost runs a figure leaves out, if they have no mark of their own."""
    lost = rows.loc[rows["status"].isin(LOST), "run"].nunique()
    return f"; {lost} diverged or collapsed runs left out" if lost else ""


def legend(figure: Figure, handles: Sequence[Artist], *, note: str = "") -> None:
    """One legend below all panels, with a note that explains the bands.

    The figure grows with it, so that the panels keep their height.
    """
    wide = figure.get_figwidth() > COLUMN
    columns = min(len(handles), 4 if wide else 2)
    further = max(0, -(-len(handles) // max(columns, 1)) - ROWS)
    figure.set_figheight(figure.get_figheight() + further * ROW)
    made = figure.legend(
        handles=list(handles), loc="outside lower center", ncols=columns, title=note or None
    )
    made.get_title().set_color(FAINT)
