"""The claims of Kamath, Deshpande and Subrahmanyam (2020), arXiv 2006.11604, of SGD's settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sgdscope.claims import judging
from sgdscope.claims.evidence import CLAIMS, Evidence
from sgdscope.claims.overall import everywhere
from sgdscope.claims.quantities import TEST_ACCURACY
from sgdscope.claims.sample import Sample
from sgdscope.claims.verdicts import Verdict

RATIOS = (("constant-ratio", "ratio"), ("fixed", "learning_rate"))


@CLAIMS.add("e-higher-ratio")
def higher_ratio(evidence: Evidence) -> Iterator[Verdict]:
    """A higher ratio of learning rate to batch size generalises better.

    Said there after Jastrzebski et al. (2017). At each batch size, runs differ in the ratio alone;
    a trend over batch sizes would change how many updates are made too.
    """
    for schedule, knob in RATIOS:
        for sample in evidence.families([TEST_ACCURACY], knob=knob, schedule=schedule):
            statement = f"{sample.quantity.label} rises with the ratio lr/B: {sample.where}"
            yield sample.verdict(statement, judging.moves(sample, "rises"))


@CLAIMS.add("f-steady-robustness")
def steady_robustness(evidence: Evidence) -> Iterator[Verdict]:
    """At any constant ratio robustness is almost the same whatever the batch size.

    (a) judges each line by itself; this judges all of them together.
    """
    made = [
        sample.verdict(
            f"{sample.quantity.label} barely varies with batch size under LR/BS, everywhere",
            judging.barely_varies(sample),
        )
        for sample in evidence.samples(evidence.robustness, schedule="constant-ratio")
    ]
    yield from everywhere(made)


@CLAIMS.add("g-momentum-fixed")
def momentum_by_schedule(evidence: Evidence) -> Iterator[Verdict]:
    """Momentum is more effective at a fixed learning rate than at a constant ratio.

    What momentum adds to test accuracy and to robustness, of runs of one batch size and seed.
    """
    wanted = [TEST_ACCURACY, *evidence.robustness]
    fixed = list(evidence.families(wanted, knob="momentum", schedule="fixed"))
    scaled = list(evidence.families(wanted, knob="momentum", schedule="constant-ratio"))
    for sample in fixed:
        for other in scaled:
            if (sample.panel, sample.quantity) == (other.panel, other.quantity):
                yield _contrast(sample, other)


def _contrast(sample: Sample, other: Sample) -> Verdict:
    """Whether momentum adds more to the one than to the other."""
    finding = judging.contrast(sample, other, "rises")
    label = f"{sample.quantity.label} more under LR than under LR/BS"
    statement = f"momentum raises {label}: {sample.where} against {other.line}"
    made = sample.verdict(statement, finding)
    return replace(
        made,
        line=f"{sample.line}; {other.line}",
        runs=made.runs + len(other.rows),
        left_out=made.left_out + other.left_out,
        flagged=made.flagged + other.flagged,
    )
