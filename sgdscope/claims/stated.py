"""Claims that a study states itself, judged like the built-in ones."""

from __future__ import annotations

from collections.abc import Iterator

from sgdscope.claims import judging
from sgdscope.claims.evidence import Evidence
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.sample import Sample
from sgdscope.claims.verdicts import Finding, Verdict
from sgdscope.study.hypotheses import PLACES, Hypothesis


def judge(one: Hypothesis, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each panel, line or family of lines, and eps that the claim is about.

    A trend over batch sizes is judged by its slope; the effect of any other knob by its mean change
    between runs that differ in it alone.
    """
    for sample in _samples(one, evidence):
        statement = f"{one.says.replace(':', ' –')} ({one.when}): {sample.where}"
        yield sample.verdict(statement, _finding(one, sample))


def _samples(one: Hypothesis, evidence: Evidence) -> Iterator[Sample]:
    radii = evidence.view.radii.get(one.measure, [None])
    wanted = [
        Quantity(one.measure, eps, one.margin) for eps in radii if one.eps is None or eps == one.eps
    ]
    under = {key: value for key, value in one.under.items() if key not in PLACES}
    place = [_shown(one, key, evidence) for key in PLACES]
    if one.knob == "batch_size":
        found = evidence.samples(wanted, under=under)
    else:
        found = evidence.families(wanted, knob=one.knob, under=under)
    for sample in found:
        if all(own in (None, there) for own, there in zip(place, sample.panel, strict=True)):
            yield sample


def _shown(one: Hypothesis, key: str, evidence: Evidence) -> str | None:
    """The network or data set that a claim is restricted to, as samples name it."""
    if key not in one.under:
        return None
    shown: dict[str, str] = dict(
        zip(evidence.results.runs[key], evidence.view.runs[key], strict=True)
    )
    return shown.get(one.under[key], "")


def _finding(one: Hypothesis, sample: Sample) -> Finding:
    batch = one.knob == "batch_size"
    if one.course == "stays":
        return judging.barely_varies(sample) if batch else judging.no_difference(sample)
    if batch:
        return judging.changes(sample, one.course)
    return judging.moves(sample, one.course)
