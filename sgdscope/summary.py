"""The short table that the terminal shows when a study has run."""

from __future__ import annotations

import pandas as pd
from rich.table import Table

from sgdscope import intervals, palette, views
from sgdscope.results import Results

WIDTH = 100  # columns of a terminal that the table stays within
COLUMNS = 5  # measures shown


def table(results: Results) -> Table:
    """One row a line and batch size: mean ± half the spread over seeds, and how the runs ended."""
    shown = _shown(results)
    grid = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    several = len(views.panels(results.runs)) > 1
    for name in ["model, data"] * several + ["schedule"]:
        grid.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ["batch", *(header for header, _ in shown), "runs"]:
        grid.add_column(name, justify="left" if name == "runs" else "right", no_wrap=True)
    for panel in views.panels(results.runs):
        for line in palette.lines(results.runs):
            runs = line.of(views.within(results.runs, panel))
            for i, (size, group) in enumerate(runs.groupby("batch_size")):
                first = ["/".join(panel)] * several + [line.label]
                cells = [_cell(rows, group) for _, rows in shown]
                names = first if i == 0 else [""] * len(first)
                grid.add_row(*names, f"{size}", *cells, _statuses(group), style=None)
    return grid


def _shown(results: Results) -> list[tuple[str, pd.DataFrame]]:
    """Headers and rows of the measures worth a column."""
    if results.table.empty:
        return []
    wanted: list[tuple[str, str, float | None]] = [("test", "test_accuracy", None)]
    for measure, radii in views.attacks(results.table).items():
        name = measure.removesuffix("_accuracy").upper()
        wanted.append((f"{name} {radii[-1]:g}", measure, radii[-1]))
    wanted.append(("λ₁", "top_eigenvalue", None))
    found = [(header, results.at_end(measure, eps=eps)) for header, measure, eps in wanted]
    return [(header, rows) for header, rows in found if not rows.empty][:COLUMNS]


def _cell(rows: pd.DataFrame, runs: pd.DataFrame) -> str:
    own = rows[rows["run"].isin(runs["run"])]
    if own.empty:
        return "–"
    spread = intervals.over_seeds(own, ["batch_size"])
    if spread.empty:
        return "–"
    middle, low, high, seeds = spread.loc[0, ["middle", "low", "high", "seeds"]]
    digits = 3 if palette.is_accuracy(own["measure"].iloc[0]) else max(0, 2 - _magnitude(middle))
    return f"{middle:.{digits}f}" + (f" ±{(high - low) / 2:.{digits}f}" if seeds > 1 else "")


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
