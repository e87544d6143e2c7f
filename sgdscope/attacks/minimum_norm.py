"""The nearest place that fools the network, for each point: the Fast Minimum-Norm attack.

After Pintor et al. (2021): steps along the gradient within a ball that shrinks where the network is
fooled and grows where it is not, while steps and changes of the ball get smaller along a cosine.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from sgdscope.attacks import ball
from sgdscope.attacks.apgd import glide
from sgdscope.attacks.losses import LOSSES, Loss, lead, steepness
from sgdscope.attacks.points import Norm, Points
from sgdscope.attacks.victim import Victim

RESIZE = 0.1  # γ: by which share the ball grows or shrinks at first
LAST = 0.01  # share of its first size that a step or a change of the ball has at the end
NEARER = 0.999  # the ball ends that much before the nearest place known
BEYOND = 1e-3  # share by which the start lies beyond a linear network's boundary
CLASSES = 9  # likeliest wrong ones whose boundaries are tried


class MinimumNorm:
    """The nearest place known to fool the network, for every point, and searches for nearer ones.

    Args:
        victim: the network to fool.
        points: N of them.
        norm: of the distance.
        loss: what the searches increase.
        largest: distance beyond which nothing counts.
        step_size: of the first step, in multiples of the ball's radius.
    """

    def __init__(
        self,
        victim: Victim,
        points: Points,
        *,
        norm: Norm,
        loss: Loss,
        largest: float,
        step_size: float,
    ) -> None:
        self.victim, self.points = victim, points
        self.norm, self.loss, self.largest, self.step_size = norm, loss, largest, step_size
        self.distance = torch.full_like(points.inputs.flatten(1)[:, 0], torch.inf)  # (N,)
        self.place = points.inputs.clone()  # (N, …)

    def linear(self, which: Tensor) -> Tensor:
        """Where a linear network with these gradients would be fooled first, (N, …).

        Takes the boundaries to the likeliest wrong classes, one gradient each, of the points
        ``which`` (N,) bool. All other points, and those with no such boundary nearby, stay in
        place.
        """
        place, chosen = self.points.inputs.clone(), which.nonzero().squeeze(1)
        if not len(chosen):
            return place
        points = self.points[chosen]
        logits = self.victim.logits(points.inputs)
        others = logits.scatter(1, points.labels[:, None], -torch.inf).argsort(1, descending=True)
        nearest = torch.full_like(self.distance[chosen], torch.inf)
        for rank in range(min(CLASSES, logits.shape[1] - 1)):
            towards = replace(points, targets=others[:, rank])
            _, slope = self.victim.gradients(points.inputs, towards, lead)
            gap = -(1 + BEYOND) * lead(logits, points.labels, towards.targets)
            there, distance = ball.crossing(slope, gap, points.inputs, self.norm)
            nearer = distance < nearest
            nearest = torch.where(nearer, distance, nearest)
            place[chosen[nearer]] = there[nearer]
        return place

    def search(self, which: Tensor, start: Tensor, *, steps: int, share: float = 1.0) -> None:
        """Descend from ``start`` (K, …) for the points ``which`` (K,).

        Args:
            which: index of the points.
            start: places in [0, 1].
            steps: gradients per point.
            share: of the usual size that steps and changes of the ball have.
        """
        points, origin = self.points[which], self.points.inputs[which]
        now = before = start
        eps = torch.full_like(self.distance[which], torch.inf)
        crossed = torch.zeros_like(points.labels, dtype=torch.bool)
        for taken in range(steps):
            scale = share * (LAST + (1 - LAST) * (1 + math.cos(math.pi * taken / steps)) / 2)
            logits, slope = self.victim.gradients(now, points, LOSSES[self.loss])
            fooled = points.fooled(logits)
            self.note(which, now, fooled)
            crossed |= fooled
            resized = eps * torch.where(fooled, 1 - RESIZE * scale, 1 + RESIZE * scale)
            guess = self._guess(points, now, logits, slope)
            known = self.distance[which]
            eps = torch.where(crossed, resized, guess)
            eps = torch.minimum(eps, known * torch.where(fooled, 1 - RESIZE * scale, NEARER))
            eps = eps.clamp_max(self.largest)
            slope, size = ball.feasible_slope(slope, now), self.step_size * scale * eps
            ahead = glide(now, before, slope, size, origin, eps, self.norm, first=taken == 0)
            before, now = now, ahead
        self.note(which, now, points.fooled(self.victim.logits(now, origin)))

    def _guess(self, points: Points, now: Tensor, logits: Tensor, slope: Tensor) -> Tensor:
        """How far off the boundary would be if the network were linear, (K,)."""
        tiny = torch.finfo(slope.dtype).tiny
        unit = steepness(logits, points.labels, self.loss, points.targets)
        pace = ball.steepest(slope, self.norm) / unit.clamp_min(tiny)
        gap = points.margins(logits).abs() / pace.clamp_min(tiny)
        return ball.length(now - points.inputs, self.norm) + gap

    def note(self, which: Tensor, now: Tensor, fooled: Tensor) -> None:
        """Keep the places (K, …) that fool the network and are nearer than those known."""
        distance = ball.length(now - self.points.inputs[which], self.norm)
        nearer = fooled & (distance < self.distance[which]) & (distance <= self.largest)
        self.distance[which[nearer]] = distance[nearer]
        self.place[which[nearer]] = now[nearer]
