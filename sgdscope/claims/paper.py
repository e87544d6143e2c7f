"""The claims (a) to (d) of Kamath, Deshpande and Subrahmanyam (2019)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sgdscope.claims import judging
from sgdscope.claims.evidence import CLAIMS, Evidence
from sgdscope.claims.overall import existence, in_most_cases
from sgdscope.claims.quantities import CURVATURE, TEST_ACCURACY
from sgdscope.claims.verdicts import Verdict, all_of


@CLAIMS.add("a-ratio")
def ratio(evidence: Evidence) -> Iterator[Verdict]:
    """Under LR/BS, accuracy, robustness and λ₁ barely vary with batch size; else robustness falls.

    The paper's (a), sections 1 to 3; "else" is its LR without momentum and its Benchmark, where
    test accuracy falls too.
    """
    accuracies = [TEST_ACCURACY, *evidence.robustness]
    for sample in evidence.samples([*accuracies, CURVATURE], schedule="constant-ratio"):
        statement = f"{sample.quantity.label} barely varies with batch size: {sample.where}"
        yield sample.verdict(statement, judging.barely_varies(sample))
    for settings in ({"schedule": "fixed", "momentum": 0.0}, {"schedule": "step-decay"}):
        for sample in evidence.samples(accuracies, **settings):
            statement = f"{sample.quantity.label} falls with batch size: {sample.where}"
            yield sample.verdict(statement, judging.changes(sample, "falls"))


@CLAIMS.add("b-curvature")
def curvature(evidence: Evidence) -> Iterator[Verdict]:
    """λ₁ does not always explain robustness: somewhere both rise with batch size.

    The paper's (b), section 2.1: StdCNN on Fashion-MNIST under LR without momentum, figures 9, 10.
    """
    made = []
    curved = {
        (sample.panel, sample.line): sample
        for sample in evidence.samples([CURVATURE], schedule="fixed", momentum=0.0)
    }
    for sample in evidence.samples(evidence.robustness, schedule="fixed", momentum=0.0):
        if (beside := curved.get((sample.panel, sample.line))) is None:
            continue
        robust, sharp = (judging.changes(one, "rises") for one in (sample, beside))
        finding = replace(
            robust,
            answer=all_of([robust, sharp]) if robust.informative else "inconclusive",
            reason=f"{robust.reason}; λ₁ {sharp.reason}",
        )
        statement = f"{sample.quantity.label} and λ₁ both rise with batch size: {sample.where}"
        figure = sample.quantity.relation
        made.append(sample.verdict(statement, finding, beside=beside, figure=figure))
    yield from made
    yield from existence(made)


@CLAIMS.add("c-momentum-curvature")
def momentum_and_curvature(evidence: Evidence) -> Iterator[Verdict]:
    """Momentum lowers λ₁ in most cases, under a fixed learning rate and under LR/BS.

    The paper's (c), section 4; figures 13, 16, 19 and 22.
    """
    samples = [
        sample
        for schedule in ("fixed", "constant-ratio")
        for sample in evidence.families([CURVATURE], knob="momentum", schedule=schedule)
    ]
    for sample in samples:
        statement = f"larger momentum lowers λ₁ at most batch sizes: {sample.where}"
        yield sample.verdict(statement, judging.mostly(sample, "falls"))
    yield from in_most_cases(samples, "falls", statement="larger momentum lowers λ₁ in most cases")


@CLAIMS.add("d-momentum-robustness")
def momentum_and_robustness(evidence: Evidence) -> Iterator[Verdict]:
    """Larger momentum is more robust in most cases under LR, and plays no part under LR/BS.

    The paper's (d), sections 4.1 and 4.2; figures 11, 12, 14, 15, 17, 18, 20 and 21. It derives
    the first from better generalisation, so test accuracy is tested too.
    """
    accuracies = [TEST_ACCURACY, *evidence.robustness]
    samples = list(evidence.families(accuracies, knob="momentum", schedule="fixed"))
    for sample in samples:
        label = sample.quantity.label
        statement = f"larger momentum raises {label} at most batch sizes: {sample.where}"
        yield sample.verdict(statement, judging.mostly(sample, "rises"))
    for quantity in accuracies:
        yield from in_most_cases(
            [sample for sample in samples if sample.quantity == quantity],
            "rises",
            statement=f"larger momentum raises {quantity.label} in most cases under LR",
        )
    flat = evidence.families(evidence.robustness, knob="momentum", schedule="constant-ratio")
    for sample in flat:
        statement = f"momentum does not change {sample.quantity.label}: {sample.where}"
        yield sample.verdict(statement, judging.no_difference(sample))
