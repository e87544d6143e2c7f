"""The evidence given to claims: the runs of a study, compared at one moment of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from sgdscope.claims import equal_loss, quantities
from sgdscope.claims.equal_loss import IntArray
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.sample import Sample
from sgdscope.claims.verdicts import END, EQUAL, Verdict
from sgdscope.registry import Registry
from sgdscope.results.axis import BATCH
from sgdscope.results.style import DrawnLine
from sgdscope.results.tables import Results
from sgdscope.results.view import View, doubtful
from sgdscope.study.hypotheses import NUMBER


class Evidence:
    """A study's results at one moment, as claims need them."""

    def __init__(
        self,
        results: Results,
        when: str,
        *,
        include_collapsed: bool = False,
        view: View | None = None,  # along a knob; without it along batch size
    ) -> None:
        self.results = results
        self.view = view or View(results, axis=BATCH)
        self.when = when  # END or EQUAL of ``verdicts``
        self.include_collapsed = include_collapsed  # whether collapsed runs count in trends
        self._curves: dict[Quantity, _ByLine] = {}
        self._compared: dict[tuple[str, tuple[str, ...]], _Runs] = {}
        self._samples: dict[tuple[Quantity, str, tuple[str, ...]], Sample | None] = {}

    @cached_property
    def _runs(self) -> _ByLine:
        return _ByLine(self.view.runs, self.view.runs)

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
            under: knobs with the values that lines must have, defaults included.
            settings: of the lines, such as ``schedule="fixed", momentum=0.9``; all others are free.
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
        """One for each panel, group of lines that differ in one knob, and quantity measured.

        At equal training loss, runs are compared with those of their own batch size.

        Args:
            wanted: the quantities.
            knob: an option of the lines, such as ``"momentum"``.
            under: as for samples.
            settings: likewise.
        """
        wanted = list(wanted)
        for panel in self.view.panels:
            own = self._lines(panel, settings, under)
            lines = [one for one in own if isinstance(one.line.knobs.get(knob), NUMBER)]
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
        there = self._runs.lines(panel)
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
        taken = self._measurements(quantity).of(panel, lines)
        if taken.empty:
            return None
        runs = self._runs_of(panel, lines, knob)
        good = taken[taken["counts"]]
        chosen, missing = self._chosen(quantity, good, by_batch=knob is not None)
        floor = quantities.at_floor(quantity, chosen["value"], self.view.chance(panel))
        never_reached = 0
        if self.when == EQUAL and not missing:
            never_reached = good["run"].nunique() - chosen["run"].nunique()
        scaled = chosen.assign(value=quantity.scaled(chosen["value"]))
        if knob is not None:
            scaled = scaled.assign(knob=_values(scaled, lines, knob))
        sound = scaled[np.isfinite(scaled["value"])]
        return Sample(
            quantity=quantity,
            panel=runs.panel,
            line=name,
            when=self.when,
            rows=sound,
            excluded=runs.excluded,
            never_reached=never_reached,
            valueless=len(scaled) - len(sound),
            places_without_runs=tuple(
                self._place(*place, lines[0], knob)
                for place in sorted(runs.places - _places(sound, sound["knob"] if knob else None))
            ),
            flagged=int(sound["flagged"].sum()),
            missing=missing,
            floor=floor,
            axis=self.view.axis,
            knob=knob or "momentum",
        )

    def _measurements(self, quantity: Quantity) -> _ByLine:
        """Every measurement of a quantity, with the training loss beside it."""
        if quantity not in self._curves:
            rows = self.view.trajectory(quantity.measure, eps=quantity.eps)
            slim = rows[COLUMNS].assign(
                counts=rows["status"].isin(self._counted),
                ends=rows["epoch"] == rows.groupby("run")["epoch"].transform("max"),
                flagged=doubtful(rows),
                run=rows["run"].astype(object),  # of which rows are quick to take
                line=rows["line"].astype(object),
            )
            self._curves[quantity] = _ByLine(slim.copy(), rows)  # one block of each type
        return self._curves[quantity]

    @property
    def _counted(self) -> set[str]:
        """The status of runs that count."""
        return {"done", "collapsed"} if self.include_collapsed else {"done"}

    def _runs_of(self, panel: str, lines: list[DrawnLine], knob: str | None) -> _Runs:
        key = panel, (knob or "", *(line.key for line in lines))
        if key not in self._compared:
            runs = self._runs.of(panel, lines)
            excluded = int((~runs["status"].isin(self._counted)).sum())
            names = str(runs["model"].iloc[0]), str(runs["data"].iloc[0])
            placed = runs[runs["x"].notna()]
            along = None if knob is None else _values(placed, lines, knob)
            self._compared[key] = _Runs(names, excluded, _places(placed, along))
        return self._compared[key]

    def _place(self, x: float, value: float, line: DrawnLine, knob: str | None) -> str:
        """A place on the axis in print, of a family with the value of the knob."""
        at = "" if knob is None else f" at {_symbol(line, knob)} = {value:g}"
        return f"{self.view.axis.text(x)}{at}"

    def _chosen(
        self, quantity: Quantity, taken: pd.DataFrame, *, by_batch: bool
    ) -> tuple[pd.DataFrame, str]:
        """The rows of this moment, one per run; or none, and why."""
        if self.when == END:
            return taken[taken["ends"]], ""
        if len(taken) and taken["ends"].all():
            return taken.iloc[:0], (
                "was measured only at the end of training; to measure it during training, "
                f"set every = N or at = [N, …] under [measure.{quantity.measure}]"
            )
        if taken["negative"].any():
            below, every = (rows["run"].nunique() for rows in (taken[taken["negative"]], taken))
            return taken.iloc[:0], (
                f"the training loss of {below} of {every} runs falls below 0, and losses are "
                "compared by their ratio"
            )
        groups = taken.groupby("batch_size") if by_batch else [(None, taken)]
        parts = [equal_loss.at_equal_loss(group) for _, group in groups]
        chosen = pd.concat(parts) if parts else taken.iloc[:0]
        if len(taken) and chosen.empty:
            return chosen, "no two runs share a training loss at which both were measured"
        return chosen, ""


COLUMNS = [
    "batch_size", "x", "momentum", "seed", "epoch", "value", "along", "loss", "negative", "limit",
]  # fmt: skip


@dataclass(frozen=True)
class _Runs:
    """The runs of some lines of a panel, whatever is measured of them."""

    panel: tuple[str, str]  # model, data
    excluded: int
    places: frozenset[tuple[float, float]]


class _ByLine:
    """Rows indexed by panel and line, in their order."""

    def __init__(self, rows: pd.DataFrame, named: pd.DataFrame) -> None:
        self._rows = rows
        places: dict[Any, Any] = named.groupby(["panel", "line"]).indices
        self._places: dict[tuple[str, str], IntArray] = places

    def lines(self, panel: str) -> set[str]:
        """The keys of a panel's lines."""
        return {line for where, line in self._places if where == panel}

    def of(self, panel: str, lines: Iterable[DrawnLine]) -> pd.DataFrame:
        """Those of these lines."""
        keys = [(panel, line.key) for line in lines]
        there = [self._places[key] for key in keys if key in self._places]
        return self._rows.iloc[np.sort(np.concatenate(there)) if there else []]


Claim = Callable[[Evidence], Iterable[Verdict]]
CLAIMS: Registry[Claim] = Registry("claim")


def heading(verdict: Verdict) -> str:
    """The statement of a verdict's claim, on one line."""
    if verdict.claim in list(CLAIMS):
        return CLAIMS.summary(verdict.claim)
    return verdict.statement.split(":", maxsplit=1)[0]


def _values(rows: pd.DataFrame, lines: list[DrawnLine], knob: str) -> pd.Series:
    """The value of a knob that each row's line has."""
    return rows["line"].map({one.key: float(one.line.knobs[knob]) for one in lines})


def _places(rows: pd.DataFrame, along: pd.Series | None) -> frozenset[tuple[float, float]]:
    """Each row's place on the axis, and its value of a knob if that is asked for."""
    values = repeat(0.0) if along is None else along.tolist()
    return frozenset(zip(rows["x"].tolist(), values, strict=False))


def _symbol(drawn: DrawnLine, knob: str) -> str:
    """A knob's symbol in labels."""
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
