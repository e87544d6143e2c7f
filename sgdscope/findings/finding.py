"""Findings, and the trends along the axis that they are about."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from sgdscope.claims.quantities import Quantity
from sgdscope.claims.sample import Sample
from sgdscope.claims.statistics import Estimate

Course = Literal["falls", "rises", "flat", "unclear"]
Kind = Literal["progress", "fades", "kept", "reversed", "open", "flat", "unclear"]
CHIPS: dict[Kind | Literal["lost"], str] = {
    "progress": "progress only",
    "fades": "mostly progress",
    "kept": "real effect",
    "reversed": "reverses",
    "open": "undecided",
    "flat": "no effect",
    "unclear": "undecided",
    "lost": "not trained",
}


@dataclass(frozen=True)
class Trend:
    """The trend of a quantity along the axis on one line of one panel, at both moments."""

    quantity: Quantity
    panel: str
    line: str  # key
    label: str  # of the line
    schedule: str
    end: Estimate
    equal: Estimate | None  # None if it is not testable
    why_not: str  # why it is not
    sample: Sample  # at the end of training
    same: bool  # at the end the whole curve is certainly within the margin
    equal_same: bool  # likewise at equal training loss

    @property
    def course(self) -> Course:
        """The trend at the end of training; an effect within the margin counts as none."""
        return self._course(self.end, same=self.same)

    def _course(self, found: Estimate | None, *, same: bool) -> Course:
        if same:
            return "flat"
        if found is None or found.low <= 0 <= found.high:
            return "unclear"
        if max(abs(found.low), abs(found.high)) <= self.sample.margin:
            return "unclear"  # hardly a trend, but a curve
        return "rises" if found.value > 0 else "falls"

    @cached_property
    def kind(self) -> Kind:
        """What the comparison at equal training loss shows about the trend at the end."""
        end, equal = self.course, self._course(self.equal, same=self.equal_same)
        if end in ("flat", "unclear"):
            return end
        if equal == "flat":
            return "progress"
        if equal == "unclear":
            return "fades" if self.equal is not None and _disjoint(self.end, self.equal) else "open"
        return "kept" if equal == end else "reversed"

    @property
    def size(self) -> float:
        """The effect at the end, in margins."""
        return abs(self.end.value) / self.sample.margin


def _disjoint(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals are disjoint."""
    return one.low > other.high or other.low > one.high


@dataclass(frozen=True)
class Finding:
    """One plain sentence about a study."""

    kind: Kind | Literal["lost"]
    headline: str  # the sentence, without numbers
    numbers: str  # the numbers behind it, with intervals
    weight: float  # how much it matters beside others
    trends: list[Trend] = field(default_factory=list)  # the one to be drawn first
    anchor: str = ""  # the section of the page with the details

    @property
    def chip(self) -> str:
        """Its kind in a word or two."""
        return CHIPS[self.kind]
