"""What others say about the same question, for comparison with the paper's claims."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sgdscope.claims import answers, judging, statistics
from sgdscope.claims.evidence import CLAIMS, Evidence
from sgdscope.claims.quantities import CURVATURE, TEST_ACCURACY
from sgdscope.claims.sample import Sample
from sgdscope.claims.verdicts import Finding, Verdict, all_of, lacking

NEAR = 1.1  # λ₁ over its limit: it hovers a little above (Cohen et al. 2021)
FAR = 0.5  # further below, a run does not feel its limit


@CLAIMS.add("yao-2018")
def yao(evidence: Evidence) -> Iterator[Verdict]:
    """λ₁ rises and robustness falls with batch size, and the two go together.

    Yao et al. (2018), arXiv 1802.08241; on their own schedule and on a fixed learning rate.
    """
    for settings in ({"schedule": "step-decay"}, {"schedule": "fixed", "momentum": 0.0}):
        curved = {}
        for sample in evidence.samples([CURVATURE], **settings):
            curved[sample.panel, sample.line] = sample
            statement = f"λ₁ rises with batch size: {sample.where}"
            yield sample.verdict(statement, judging.changes(sample, "rises"))
        for sample in evidence.samples(evidence.robustness, **settings):
            label = sample.quantity.label
            statement = f"{label} falls with batch size: {sample.where}"
            yield sample.verdict(statement, judging.changes(sample, "falls"))
            if (beside := curved.get((sample.panel, sample.line))) is not None:
                finding = judging.correlates(sample, beside, expected="falls")
                statement = f"{label} is lower where λ₁ is higher: {sample.where}"
                figure = sample.quantity.relation
                yield sample.verdict(statement, finding, beside=beside, figure=figure)


@CLAIMS.add("kaur-2022")
def kaur(evidence: Evidence) -> Iterator[Verdict]:
    """Scaling learning rate and batch size together moves λ₁ without moving generalisation.

    Kaur, Cohen and Lipton (2022), arXiv 2206.10654.
    """
    accuracies = {
        (sample.panel, sample.line): sample
        for sample in evidence.samples([TEST_ACCURACY], schedule="constant-ratio")
    }
    for sample in evidence.samples([CURVATURE], schedule="constant-ratio"):
        if (beside := accuracies.get((sample.panel, sample.line))) is None:
            continue
        moves, stays = judging.varies(sample), judging.barely_varies(beside)
        finding = replace(
            moves,
            answer=all_of([moves, stays]),
            reason=f"λ₁ {moves.reason}; test accuracy {stays.reason}",
        )
        statement = f"λ₁ moves with batch size and test accuracy does not: {sample.where}"
        yield sample.verdict(statement, finding, beside=beside)


@CLAIMS.add("edge-of-stability")
def edge(evidence: Evidence) -> Iterator[Verdict]:
    """λ₁ is capped near 2(1+m)/lr, so under LR/BS it falls with batch size.

    Cohen et al. (2021), arXiv 2103.00065, for full batches; SGD stays below.
    """
    for schedule in ("fixed", "constant-ratio"):
        for sample in evidence.samples([CURVATURE], schedule=schedule):
            statement = f"λ₁ is capped near 2(1+m)/lr: {sample.where}"
            yield sample.verdict(statement, _capped(sample))
    for sample in evidence.samples([CURVATURE], schedule="constant-ratio"):
        statement = f"λ₁ falls with batch size: {sample.where}"
        yield sample.verdict(statement, judging.changes(sample, "falls"))


def _capped(sample: Sample) -> Finding:
    """Whether λ₁ comes near its limit at most batch sizes, and no run goes beyond it."""
    if (short := sample.enough(sizes=2, runs=4)) is not None:
        return short
    rows = sample.rows
    if rows["limit"].isna().all():
        return lacking("that limit is not known for this optimizer")
    rows = rows[np.isfinite(rows["limit"])]
    if rows.empty:
        return lacking("there is no such limit at a learning rate of 0")
    ratios = 2.0 ** rows["value"] / rows["limit"]
    near, beyond = ratios.between(FAR, NEAR).sum(), (ratios > NEAR).sum()
    reason = (
        f"{near} of {len(ratios)} runs are at {FAR:g} to {NEAR:g} times the limit and {beyond} "
        f"above; the highest is at {ratios.max():.2g} times"
    )
    if ratios.max() < FAR:
        return lacking(f"{reason}, too far from the limit to be affected")
    cases = [np.log2(one.to_numpy()) for _, one in ratios.groupby(rows["batch_size"])]
    found = statistics.share(cases, math.log2(FAR), math.log2(NEAR))
    answer = answers.side(found, 0.5)
    if beyond:
        most = answers.side(statistics.share(cases, math.log2(NEAR)), 0.5) == "supported"
        answer = "contradicted" if most else "inconclusive"
    elif answer == "contradicted":
        answer = "inconclusive"  # never exceeded, but rarely reached
    if rows["seed"].nunique() < 2:
        reason += f"; {judging.ONE_SEED}"
    return Finding(
        answer,
        reason,
        statistic=f"share of batch sizes whose λ₁·lr / (2(1+m)) is {FAR:g} to {NEAR:g}",
        unit="share",
        estimate=found,
    )
