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

LEARNING = {"train_loss": "loss while training", "validation_accuracy": "validation accuracy"}


def learning(view: View, panel: str) -> Figure:
    """Loss while training above, validation accuracy below, against epoch."""
    history = view.history[view.history["panel"] == panel]
    lines = [line for line, _ in view.by_line(history)]
    figure, axes = canvas.sheet(
        [line.label for line in lines] + [""] * len(lines),
        f"Learning curves, {panel}",
        xlabel="epoch",
        columns=len(lines),
        height=1.5,
        share="row",
    )
    seeds = []
    for row, (column, label) in enumerate(LEARNING.items()):
        rows = history.assign(value=history[column])
        drawn = {one.line: one for one in charts.along_training(view, rows, column, by_line=False)}
        own = axes[row * len(lines) : (row + 1) * len(lines)]
        own[0].set_ylabel(label)
        for line, ax in zip(lines, own, strict=True):
            if line.key in drawn:
                draw(ax, drawn[line.key])
        seeds += [chart.seeds for chart in drawn.values()][:1]
    canvas.legend(figure, _value_keys(view), note=_note(seeds, history))
    return figure


def along(view: View, measure: str, panel: str) -> Figure:
    """A measure along training; λ₁ with the stability limit 2(1 + m)/learning rate, dotted."""
    rows = view.trajectory(measure)
    rows = rows[rows["panel"] == panel]
    drawn = {one.line: one for one in charts.along_training(view, rows, measure, by_line=False)}
    lines = [line for line, _ in view.by_line(rows)]
    figure, axes = canvas.sheet(
        [line.label for line in lines],
        f"{style.label(measure)} along training, {panel}",
        xlabel="epoch",
        columns=min(4, len(lines)),
        height=1.7,
    )
    for line, ax in zip(lines, axes, strict=True):
        ax.set_ylabel(style.unit(measure))
        if line.key in drawn:
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
    for name, eps in followed.items():
        found = charts.at_equal_progress(view, panel, name, against, eps=eps)
        drawn.append({chart.line: chart for chart in found})
    lines = [line for line in view.lines if any(line.key in row for row in drawn)]
    figure, axes = canvas.sheet(
        [line.label for line in lines] + [""] * (len(lines) * (len(drawn) - 1)),
        f"At equal progress, {panel}",
        xlabel=style.PROGRESS[against],
        columns=len(lines),
        height=1.2,
        share="row",
    )
    for place, ((name, eps), row) in enumerate(zip(followed.items(), drawn, strict=True)):
        own = axes[place * len(lines) : (place + 1) * len(lines)]
        label = textwrap.fill(style.label(name).split(",")[0], 16)
        own[0].set_ylabel(label if eps is None else f"{label},\neps {eps:g}")
        for line, ax in zip(lines, own, strict=True):
            if line.key in row:
                draw(ax, row[line.key])
    taken = pd.concat([view.trajectory(name, eps=eps) for name, eps in followed.items()])
    lost = canvas.left_out(taken[taken["panel"] == panel])
    canvas.legend(figure, _value_keys(view), note=f"one curve per run{lost}")
    return figure


def _value_keys(view: View) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, label=view.axis.named(value))
        for value, colour in style.axis_colours(view.axis.values).items()
    ]


def _note(seeds: Sequence[pd.Series], rows: pd.DataFrame) -> str:
    return f"{canvas.MEANS}; {intervals.describe(*seeds)}{canvas.left_out(rows)}"
