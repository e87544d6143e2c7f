"""Training as it went: one column a line, one colour a batch size."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import intervals, palette, views
from sgdscope.figures import canvas
from sgdscope.palette import Line
from sgdscope.results import Results
from sgdscope.views import Panel


def learning(results: Results, panel: Panel) -> Figure:
    """Training loss (log) above, validation accuracy below, against epoch."""
    history = views.within(results.history, panel)
    runs = results.runs[["run", "status"]]
    history = history.merge(runs, on="run")
    lines = palette.lines(history)
    shown = [("train_loss", "training loss"), ("validation_accuracy", "validation accuracy")]
    titles = [line.label for line in lines] + [""] * len(lines)
    title = f"Learning curves, {canvas.name(panel)}"
    figure, axes = canvas.sheet(
        titles, title, xlabel="epoch", columns=len(lines), height=1.5, share="row"
    )
    colours = palette.batch_colours(history["batch_size"].unique())
    chance = views.chance(results.table, panel[1])
    seeds = pd.Series(dtype=int)
    for row, (column, name) in enumerate(shown):
        across = axes[row * len(lines) : (row + 1) * len(lines)]
        across[0].set_ylabel(name)
        for line, ax in zip(lines, across, strict=True):
            log = column == "train_loss"
            if log:
                ax.set_yscale("log")
            else:
                canvas.accuracy_axis(ax, chance)
            rows = line.of(history).assign(value=line.of(history)[column])
            seeds = _by_batch(ax, rows, colours, log=log)
    canvas.legend(figure, _batch_keys(colours), note=_note(seeds, history))
    return figure


def along(results: Results, measure: str, panel: Panel) -> Figure:
    """A measure along training; λ₁ with the stability limit 2(1 + m)/learning rate, dotted."""
    rows = views.within(views.along(results, measure), panel)
    lines = palette.lines(rows)
    columns = min(4, len(lines))
    title = f"{palette.label(measure)} along training, {canvas.name(panel)}"
    figure, axes = canvas.sheet(
        [line.label for line in lines], title, xlabel="epoch", columns=columns, height=1.7
    )
    colours = palette.batch_colours(rows["batch_size"].unique())
    log = palette.on_log_axis(measure, rows.loc[rows["status"] == "done", "value"])
    chance = views.chance(results.table, panel[1])
    seeds = pd.Series(dtype=int)
    for line, ax in zip(lines, axes, strict=True):
        own = line.of(rows)
        seeds = _by_batch(ax, own, colours, log=log)
        if log:
            ax.set_yscale("log")
        if palette.is_accuracy(measure):
            canvas.accuracy_axis(ax, chance)
        if measure == "top_eigenvalue":
            _limits(ax, own, line, colours)
    handles = _batch_keys(colours)
    if measure == "top_eigenvalue":
        handles.append(Line2D([], [], color=canvas.FAINT, ls=":", label="2(1 + m)/learning rate"))
    canvas.legend(figure, handles, note=_note(seeds, rows))
    return figure


def _by_batch(
    ax: Axes, rows: pd.DataFrame, colours: dict[int, str], *, log: bool
) -> "pd.Series[int]":
    """One line a batch size; how many seeds each point stands for."""
    spreads = intervals.over_seeds(rows, ["batch_size", "epoch"], log=log)
    for size, own in spreads.groupby("batch_size"):
        own = own.set_index("epoch")
        canvas.banded(ax, list(own.index), own, colours[int(str(size))], linewidth=1.0)
    return spreads["seeds"]


def _limits(ax: Axes, rows: pd.DataFrame, line: Line, colours: dict[int, str]) -> None:
    drawn = set()
    for size, own in rows.groupby("batch_size"):
        own = own.drop_duplicates("epoch").sort_values("epoch")
        limit = tuple(views.stability_limit(line.momentum, own["rate"]))
        if limit not in drawn:
            ax.plot(own["epoch"], limit, ls=":", lw=0.8, color=colours[int(str(size))], zorder=1)
        drawn.add(limit)


def _batch_keys(colours: dict[int, str]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, label=f"batch size {size}") for size, colour in colours.items()
    ]


def _note(seeds: pd.Series, rows: pd.DataFrame) -> str:
    lost = rows.loc[rows["status"].isin(views.LOST), "run"].nunique()
    missing = f"; {lost} diverged or collapsed left out" if lost else ""
    return f"mean over seeds; {intervals.describe(seeds)}{missing}"
