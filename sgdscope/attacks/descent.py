"""FGSM, BIM and PGD: steps along the gradient, each brought back into the ball and into [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgdscope.arguments import positive
from sgdscope.attacks import ball
from sgdscope.attacks.active import ActivePoints
from sgdscope.attacks.checks import check_tactic
from sgdscope.attacks.evaluation import Tactic, evaluate
from sgdscope.attacks.losses import LOSSES, Loss
from sgdscope.attacks.points import Attacked, Norm, Points, Radii, Radius, Tries
from sgdscope.attacks.reach import Reach, promised
from sgdscope.attacks.victim import Victim


@dataclass(frozen=True)
class SingleStep:
    """One step of size eps from the point itself, whose gradient is already known."""

    norm: Norm = "linf"

    def __post_init__(self) -> None:
        check_tactic(norm=self.norm)

    def __call__(self, victim: Victim, points: Points, eps: Tensor) -> Tries:
        """Attack."""
        inputs = ball.step(points.inputs, points.slope, eps, points.inputs, eps, self.norm)
        fooled = points.fooled(victim.logits(inputs, points.inputs))
        return Tries(inputs, fooled, torch.zeros_like(fooled))


@dataclass(frozen=True)
class FixedSteps:
    """Steps of one size from the point, or from a place drawn in the ball."""

    steps: int
    step_size: float  # multiple of eps
    loss: Loss = "cross_entropy"
    norm: Norm = "linf"
    seed: int = 0
    start: int | None = None  # number of the random start; None: at the point itself
    give_up: bool = True

    def __post_init__(self) -> None:
        check_tactic(norm=self.norm, loss=self.loss, steps=self.steps)

    def __call__(self, victim: Victim, points: Points, eps: Tensor) -> Tries:
        """Attack; the logits of each gradient show which points the previous step has fooled."""
        now = points.inputs
        if self.start is not None:
            now = ball.start(points, eps, self.norm, seed=self.seed, number=self.start)
        reach = Reach(self.steps, self.norm) if self.give_up else None
        active, lost = ActivePoints(points, reach), None
        for _ in range(self.steps):
            logits, slope = victim.gradients(now, points, LOSSES[self.loss])
            if reach is not None:
                gains = promised(points, now, eps, logits, slope, self.loss, self.norm)
                lost = reach.lost(points.margins(logits), gains)
            left = active.settle(now, points.fooled(logits), lost)
            if left is not None:
                points, eps, now, slope = points[left], eps[left], now[left], slope[left]
            if not len(points):
                return active.tries(now)
            now = ball.step(now, slope, self.step_size * eps, points.inputs, eps, self.norm)
        left = active.settle(now, points.fooled(victim.logits(now, points.inputs)))
        return active.tries(now if left is None else now[left])


def fgsm(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    loss: Loss = "cross_entropy",
    norm: Norm = "linf",
    targets: Tensor | None = None,
) -> list[Attacked]:
    """One step of size eps along the gradient (Goodfellow et al. 2015).

    Each eps is treated separately: a step that is too long may miss what a shorter one finds.
    """
    return evaluate(
        model, inputs, labels, eps=eps, tactics={"fgsm": SingleStep(norm)}, loss=loss, norm=norm,
        targets=targets, nested=False,
    )  # fmt: skip


def bim(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    steps: int = 10,
    step_size: Radius = 1 / 10,
    loss: Loss = "cross_entropy",
    norm: Norm = "linf",
    targets: Tensor | None = None,
    give_up: bool = True,
) -> list[Attacked]:
    """Small steps from the point itself (Kurakin et al. 2017), where FGSM fails; see ``pgd``."""
    return pgd(
        model, inputs, labels, eps=eps, steps=steps, step_size=step_size, random_start=False,
        loss=loss, norm=norm, targets=targets, give_up=give_up,
    )  # fmt: skip


def pgd(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    steps: int = 40,
    step_size: Radius = 1 / 15,
    random_start: bool = True,
    restarts: int = 1,
    loss: Loss = "cross_entropy",
    norm: Norm = "linf",
    targets: Tensor | None = None,
    seed: int = 0,
    give_up: bool = True,
) -> list[Attacked]:
    """Small steps from random starts in the ball (Madry et al. 2018), where FGSM fails.

    A point counts as fooled as soon as one iterate fools the network, and what fools it at one eps
    fools it at every larger one: so PGD is never above FGSM, nor an accuracy above that of a
    smaller eps or of fewer restarts.

    There are ``steps`` from each start, of ``step_size`` · eps each. Without ``random_start`` they
    begin at the point itself; with it there are ``restarts``, each on the points that earlier ones
    left.
    """
    check_tactic(restarts=restarts)
    size = positive("step_size", step_size, unit="multiples of eps, such as 0.1 or 1/15")
    starts = range(restarts) if random_start else (None,)
    tactics: dict[str, Tactic] = {"fgsm": SingleStep(norm)}
    for start in starts:
        walk = FixedSteps(steps, size, loss, norm, seed, start, give_up)
        tactics[f"pgd {start or 0}"] = walk
    return evaluate(
        model, inputs, labels, eps=eps, tactics=tactics, loss=loss, norm=norm, targets=targets
    )
