"""Which points' boundary is out of reach, so that further steps would be wasted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sgdscope.attacks import ball
from sgdscope.attacks.losses import Loss, steepness
from sgdscope.attacks.points import Norm, Points


@dataclass(frozen=True)
class Patience:
    """How much more than was seen so far may still come."""

    promise: float  # of what slopes promise
    walk: float  # of a random walk's length
    readings: int  # how many of the last margins are looked at


# ℓ2 has more: where pixels saturate a network, its slope grows along the way that one step in ℓ2
# takes in few of them, and underestimates what is to come.
PATIENCE: dict[Norm, Patience] = {"linf": Patience(4, 6, 4), "l2": Patience(12, 24, 8)}


class Reach:
    """Margins at the last few steps, the gains that slopes promised, and the points to give up.

    A point is given up when neither of two generous guesses at what is still to come would bring
    it to the boundary:

    - Four times what a linear network with the slope of the last four steps could gain in the whole
      ball, less as fewer steps are left; in ℓ2 twelve times, of the last eight.
    - A random walk, as margins go once they have settled: n steps lead about √n times as far as
      one, and six times that is allowed, in ℓ2 24, every step as wide as the widest of the last
      few. This guess matters where slopes mislead.

    This gives up hardly any point that the remaining steps would have fooled: see
    ``docs/attacks.md``.

    Args:
        steps: of the attack.
        norm: of the ball.
        readings: how many of the last margins count; as many as the norm asks for by default.
    """

    def __init__(self, steps: int, norm: Norm = "linf", *, readings: int | None = None) -> None:
        self.steps, self._taken = steps, 0
        self._patience = PATIENCE[norm]
        self.readings = readings or self._patience.readings
        self._margins: list[Tensor] = []
        self._gains: list[Tensor] = []

    def lost(self, margins: Tensor, gains: Tensor | None = None) -> Tensor:
        """Record margins (N,) and promised gains (N,) before a step; (N,) bool: given up."""
        self._margins = [*self._margins, margins][-self.readings :]
        if gains is not None:
            self._gains = [*self._gains, gains][-self.readings :]
        left, self._taken = self.steps - self._taken, self._taken + 1
        if len(self._margins) < self.readings or not left:
            return torch.zeros_like(margins, dtype=torch.bool)
        recent = torch.stack(self._margins)
        lost = (
            margins + self._patience.walk * recent.diff(dim=0).abs().amax(0) * math.sqrt(left) < 0
        )
        if gains is not None:
            promise = torch.stack(self._gains).amax(0) * math.sqrt(left / self.steps)
            lost &= recent.amax(0) + self._patience.promise * promise < 0
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
