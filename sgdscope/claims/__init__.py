"""Claims: statements about a study's results, each tested with its uncertainty."""

from __future__ import annotations

from dataclasses import replace

from sgdscope.claims import paper, rivals
from sgdscope.claims.evidence import Claim, Evidence, Sample
from sgdscope.claims.verdicts import MOMENTS, Finding, Verdict
from sgdscope.registry import CLAIMS
from sgdscope.results import Results

__all__ = ["Claim", "Evidence", "Finding", "Sample", "Verdict", "judge", "paper", "rivals"]


def judge(results: Results, *, lost_too: bool = False) -> list[Verdict]:
    """Every claim's verdicts, at the end of training and at equal training loss.

    Args:
        results: of a study.
        lost_too: whether collapsed runs count in trends.
    """
    moments = [Evidence(results, when, lost_too=lost_too) for when in MOMENTS]
    return [
        replace(verdict, claim=name)
        for name in CLAIMS
        for evidence in moments
        for verdict in CLAIMS[name](evidence)
    ]
