"""What a claim is given: the runs of a study, compared at one moment of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sgdscope.claims import equal_loss, quantities, statistics
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.statistics import Estimate, FloatArray, IntArray
from sgdscope.claims.verdicts import END, EQUAL, Finding, Verdict, lacking
from sgdscope.registry import Registry
from sgdscope.results import style
from sgdscope.results.axis import BATCH, Axis
from sgdscope.results.style import DrawnLine
from sgdscope.results.tables import Results
from sgdscope.results.view import View, doubtful


@dataclass(frozen=True)
class Sample:
    """One quantity of comparable runs: one line of a panel, or one schedule at several momenta."""

    quantity: Quantity
    panel: tuple[str, str]  # model, data
    line: str
    when: str
    rows: pd.DataFrame  # a run each: run, batch_size, momentum, seed, value (scaled), limit
    lost: int  # runs that diverged, collapsed or failed
    unmatched: int  # runs that do not pass the common training loss
    gone: tuple[str, ...]  # batch sizes, and momenta, of which no run trained properly
    flagged: int  # rows whose value carries a flag or did not converge
    missing: str  # why there are no rows
    floor: str  # why the rows carry no information
    axis: Axis  # that its trend is along
    knob: str = "momentum"  # that the lines of a family differ in

    @cached_property
    def slope(self) -> Estimate:
        """Its trend along the axis, per doubling of the batch size; several claims ask for it."""
        return statistics.slope(*self._points)

    @property
    def margin(self) -> float:
        """Trends smaller than this count as none: per doubling, or over the whole axis."""
        return self.quantity.margin if self.axis.log else self.quantity.difference_margin

    @cached_property
    def span(self) -> Estimate:
        """How far its means at two places of the axis lie apart at most."""
        return statistics.span(*self._points)

    @property
    def span_margin(self) -> float:
        """What a trend as steep as the margin comes to over the whole axis."""
        place, _, _ = self._points
        return self.margin * float(place.max() - place.min())

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
        """What to say instead of a trend, where there is too little for one."""
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
    def _aside(self) -> str:
        notes = [f"{self.lost} more diverged, collapsed or failed"] if self.lost else []
        if self.unmatched:
            notes.append(f"{self.unmatched} more do not pass that loss")
        if self.flagged:
            notes.append(f"{self.flagged} of {len(self.rows)} readings flagged")
        return f" ({'; '.join(notes)})" if notes else ""

    def verdict(self, statement: str, finding: Finding, *, figure: str | None = None) -> Verdict:
        """The finding, with what it is about."""
        estimate = finding.estimate
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
            reason=finding.reason + self._aside,
            informative=finding.informative,
            runs=len(self.rows),
            seeds=self.rows["seed"].nunique(),
            left_out=self.lost + self.unmatched,
            flagged=self.flagged,
            figure=self._curves if self.when == EQUAL else figure or self.quantity.figure,
        )

    @property
    def _curves(self) -> str | None:
        """The figure of all runs against their training loss, where there is one."""
        if self.missing:
            return None
        return style.progress_figure("loss", " on ".join(self.panel))


class Evidence:
    """A study's results at one moment, as claims ask for them."""

    def __init__(
        self, results: Results, when: str, *, lost_too: bool = False, axis: str = BATCH
    ) -> None:
        self.results = results
        self.view = View(results, axis=axis)
        self.when = when  # END or EQUAL of ``verdicts``
        self.lost_too = lost_too  # whether collapsed runs count in trends
        self._curves: dict[Quantity, pd.DataFrame] = {}
        self._samples: dict[tuple[Quantity, str, tuple[str, ...]], Sample | None] = {}

    @cached_property
    def robustness(self) -> list[Quantity]:
        """Every measure of robustness that the study took."""
        return quantities.robustness(self.view)

    def samples(
        self,
        wanted: Iterable[Quantity],
        *,
        under: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Iterator[Sample]:
        """One for each panel, line and quantity measured there.

        Args:
            wanted: the quantities.
            under: knobs that lines must have so, options at their defaults too.
            settings: of the lines, as ``schedule="fixed", momentum=0.9``; others may be any.
        """
        wanted = list(wanted)
        for panel in self.view.panels:
            for line in self._lines(panel, settings, under):
                for quantity in wanted:
                    yield from self._sample(quantity, panel, [line], line.label)

    def families(
        self,
        wanted: Iterable[Quantity],
        *,
        knob: str,
        under: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Iterator[Sample]:
        """One for each panel, lines that differ in a knob alone, and quantity measured there.

        At equal training loss, runs are compared with those of their own batch size.

        Args:
            wanted: the quantities.
            knob: an option of the lines, such as ``"momentum"``.
            under: as for samples.
            settings: likewise.
        """
        wanted = list(wanted)
        for panel in self.view.panels:
            lines = [one for one in self._lines(panel, settings, under) if knob in one.line.knobs]
            for rest in dict.fromkeys(one.line.without(knob) for one in lines):
                family = [one for one in lines if one.line.without(knob) == rest]
                if len(family) > 1:
                    for quantity in wanted:
                        yield from self._sample(
                            quantity, panel, family, _family_name(family, knob), knob=knob
                        )

    def _lines(
        self, panel: str, settings: Mapping[str, Any], under: Mapping[str, Any] | None
    ) -> list[DrawnLine]:
        runs = self.view.runs
        there = set(runs.loc[runs["panel"] == panel, "line"])
        matching = [one for one in self.view.lines if one.line.matches(settings)]
        return [
            one
            for one in matching
            if one.key in there and (under or {}).items() <= one.line.knobs.items()
        ]

    def _sample(
        self,
        quantity: Quantity,
        panel: str,
        lines: list[DrawnLine],
        name: str,
        *,
        knob: str | None = None,
    ) -> Iterator[Sample]:
        """The sample, unless the quantity was not measured there."""
        key = quantity, panel, (knob or "", *(line.key for line in lines))
        if key not in self._samples:
            self._samples[key] = self._made(quantity, panel, lines, name, knob=knob)
        if (sample := self._samples[key]) is not None:
            yield sample

    def _made(
        self, quantity: Quantity, panel: str, lines: list[DrawnLine], name: str, *, knob: str | None
    ) -> Sample | None:
        taken = _of(self._taken(quantity), panel, lines)
        if taken.empty:
            return None
        runs = _of(self.view.runs, panel, lines)
        if knob is not None:
            values = {one.key: float(one.line.knobs[knob]) for one in lines}
            taken, runs = (
                rows.assign(**{knob: rows["line"].map(values)}) for rows in (taken, runs)
            )
        kept = {"done", "collapsed"} if self.lost_too else {"done"}
        good = taken[taken["status"].isin(kept)]
        chosen, missing = self._chosen(quantity, good, by_batch=knob is not None)
        floor = quantities.at_floor(quantity, chosen["value"], self.view.chance(panel))
        scaled = chosen.assign(value=quantity.scaled(chosen["value"]))
        sound = scaled[np.isfinite(scaled["value"])]
        lost = ~runs["status"].isin(kept)
        places = lost.groupby([runs["batch_size"], runs[knob or "momentum"]]).all()
        symbol = _symbol(lines[0], knob or "momentum")
        several = len(lines) > 1
        gone = [
            f"{size} at {symbol} = {value:g}" if several else f"{size}"
            for size, value in places.index[places]
        ]
        return Sample(
            quantity=quantity,
            panel=(str(runs["model"].iloc[0]), str(runs["data"].iloc[0])),
            line=name,
            when=self.when,
            rows=sound,
            lost=int(lost.sum() + chosen["value"].isna().sum()),
            unmatched=0 if missing else good["run"].nunique() - chosen["run"].nunique(),
            gone=tuple(gone),
            flagged=int(doubtful(sound).sum()),
            missing=missing,
            floor=floor,
            axis=self.view.axis,
            knob=knob or "momentum",
        )

    def _taken(self, quantity: Quantity) -> pd.DataFrame:
        """Every measurement of a quantity, with the training loss beside it."""
        if quantity not in self._curves:
            self._curves[quantity] = self.view.along(quantity.measure, eps=quantity.eps)
        return self._curves[quantity]

    def _chosen(
        self, quantity: Quantity, taken: pd.DataFrame, *, by_batch: bool
    ) -> tuple[pd.DataFrame, str]:
        """The rows of this moment, one a run; or none, and why."""
        ends = equal_loss.at_end(taken)
        if self.when == END:
            return ends, ""
        if len(ends) == len(taken):
            return taken.iloc[:0], (
                "was measured at the end of training only; for measurements along the way, "
                f"set every = N or at = [N, …] under [measure.{quantity.measure}]"
            )
        groups = taken.groupby("batch_size") if by_batch else [(None, taken)]
        parts = [equal_loss.at_equal_loss(group) for _, group in groups]
        chosen = pd.concat(parts) if parts else taken.iloc[:0]
        if chosen.empty:
            return chosen, "no two runs share a training loss at which both were measured"
        return chosen, ""


Claim = Callable[[Evidence], Iterable[Verdict]]
CLAIMS: Registry[Claim] = Registry("claim")


def heading(verdict: Verdict) -> str:
    """What a verdict's claim says, in a line."""
    if verdict.claim in list(CLAIMS):
        return CLAIMS.summary(verdict.claim)
    return verdict.statement.split(":", maxsplit=1)[0]


def _of(rows: pd.DataFrame, panel: str, lines: list[DrawnLine]) -> pd.DataFrame:
    return rows[(rows["panel"] == panel) & rows["line"].isin([line.key for line in lines])]


def _symbol(drawn: DrawnLine, knob: str) -> str:
    """A knob, as labels write it."""
    symbols = dict(pair for choice in drawn.line.choices for pair in choice.symbols)
    return symbols.get(knob, knob)


def _family_name(lines: list[DrawnLine], knob: str) -> str:
    """The label of the first, with every value of the knob."""
    first = lines[0]
    symbol = _symbol(first, knob)
    values = ", ".join(f"{one.line.knobs[knob]:g}" for one in lines)
    own = [f"{sign} {first.line.knobs[knob]:g}" for sign in (f"{symbol} =", f"{knob}=")]
    own.append(f"{knob}={first.line.knobs[knob]}")
    for text in own:
        if text in first.label:
            return first.label.replace(text, f"{symbol} = {values}")
    return f"{first.label}, {symbol} = {values}"
