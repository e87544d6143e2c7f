"""From a sample to a finding: trends over batch sizes, effects of momentum, majorities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from sgdscope.claims import statistics
from sgdscope.claims.evidence import Sample
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.statistics import Estimate
from sgdscope.claims.verdicts import Answer, Finding, lacking
from sgdscope.results.axis import geometric

Direction = Literal["falls", "rises"]
MANY = 100  # seeds that nobody will train
DECIDE = 6  # cases, if all agree: of five, the interval of the share reaches below one half
RANKED = 6  # runs; of five, chance alone decided in 13 of 100 simulated studies


def changes(sample: Sample, expected: Direction) -> Finding:
    """Whether a quantity falls (or rises) with batch size, by however little, if surely.

    Contradicted where it goes the other way, or may go either way but by less than the margin.
    """
    if (short := sample.enough()) is not None:
        return short
    found, margin = sample.slope, sample.quantity.margin
    return _trend(sample, found, _direction(found, expected, margin), distance=abs(found.value))


def barely_varies(sample: Sample) -> Finding:
    """Whether the trend with batch size is surely within the margin (two one-sided tests).

    Where every run of a batch size is lost, the trend of the others cannot show sameness.
    """
    if (short := sample.enough()) is not None:
        return short
    found, margin = sample.slope, sample.quantity.margin
    made = _trend(sample, found, _equivalence(found, margin), distance=_gap(found, margin))
    return _unless_lost(made, sample)


def _unless_lost(made: Finding, sample: Sample) -> Finding:
    """Sameness is not shown where every run of some kind is lost."""
    if made.answer != "supported" or not sample.gone:
        return made
    reason = f"{made.reason}, but every run of {', '.join(sample.gone)} is lost"
    return replace(made, answer="inconclusive", reason=reason)


def varies(sample: Sample) -> Finding:
    """Whether the trend with batch size is surely beyond the margin, either way."""
    if (short := sample.enough()) is not None:
        return short
    found, margin = sample.slope, sample.quantity.margin
    answer = _opposite(_equivalence(found, margin))
    return _trend(sample, found, answer, distance=_gap(found, margin))


def _trend(sample: Sample, found: Estimate, answer: Answer, *, distance: float) -> Finding:
    quantity = sample.quantity
    unit, margin = quantity.slope_unit, quantity.margin
    reason = f"{_course(found, margin)} with batch size: {interval(found, unit)}"
    if answer == "inconclusive":
        reason += _wanted(found, distance, sample.rows["seed"].nunique())
    return Finding(
        answer,
        reason,
        statistic="slope over log2 of the batch size",
        unit=unit,
        estimate=found,
        margin=margin,
    )


def momentum_effects(sample: Sample) -> pd.DataFrame:
    """Change of a family's value from its smallest to its largest momentum, or other knob.

    With more than two values it follows from the least-squares line through them, over logarithms
    where the values are geometric. One row for each batch size and seed that has both ends:
    ``batch_size``, ``seed``, ``effect``.
    """
    found = []
    knob = sample.rows[sample.knob]
    log = sample.knob != "momentum" and geometric(knob)
    rows = sample.rows.assign(x=np.log2(knob) if log else knob)
    ends = {rows["x"].min(), rows["x"].max()}
    span = max(ends) - min(ends)
    for (size, seed), group in rows.groupby(["batch_size", "seed"]):
        if span and ends <= set(group["x"]):
            steepness = np.polyfit(group["x"], group["value"], 1)[0]
            found.append((size, seed, steepness * span))
    return pd.DataFrame(found, columns=["batch_size", "seed", "effect"])


def mostly(sample: Sample, expected: Direction) -> Finding:
    """Whether larger momentum lowers (or raises) a quantity at most batch sizes."""
    if (short := sample.enough(sizes=2, runs=4)) is not None:
        return short
    effects = momentum_effects(sample).groupby("batch_size")["effect"].mean()
    return majority(effects.tolist(), expected, quantity=sample.quantity)


def majority(effects: Sequence[float], expected: Direction, *, quantity: Quantity) -> Finding:
    """Whether most effects have the expected sign and count; one within the margin does not."""
    if not effects:
        return lacking("no two runs differ in momentum alone")
    sign = -1 if expected == "falls" else 1
    margin, unit = quantity.difference_margin, quantity.unit
    agreeing = sum(sign * effect > margin for effect in effects)
    found = statistics.share(agreeing, len(effects))
    word = "lower" if expected == "falls" else "higher"
    reason = (
        f"{word} with larger momentum, by more than {margin:g} {unit}, in {agreeing} of "
        f"{len(effects)} cases (95% interval of the share {found.low:.2f} to {found.high:.2f}); "
        f"{float(np.median(effects)):+.2g} {unit} in the middle"
    )
    if agreeing in (0, len(effects)) and len(effects) < DECIDE:
        reason += "; six cases that agree would decide it"
    return Finding(
        side(found, 0.5),
        reason,
        statistic=f"share of cases that are {word}",
        unit="share",
        estimate=found,
        margin=margin,
    )


def no_difference(sample: Sample) -> Finding:
    """Whether a knob's effect, over all batch sizes, is surely within the margin."""
    return _unless_lost(_mean_effect(sample, None), sample)


def moves(sample: Sample, expected: Direction) -> Finding:
    """Whether a quantity falls (or rises) as a knob grows, over all batch sizes, if surely."""
    return _mean_effect(sample, expected)


def _mean_effect(sample: Sample, expected: Direction | None) -> Finding:
    if (short := sample.enough(sizes=2, runs=4)) is not None:
        return short
    effects = momentum_effects(sample)
    if len(effects) < 3:
        return lacking(f"{len(effects)} pairs of runs that differ in {sample.knob} alone; needs 3")
    found = statistics.mean(effects["effect"].to_numpy(), effects["seed"].to_numpy())
    margin, unit = sample.quantity.difference_margin, sample.quantity.unit
    answer = (
        _equivalence(found, margin) if expected is None else _direction(found, expected, margin)
    )
    reason = f"{_course(found, margin)} with {sample.knob}: {interval(found, unit)} in the mean"
    if answer == "inconclusive":
        distance = _gap(found, margin) if expected is None else abs(found.value)
        reason += _wanted(found, distance, effects["seed"].nunique())
    return Finding(
        answer,
        reason,
        statistic=f"mean change from smallest to largest {sample.knob}",
        unit=unit,
        estimate=found,
        margin=margin,
    )


def correlates(sample: Sample, other: Sample, *, expected: Direction) -> Finding:
    """Whether one quantity falls (or rises) where the other rises, by rank across runs."""
    for one in (sample, other):
        if (short := one.enough()) is not None:
            return short
    both = sample.rows.merge(other.rows[["run", "value"]], on="run", suffixes=("", "_other"))
    if len(both) < RANKED:
        return lacking(f"{len(both)} runs have both; needs at least {RANKED}")
    columns = (both[name].to_numpy() for name in ("value", "value_other", "seed"))
    found = statistics.rank_correlation(*columns)
    return Finding(
        _direction(found, expected, margin=0.0),
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
    half = (found.high - found.low) / 2
    seeds_needed = seeds * (half / distance) ** 2 if distance else math.inf
    if seeds_needed > MANY:
        return f"; not even {MANY} seeds would tell"
    return f"; about {max(math.ceil(seeds_needed), seeds + 1)} seeds would tell"


def _gap(found: Estimate, margin: float) -> float:
    """How far a value is from the nearer margin."""
    return abs(abs(found.value) - margin)


def _direction(found: Estimate, expected: Direction, margin: float) -> Answer:
    rising = side(found, 0.0)
    answer = rising if expected == "rises" else _opposite(rising)
    if answer == "inconclusive" and max(abs(found.low), abs(found.high)) <= margin:
        return "contradicted"
    return answer


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
