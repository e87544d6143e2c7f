"""Claims: statements about a study's results, each tested with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sgdscope.claims import paper, paper_extended, related, stated
from sgdscope.claims.evidence import CLAIMS, Claim, Evidence
from sgdscope.claims.sample import Sample
from sgdscope.claims.verdicts import MOMENTS, Finding, Verdict
from sgdscope.results.axis import BATCH
from sgdscope.results.tables import Results
from sgdscope.results.view import View

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Finding",
    "Sample",
    "Verdict",
    "judge",
    "moments",
    "paper",
    "paper_extended",
    "related",
    "stated",
    "verdicts",
]


def moments(
    results: Results, *, include_collapsed: bool = False, view: View | None = None
) -> list[Evidence]:
    """A study's results at the end of training and at equal training loss.

    A study without any measurement has neither.

    Args:
        results: of a study.
        include_collapsed: whether collapsed runs count in trends.
        view: the results along the knob whose trends are wanted; by default along batch size,
            which claims are about.
    """
    if results.table.empty:
        return []
    view = view or View(results, axis=BATCH)
    return [
        Evidence(results, when, include_collapsed=include_collapsed, view=view) for when in MOMENTS
    ]


def judge(results: Results, *, include_collapsed: bool = False) -> list[Verdict]:
    """Every claim's verdicts at both moments; the arguments are as for :func:`moments`."""
    return verdicts(moments(results, include_collapsed=include_collapsed))


def verdicts(found: Sequence[Evidence]) -> list[Verdict]:
    """Every claim's verdicts at these moments, then those of claims that the study states."""
    built_in = [
        replace(verdict, claim=name)
        for name in CLAIMS
        for evidence in found
        for verdict in CLAIMS[name](evidence)
    ]
    own = found[0].results.hypotheses if found else ()
    return built_in + [
        replace(verdict, claim=one.name)
        for one in own
        for evidence in found
        for verdict in stated.judge(one, evidence)
    ]
