"""Gradients checked against forward passes, on small samples of the points under attack.

The checks are: small random changes, at the image and where the attack ended; a large step along
the gradient; the pixels for which the gradient promises almost no effect; the whole change on the
way to an image of another class; and one step towards such an image, an attack without a gradient.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.attacks import ball
from sgdscope.attacks.losses import LOSSES, Loss, margin
from sgdscope.attacks.masking import Masking
from sgdscope.attacks.points import Attacked, Norm, Points
from sgdscope.attacks.victim import Victim

PROBED = 64  # points whose gradients are tried, and that one step without gradients is tried on
ENDS = 40  # of those that the attack left, where its last try is looked at
PATHS, STOPS = 20, 7  # points followed to an image of another class, and gradients on the way
ALONGSIDE = 20  # points whose gradient of the attack's loss is held against the margin's
DIRECTIONS = 2  # random ones at each point
STEP, LARGE = 1 / 15, 1 / 3  # of eps: a small change, as long as a step of PGD, and a large one
VISIBLE = 0.05  # root mean square change of a pixel from which any network is curved
HALF, NOTHING = 0.5, 0.8  # errors from which a promise counts as wrong, and as worth nothing
MISSED = 0.12  # error on a path that a smooth network's quadrature does not reach; a quarter: 0.14
IDLE = 0.02  # share of the gradient's promise that idle pixels have together
WORK = 0.1  # share of it by which they may change the loss
ALIGNED = 0.15  # least share of the margin's promise that a step along another loss keeps
ROUNDING = 16  # units in the last place of the larger logit that a margin may be off


class Probes:
    """Tries the gradients at some points, all right unperturbed.

    Args:
        victim: the network.
        points: with the margin's gradient.
        logits: theirs, (N, classes).
        loss: the attack's.
        norm: of the ball.
        seed: of random changes.
    """

    def __init__(
        self, victim: Victim, points: Points, logits: Tensor, *, loss: Loss, norm: Norm, seed: int
    ) -> None:
        self.victim, self.norm, self.seed = victim, norm, seed
        self.points, self.logits = points, logits
        self._path_errors = self._paths()
        self._kept = points.inputs.new_empty(0) if loss == "margin" else self._alignment(loss)

    def masking(self, result: Attacked) -> Masking:
        """The counts at one eps."""
        first = torch.arange(len(self.points), device=self.points.index.device)[:PROBED]
        if not result.eps or not len(first):
            return Masking()
        step, large = lengths(result.eps, self.points.inputs, self.norm)
        points, logits = self.points[first], self.logits[first]
        left = (~result.fooled[self.points.index]).nonzero().squeeze(1)
        if result.tactics == ("fgsm",):  # another step is likely to beat its single one
            left = left[:0]
        ends = self._ends(left[:ENDS], result, step)
        return Masking(
            probed=len(points),
            step_wrong=_wrong(self._error(points, points.inputs, logits, step)),
            uphill_wrong=_wrong(self._uphill(points, logits, large)),
            uphill=large,
            idle_wrong=_wrong(self._idle(points, logits, result.eps), WORK),
            loss_tried=len(self._kept),
            loss_wrong=int((self._kept < ALIGNED).sum()),
            ends=len(ends),
            end_wrong=_wrong(ends, NOTHING),
            paths=len(self._path_errors),
            path_wrong=_wrong(self._path_errors),
            path_missed=_wrong(self._path_errors, MISSED),
            nearest_tried=len(left[:PROBED]),
            nearest_beats=self._fooled_by_nearest(left[:PROBED], result.eps),
        )

    def _network_inputs(self, at: Tensor, points: Points) -> Tensor:
        """Within [0, 1], as the network will see it."""
        return self.victim.network_inputs(at.clamp(0, 1), points.inputs).to(at.dtype)

    def _rounding(self, points: Points, logits: Tensor) -> Tensor:
        """(N,): how far a change of the margin may be off.

        Only the two logits that it compares count: a class that is masked out may have any.
        """
        label = logits.gather(1, points.labels[:, None]).squeeze(1)
        compared = torch.maximum(label.abs(), (label + margin(logits, points.labels)).abs())
        return ROUNDING * self.victim.precision(logits.dtype) * compared

    def _margins(self, at: Tensor, points: Points) -> Tensor:
        return margin(self.victim.logits(at, points.inputs), points.labels)

    def _error(self, points: Points, at: Tensor, logits: Tensor, length: float) -> Tensor:
        """(N,): how wrong ``points.slope``, the gradient at ``at``, is about random changes."""
        before = margin(logits, points.labels)
        promised, seen = [], []
        for number in range(DIRECTIONS):
            moved = self._network_inputs(
                at + length * self._random_direction(points, number), points
            )
            promised.append(_inner(points.slope, moved - at))
            seen.append(self._margins(moved, points) - before)
        return error(torch.stack(promised), torch.stack(seen), self._rounding(points, logits))

    def _random_direction(self, points: Points, number: int) -> Tensor:
        """A random direction of length 1 for each point, its own; ℓ∞: random signs."""
        pixel = torch.arange(points.inputs[0].numel(), device=points.index.device)
        key = torch.tensor(streams.key(self.seed, "probe", number), device=points.index.device)
        draw = streams.uniform(key, points.index[:, None], pixel).to(points.inputs.dtype)
        return ball.direction(draw.view(points.inputs.shape) - 0.5, self.norm)

    def _uphill(self, points: Points, logits: Tensor, length: float) -> Tensor:
        """(N,): how wrong the gradient is about a step along itself."""
        way = length * ball.direction(points.slope, self.norm)
        moved = self._network_inputs(points.inputs + way, points)
        promised = _inner(points.slope, moved - points.inputs)
        seen = self._margins(moved, points) - margin(logits, points.labels)
        return error(promised[None], seen[None], self._rounding(points, logits))

    def _idle(self, points: Points, logits: Tensor, eps: float) -> Tensor:
        """(N,): the effect of idle pixels beyond their promise, as a share of all pixels' promise.

        They all move by the same amount along their gradient, ``eps`` in the norm.
        """
        slope = points.slope.flatten(1)
        steepness, order = slope.abs().sort(1)
        total = steepness.sum(1, keepdim=True)
        least = (steepness.cumsum(1) <= IDLE * total).to(slope)
        idle = torch.zeros_like(slope).scatter(1, order, least) * slope.sign()
        away = eps * idle / ball.length(idle, self.norm).clamp_min(1)[:, None]
        moved = self._network_inputs(points.inputs + away.view_as(points.inputs), points)
        promised = _inner(points.slope, moved - points.inputs)
        seen = self._margins(moved, points) - margin(logits, points.labels)
        off = (seen - promised).abs() - self._rounding(points, logits)
        return _over(off, eps * ball.steepest(slope, self.norm))

    def _alignment(self, loss: Loss) -> Tensor:
        """(K,): which share of the margin's promise a step along ``loss``'s gradient keeps."""
        points = self.points[
            torch.arange(len(self.points), device=self.points.index.device)[:ALONGSIDE]
        ]
        if not len(points):
            return self.logits.new_empty(0)
        _, slope = self.victim.gradients(points.inputs, points, LOSSES[loss])
        kept = _inner(points.slope, ball.direction(slope, self.norm))
        return kept / ball.steepest(points.slope, self.norm).clamp_min(torch.finfo(kept.dtype).tiny)

    def _ends(self, left: Tensor, result: Attacked, step: float) -> Tensor:
        """(len(left),): the error where the attack ended."""
        if not len(left):
            return self.logits.new_empty(0)
        points = self.points[left]
        at = result.inputs[points.index].to(points.inputs.dtype)
        logits, slope = self.victim.gradients(at, points, LOSSES["margin"])
        return self._error(replace(points, slope=slope), at, logits, step)

    def _paths(self) -> Tensor:
        """(K,): how wrong the gradients on the way to another class are about the whole change.

        For a smooth margin their mean on the way, times the way, is the change from end to end.
        """
        which, others = self._nearest(torch.arange(len(self.points))[:PATHS])
        if not len(which):
            return self.logits.new_empty(0)
        points, logits = self.points[which], self.logits[which]
        way = others - points.inputs
        promised = torch.zeros_like(logits[:, 0])
        for stop in range(STOPS):
            at = points.inputs + (stop + 0.5) / STOPS * way
            _, slope = self.victim.gradients(at, points, LOSSES["margin"])
            promised += _inner(slope, way) / STOPS
        seen = self._margins(others, points) - margin(logits, points.labels)
        return error(promised[None], seen[None], self._rounding(points, logits))

    def _fooled_by_nearest(self, left: Tensor, radius: float) -> int:
        """The number of points fooled by one step towards the nearest image of another class."""
        which, others = self._nearest(left)
        if not len(which):
            return 0
        points = self.points[which]
        eps = points.inputs.new_full((len(points),), radius)
        moved = ball.step(points.inputs, others - points.inputs, eps, points.inputs, eps, self.norm)
        return int(points.fooled(self.victim.logits(moved, points.inputs)).sum())

    def _nearest(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest image of another class (K, …), and which of ``which`` have one."""
        which = which.to(self.points.index.device)
        if not len(which):
            return which, self.points.inputs[which]
        distance = torch.cdist(self.points.inputs[which].flatten(1), self.points.inputs.flatten(1))
        same = self.points.labels[which][:, None] == self.points.labels
        distance = distance.masked_fill(same, torch.inf)
        found = distance.isfinite().any(1)
        return which[found], self.points.inputs[distance.argmin(1)[found]]


def lengths(eps: float, inputs: Tensor, norm: Norm) -> tuple[float, float]:
    """A small and a large change in the ball of radius ``eps``."""
    visible = VISIBLE if norm == "linf" else VISIBLE * inputs[0].numel() ** 0.5
    return min(STEP * eps, visible), min(LARGE * eps, visible)


def error(promised: Tensor, seen: Tensor, rounding: Tensor) -> Tensor:
    """(N,) in 0 … 1: Σ|p − s| / Σ(|p| + |s|) over the changes promised and seen, (K, N) each.

    0.5 where one is three times the other, 1 where they are unrelated. Differences within
    ``rounding`` (N,) are not errors; a promise that is not finite counts as entirely wrong.
    """
    off = ((promised - seen).abs() - rounding).clamp_min(0).sum(0)
    return _over(off, (promised.abs() + seen.abs()).sum(0))


def _over(part: Tensor, whole: Tensor) -> Tensor:
    share = part / whole.clamp_min(torch.finfo(whole.dtype).tiny)
    return share.nan_to_num(1.0, posinf=1.0)


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """(N,) of (N, …) each."""
    return (one * other).flatten(1).sum(1)


def _wrong(errors: Tensor, limit: float = HALF) -> int:
    return int((errors >= limit).sum())
