"""The short table that the terminal shows when a study has run."""

from __future__ import annotations

import pandas as pd
from rich.markup import escape
from rich.table import Table

from sgdscope import intervals, palette
from sgdscope.results import Results
from sgdscope.views import View, telling_eps

LOSS = "loss"
ATTACKS = 2  # so many have a column: the table stays within 100 characters
WIDE = 100  # characters that the table takes at most with bands; without them about 80


def table(results: Results, *, width: int = WIDE) -> Table:
    """One row a line and batch size: mean ± half the band over seeds, and how the runs ended.

    Args:
        results: of a study.
        width: characters there are; the bands are left out where ``WIDE`` would not fit.
    """
    view = View(results)
    columns = _columns(view)
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("schedule", overflow="ellipsis", no_wrap=True)
    for name in ["batch", *columns]:
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("runs", no_wrap=True)
    for panel, within in view.by_panel(view.runs) if view.panels else []:
        if len(view.panels) > 1:
            grid.add_row(f"[bold]{escape(panel)}[/]")
        for line, own in view.by_line(within):
            for i, (size, runs) in enumerate(own.groupby("batch_size")):
                cells = [
                    _cell(name, rows, runs, bands=width >= WIDE) for name, rows in columns.items()
                ]
                said = "" if i else escape(line.label)
                grid.add_row(said, str(size), *cells, _statuses(runs))
    return grid


def _columns(view: View) -> dict[str, pd.DataFrame]:
    """Headers, and the rows of the measures worth a column."""
    columns = {"test": view.at_end("test_accuracy")}
    for attack in view.main_attacks[:ATTACKS]:
        rows = view.at_end(attack)
        eps = telling_eps(rows)
        columns[f"{palette.short(attack)} {eps:g}"] = rows[rows["eps"] == eps]
    columns["λ₁"] = view.at_end("top_eigenvalue")
    columns = {name: rows for name, rows in columns.items() if not rows.empty}
    if not view.runs.empty:
        columns[LOSS] = view.runs.assign(value=view.runs["final_train_loss"])
    return columns


def _cell(name: str, rows: pd.DataFrame, runs: pd.DataFrame, *, bands: bool) -> str:
    own = rows[rows["run"].isin(runs["run"])]
    if own.empty:
        return "–"
    spread = intervals.over_seeds(own, ["batch_size"])
    if spread.empty:
        return "–"
    middle, low, high = (float(spread[column].iloc[0]) for column in ("middle", "low", "high"))
    if name == LOSS:
        return f"{middle:.2g}"
    digits = max(0, 1 - _magnitude(middle)) if name == "λ₁" else 3
    return f"{middle:.{digits}f}" + (
        f"±{(high - low) / 2:.{digits}f}" if high > low and bands else ""
    )


def _magnitude(value: float) -> int:
    """The power of ten of a number, within what is worth decimals."""
    return min(2, max(-3, int(f"{value:e}".split("e")[1])))


def _statuses(runs: pd.DataFrame) -> str:
    counts = runs["status"].value_counts()
    colours = {"done": "", "collapsed": "yellow", "diverged": "yellow", "failed": "red"}
    words = [
        f"[{colour}]{counts[status]} {status}[/]" if colour else f"{counts[status]}"
        for status, colour in colours.items()
        if status in counts
    ]
    return " ".join(words)
