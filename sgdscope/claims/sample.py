"""Samples that statements are tested on: comparable runs with one quantity of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from sgdscope.claims import statistics
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.statistics import Estimate, FloatArray, IntArray
from sgdscope.claims.verdicts import EQUAL, Finding, Verdict, lacking
from sgdscope.results import style
from sgdscope.results.axis import Axis, geometric

EXACT = 9  # decimals of an effect; what is beyond them is rounding, whose sign means nothing


@dataclass(frozen=True)
class Sample:
    """One quantity of comparable runs: one line of a panel, or one schedule at several momenta."""

    quantity: Quantity
    panel: tuple[str, str]  # model, data
    line: str
    when: str
    rows: pd.DataFrame  # one per run: run, batch_size, x, seed, value (scaled), limit, maybe knob
    excluded: int  # runs that diverged, collapsed or failed
    never_reached: int  # runs that never reach the common training loss
    valueless: int  # runs whose value is not finite on its scale
    places_without_runs: tuple[str, ...]  # batch sizes, and momenta, where every run is left out
    flagged: int  # rows whose value carries a flag or did not converge
    missing: str  # why there are no rows
    floor: str  # why the rows carry no information
    axis: Axis  # that its trend is along
    knob: str = "momentum"  # that the lines of a family differ in

    @cached_property
    def slope(self) -> Estimate:
        """Its trend along the axis, per doubling of the batch size; several claims use it."""
        return statistics.slope(*self._points)

    @property
    def margin(self) -> float:
        """Trends smaller than this count as none: per doubling, or over the whole axis."""
        return self.quantity.margin if self.axis.log else self.quantity.difference_margin

    @cached_property
    def span(self) -> Estimate:
        """The largest difference between its means at two places on the axis."""
        return statistics.span(*self._points)

    @property
    def span_margin(self) -> float:
        """The change over the whole axis of a trend as steep as the margin."""
        place, _, _ = self._points
        return self.margin * float(place.max() - place.min())

    @cached_property
    def effects(self) -> pd.DataFrame:
        """Change of a family's value from its smallest to its largest momentum, or other knob.

        With more than two values it follows from the least-squares line through them, over
        logarithms where the values are geometric. One row for each batch size and seed that has
        both ends: ``batch_size``, ``seed``, ``effect``.
        """
        rows, knob = self.rows, self.rows["knob"].to_numpy(float)
        if self.knob != "momentum" and geometric(knob):
            knob = np.log2(knob)
        values = rows["value"].to_numpy(float)
        span = np.ptp(knob) if len(knob) else 0.0
        effects: dict[tuple[int, int], float] = {}
        for at, places in _alike(rows, knob):
            if span and np.ptp(at) == span:
                away = at - at.mean()
                steepness = (values[places] * away).sum(1) / (away**2).sum()
                first = rows.iloc[places[:, 0]]
                cases = zip(first["batch_size"], first["seed"], strict=True)
                effects |= dict(zip(cases, steepness * span, strict=True))
        found = [(*case, round(effects[case], EXACT)) for case in sorted(effects)]
        return pd.DataFrame(found, columns=["batch_size", "seed", "effect"])

    @cached_property
    def knob_span(self) -> Estimate | None:
        """The greatest mean change between two values of a family's knob, if it has more than two.

        Each pair of values is compared at the batch sizes and seeds that have both.
        """
        values = self.rows.pivot_table(index=["batch_size", "seed"], columns="knob", values="value")
        if len(values.columns) < 3:
            return None
        pairs = [values[[*pair]].dropna() for pair in combinations(values.columns, 2)]
        return statistics.greatest(
            [((pair.iloc[:, 1] - pair.iloc[:, 0]).to_numpy(), _seeds(pair)) for pair in pairs]
        )

    @property
    def _points(self) -> tuple[FloatArray, FloatArray, IntArray]:
        """Places along the axis, values and seeds."""
        place = self.axis.position(self.rows["x"])
        return place, self.rows["value"].to_numpy(), self.rows["seed"].to_numpy()

    @property
    def where(self) -> str:
        """In print."""
        model, data = self.panel
        return f"{model} on {data} under {self.line}"

    def enough(self, *, sizes: int = 3, runs: int = 5) -> Finding | None:
        """The finding if there are too few runs for a trend, else None."""
        if self.missing:
            return lacking(self.missing)
        if self.floor:
            return lacking(f"carries no information: {self.floor}", informative=False)
        found, plural = self.rows["x"].nunique(), self.axis.plural
        if found >= sizes and len(self.rows) >= runs:
            return None
        return lacking(
            f"{len(self.rows)} comparable runs at {found} {plural}; "
            f"needs at least {runs} runs at {sizes} {plural}"
        )

    @property
    def left_out(self) -> int:
        """Runs that are not compared."""
        return self.excluded + self.never_reached + self.valueless

    @property
    def aside(self) -> str:
        """What a verdict says of runs left out and of flagged readings, in brackets."""
        notes = [f"{self.excluded} more diverged, collapsed or failed"] if self.excluded else []
        if self.never_reached:
            notes.append(f"{self.never_reached} more never reach that loss")
        if self.valueless:
            notes.append(f"{self.valueless} more have no finite value")
        if self.flagged:
            notes.append(f"{self.flagged} of {len(self.rows)} readings flagged")
        return f" ({'; '.join(notes)})" if notes else ""

    def verdict(
        self,
        statement: str,
        finding: Finding,
        *,
        beside: Sample | None = None,
        figure: str | None = None,
    ) -> Verdict:
        """The verdict: the finding, with what it is about.

        Args:
            statement: what it is about.
            finding: what was found of this sample.
            beside: another quantity of the same runs on which the finding rests too.
            figure: the one that shows it, if it is not the quantity's own.
        """
        estimate = finding.estimate
        each = [self] if beside is None else [self, beside]
        doubted = f"; of {beside.quantity.label}{beside.aside}" if beside and beside.flagged else ""
        model, data = self.panel
        return Verdict(
            claim="",
            statement=statement,
            model=model,
            data=data,
            line=self.line,
            measure=self.quantity.measure,
            eps=self.quantity.eps,
            when=self.when,
            statistic=finding.statistic,
            unit=finding.unit,
            value=None if estimate is None else estimate.value,
            low=None if estimate is None else estimate.low,
            high=None if estimate is None else estimate.high,
            margin=finding.margin,
            verdict=finding.answer,
            detail=finding.detail,
            reason=finding.reason + self.aside + doubted,
            informative=finding.informative,
            runs=len(self.rows),
            seeds=self.rows["seed"].nunique(),
            left_out=max(one.left_out for one in each),
            flagged=max(one.flagged for one in each),
            figure=self._curves if self.when == EQUAL else figure or self.quantity.figure,
        )

    @property
    def _curves(self) -> str | None:
        """The figure of all runs against their training loss, if there is one."""
        if self.missing:
            return None
        return style.progress_figure("loss", " on ".join(self.panel))


def _seeds(cases: pd.DataFrame) -> IntArray:
    return np.asarray(cases.index.get_level_values("seed"))


def _alike(rows: pd.DataFrame, knob: FloatArray) -> Iterator[tuple[FloatArray, IntArray]]:
    """Batch sizes and seeds that have the same values of a knob: these, and places (cases, N)."""
    cases: dict[tuple[float, ...], list[IntArray]] = {}
    for places in rows.groupby(["batch_size", "seed"]).indices.values():
        cases.setdefault(tuple(knob[places]), []).append(np.asarray(places))
    for at, own in cases.items():
        yield np.array(at), np.array(own)
