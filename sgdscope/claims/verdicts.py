"""The outcome of a claim: a statistic, its interval, and a verdict with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sgdscope.claims.quantities import Quantity
from sgdscope.claims.statistics import Estimate
from sgdscope.settings import written

Answer = Literal["supported", "contradicted", "inconclusive"]
Detail = Literal["", "too small to count", "not along a line"]
END = "end of training"
EQUAL = "equal training loss"
MOMENTS = (END, EQUAL)
SIGNS: dict[Answer, str] = {"supported": "✓", "contradicted": "✗", "inconclusive": "?"}
SMALL: Detail = "too small to count"
BENT: Detail = "not along a line"
MARKS = (
    "! most readings are flagged; * some runs are left out: they failed, never reach that loss or "
    "have no finite value; ~ decided by the range of the means, not by the slope; ¹ one seed."
)
LEGEND = (
    "✓ supported, ✗ contradicted, ≈ too small to count (up or down), ? inconclusive, – no "
    f"information. Upper: at the end of training; lower: at equal training loss. {MARKS}"
)


@dataclass(frozen=True)
class Finding:
    """What a test found, in the units of the claim."""

    answer: Answer
    reason: str  # one plain sentence
    statistic: str = ""
    unit: str = ""
    estimate: Estimate | None = None
    margin: float | None = None  # differences smaller than this count as none
    informative: bool = True  # False if every value is at a floor
    detail: Detail = ""  # what the answer alone does not say


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict on one panel of a study, at one moment of training."""

    claim: str
    statement: str
    model: str  # "all" if the verdict is on all panels together
    data: str
    line: str
    measure: str
    eps: float | None
    when: str  # END or EQUAL
    statistic: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    margin: float | None
    verdict: Answer
    reason: str
    informative: bool
    runs: int
    seeds: int
    left_out: int  # runs that failed, never reach the common loss or have no finite value
    flagged: int  # readings that carry a flag or did not converge
    figure: str | None  # name of the figure that shows it, without ending
    detail: Detail = ""  # what the verdict alone does not say

    @property
    def said(self) -> str:
        """The statement without its measure and place."""
        statement, *_ = self.statement.split(":")
        return statement.replace(Quantity(self.measure, self.eps).label, "…")

    @property
    def statement_at_eps(self) -> str:
        """The statement, with its eps if its own words do not say it."""
        at = "" if self.eps is None else f"eps {written(self.eps)}"
        return self.statement if at in self.statement else f"{self.statement}, {at}"

    @property
    def sign(self) -> str:
        """Its sign in a table, as in the legend."""
        if not self.informative:
            return "–"
        return "≈" if self.word == SMALL else SIGNS[self.verdict]

    @property
    def word(self) -> str:
        """In print."""
        if not self.informative:
            return "no information"
        small = self.verdict == "inconclusive" and self.detail == SMALL
        return SMALL if small else self.verdict

    @property
    def doubtful(self) -> bool:
        """Whether most of its readings are flagged."""
        return 2 * self.flagged > self.runs

    @property
    def marks(self) -> str:
        """The marks beside its number, as in the legend."""
        if self.value is None or not self.informative:
            return ""
        bent = "~" * (self.detail == BENT)
        return "!" * self.doubtful + "*" * bool(self.left_out) + bent + "¹" * (self.seeds == 1)

    @property
    def tested(self) -> bool:
        """Whether there was enough data to test it, and informative data."""
        return self.informative and (self.value is not None or self.verdict != "inconclusive")


def lacking(reason: str, *, informative: bool = True) -> Finding:
    """Nothing can be concluded."""
    return Finding("inconclusive", reason, informative=informative)


def all_of(findings: list[Finding]) -> Answer:
    """Supported if all are, contradicted if one is."""
    return every_of([finding.answer for finding in findings])


def every_of(answers: list[Answer]) -> Answer:
    """Supported if all are and there is at least one; contradicted if one is."""
    if set(answers) == {"supported"}:
        return "supported"
    return "contradicted" if "contradicted" in answers else "inconclusive"


def any_of(answers: list[Answer]) -> Answer:
    """Supported if one is, contradicted if all are."""
    if "supported" in answers:
        return "supported"
    return "contradicted" if set(answers) == {"contradicted"} else "inconclusive"
