"""Tactics in order, from the smallest eps to the largest, each on what is still standing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from sgdscope.attacks.checks import check, check_eps, check_tactic
from sgdscope.attacks.losses import LOSSES, Loss
from sgdscope.attacks.points import Attacked, Points, Tries
from sgdscope.attacks.victim import Victim, frozen


class Tactic(Protocol):
    """One way to look for an adversarial example."""

    def __call__(self, victim: Victim, points: Points, eps: Tensor) -> Tries:
        """Attack ``points``, all of them right so far, each within its own ``eps`` (N,)."""


def evaluate(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Sequence[float],
    tactics: dict[str, Tactic],
    loss: Loss,
    targets: Tensor | None = None,
    nested: bool = True,
) -> list[Attacked]:
    """One result an eps, in the order given.

    Clean errors are never attacked, nor is a point once it is fooled: not by later tactics, and
    not at a larger eps, whose ball holds what was found in the smaller one.

    Args:
        model: as every attack's (see the package), and so are the tensors and eps.
        inputs: (N, …).
        labels: (N,).
        eps: in any order.
        tactics: by name, weakest first.
        loss: whose gradient is looked at before any attack.
        targets: (N,) or none.
        nested: what fools a point at one eps counts at every larger one.

    Raises:
        RequestError: the model, the inputs, the labels or an eps cannot be used.
    """
    check_eps(eps)
    check_tactic(loss=loss)
    check(model, inputs, labels, targets=targets, loss=loss)
    victim = Victim(model, inputs.device)
    found: dict[float, Attacked] = {}
    with frozen(model):
        points, logits = look(victim, inputs, labels, loss, targets)
        state = _State(points, logits, tuple(tactics))
        for radius in sorted(set(eps)):
            if not nested:
                state = _State(points, logits, tuple(tactics))
            if radius > 0:
                for number, tactic in enumerate(tactics.values()):
                    state.attack(victim, number, tactic, radius)
            found[radius] = state.result(radius)
    return [found[radius] for radius in eps]


def look(
    victim: Victim, inputs: Tensor, labels: Tensor, loss: Loss, targets: Tensor | None = None
) -> tuple[Points, Tensor]:
    """The points with the loss's gradient at each, and their logits (N, classes)."""
    index = torch.arange(len(labels), device=labels.device)
    points = Points(inputs, labels, index, inputs, targets, exact=targets is not None)
    logits, slope = victim.gradients(inputs, points, LOSSES[loss])
    return Points(inputs, labels, index, slope, targets, points.exact), logits


class _State:
    """Who is fooled so far, by what, with what."""

    def __init__(self, points: Points, logits: Tensor, tactics: tuple[str, ...]) -> None:
        self.points = points
        self.tactics = tactics
        self.best = points.inputs.clone()
        self.fooled = points.fooled(logits)
        self.by = torch.where(self.fooled, -1, -2)
        self.given_up = torch.zeros_like(self.fooled)
        self.clean = logits.argmax(1) == points.labels
        chances = logits.softmax(1)
        self.confidence = chances.amax(1)
        certain = chances.gather(1, points.labels[:, None]).squeeze(1) == 1
        self.saturated = self.clean & certain
        self.zero_gradient = self.clean & (points.slope == 0).flatten(1).all(1)

    def attack(self, victim: Victim, number: int, tactic: Tactic, radius: float) -> None:
        left = (~self.fooled).nonzero().squeeze(1)
        if not len(left):
            return
        eps = torch.full((len(left),), radius, dtype=self.best.dtype, device=left.device)
        tries = tactic(victim, self.points[left], eps)
        self.best[left] = tries.inputs
        self.fooled[left] = tries.fooled
        self.given_up[left] = tries.given_up
        self.by[left[tries.fooled]] = number

    def result(self, radius: float) -> Attacked:
        return Attacked(
            eps=radius,
            inputs=self.best.clone(),
            fooled=self.fooled.clone(),
            by=self.by.clone(),
            tactics=self.tactics,
            given_up=self.given_up & ~self.fooled,
            clean=self.clean,
            confidence=self.confidence,
            saturated=self.saturated,
            zero_gradient=self.zero_gradient,
        )
