"""Verdicts on all panels of a study together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sgdscope.claims import judging
from sgdscope.claims.evidence import Sample
from sgdscope.claims.judging import Direction
from sgdscope.claims.verdicts import Verdict, any_of

ALL = "all"


def existence(made: Sequence[Verdict]) -> Iterator[Verdict]:
    """For each quantity, whether a panel exists for which a verdict is "supported"."""
    for quantity in dict.fromkeys((verdict.measure, verdict.eps) for verdict in made):
        own = [verdict for verdict in made if (verdict.measure, verdict.eps) == quantity]
        if len(own) < 2:
            continue
        found = [verdict for verdict in own if verdict.verdict == "supported"]
        names = ", ".join(f"{verdict.model} on {verdict.data}" for verdict in found)
        first = (found or own)[0]
        yield replace(
            first,
            statement=first.statement.split(":", maxsplit=1)[0] + ", somewhere",
            model=ALL,
            data=ALL,
            statistic="",
            value=None,
            low=None,
            high=None,
            margin=None,
            verdict=any_of([verdict.verdict for verdict in own]),
            detail="",
            reason=f"so in {len(found)} of {len(own)} panels" + (f": {names}" if names else ""),
            informative=any(verdict.informative for verdict in own),
            runs=sum(verdict.runs for verdict in own),
            left_out=sum(verdict.left_out for verdict in own),
            flagged=sum(verdict.flagged for verdict in own),
        )


def in_most_cases(
    samples: Sequence[Sample], expected: Direction, *, statement: str
) -> Iterator[Verdict]:
    """Whether larger momentum moves a quantity so in most cases over all panels and schedules."""
    enough = [sample for sample in samples if sample.enough(sizes=2, runs=4) is None]
    moved = [(sample, judging.momentum_effects(sample)) for sample in enough]
    usable = [sample for sample, effects in moved if len(effects)]
    if len(usable) < 2:
        return
    effects = [found for _, found in moved]
    finding = judging.majority(effects, expected, quantity=usable[0].quantity)
    made = usable[0].verdict(statement, finding)
    lines = "; ".join(dict.fromkeys(sample.line for sample in usable))
    yield replace(
        made,
        model=ALL,
        data=ALL,
        line=lines,
        runs=sum(len(sample.rows) for sample in usable),
        seeds=max(sample.rows["seed"].nunique() for sample in usable),
        left_out=sum(sample.lost + sample.unmatched for sample in usable),
        flagged=sum(sample.flagged for sample in usable),
    )
