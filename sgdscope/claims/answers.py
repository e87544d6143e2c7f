"""What an interval shows: its side of a border, its course, and how many seeds are missing."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal

from sgdscope.claims import statistics
from sgdscope.claims.statistics import Estimate
from sgdscope.claims.verdicts import Answer

Direction = Literal["falls", "rises"]
MANY = 100  # seeds that nobody will train
SHARE = "share"  # a unit
TINY = 1e-6  # a smaller number is printed as 0


def direction(found: Estimate, expected: Direction) -> Answer:
    """Supported if a change certainly has the expected sign, contradicted if the opposite."""
    rising = side(found, 0.0)
    return rising if expected == "rises" else opposite(rising)


def side(found: Estimate, border: float) -> Answer:
    """Supported if the interval lies above a border, contradicted if it lies below."""
    if found.low > border:
        return "supported"
    return "contradicted" if found.high < border else "inconclusive"


def equivalence(found: Estimate, margin: float) -> Answer:
    """Supported if the interval lies within the margin, contradicted if it lies outside."""
    if -margin <= found.low and found.high <= margin:
        return "supported"
    return "contradicted" if found.low > margin or found.high < -margin else "inconclusive"


def opposite(answer: Answer) -> Answer:
    """The answer to the opposite question."""
    swapped: dict[Answer, Answer] = {"supported": "contradicted", "contradicted": "supported"}
    return swapped.get(answer, answer)


def interval(found: Estimate, unit: str) -> str:
    """A number with its interval, in print."""
    value, low, high = (number(one, unit) for one in (found.value, found.low, found.high))
    said = f"{unit} {value}" if unit == SHARE else f"{value} {unit}".rstrip()
    return f"{said} ({low} to {high})"


def number(value: float, unit: str = "", *, digits: int = 3) -> str:
    """A change with its sign, or a share without, to so many significant digits."""
    if abs(value) < TINY:
        return "0"
    sign = "" if unit == SHARE else "+"
    text = f"{value:{sign}.{digits}g}"
    return (f"{Decimal(text):{sign}f}" if "e-" in text else text).replace("-", "−")


def course(found: Estimate, margin: float) -> str:
    """What a quantity does, as far as its interval shows."""
    within = max(abs(found.low), abs(found.high)) <= margin
    if found.low <= 0 <= found.high:
        return "barely varies" if within else "may rise or fall"
    verb = "rises" if found.low > 0 else "falls"
    if within:
        return f"{verb}, though by less than the margin of {margin:g},"
    beyond = min(abs(found.low), abs(found.high)) > margin
    return f"{verb} by more than the margin of {margin:g}" if beyond else verb


def seeds_wanted(found: Estimate, distance: float, seeds: int) -> str:
    """About how many seeds would make an interval narrower than a distance."""
    half = found.high - found.value
    # Of one seed; an interval that follows from runs is about two standard errors wide.
    spread = half / 2 * math.sqrt(seeds) if found.of_runs else half * statistics.narrower(seeds)
    for count in range(seeds + 1, MANY + 1):
        if spread < distance * statistics.narrower(count):
            return f"; about {count} seeds would settle it"
    return f"; even {MANY} seeds would not settle it"


def gap(found: Estimate, margin: float) -> float:
    """How far a value is from the nearer margin."""
    return abs(abs(found.value) - margin)
