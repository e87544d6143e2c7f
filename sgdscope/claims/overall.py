"""Verdicts on all panels or lines of a study together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sgdscope.claims import judging
from sgdscope.claims.answers import Direction
from sgdscope.claims.sample import Sample
from sgdscope.claims.verdicts import SIGNS, Answer, Verdict, any_of, every_of

ALL = "all"


def existence(made: Sequence[Verdict]) -> Iterator[Verdict]:
    """For each quantity, whether a panel exists for which a verdict is "supported"."""
    for own in _by_quantity(made):
        found = [verdict for verdict in own if verdict.verdict == "supported"]
        names = ", ".join(f"{verdict.model} on {verdict.data}" for verdict in found)
        first = (found or own)[0]
        yield replace(
            _merged(own, first),
            statement=first.statement.split(":", maxsplit=1)[0] + ", somewhere",
            model=ALL,
            data=ALL,
            verdict=any_of([verdict.verdict for verdict in own]),
            reason=f"supported in {len(found)} of {len(own)} panels"
            + (f": {names}" if names else ""),
        )


def everywhere(made: Sequence[Verdict]) -> Iterator[Verdict]:
    """For each quantity, whether the verdict is "supported" on every informative line.

    The interval runs from the share of lines where it certainly holds to that where it may hold.
    """
    for own in _by_quantity(made):
        telling = [verdict for verdict in own if verdict.informative]
        counts = Counter(verdict.verdict for verdict in telling)
        answers = ", ".join(f"{counts[answer]} {answer}" for answer in SIGNS if counts[answer])
        reason = f"of {len(own)} lines: {answers or 'none informative'}"
        if answers and len(telling) < len(own):
            reason += f", {len(own) - len(telling)} without information"
        models, datas = ({getattr(one, key) for one in own} for key in ("model", "data"))
        yield replace(
            _merged(own, own[0]),
            model=models.pop() if len(models) == 1 else ALL,
            data=datas.pop() if len(datas) == 1 else ALL,
            line="; ".join(dict.fromkeys(verdict.line for verdict in own)),
            verdict=every_of([verdict.verdict for verdict in telling]),
            **_share(counts),
            reason=reason,
            seeds=max(verdict.seeds for verdict in own),
        )


def _share(counts: Counter[Answer]) -> dict[str, Any]:
    """The share of lines, if there are any."""
    if not (whole := counts.total()):
        return {}
    sure, most = counts["supported"] / whole, 1 - counts["contradicted"] / whole
    statistic = "share of lines: certainly so, to possibly so"
    return {"statistic": statistic, "unit": "share", "value": sure, "low": sure, "high": most}


def _by_quantity(made: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """The verdicts on each quantity that has several."""
    for quantity in dict.fromkeys((verdict.measure, verdict.eps) for verdict in made):
        own = [verdict for verdict in made if (verdict.measure, verdict.eps) == quantity]
        if len(own) > 1:
            yield own


def _merged(own: Sequence[Verdict], first: Verdict) -> Verdict:
    """The first verdict, without its number and with the runs of all."""
    return replace(
        first,
        statistic="",
        value=None,
        low=None,
        high=None,
        margin=None,
        detail="",
        informative=any(verdict.informative for verdict in own),
        runs=sum(verdict.runs for verdict in own),
        left_out=sum(verdict.left_out for verdict in own),
        flagged=sum(verdict.flagged for verdict in own),
    )


def in_most_cases(
    samples: Sequence[Sample], expected: Direction, *, statement: str
) -> Iterator[Verdict]:
    """Whether larger momentum has this effect in most cases, over all panels and schedules."""
    enough = [sample for sample in samples if sample.enough(sizes=2, runs=4) is None]
    moved = [(sample, sample.effects) for sample in enough]
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
        left_out=sum(sample.left_out for sample in usable),
        flagged=sum(sample.flagged for sample in usable),
    )
