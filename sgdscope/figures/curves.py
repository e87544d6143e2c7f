"""The course of training: one column per line, one colour per value along the axis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import charts
from sgdscope.charts import Chart
from sgdscope.figures import canvas
from sgdscope.figures.drawing import draw
from sgdscope.results import intervals, style
from sgdscope.results.view import View
from sgdscope.settings import written

WIDEST = 8  # lines beside each other
LEARNING = {"train_loss": "loss while training", "validation_accuracy": "validation accuracy"}


def learning(view: View, panel: str) -> Figure:
    """Loss while training above, validation accuracy below, against epoch."""
    history = view.history[view.history["panel"] == panel]
    drawn: list[dict[str, Chart]] = []
    for column in LEARNING:
        rows = history.assign(value=history[column])
        found = charts.along_training(view, rows, column, by_line=False)
        drawn.append({chart.line: chart for chart in found})
    title = f"Learning curves, {panel}"
    figure = _grid(view, drawn, [*LEARNING.values()], title, xlabel="epoch", height=1.5)
    seeds = [chart.seeds for row in drawn for chart in [*row.values()][:1]]
    canvas.legend(figure, _value_keys(view), note=_note(seeds, history))
    return figure


def along(view: View, measure: str, panel: str) -> Figure:
    """A measure along training; λ₁ with the stability limit 2(1 + m)/learning rate, dotted."""
    rows = view.trajectory(measure)
    rows = rows[rows["panel"] == panel]
    drawn = {one.line: one for one in charts.along_training(view, rows, measure, by_line=False)}
    lines = [line for line in view.lines if line.key in drawn]
    figure, axes = canvas.sheet(
        [line.label for line in lines],
        f"{style.label(measure)} along training, {panel}",
        xlabel="epoch",
        columns=min(4, len(lines)),
        height=1.7,
    )
    for line, ax in zip(lines, axes, strict=True):
        ax.set_ylabel(style.unit(measure))
        draw(ax, drawn[line.key])
    handles = _value_keys(view)
    if measure == "top_eigenvalue":
        handles.append(Line2D([], [], color=canvas.FAINT, ls=":", label="2(1 + m)/learning rate"))
    seeds = [chart.seeds for chart in drawn.values()][:1]
    canvas.legend(figure, handles, note=_note(seeds, rows))
    return figure


def progress(view: View, panel: str, against: str) -> Figure:
    """Measures taken during training, against progress: one curve per run."""
    followed = view.followed(panel)
    drawn: list[dict[str, Chart]] = []
    names = []
    for name, eps in followed.items():
        found = charts.at_equal_progress(view, panel, name, against, eps=eps)
        drawn.append({chart.line: chart for chart in found})
        label = textwrap.fill(style.label(name).split(",")[0], 16)
        names.append(label if eps is None else f"{label},\neps {written(eps)}")
    title = f"At equal progress, {panel}"
    figure = _grid(view, drawn, names, title, xlabel=style.PROGRESS[against], height=1.2)
    taken = pd.concat([view.trajectory(name, eps=eps) for name, eps in followed.items()])
    lost = canvas.left_out(taken[taken["panel"] == panel])
    canvas.legend(figure, _value_keys(view), note=f"one curve per run{lost}")
    return figure


def _grid(
    view: View,
    drawn: Sequence[dict[str, Chart]],
    names: Sequence[str],
    title: str,
    *,
    xlabel: str,
    height: float,
) -> Figure:
    """A row for each measure and a column for each line; lines that find no room follow below.

    Args:
        view: the study's.
        drawn: for each measure, the charts of lines by their keys.
        names: of the measures.
        title: of the figure.
        xlabel: of all charts.
        height: of a row.
    """
    lines = [line for line in view.lines if any(line.key in row for row in drawn)]
    blocks = [lines[i : i + WIDEST] for i in range(0, len(lines), WIDEST)]
    titles: list[str | None] = []
    for block in blocks:
        spare = [None] * (len(blocks[0]) - len(block))
        titles += [*(line.label for line in block), *spare]
        titles += [*[""] * len(block), *spare] * (len(drawn) - 1)
    figure, axes = canvas.sheet(
        titles, title, xlabel=xlabel, columns=len(blocks[0]), height=height, share="row"
    )
    each = iter(axes)
    for block in blocks:
        for name, row in zip(names, drawn, strict=True):
            for place, line in enumerate(block):
                ax = next(each)
                if place == 0:
                    ax.set_ylabel(name)
                if line.key in row:
                    draw(ax, row[line.key])
    return figure


def _value_keys(view: View) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, label=view.axis.named(value))
        for value, colour in style.axis_colours(view.axis.values).items()
    ]


def _note(seeds: Sequence[pd.Series], rows: pd.DataFrame) -> str:
    return f"{canvas.MEANS}; {intervals.describe(*seeds)}{canvas.left_out(rows)}"
