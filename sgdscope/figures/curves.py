"""Training as it went: one column a line, one colour a value along the axis."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope.figures import canvas
from sgdscope.results import intervals, style
from sgdscope.results.view import View, good


def learning(view: View, panel: str) -> Figure:
    """Loss while training (log) above, validation accuracy below, against epoch."""
    history = view.history[view.history["panel"] == panel]
    parts = list(view.by_line(history))
    figure, axes = canvas.sheet(
        [line.label for line, _ in parts] + [""] * len(parts),
        f"Learning curves, {panel}",
        xlabel="epoch",
        columns=len(parts),
        height=1.5,
        share="row",
    )
    colours = style.axis_colours(view.axis.values)
    above, below = axes[: len(parts)], axes[len(parts) :]
    above[0].set_ylabel("loss while training")
    below[0].set_ylabel("validation accuracy")
    seeds = []
    for (_, own), loss, accuracy in zip(parts, above, below, strict=True):
        canvas.log_axis(loss.yaxis)
        canvas.accuracy_axis(accuracy, view.chance(panel))
        seeds.append(_by_value(loss, own.assign(value=own["train_loss"]), colours, log=True))
        _by_value(accuracy, own.assign(value=own["validation_accuracy"]), colours, log=False)
    canvas.legend(figure, _value_keys(view, colours), note=_note(seeds, history))
    return figure


def along(view: View, measure: str, panel: str) -> Figure:
    """A measure along training; λ₁ with the stability limit 2(1 + m)/learning rate, dotted."""
    rows = view.along(measure)
    rows = rows[rows["panel"] == panel]
    parts = list(view.by_line(rows))
    figure, axes = canvas.sheet(
        [line.label for line, _ in parts],
        f"{style.label(measure)} along training, {panel}",
        xlabel="epoch",
        columns=min(4, len(parts)),
        height=1.7,
    )
    colours = style.axis_colours(view.axis.values)
    log = style.on_log_axis(measure, good(rows))
    seeds = []
    for (_, own), ax in zip(parts, axes, strict=True):
        ax.set_ylabel(style.unit(measure))
        seeds.append(_by_value(ax, own, colours, log=log))
        if log:
            canvas.log_axis(ax.yaxis)
        if style.is_accuracy(measure):
            canvas.accuracy_axis(ax, view.chance(panel))
        if measure == "top_eigenvalue":
            _limits(ax, own, colours)
    handles = _value_keys(view, colours)
    if measure == "top_eigenvalue":
        handles.append(Line2D([], [], color=canvas.FAINT, ls=":", label="2(1 + m)/learning rate"))
    canvas.legend(figure, handles, note=_note(seeds, rows))
    return figure


def progress(view: View, panel: str, against: str) -> Figure:
    """What was measured while runs trained, against how far they had got: one curve a run."""
    followed = view.followed(panel)
    found = {name: view.along(name, eps=eps) for name, eps in followed.items()}
    found = {name: rows[rows["panel"] == panel] for name, rows in found.items()}
    lost = canvas.left_out(pd.concat(found.values()))
    taken = {name: rows[rows["status"] == "done"] for name, rows in found.items()}
    lines = [line for line, _ in view.by_line(pd.concat(taken.values()))]
    figure, axes = canvas.sheet(
        [line.label for line in lines] + [""] * (len(lines) * (len(taken) - 1)),
        f"At equal progress, {panel}",
        xlabel=style.PROGRESS[against],
        columns=len(lines),
        height=1.2,
        share="row",
    )
    colours = style.axis_colours(view.axis.values)
    canvas.log_axis(axes[0].xaxis)
    if against == "loss":
        axes[0].invert_xaxis()  # training goes from left to right
    for place, (name, rows) in enumerate(taken.items()):
        row = axes[place * len(lines) : (place + 1) * len(lines)]
        eps = followed[name]
        label = textwrap.fill(style.label(name).split(",")[0], 16)
        row[0].set_ylabel(label if eps is None else f"{label},\neps {eps:g}")
        parts = {line.key: own for line, own in view.by_line(rows)}
        for line, ax in zip(lines, row, strict=True):
            _trajectories(ax, parts.get(line.key, rows.iloc[:0]), against, colours)
            if style.is_accuracy(name):
                canvas.accuracy_axis(ax, view.chance(panel))
        if style.on_log_axis(name, rows["along"]):
            canvas.log_axis(row[0].yaxis)
    canvas.legend(figure, _value_keys(view, colours), note=f"one curve a run{lost}")
    return figure


def _trajectories(ax: Axes, rows: pd.DataFrame, x: str, colours: dict[float, str]) -> None:
    looks: dict[str, Any] = {"marker": "o", "markersize": 1.6, "linewidth": 0.8, "alpha": 0.85}
    for (size, _), own in rows.groupby(["x", "run"]):
        own = own.sort_values("epoch")
        ax.plot(own[x], own["along"], color=colours[float(str(size))], **looks)


def _by_value(ax: Axes, rows: pd.DataFrame, colours: dict[float, str], *, log: bool) -> pd.Series:
    """One curve a value along the axis; how many seeds each point stands for."""
    spreads = intervals.over_seeds(rows, ["x", "epoch"], log=log)
    for size, own in spreads.groupby("x"):
        own = own.set_index("epoch")
        canvas.banded(ax, list(own.index), own, colours[float(str(size))], linewidth=1.0)
    return spreads["seeds"]


def _limits(ax: Axes, rows: pd.DataFrame, colours: dict[float, str]) -> None:
    """The stability limit at each value along the axis; once, where several have the same."""
    limits: dict[tuple[float, ...], float] = {}
    for size, own in rows.groupby("x"):
        own = own.drop_duplicates("epoch").sort_values("epoch")
        limit = tuple(own["limit"])
        if limit not in limits:
            ax.plot(own["epoch"], limit, ls=":", lw=0.8, color=colours[float(str(size))], zorder=1)
        limits[limit] = float(str(size))


def _value_keys(view: View, colours: dict[float, str]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, label=view.axis.named(value))
        for value, colour in colours.items()
    ]


def _note(seeds: list[pd.Series], rows: pd.DataFrame) -> str:
    return f"{canvas.MEANS}; {intervals.describe(*seeds)}{canvas.left_out(rows)}"
