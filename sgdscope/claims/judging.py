"""From a sample to a finding: trends over batch sizes, effects of momentum, majorities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from sgdscope.claims import statistics
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.sample import Sample
from sgdscope.claims.statistics import Estimate
from sgdscope.claims.verdicts import BENT, SMALL, Answer, Detail, Finding, lacking

Direction = Literal["falls", "rises"]
MANY = 100  # seeds that nobody will train
ONE_SEED = "one seed does not say what another would do to all batch sizes at once; needs two"
RANKED = 6  # runs; of five, chance alone decided in 13 of 100 simulated studies


def changes(sample: Sample, expected: Direction) -> Finding:
    """Whether a quantity falls (or rises) with batch size, by however little, if surely.

    Contradicted where it surely goes the other way. Where it may go either way, but surely within
    the margin, the answer is inconclusive and its detail that it is too small to count.
    """
    if (short := sample.enough()) is not None:
        return short
    answer = _direction(sample.slope, expected)
    detail: Detail = ""
    if answer == "inconclusive":
        detail = SMALL if is_same(sample) else _sameness(sample)[1]
    distance = _gap_of(sample) if detail == BENT else abs(sample.slope.value)
    return _trend(sample, answer, detail, distance=distance)


def barely_varies(sample: Sample) -> Finding:
    """Whether trend and range over batch sizes are surely within the margin (equivalence tests).

    Where every run of a batch size is lost, those of the others cannot show sameness.
    """
    if (short := sample.enough()) is not None:
        return short
    answer, detail = _sameness(sample)
    return _unless_lost(_trend(sample, answer, detail, distance=_gap_of(sample)), sample)


def varies(sample: Sample) -> Finding:
    """Whether the trend with batch size, or the range, is surely beyond the margin."""
    if (short := sample.enough()) is not None:
        return short
    answer, detail = _sameness(sample)
    return _trend(sample, _opposite(answer), detail, distance=_gap_of(sample))


def is_same(sample: Sample) -> bool:
    """Whether a sample with enough runs surely barely varies, no batch size being lost."""
    return not sample.gone and _sameness(sample)[0] == "supported"


def _sameness(sample: Sample) -> tuple[Answer, Detail]:
    """Whether both the slope and the whole curve's range are surely within the margin."""
    straight = _equivalence(sample.slope, sample.margin)
    whole = _equivalence(sample.span, sample.span_margin)
    if "contradicted" in (straight, whole):
        return "contradicted", "" if straight == "contradicted" else BENT
    if straight == whole:
        return straight, ""
    return "inconclusive", BENT if straight == "supported" else ""


def _unless_lost(made: Finding, sample: Sample) -> Finding:
    """Sameness is not shown where every run of some kind is lost."""
    if made.answer != "supported" or not sample.gone:
        return made
    reason = f"{made.reason}, but every run of {', '.join(sample.gone)} is lost"
    return replace(made, answer="inconclusive", reason=reason)


def _trend(sample: Sample, answer: Answer, detail: Detail, *, distance: float) -> Finding:
    quantity, found, span = sample.quantity, sample.slope, sample.span
    unit, margin = quantity.slope_unit, sample.margin
    reason = f"{_course(found, margin)} with batch size: {interval(found, unit)}"
    if detail == BENT:
        reason += (
            f", but its means span {span.value:.3g} {quantity.unit} ({span.low:.3g} to "
            f"{span.high:.3g}), where {sample.span_margin:.3g} count"
        )
    if detail == SMALL:
        reason += f"; {SMALL}, up or down"
    elif answer == "inconclusive":
        reason += _wanted(span if detail else found, distance, sample.rows["seed"].nunique())
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
    """Whether larger momentum lowers (or raises) a quantity at most batch sizes of these."""
    if (short := sample.enough(sizes=2, runs=4)) is not None:
        return short
    return majority([sample.effects], expected, quantity=sample.quantity)


def majority(
    effects: Sequence[pd.DataFrame], expected: Direction, *, quantity: Quantity
) -> Finding:
    """Whether momentum's effect has the expected sign, and counts, in most of the cases tested.

    A case is a batch size of a panel and schedule; its seeds say how sure it is.

    Args:
        effects: of each panel and schedule, as :attr:`Sample.effects` has them.
        expected: sign.
        quantity: what is changed; an effect within its margin does not count.
    """
    sign = -1 if expected == "falls" else 1
    cases = [
        sign * case.to_numpy() for one in effects for _, case in one.groupby("batch_size")["effect"]
    ]
    if not cases:
        return lacking("no two runs differ in momentum alone")
    margin, unit = quantity.difference_margin, quantity.unit
    found = statistics.share(cases, margin)
    word = "lower" if expected == "falls" else "higher"
    middle = sign * float(np.median([case.mean() for case in cases]))
    reason = (
        f"{word} with larger momentum, by more than {margin:g} {unit}, in "
        f"{round(found.value * len(cases))} of {len(cases)} cases (95% interval of the share "
        f"{found.low:.2f} to {found.high:.2f}); median change {middle:+.2g} {unit}"
    )
    answer = side(found, 0.5)
    if answer == "contradicted" and side(statistics.share(cases, 0.0), 0.5) != answer:
        answer = "inconclusive"  # not by as much as counts, but perhaps that way
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
    """Whether a knob's effect, over all batch sizes, is surely within the margin."""
    return _unless_lost(_mean_effect(sample, None), sample)


def moves(sample: Sample, expected: Direction) -> Finding:
    """Whether a quantity falls (or rises) as a knob grows, over all batch sizes, if surely."""
    return _mean_effect(sample, expected)


def contrast(sample: Sample, other: Sample, expected: Direction) -> Finding:
    """Whether momentum moves a quantity so by more in one family than in another, if surely.

    Runs are paired by batch size and seed; both families have the same least and largest momentum.
    """
    for one in (sample, other):
        if (short := one.enough(sizes=2, runs=4)) is not None:
            return short
    ends = [f"{one.rows['momentum'].min():g} to {one.rows['momentum'].max():g}"
            for one in (sample, other)]  # fmt: skip
    if ends[0] != ends[1]:
        return lacking(
            f"momentum is {ends[0]} under {sample.line} and {ends[1]} under {other.line}"
        )
    both = sample.effects.merge(other.effects, on=["batch_size", "seed"], suffixes=("", "_other"))
    effects = both.assign(effect=both["effect"] - both["effect_other"])
    finding = _mean_of(
        effects, sample.quantity, expected, knob="momentum", what="difference of change"
    )
    return replace(finding, reason=f"difference between the schedules: {finding.reason}")


def _mean_effect(sample: Sample, expected: Direction | None) -> Finding:
    if (short := sample.enough(sizes=2, runs=4)) is not None:
        return short
    effects = sample.effects
    return _mean_of(effects, sample.quantity, expected, knob=sample.knob, what="change")


def _mean_of(
    effects: pd.DataFrame, quantity: Quantity, expected: Direction | None, *, knob: str, what: str
) -> Finding:
    """Whether the mean of effects has the expected sign, or is within the margin."""
    if len(effects) < 3:
        return lacking(f"{len(effects)} pairs of runs that differ in {knob} alone; needs 3")
    if effects["seed"].nunique() < 2:
        mean, unit = effects["effect"].mean(), quantity.unit
        return lacking(f"{mean:+.3g} {unit} with {knob} in the mean; {ONE_SEED}")
    found = statistics.mean(effects["effect"].to_numpy(), effects["seed"].to_numpy())
    margin, unit = quantity.difference_margin, quantity.unit
    same = _equivalence(found, margin)
    answer = same if expected is None else _direction(found, expected)
    reason = f"{_course(found, margin)} with {knob}: {interval(found, unit)} in the mean"
    detail: Detail = ""
    if answer == "inconclusive" and same == "supported":
        detail = SMALL
        reason += f"; {SMALL}, up or down"
    elif answer == "inconclusive":
        distance = _gap(found, margin) if expected is None else abs(found.value)
        reason += _wanted(found, distance, effects["seed"].nunique())
    return Finding(
        answer,
        reason,
        statistic=f"mean {what} from smallest to largest {knob}",
        unit=unit,
        estimate=found,
        margin=margin,
        detail=detail,
    )


def correlates(sample: Sample, other: Sample, *, expected: Direction) -> Finding:
    """Whether one quantity falls (or rises) where the other rises, by rank across runs."""
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
        _direction(found, expected),
        f"{sample.quantity.label} and {other.quantity.label} have rank correlation "
        f"{interval(found, '')} across {len(both)} runs",
        statistic="Spearman's ρ across runs",
        unit="",
        estimate=found,
    )


def interval(found: Estimate, unit: str) -> str:
    """A number with its interval, in print."""
    return f"{found.value:+.3g} {unit} ({found.low:+.3g} to {found.high:+.3g})".replace("  ", " ")


def _course(found: Estimate, margin: float) -> str:
    """What a quantity does, as far as its interval tells."""
    within = max(abs(found.low), abs(found.high)) <= margin
    if found.low <= 0 <= found.high:
        return "barely varies" if within else "may rise or fall"
    verb = "rises" if found.low > 0 else "falls"
    if within:
        return f"{verb}, though by less than the {margin:g} that counts,"
    beyond = min(abs(found.low), abs(found.high)) > margin
    return f"{verb} by more than the {margin:g} that counts" if beyond else verb


def _wanted(found: Estimate, distance: float, seeds: int) -> str:
    """About how many seeds would make an interval narrower than a distance."""
    half = found.high - found.value
    spread = half * statistics.narrower(seeds) if seeds > 1 else half / 2  # of one seed
    for count in range(seeds + 1, MANY + 1):
        if spread < distance * statistics.narrower(count):
            return f"; about {count} seeds would tell"
    return f"; not even {MANY} seeds would tell"


def _gap(found: Estimate, margin: float) -> float:
    """How far a value is from the nearer margin."""
    return abs(abs(found.value) - margin)


def _gap_of(sample: Sample) -> float:
    """How far what decides on sameness is from its margin."""
    if _sameness(sample)[1] == BENT:
        return _gap(sample.span, sample.span_margin)
    return _gap(sample.slope, sample.margin)


def _direction(found: Estimate, expected: Direction) -> Answer:
    rising = side(found, 0.0)
    return rising if expected == "rises" else _opposite(rising)


def side(found: Estimate, border: float) -> Answer:
    """Supported where the interval lies above a border, contradicted where it lies below."""
    if found.low > border:
        return "supported"
    return "contradicted" if found.high < border else "inconclusive"


def _equivalence(found: Estimate, margin: float) -> Answer:
    if -margin <= found.low and found.high <= margin:
        return "supported"
    return "contradicted" if found.low > margin or found.high < -margin else "inconclusive"


def _opposite(answer: Answer) -> Answer:
    swapped: dict[Answer, Answer] = {"supported": "contradicted", "contradicted": "supported"}
    return swapped.get(answer, answer)
