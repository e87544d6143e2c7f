"""What speaks for and against an accuracy under attack, beside the number itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgdscope.attacks import ball
from sgdscope.attacks.descent import Leap
from sgdscope.attacks.evaluation import look
from sgdscope.attacks.losses import Loss
from sgdscope.attacks.points import Attacked, Norm, Points
from sgdscope.attacks.victim import Victim, frozen

NOTABLE = 0.01  # share of the right points from which a sign of masking is flagged
ONE_STEP = 0.05  # of attacks of one step, which differ from another one step by chance
SATURATED = 0.5  # the same for saturation, of which a well-trained network has some
NOISED = 500  # points that noise is tried on
ASKED_TWICE = 50  # points whose logits are looked at and compared between two passes


@dataclass(frozen=True)
class Evidence:
    """Signs that gradients were of use, at one eps; counts are of points right unperturbed."""

    points: int
    loss: Loss  # the attack's
    one_step: bool  # the attack is FGSM
    clean_accuracy: float
    confidence: float  # mean largest probability
    right: int  # points right unperturbed
    zero_gradient: int  # the loss has no gradient there at all
    saturated: int  # float32 rounds cross-entropy's gradient of the label's logit to zero
    given_up: int  # stopped early, the boundary out of reach
    noise_fooled: float  # share fooled by random signs (ℓ2: a random direction) of the whole eps
    noise_beats: int  # points that noise fools and the attack does not
    weaker_beats: int  # points that one step with the margin loss fools and the attack does not
    black_box_beats: int | None  # points that only Square fools; none where it was not run
    probabilities: bool  # outputs look like probabilities, not logits
    randomised: bool  # two passes over the same points differ

    def scalars(self) -> dict[str, float | int | bool]:
        """The numbers, by name."""
        left_out = ("points", "loss", "one_step")
        return {
            name: value
            for name, value in vars(self).items()
            if name not in left_out and value is not None
        }

    def flags(self) -> list[str]:
        """Reasons not to trust the accuracy, one sentence each."""
        notable = max(NOTABLE * self.right, 1)
        of = f"of the {self.right:,} points right unperturbed"
        found = [
            (self.probabilities, "the outputs are probabilities, not logits: gradients vanish"),
            (self.randomised, "the network is randomised: two passes over the same inputs differ"),
            (
                self.zero_gradient > notable,
                f"the {self.loss} loss has no gradient at all at {self.zero_gradient:,} {of}",
            ),
            (
                self.loss == "cross_entropy" and self.saturated > SATURATED * max(self.right, 1),
                f"cross-entropy's gradient is rounded off at {self.saturated:,} {of}; margin's "
                "is not",
            ),
            (
                self.noise_beats > notable,
                f"random noise fools {self.noise_beats:,} {of} that the attack does not",
            ),
            (
                self.weaker_beats > (ONE_STEP / NOTABLE if self.one_step else 1) * notable,
                f"one step with the margin loss fools {self.weaker_beats:,} {of} that the attack "
                "does not",
            ),
            (
                (self.black_box_beats or 0) > notable,
                f"only the search without gradients fools {self.black_box_beats} {of}",
            ),
        ]
        return [sentence for seen, sentence in found if seen]


def gather(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    results: list[Attacked],
    *,
    loss: Loss,
    norm: Norm = "linf",
    seed: int = 0,
) -> list[Evidence]:
    """Evidence for each untargeted result of one attack.

    Args:
        model: as attacked.
        inputs: (N, …), as attacked.
        labels: (N,), as attacked.
        results: what the attack returned.
        loss: the attack's.
        norm: the attack's.
        seed: of the noise.
    """
    victim = Victim(model, inputs.device)
    probabilities, randomised = _outputs(victim, inputs[:ASKED_TWICE])
    with frozen(model):
        return [
            Evidence(
                points=len(labels),
                loss=loss,
                one_step=result.tactics == ("fgsm",),
                clean_accuracy=result.clean.double().mean().item(),
                confidence=result.confidence.double().mean().item(),
                right=int(result.clean.sum()),
                zero_gradient=int(result.zero_gradient.sum()),
                saturated=int(result.saturated.sum()),
                given_up=int(result.given_up.sum()),
                noise_fooled=noise.double().mean().item() if len(noise) else 0.0,
                noise_beats=int((noise & ~result.fooled[tried]).sum()),
                weaker_beats=_weaker_beats(victim, inputs, labels, result, norm),
                black_box_beats=_black_box_beats(result),
                probabilities=probabilities,
                randomised=randomised,
            )
            for result in results
            for tried, noise in [_noise(victim, inputs, labels, result, norm, seed)]
        ]


def _outputs(victim: Victim, inputs: Tensor) -> tuple[bool, bool]:
    """Whether the outputs are probabilities, and whether they differ from pass to pass."""
    first, second = victim.logits(inputs), victim.logits(inputs)
    sums = bool(((first.sum(1) - 1).abs() < 1e-3).all())
    return bool((first >= 0).all()) and sums, not torch.equal(first, second)


def _noise(
    victim: Victim, inputs: Tensor, labels: Tensor, result: Attacked, norm: Norm, seed: int
) -> tuple[Tensor, Tensor]:
    """Which points noise was tried on (index), and which of those it fools (bool)."""
    tried = result.clean.nonzero().squeeze(1)[:NOISED]
    if not len(tried):
        return tried, tried.bool()
    points = Points(inputs[tried], labels[tried], tried, inputs[tried])
    eps = torch.full((len(tried),), result.eps, dtype=inputs.dtype, device=inputs.device)
    anywhere = ball.start(points, eps, norm, seed=seed, number=-1)
    shift = anywhere - points.inputs
    noisy = ball.step(points.inputs, shift, eps, points.inputs, eps, norm)
    return tried, points.fooled(victim.logits(noisy))


def _weaker_beats(
    victim: Victim, inputs: Tensor, labels: Tensor, result: Attacked, norm: Norm
) -> int:
    """How many points one step along the margin's gradient fools among those left."""
    left = (~result.fooled).nonzero().squeeze(1)
    if not len(left):
        return 0
    points, _ = look(victim, inputs[left], labels[left], "margin")
    eps = torch.full((len(left),), result.eps, dtype=inputs.dtype, device=inputs.device)
    return int(Leap(norm)(victim, points, eps).fooled.sum())


def _black_box_beats(result: Attacked) -> int | None:
    if "square" not in result.tactics or len(result.tactics) == 1:
        return None
    return int((result.by == result.tactics.index("square")).sum())
