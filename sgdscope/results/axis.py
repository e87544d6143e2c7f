"""The axis: the knob that figures, findings and the page are drawn along."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sgdscope.study.hypotheses import NUMBER
from sgdscope.study.line import Choice, Line

BATCH = "batch_size"
RATIO = (
    4.0  # values further apart than this are compared by their ratio, others by their difference
)


@dataclass(frozen=True)
class Axis:
    """A knob, with its values in a study's runs."""

    knob: str
    values: list[float]  # rising
    log: bool  # whether steps between them are factors

    @property
    def label(self) -> str:
        """In print."""
        return self.knob.replace("_", " ")

    @property
    def plural(self) -> str:
        """Of several values, in print."""
        return "batch sizes" if self.knob == BATCH else f"values of {self.label}"

    @property
    def per(self) -> str:
        """The unit of the axis in a trend."""
        if self.log:
            return f"per doubling of the {self.label}"
        return f"from the smallest to the largest {self.label}"

    def text(self, value: float) -> str:
        """One of its values."""
        return f"{int(value)}" if self.knob == BATCH else f"{value:g}"

    def named(self, value: float) -> str:
        """One of its values, with its name; NaN if a run has none."""
        if math.isnan(value):
            return f"no {self.label}"
        return f"{self.label} {self.text(value)}"

    def position(self, values: pd.Series) -> npt.NDArray[np.float64]:
        """The positions of values: in doublings, or as shares of the way from smallest to largest.

        A slope is then per doubling, or the change over the whole axis.
        """
        if self.log:
            return np.asarray(np.log2(values.to_numpy(float)))
        low, high = self.values[0], self.values[-1]
        return np.asarray((values.to_numpy(float) - low) / (high - low or 1.0))

    def reworded(self, text: str) -> str:
        """A text about batch sizes, reworded for this axis."""
        if self.knob == BATCH:
            return text
        for said, instead in (
            ("batch sizes", self.plural), ("batch size", self.label),
            ("smallest batch", f"smallest {self.label}"),
            ("largest batch", f"largest {self.label}"),
            ("larger batches", f"larger values of {self.label}"),
        ):  # fmt: skip
            text = text.replace(said, instead)
        return text


def geometric(values: Iterable[float]) -> bool:
    """Whether the steps between values are closer to equal factors than to equal differences."""
    ordered = np.unique(np.array(list(values), dtype=np.float64))
    if len(ordered) < 2 or ordered[0] <= 0:
        return False
    if len(ordered) == 2:
        return bool(ordered[1] / ordered[0] >= RATIO)
    return _unevenness(np.log(ordered)) < _unevenness(ordered)


def _unevenness(values: npt.NDArray[np.float64]) -> float:
    steps = np.diff(values)
    return float(steps.std() / steps.mean())


def chosen(asked: str | None, lines: Sequence[Line], sizes: Iterable[int]) -> str:
    """The knob asked for, unless none of the lines that have run so far has it as a number."""
    if asked is None:
        return default(lines, sizes)
    known = asked == BATCH or any(isinstance(line.knobs.get(asked), NUMBER) for line in lines)
    return asked if known else default(lines, sizes)


def default(lines: Sequence[Line], sizes: Iterable[int]) -> str:
    """Batch size if it varies; otherwise the knob with most values."""
    if len(set(sizes)) > 1:
        return BATCH
    values: dict[str, set[float]] = {}
    for line in lines:
        for knob, value in line.knobs.items():
            if _is_number(value):
                values.setdefault(knob, set()).add(float(value))
    most = max(map(len, values.values()), default=0)
    return next((knob for knob, own in values.items() if len(own) == most > 1), BATCH)


def choices(runs: pd.DataFrame, lines: Sequence[Line]) -> list[str]:
    """The knobs that a study can be drawn along: batch size first, then those with most values.

    Some network must have lines that differ only in the knob.
    """
    if runs.empty:
        return []
    named = {line.name: line for line in lines}
    most = {BATCH: 0}
    for _, own in runs.groupby(["model", "data"], sort=False):
        most[BATCH] = max(most[BATCH], own[BATCH].nunique())
        alike: dict[tuple[Any, ...], set[float]] = {}
        for line in map(named.__getitem__, own["line"].unique()):
            for knob, value in line.knobs.items():
                if _is_number(value):
                    alike.setdefault((knob, line.without(knob)), set()).add(float(value))
        for (knob, _), values in alike.items():
            most[knob] = max(most.get(knob, 0), len(values))
    several = {knob: count for knob, count in most.items() if count > 1}
    return sorted(several, key=lambda knob: (knob != BATCH, -several[knob]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def along(
    knob: str, runs: pd.DataFrame, lines: Sequence[Line]
) -> tuple[Axis, pd.Series, list[Line]]:
    """The axis of a knob, each run's value of it, and each run's line, which leaves it out.

    Args:
        knob: by its name in the study file.
        runs: with columns ``line`` and ``batch_size``.
        lines: those that ``line`` names; along another knob, the batch size is part of a line.
    """
    named = {line.name: line for line in lines}
    own = [named[name] for name in runs["line"]]
    if knob == BATCH:
        sizes = sorted(int(size) for size in runs[BATCH].unique())
        return Axis(knob, [*sizes], log=True), runs[BATCH], own
    given = [line.knobs.get(knob) for line in own]
    found = [value if isinstance(value, NUMBER) else math.nan for value in given]
    x = pd.Series(found, index=runs.index, dtype=float)
    values = sorted(float(value) for value in x.dropna().unique())
    several = runs[BATCH].nunique() > 1
    kept = [
        _without(line, knob, int(size) if several else None)
        for line, size in zip(own, runs[BATCH], strict=True)
    ]
    return Axis(knob, values, log=geometric(values)), x, kept


def _without(line: Line, knob: str, size: int | None) -> Line:
    """A line with one knob left out, and with its batch size."""
    choices = [
        replace(
            one,
            options=tuple(own for own in one.options if line.knob(one, own[0]) != knob),
            defaults={k: value for k, value in one.defaults.items() if line.knob(one, k) != knob},
        )
        for one in line.choices
    ]
    if size is not None:
        choices.append(Choice(BATCH, f"batch size {size}", ()))
    return Line(tuple(choices))
