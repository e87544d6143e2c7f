"""Requirements on a network, for continuous integration: met, failed or undecided."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from sgdscope.auditing.comparison import LEVEL, points
from sgdscope.auditing.folder import AuditFolder
from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES, card_of
from sgdscope.results.record import Audited, Measurement
from sgdscope.settings import plain

Answer = Literal["met", "failed", "cannot tell"]
_FORM = re.compile(r"\s*(\w+)\s*(?:@\s*([\d./ e-]+?))?\s*(>=|<=|>|<)\s*([\d./e%-]+)\s*")
_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
EXPECTED = "expected MEASURE >= NUMBER or MEASURE@EPS >= NUMBER, such as pgd_accuracy@8/255 >= 0.45"


@dataclass(frozen=True)
class Requirement:
    """A bound on a measure; for attacks at one eps."""

    text: str
    measure: str
    eps: float | None
    sign: str  # of _SIGNS
    bound: float

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Parse the value of ``--require``.

        Raises:
            RequestError: it is malformed, or there is no such measure.
        """
        parts = _FORM.fullmatch(text)
        if parts is None:
            raise RequestError(f"--require {text!r}: {EXPECTED}")
        measure, eps, sign, bound = parts.groups()
        takes_eps = "eps" in MEASURES[measure].model_fields and measure != "robustness_area"
        if takes_eps != (eps is not None):
            what = "has several eps" if takes_eps else "has no eps"
            raise RequestError(f"--require {text!r}: {measure} {what}; {EXPECTED}")
        radius = None if eps is None else _number(eps, text)
        number = _number(bound, text)
        if card_of(measure).kind == "accuracy" and not 0 <= number <= 1:
            raise RequestError(
                f"--require {text!r}: an accuracy lies in [0, 1]; expected such a bound, 0.45 or "
                "45%"
            )
        return cls(text.strip(), measure, radius, sign, number)

    def judge(self, audited: Audited, folder: AuditFolder) -> Judgement:
        """Whether a network meets it."""
        for reading in audited.measurements:
            alike = reading.eps == self.eps or (
                reading.eps is not None
                and self.eps is not None
                and math.isclose(reading.eps, self.eps, rel_tol=1e-9)
            )
            if reading.measure == self.measure and alike:
                return self._of(audited, reading, folder)
        return Judgement(self, audited.network.name, "cannot tell", None, "it was not measured")

    def _of(self, audited: Audited, reading: Measurement, folder: AuditFolder) -> Judgement:
        name, value = audited.network.name, reading.value
        if not math.isfinite(value):
            why = reading.flags[0] if reading.flags else "it is not finite"
            return Judgement(self, name, "cannot tell", None, why)
        low, high = _interval(audited, reading, folder)
        if math.isnan(low):
            return Judgement(self, name, "cannot tell", None, "its error is not known")
        span = (value, low, high)
        keeps = [_SIGNS[self.sign](end, self.bound) for end in (low, high)]
        if not any(keeps):
            return Judgement(self, name, "failed", span, "")
        if not all(keeps):
            return Judgement(self, name, "cannot tell", span, "the interval contains the bound")
        if reading.flags:
            return Judgement(self, name, "cannot tell", span, f"flagged: {reading.flags[0]}")
        return Judgement(self, name, "met", span, "")


@dataclass(frozen=True)
class Judgement:
    """Whether a network meets a requirement."""

    requirement: Requirement
    network: str
    answer: Answer
    span: tuple[float, float, float] | None  # value and its interval
    why: str

    @property
    def sentence(self) -> str:
        """The answer, with the number and its interval."""
        said = f"{self.answer}: {self.network}, {self.requirement.text}"
        if self.span is not None:
            value, low, high = self.span
            said += f": {value:.4g}"
            said += f" ({low:.4g} to {high:.4g})" if low < high else ""  # some have no interval
        return said + (f"; {self.why}" if self.why else "")


def exit_code(judgements: Sequence[Judgement]) -> int:
    """0 if all are met, 1 if one failed, 3 if none failed but one is undecided."""
    answers = {one.answer for one in judgements}
    return 1 if "failed" in answers else 3 if "cannot tell" in answers else 0


def _interval(audited: Audited, reading: Measurement, folder: AuditFolder) -> tuple[float, float]:
    """The exact interval over points (Clopper and Pearson 1934), or a measure's own errors."""
    right = points(audited, reading, folder)
    if right is not None:
        exact = stats.binomtest(int(right.sum()), len(right)).proportion_ci(LEVEL)
        return float(exact.low), float(exact.high)
    quantile = float(stats.norm.ppf(0.5 + LEVEL / 2))
    # The error of a trace includes its standard error; that of a mean over images does not.
    sampling = quantile * reading.evidence.get("standard_error", 0.0)
    spread = float(np.max([sampling, reading.evidence.get("error", 0.0)]))  # NaN if one is
    return reading.value - spread, reading.value + spread


def _number(text: str, where: str) -> float:
    try:
        percent = text.endswith("%")
        value = float(plain(text.removesuffix("%")))
    except ValueError:
        raise RequestError(f"--require {where!r}: {text!r} is not a number; {EXPECTED}") from None
    return value / 100 if percent else value
