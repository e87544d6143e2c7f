"""Claims: statements about a study's results, each tested with its uncertainty."""

from __future__ import annotations

from dataclasses import replace

from sgdscope.claims import paper, related
from sgdscope.claims.evidence import CLAIMS, Claim, Evidence, Sample
from sgdscope.claims.verdicts import MOMENTS, Finding, Verdict
from sgdscope.results.tables import Results

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Finding",
    "Sample",
    "Verdict",
    "judge",
    "paper",
    "related",
]


def judge(results: Results, *, lost_too: bool = False) -> list[Verdict]:
    """Every claim's verdicts, at the end of training and at equal training loss.

    A study of which nothing was measured has none.

    Args:
        results: of a study.
        lost_too: whether collapsed runs count in trends.
    """
    if results.table.empty:
        return []
    moments = [Evidence(results, when, lost_too=lost_too) for when in MOMENTS]
    return [
        replace(verdict, claim=name)
        for name in CLAIMS
        for evidence in moments
        for verdict in CLAIMS[name](evidence)
    ]
