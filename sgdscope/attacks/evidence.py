"""Evidence for and against an accuracy under attack."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from sgdscope.attacks import ball
from sgdscope.attacks.checks import check_tactic, checked
from sgdscope.attacks.descent import SingleStep
from sgdscope.attacks.evaluation import with_gradients
from sgdscope.attacks.losses import Loss
from sgdscope.attacks.masking import Masking
from sgdscope.attacks.points import Attacked, Norm, Points
from sgdscope.attacks.probes import Probes
from sgdscope.attacks.victim import Victim, frozen
from sgdscope.errors import RequestError
from sgdscope.network import outside_inference

NOTABLE = 0.01  # share of the points from which a sign of masking is flagged
AT_LEAST = 3  # and so many of them
WORSE_STEP = 0.03  # share that one margin step may fool and an attack with another loss not
SATURATED = 0.5  # the same for saturation, of which a well-trained network has some
COMPARED = 300  # points that noise and the margin's step are tried on


@dataclass(frozen=True)
class Evidence:
    """Signs that gradients were of use, at one eps; counts are of correctly classified points."""

    loss: Loss  # the attack's
    one_step: bool  # the attack is FGSM
    search: bool  # the attack is Square alone, which uses no gradient
    clean_accuracy: float
    confidence: float  # mean largest probability
    right: int  # correctly classified points
    zero_gradient: int  # the loss has no gradient there at all
    saturated: int  # float32 rounds cross-entropy's gradient of the label's logit to zero
    given_up: int  # stopped early, the boundary out of reach
    compared: int  # the first correctly classified points, on which the five below were taken
    attack_fooled: float  # share that the attack fools
    noise_fooled: float  # share that random signs (ℓ2: a random direction) of the whole eps fool
    noise_beats: int  # points that noise fools and the attack does not
    weaker_fooled: float  # share that one step with the margin loss fools
    weaker_beats: int  # points that one step with the margin loss fools and the attack does not
    black_box_beats: int | None  # points that only Square fools, here or at a smaller eps
    probabilities: bool  # outputs look like probabilities, not logits
    randomised: bool  # two passes over the same points differ
    masking: Masking  # whether gradients tell how the loss changes, on a smaller sample
    network: tuple[str, ...] = ()  # flags about the network, before it was attacked

    def scalars(self) -> dict[str, float | int | bool]:
        """The numbers, by name."""
        left_out = ("loss", "one_step", "search", "masking", "network")
        return {
            name: value
            for name, value in (vars(self) | vars(self.masking)).items()
            if name not in left_out and value is not None
        }

    def flags(self) -> list[str]:
        """Reasons not to trust the accuracy, one sentence each."""
        of = f"of the {self.right:,} correctly classified points"
        among = f"of {self.compared:,} points compared"
        found = [
            (
                _notable(self.zero_gradient, self.right),
                f"the {self.loss} loss has no gradient at all at {self.zero_gradient:,} {of}",
            ),
            (
                self._saturation_misleads(),
                f"cross-entropy's gradient is lost to rounding at {self.saturated:,} {of}; the "
                "margin loss's is not",
            ),
            (
                _notable(self.noise_beats, self.compared),
                f"random noise fools {self.noise_beats:,} {among} that the attack does not",
            ),
            (
                self._another_step_is_better(),
                f"one step with the margin loss fools {self.weaker_fooled:.1%} {among}, "
                f"this one {self.attack_fooled:.1%}",
            ),
            (
                not self.one_step and _notable(self.weaker_beats, self.compared, WORSE_STEP),
                f"one step with the margin loss fools {self.weaker_beats:,} {among} that the "
                "attack does not",
            ),
            (
                _notable(self.black_box_beats or 0, self.right),
                f"only the search without gradients fools {self.black_box_beats} {of}",
            ),
        ]
        said = [*self.network, *(sentence for seen, sentence in found if seen)]
        return said + (self.masking.flags() if self._gradients_count() else [])

    def _saturation_misleads(self) -> bool:
        """Whether most points are saturated and the rest of the gradient points elsewhere."""
        most = self.saturated > SATURATED * max(self.right, 1)
        return self.loss == "cross_entropy" and most and self.masking.loss_misleads

    def _gradients_count(self) -> bool:
        """Whether an attack that follows gradients left more than a few points."""
        left = round((1 - self.attack_fooled) * self.compared)
        return not self.search and _notable(left, self.compared)

    def _another_step_is_better(self) -> bool:
        """Whether FGSM with the margin loss fools more than FGSM as it was, beyond chance.

        One step differs from another at many points by chance; where neither is better, each
        fools as many points alone as the other, give or take the root of their sum.
        """
        ahead = round((self.weaker_fooled - self.attack_fooled) * self.compared)
        alone = 2 * self.weaker_beats - ahead  # points that just one of the two fools
        return self.one_step and _notable(ahead, self.compared) and ahead**2 > 9 * alone


def _notable(count: int, points: int, share: float = NOTABLE) -> bool:
    return count >= max(AT_LEAST, share * points)


@outside_inference()
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
    """Evidence for each untargeted result of one attack; takes the attack's own arguments.

    Noise, and one step with the margin loss, are tried on the first correctly classified points,
    ``COMPARED`` of them, with one gradient for all eps; gradients are tried on the first of those
    (see ``masking``).

    Raises:
        RequestError: there are no results, or the model, the inputs, the labels, the loss or the
            norm cannot be used.
    """
    check_tactic(loss=loss, norm=norm)
    if not results:
        raise RequestError("results is empty; expected those of one attack")
    request = checked(model, inputs, labels)
    victim, inputs, labels = request.victim, request.inputs, request.labels
    names = {found.name for found in request.findings}
    tried = results[0].clean.nonzero().squeeze(1)[:COMPARED]
    with frozen(model):
        points = Points(inputs[tried], labels[tried], tried, inputs[tried])
        rivals = _Rivals(victim, points, loss=loss, norm=norm, seed=seed)
        return [
            Evidence(
                loss=loss,
                one_step=result.tactics == ("fgsm",),
                search=result.tactics == ("square",),
                clean_accuracy=result.clean.double().mean().item(),
                confidence=result.confidence.double().mean().item(),
                right=int(result.clean.sum()),
                zero_gradient=int(result.zero_gradient.sum()),
                saturated=int(result.saturated.sum()),
                given_up=int(result.given_up.sum()),
                compared=len(tried),
                attack_fooled=_share(fooled),
                noise_fooled=_share(noise),
                noise_beats=int((noise & ~fooled).sum()),
                weaker_fooled=_share(weaker),
                weaker_beats=int((weaker & ~fooled).sum()),
                black_box_beats=_black_box_beats(result),
                probabilities="probabilities" in names,
                randomised="random" in names,
                masking=rivals.probes.masking(result),
                network=result.flags,
            )
            for result in results
            for fooled in [result.fooled[tried]]
            for noise, weaker in [rivals.fool(result.eps)]
        ]


class _Rivals:
    """Two cheaper attempts to fool the points: noise, and one step with the margin loss."""

    def __init__(
        self, victim: Victim, points: Points, *, loss: Loss, norm: Norm, seed: int
    ) -> None:
        self.victim, self.norm, self.seed = victim, norm, seed
        self.points, logits = points, points.inputs.flatten(1)
        if len(points):
            looked, logits = with_gradients(victim, points.inputs, points.labels, "margin")
            self.points = replace(looked, index=points.index)
        self.probes = Probes(victim, self.points, logits, loss=loss, norm=norm, seed=seed)

    def fool(self, radius: float) -> tuple[Tensor, Tensor]:
        """Which points noise of size ``radius`` fools and which the margin's step; (N,) bool."""
        points, norm = self.points, self.norm
        if not len(points):
            return points.labels.bool(), points.labels.bool()
        eps = points.inputs.new_full((len(points),), radius)
        anywhere = ball.start(points, eps, norm, seed=self.seed, number=-1)
        shift = anywhere - points.inputs
        noisy = ball.step(points.inputs, shift, eps, points.inputs, eps, norm)
        noise = points.fooled(self.victim.logits(noisy, points.inputs))
        return noise, SingleStep(norm)(self.victim, points, eps).fooled


def _share(chosen: Tensor) -> float:
    return chosen.double().mean().item() if len(chosen) else 0.0


def _black_box_beats(result: Attacked) -> int | None:
    if "square" not in result.tactics or len(result.tactics) == 1:
        return None
    return int((result.by == result.tactics.index("square")).sum())
