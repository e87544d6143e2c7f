"""From a sample to a finding: trends over batch sizes, effects of momentum, majorities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sgdscope.claims import statistics
from sgdscope.claims.answers import (
    Direction,
    course,
    direction,
    equivalence,
    gap,
    interval,
    number,
    opposite,
    seeds_wanted,
    side,
)
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.sample import EXACT, Sample
from sgdscope.claims.statistics import Estimate
from sgdscope.claims.verdicts import BENT, SMALL, Answer, Detail, Finding, lacking

ONE_SEED = (
    "one seed cannot show how far another would shift all batch sizes at once; two are needed"
)
RANKED = 6  # runs; the interval of fewer hardly ever excludes zero


def changes(sample: Sample, expected: Direction) -> Finding:
    """Whether a quantity certainly falls (or rises) with batch size, by however little.

    Contradicted if it certainly goes the other way. If it may go either way, but certainly within
    the margin, the answer is inconclusive, with the detail "too small to count".
    """
    if (short := sample.enough()) is not None:
        return short
    answer = direction(sample.slope, expected)
    detail: Detail = ""
    if answer == "inconclusive":
        detail = SMALL if is_same(sample) else _sameness(sample)[1]
    distance = _gap_of(sample) if detail == BENT else abs(sample.slope.value)
    return _trend(sample, answer, detail, distance=distance)


def barely_varies(sample: Sample) -> Finding:
    """Whether trend and range over batch sizes are certainly within the margin (equivalence tests).

    If every run of a batch size is excluded, the others cannot show sameness.
    """
    if (short := sample.enough()) is not None:
        return short
    answer, detail = _sameness(sample)
    return _unless_lost(_trend(sample, answer, detail, distance=_gap_of(sample)), sample)


def varies(sample: Sample) -> Finding:
    """Whether the trend with batch size, or the range, is certainly beyond the margin."""
    if (short := sample.enough()) is not None:
        return short
    answer, detail = _sameness(sample)
    return _trend(sample, opposite(answer), detail, distance=_gap_of(sample))


def is_same(sample: Sample) -> bool:
    """Whether a sample with enough runs certainly barely varies, and no batch size is missing."""
    return not sample.places_without_runs and _sameness(sample)[0] == "supported"


def _sameness(sample: Sample) -> tuple[Answer, Detail]:
    """Whether both the slope and the whole curve's range are certainly within the margin."""
    straight = equivalence(sample.slope, sample.margin)
    whole = equivalence(sample.span, sample.span_margin)
    if "contradicted" in (straight, whole):
        return "contradicted", "" if straight == "contradicted" else BENT
    if straight == whole:
        return straight, ""
    return "inconclusive", BENT if straight == "supported" else ""


def _unless_lost(made: Finding, sample: Sample) -> Finding:
    """Sameness is not shown if every run of some kind is excluded."""
    if made.answer != "supported" or not sample.places_without_runs:
        return made
    reason = f"{made.reason}, but every run of {', '.join(sample.places_without_runs)} was left out"
    return replace(made, answer="inconclusive", reason=reason)


def _trend(sample: Sample, answer: Answer, detail: Detail, *, distance: float) -> Finding:
    quantity, found, span = sample.quantity, sample.slope, sample.span
    unit, margin = quantity.slope_unit, sample.margin
    reason = f"{course(found, margin)} with batch size: {interval(found, unit)}"
    if detail == BENT:
        reason += _spanning(span, quantity.unit, sample.span_margin)
    if detail == SMALL:
        reason += f"; {SMALL}, up or down"
    elif answer == "inconclusive":
        reason += seeds_wanted(span if detail else found, distance, sample.rows["seed"].nunique())
    return Finding(
        answer,
        reason,
        statistic="slope over log2 of the batch size",
        unit=unit,
        estimate=found,
        margin=margin,
        detail=detail,
    )


def mostly(sample: Sample, expected: Direction) -> Finding:
    """Whether larger momentum lowers (or raises) a quantity at most of a sample's batch sizes."""
    if (short := sample.enough(sizes=2, runs=4)) is not None:
        return short
    return majority([sample.effects], expected, quantity=sample.quantity)


def majority(
    effects: Sequence[pd.DataFrame], expected: Direction, *, quantity: Quantity
) -> Finding:
    """Whether momentum's effect has the expected sign, and counts, in most of the cases tested.

    A case is a batch size of a panel and schedule; its seeds give its certainty.

    Args:
        effects: those of each panel and schedule, as in :attr:`Sample.effects`.
        expected: the sign.
        quantity: the one affected; an effect within its margin does not count.
    """
    sign = -1 if expected == "falls" else 1
    cases = [
        sign * case.to_numpy() for one in effects for _, case in one.groupby("batch_size")["effect"]
    ]
    if not cases:
        return lacking("no two runs differ only in momentum")
    margin, unit = quantity.difference_margin, quantity.unit
    found = statistics.share(cases, margin)
    word = "lower" if expected == "falls" else "higher"
    middle = sign * float(np.median([case.mean() for case in cases]))
    reason = (
        f"{word} with larger momentum, by more than {margin:g} {unit}, in "
        f"{round(found.value * len(cases))} of {len(cases)} cases (95% interval of the share "
        f"{found.low:.2g} to {found.high:.2g}); median change {number(middle, digits=2)} {unit}"
    )
    answer = side(found, 0.5)
    if answer == "contradicted" and side(statistics.share(cases, 0.0), 0.5) != answer:
        answer = "inconclusive"  # within the margin, but perhaps of that sign
    small = side(statistics.share(cases, -margin, margin), 0.5) == "supported"
    detail: Detail = SMALL if small and answer == "inconclusive" else ""
    if detail == SMALL:
        reason += f"; {SMALL}, up or down, in most"
    elif max(len(case) for case in cases) < 2:
        reason += f"; {ONE_SEED}"
    return Finding(
        answer,
        reason,
        statistic=f"share of cases that are {word}",
        unit="share",
        estimate=found,
        margin=margin,
        detail=detail,
    )


def no_difference(sample: Sample) -> Finding:
    """Whether a knob's mean effect over all batch sizes is certainly within the margin."""
    return _unless_lost(_mean_effect(sample, None), sample)


def moves(sample: Sample, expected: Direction) -> Finding:
    """Whether a quantity certainly falls (or rises) as a knob grows, over all batch sizes."""
    return _mean_effect(sample, expected)


def contrast(sample: Sample, other: Sample, expected: Direction) -> Finding:
    """Whether momentum certainly moves a quantity that way by more in one family than in another.

    Runs are paired by batch size and seed; both families have the same least and largest momentum.
    """
    for one in (sample, other):
        if (short := one.enough(sizes=2, runs=4)) is not None:
            return short
    ends = [f"{one.rows['knob'].min():g} to {one.rows['knob'].max():g}" for one in (sample, other)]
    if ends[0] != ends[1]:
        return lacking(
            f"momentum is {ends[0]} under {sample.line} and {ends[1]} under {other.line}"
        )
    both = sample.effects.merge(other.effects, on=["batch_size", "seed"], suffixes=("", "_other"))
    effects = both.assign(effect=(both["effect"] - both["effect_other"]).round(EXACT))
    finding = _mean_of(
        effects, sample.quantity, expected, knob="momentum", what="difference of change"
    )
    return replace(finding, reason=f"difference between the schedules: {finding.reason}")


def _mean_effect(sample: Sample, expected: Direction | None) -> Finding:
    if (short := sample.enough(sizes=2, runs=4)) is not None:
        return short
    effects, span = sample.effects, sample.knob_span
    if expected is not None and span is not None and span.low <= sample.quantity.difference_margin:
        span = None  # nothing between the ends is certainly more than the margin
    return _mean_of(effects, sample.quantity, expected, knob=sample.knob, what="change", span=span)


def _mean_of(
    effects: pd.DataFrame,
    quantity: Quantity,
    expected: Direction | None,
    *,
    knob: str,
    what: str,
    span: Estimate | None = None,
) -> Finding:
    """Whether the mean of effects has the expected sign, or is within the margin.

    Sameness takes a span between any two values of the knob that is within the margin too.
    """
    if len(effects) < 3:
        return lacking(f"{len(effects)} pairs of runs that differ only in {knob}; needs 3")
    seeds, unit = effects["seed"].nunique(), quantity.unit
    if seeds < 2:
        mean = effects["effect"].mean()
        return lacking(f"{number(mean)} {unit} with {knob} on average; {ONE_SEED}")
    found = statistics.mean(effects["effect"].to_numpy(), effects["seed"].to_numpy())
    margin = quantity.difference_margin
    same, detail = _within(found, span, margin)
    answer = same if expected is None else direction(found, expected)
    reason = f"{course(found, margin)} with {knob}: {interval(found, unit)} on average"
    if expected is not None and answer != "inconclusive":
        detail = ""
    if span is not None and detail == BENT:
        reason += _spanning(span, unit, margin)
    elif answer == "inconclusive" and same == "supported":
        detail = SMALL
        reason += f"; {SMALL}, up or down"
    elif answer == "inconclusive":
        distance = gap(found, margin) if expected is None else abs(found.value)
        reason += seeds_wanted(found, distance, seeds)
    return Finding(
        answer,
        reason,
        statistic=f"mean {what} from smallest to largest {knob}",
        unit=unit,
        estimate=found,
        margin=margin,
        detail=detail,
    )


def _within(found: Estimate, span: Estimate | None, margin: float) -> tuple[Answer, Detail]:
    """Whether an effect, and a span where there is one, are certainly within the margin."""
    straight = equivalence(found, margin)
    if straight != "supported" or span is None:
        return straight, ""
    whole = equivalence(span, margin)
    return whole, "" if whole == straight else BENT


def _spanning(span: Estimate, unit: str, margin: float) -> str:
    return (
        f", but its means span {span.value:.3g} {unit} ({span.low:.3g} to {span.high:.3g}), "
        f"against a margin of {margin:.3g}"
    )


def correlates(sample: Sample, other: Sample, *, expected: Direction) -> Finding:
    """Whether one quantity falls (or rises) as the other rises, by rank across runs."""
    for one in (sample, other):
        if (short := one.enough()) is not None:
            return short
    beside = dict(zip(other.rows["run"], other.rows["value"], strict=True))
    both = sample.rows[sample.rows["run"].isin(list(beside))]
    if len(both) < RANKED:
        return lacking(f"{len(both)} runs have both; needs at least {RANKED}")
    others = np.array([beside[run] for run in both["run"]])
    found = statistics.rank_correlation(both["value"].to_numpy(), others, both["seed"].to_numpy())
    return Finding(
        direction(found, expected),
        f"{sample.quantity.label} and {other.quantity.label} have rank correlation "
        f"{interval(found, '')} across {len(both)} runs",
        statistic="Spearman's ρ across runs",
        unit="",
        estimate=found,
    )


def _gap_of(sample: Sample) -> float:
    """The distance of the deciding value from its margin."""
    if _sameness(sample)[1] == BENT:
        return gap(sample.span, sample.span_margin)
    return gap(sample.slope, sample.margin)
