"""The short table that the terminal shows after a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from rich.markup import escape
from rich.table import Table

from sgdscope.findings import Finding
from sgdscope.measuring import card_of
from sgdscope.results import intervals, style
from sgdscope.results.axis import BATCH
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.settings import written
from sgdscope.study.line import labels

LOSS = "loss"
TOLD = 4  # findings; the page has more
ATTACKS = 2  # at most this many have a column: the table stays within 100 characters
LABEL = 24  # characters of a line's name; a longer one is folded
WIDE = 100  # largest width of the table with bands; without them about 80

Cells = dict[tuple[str, float], str]  # by line and value along the axis
Column = tuple[float | None, Cells]  # the eps of an attack, and its cells


def table(view: View, *, width: int = WIDE) -> Table:
    """One row per line and value along the axis: mean ± half the band over seeds, and statuses.

    Args:
        view: the study's.
        width: in characters; the bands are left out if ``WIDE`` would not fit.
    """
    bands = width >= WIDE
    panels = {panel: _columns(view, panel, bands=bands) for panel in view.panels}
    names = dict.fromkeys(name for columns in panels.values() for name in columns if name != LOSS)
    names |= {LOSS: None} if panels else {}
    alone = next(iter(panels.values())) if len(panels) == 1 else {}
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("schedule", overflow="fold", max_width=LABEL)
    widest = 0
    head = "batch" if view.axis.knob == BATCH else view.axis.label
    for name in [head, *names]:
        grid.add_column(f"{name} {_eps(alone, name)}".rstrip(), justify="right", no_wrap=True)
    grid.add_column("runs")
    for panel, columns in panels.items():
        if not alone:
            said = [f"eps {eps}" if (eps := _eps(columns, name)) else "" for name in names]
            grid.add_row(f"[bold]{escape(panel.replace(' on ', ' '))}[/]", "", *said)
        lines = dict(view.by_line(view.runs[view.runs["panel"] == panel]))
        short = labels([drawn.line for drawn in lines])
        widest = max([widest, *map(len, short)])
        for label, (line, own) in zip(short, lines.items(), strict=True):
            for i, (x, runs) in enumerate(own.groupby("x", dropna=False)):
                place = line.key, _numeric(float(str(x)))
                cells = [
                    columns[name][1].get(place, "–") if name in columns else "–" for name in names
                ]
                grid.add_row(
                    "" if i else escape(label), _place(view, float(str(x))), *cells, _statuses(runs)
                )
    grid.columns[0].min_width = min(widest, LABEL)
    return grid


def _place(view: View, x: float) -> str:
    return "–" if math.isnan(x) else view.axis.text(x)


def finding_lines(found: Sequence[Finding]) -> list[str]:
    """The first findings, each with its numbers, in rich's markup."""
    return [
        f"[bold]•[/] [bold]{escape(one.headline)}[/] [dim]{escape(one.numbers)}[/]"
        for one in found[:TOLD]
    ]


def reasons(results: Results) -> list[str]:
    """Why runs and measures failed, one line per reason."""
    if results.runs.empty:
        return []
    told = results.runs[results.runs["reason"].notna()]
    lines = []
    for (status, reason), runs in told.groupby(["status", "reason"], sort=False):
        what = "failed" if status == "failed" else f"{status}, but lack a measure"
        one = runs.iloc[0]
        lines.append(
            f"{len(runs)} {what}, as {one['run']} ({one['model']} on {one['data']}, "
            f"batch size {one['batch_size']}, seed {one['seed']}): {reason}"
        )
    return lines


def _columns(view: View, panel: str, *, bands: bool) -> dict[str, Column]:
    """The measures of a panel that get a column, by header."""
    columns: dict[str, Column] = {
        style.short(measure): (eps, _cells(rows, measure, bands=bands))
        for measure, eps, rows in view.headline(panel)
        if measure not in view.main_attacks[ATTACKS:]
    }
    runs = view.runs[view.runs["panel"] == panel]
    losses = runs.assign(value=runs["final_train_loss"])
    return columns | {LOSS: (None, _cells(losses, LOSS, bands=False))}


def _cells(rows: pd.DataFrame, name: str, *, bands: bool) -> Cells:
    """Mean ± half the band over seeds, by line and value along the axis."""
    places = rows[["line", "status", "value"]].assign(x=[_numeric(x) for x in rows["x"]])
    spread = intervals.over_seeds(places, ["line", "x"])
    half = (spread["high"] - spread["low"]) / 2 * bands
    each = zip(*(spread[name].tolist() for name in ("line", "x", "middle")), half, strict=True)
    return {(line, x): _cell(name, middle, beyond) for line, x, middle, beyond in each}


def _numeric(x: float) -> float:
    """A value along the axis as a dictionary key: a missing one equals itself, unlike NaN."""
    return -math.inf if math.isnan(x) else float(x)


def _eps(columns: dict[str, Column], name: str) -> str:
    eps = columns[name][0] if name in columns else None
    return "" if eps is None else written(eps)


def _cell(name: str, middle: float, half: float) -> str:
    if name == LOSS:
        return f"{middle:#.2g}".rstrip(".")
    digits = 3 if card_of(name).in_points else max(0, 1 - _magnitude(middle))
    return f"{middle:.{digits}f}" + (f"±{half:.{digits}f}" if half > 0 else "")


def _magnitude(value: float) -> int:
    """The power of ten of a number, clamped to the range where decimals are shown."""
    return min(2, max(-3, int(f"{value:e}".split("e")[1])))


def _statuses(runs: pd.DataFrame) -> str:
    counts = runs["status"].value_counts()
    colours = {"done": "", "collapsed": "yellow", "diverged": "yellow", "failed": "red"}
    words = [
        f"[{colour}]{counts[status]}\N{NO-BREAK SPACE}{status}[/]"
        if colour
        else f"{counts[status]}"
        for status, colour in colours.items()
        if status in counts
    ]
    return " ".join(words)
