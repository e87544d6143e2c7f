"""The contents of a chart, independent of what draws it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from sgdscope.results import style
from sgdscope.results.axis import Axis
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import View

# A mean over seeds, one to compare it with, a single run, a stability limit, a spectrum.
Role = Literal["mean", "beside", "run", "limit", "density"]


@dataclass(frozen=True)
class Curve:
    """Points joined by a line, with a band if they have one."""

    role: Role
    key: str  # its entry in a legend: a line's key, or a place along the axis
    label: str
    colour: str
    points: pd.DataFrame  # ``at``, ``middle``, maybe ``low``, ``high``, ``seeds``; NaN is a gap
    mark: int | None = None  # index into the markers


@dataclass(frozen=True)
class Dots:
    """Single runs of a line."""

    line: DrawnLine
    rows: pd.DataFrame  # as in a view, with ``at`` along x; maybe with a ``size`` from 0 to 1


@dataclass(frozen=True)
class Scale:
    """An x axis."""

    label: str
    log: bool = False
    knob: Axis | None = None  # its values are the ticks
    falling: bool = False  # from right to left
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """One panel's curves and runs between two axes."""

    panel: str
    x: Scale
    measure: str  # along the y axis
    log: bool = False  # whether the y axis is logarithmic
    title: str = ""  # the text above it, if not only the panel
    chance: float | None = None  # the accuracy of guessing
    line: str = ""  # key, if the chart shows one line
    at: float | None = None  # if the chart shows one place along the axis
    curves: list[Curve] = field(default_factory=list)
    dots: list[Dots] = field(default_factory=list)
    lost: list[Dots] = field(default_factory=list)  # runs left out of curves
    seeds: pd.Series = field(default_factory=lambda: pd.Series(dtype=int))  # behind all bands
    peak: tuple[float, str] | None = None  # a marked value along x, and its label
    window: tuple[float, float] | None = None  # of the y axis

    @property
    def is_accuracy(self) -> bool:
        """Whether its y axis goes from 0 to 1."""
        return style.is_accuracy(self.measure)

    @property
    def keys(self) -> set[str]:
        """The keys of everything in the legend."""
        runs = {one.line.key for one in (*self.dots, *self.lost)}
        return runs | {curve.key for curve in self.curves}


def chance(view: View, panel: str, measure: str) -> float | None:
    """The accuracy of guessing; None if it does not matter or is not known."""
    return view.chance(panel) if style.is_accuracy(measure) else None


def means(view: View, spreads: pd.DataFrame, *, role: Role = "mean") -> Iterable[Curve]:
    """One curve per line, from rows with ``at`` along x."""
    for line, own in view.by_line(spreads):
        label = line.label if role == "mean" else f"{line.label}: test accuracy"
        mark = line.mark if role == "mean" else None
        yield Curve(role, line.key, label, line.colour, own, mark)


def dots(view: View, rows: pd.DataFrame) -> list[Dots]:
    """Runs, line by line, from rows with ``at`` along x."""
    return [Dots(line, own) for line, own in view.by_line(rows)]


def slim(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that charts use: a table has a hundred more, and each would be copied."""
    return rows[[name for name in rows if name in _SHOWN]]


_SHOWN = frozenset({
    "run", "panel", "line", "x", "eps", "epoch", "value", "status", "flags", "converged",
    "reading", "seed", "limit", "along", "loss", "gradient_time", "top_eigenvalue",
})  # fmt: skip


def parts(rows: pd.DataFrame, by: list[str]) -> dict[tuple[object, ...], pd.DataFrame]:
    """The rows of each group."""
    return {tuple(key): own for key, own in rows.groupby(by, sort=False)}


def floor(rows: pd.DataFrame, column: str = "value") -> float:
    """Half the smallest value of a successful run: where a logarithmic axis begins."""
    return float(rows.loc[rows["status"] == "done", column].min()) / 2


def edged(rows: pd.DataFrame, column: str) -> tuple[bool, pd.DataFrame]:
    """Whether a column suits a logarithmic axis, and the rows clipped to its floor."""
    if not style.on_log_axis(column, rows.loc[rows["status"] == "done", column]):
        return False, rows
    return True, rows.assign(**{column: rows[column].clip(lower=floor(rows, column))})
