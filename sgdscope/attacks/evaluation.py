"""Runs tactics in order, from the smallest eps to the largest, each on the points still active."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from sgdscope.attacks.checks import Request, check_tactic, checked, radii
from sgdscope.attacks.losses import LOSSES, Loss
from sgdscope.attacks.points import Attacked, Norm, Points, Radii, Tries
from sgdscope.attacks.victim import Victim, frozen
from sgdscope.network import answers, outside_inference


class Tactic(Protocol):
    """One way to look for an adversarial example."""

    def __call__(self, victim: Victim, points: Points, eps: Tensor) -> Tries:
        """Attack ``points``, all of them right so far, each within its own ``eps`` (N,)."""


@outside_inference()
def evaluate(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    tactics: dict[str, Tactic],
    loss: Loss,
    norm: Norm = "linf",
    targets: Tensor | None = None,
    nested: bool = True,
) -> list[Attacked]:
    """One result per eps, in the order given.

    Clean errors are never attacked, nor is a point once it is fooled: not by later tactics, and
    not at a larger eps, whose ball contains what was found in the smaller one.

    Args:
        model: as for every attack (see the package); likewise the tensors and eps.
        inputs: (N, …).
        labels: (N,).
        eps: in any order.
        tactics: by name, weakest first.
        loss: its gradient is evaluated before any attack.
        norm: of the balls.
        targets: (N,) or none.
        nested: what fools a point at one eps counts at every larger one.

    Raises:
        RequestError: the model, the inputs, the labels or an eps cannot be used.
    """
    several = radii(eps, norm)
    check_tactic(loss=loss, norm=norm)
    request = checked(model, inputs, labels, targets=targets, loss=loss)
    victim = request.victim
    found: dict[float, Attacked] = {}
    with frozen(model):
        points, logits = with_gradients(
            victim, request.inputs, request.labels, loss, request.targets
        )
        state = _State(request, points, logits, tuple(tactics))
        for radius in sorted(set(several)):
            if not nested:
                state = _State(request, points, logits, tuple(tactics))
            if radius > 0:
                for number, tactic in enumerate(tactics.values()):
                    state.attack(victim, number, tactic, radius)
            found[radius] = state.result(radius)
    return [found[radius] for radius in several]


def with_gradients(
    victim: Victim, inputs: Tensor, labels: Tensor, loss: Loss, targets: Tensor | None = None
) -> tuple[Points, Tensor]:
    """The points with the loss's gradient at each, and their logits (N, classes)."""
    index = torch.arange(len(labels), device=labels.device)
    points = Points(inputs, labels, index, inputs, targets, exact=targets is not None)
    logits, slope = victim.gradients(inputs, points, LOSSES[loss])
    return Points(inputs, labels, index, slope, targets, points.exact), logits


class _State:
    """Which points are fooled so far, by which tactic, with which inputs."""

    def __init__(
        self, request: Request, points: Points, logits: Tensor, tactics: tuple[str, ...]
    ) -> None:
        self.request = request
        self.points = points
        self.tactics = tactics
        self.best = points.inputs.clone()
        self.fooled = points.fooled(logits)
        self.by = torch.where(self.fooled, -1, -2)
        self.given_up = torch.zeros_like(self.fooled)
        given = answers(logits)
        self.clean = given == points.labels
        self.findings = request.having_answered(given)
        chances = logits.softmax(1).nan_to_num(0)
        self.confidence = chances.amax(1)
        certain = chances.gather(1, points.labels[:, None]).squeeze(1) == 1
        self.saturated = self.clean & certain
        self.zero_gradient = self.clean & (points.slope == 0).flatten(1).all(1)

    def attack(self, victim: Victim, number: int, tactic: Tactic, radius: float) -> None:
        left = (~self.fooled).nonzero().squeeze(1)
        if not len(left):
            return
        eps = torch.full((len(left),), radius, dtype=self.best.dtype, device=left.device)
        points = self.points[left]
        tries = tactic(victim, points, eps)
        if self.request.dtype != tries.inputs.dtype:  # what counts is what will be returned
            hit = points.fooled(victim.logits(tries.inputs, points.inputs))
            tries = replace(tries, fooled=tries.fooled & hit)
        self.best[left] = tries.inputs
        self.fooled[left] = tries.fooled
        self.given_up[left] = tries.given_up
        self.by[left[tries.fooled]] = number

    def result(self, radius: float) -> Attacked:
        return Attacked(
            eps=radius,
            inputs=self.request.victim.network_inputs(self.best.clone(), self.points.inputs),
            fooled=self.fooled.clone(),
            by=self.by.clone(),
            tactics=self.tactics,
            given_up=self.given_up & ~self.fooled,
            clean=self.clean,
            confidence=self.confidence,
            saturated=self.saturated,
            zero_gradient=self.zero_gradient,
            findings=self.findings,
        )
