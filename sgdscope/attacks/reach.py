"""Whose boundary is out of an attack's reach, so that the rest of its steps would be wasted."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sgdscope.attacks import ball
from sgdscope.attacks.losses import Loss, steepness
from sgdscope.attacks.points import Norm, Points

PROMISE = 4
WALK = 6


class Reach:
    """Margins at the last few steps, what slopes promised there, and who is lost by them.

    A point is given up when neither of two generous guesses at what is still to come would bring
    it to the boundary:

    - Four times what a linear network with the slope of the last few steps could gain in the whole
      ball, less as fewer steps are left.
    - A random walk, as margins go once they have settled: n steps lead about √n times as far as
      one, and six times that is allowed, every step as wide as the widest of the last few. It is
      what is left where slopes mislead.

    Hardly a point that the rest of the steps would have fooled is lost; ``docs/attacks.md`` counts.

    Args:
        steps: of the attack.
        readings: how many of the last margins count.
    """

    def __init__(self, steps: int, readings: int = 4) -> None:
        self.steps, self.readings, self._taken = steps, readings, 0
        self._margins: list[Tensor] = []
        self._gains: list[Tensor] = []

    def lost(self, margins: Tensor, gains: Tensor | None = None) -> Tensor:
        """Take note of the margins (N,) and promised gains (N,) before a step; (N,) bool."""
        self._margins = [*self._margins, margins][-self.readings :]
        if gains is not None:
            self._gains = [*self._gains, gains][-self.readings :]
        left, self._taken = self.steps - self._taken, self._taken + 1
        if len(self._margins) < self.readings or not left:
            return torch.zeros_like(margins, dtype=torch.bool)
        recent = torch.stack(self._margins)
        lost = margins + WALK * recent.diff(dim=0).abs().amax(0) * math.sqrt(left) < 0
        if gains is not None:
            promise = PROMISE * torch.stack(self._gains).amax(0) * math.sqrt(left / self.steps)
            lost &= recent.amax(0) + promise < 0
        return lost

    def keep(self, choice: Tensor) -> None:
        """Forget all other points."""
        self._margins = [margins[choice] for margins in self._margins]
        self._gains = [gains[choice] for gains in self._gains]


def promised(
    points: Points, now: Tensor, eps: Tensor, logits: Tensor, slope: Tensor, loss: Loss, norm: Norm
) -> Tensor:
    """How much a linear network's margin could still gain, (N,): the loss's gain in its units.

    ``now``, ``logits`` and ``slope`` are (N, …) where the points stand, ``eps`` (N,) of the ball.
    """
    gain = ball.gain(slope, now, points.inputs, eps, norm)
    unit = steepness(logits, points.labels, loss, points.targets)
    return gain / unit.clamp_min(torch.finfo(unit.dtype).tiny)
