"""Whether gradients tell how the loss changes: tried on small samples, against forward passes.

An attack that follows gradients fails where they mislead, even if they are not zero (Athalye,
Carlini and Wagner 2018). What the margin's gradient promises is held against what small and large
random changes do, at the image and where the attack ended, and against the whole change on the way
to an image of another class; one step towards such an image is an attack without any gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.attacks import ball
from sgdscope.attacks.losses import LOSSES, margin
from sgdscope.attacks.points import Attacked, Norm, Points
from sgdscope.attacks.victim import Victim

PROBED = 100  # points whose gradients are tried, and that one step without gradients is tried on
ENDS = 50  # of those that the attack left, where its last try is looked at
FEWEST_ENDS = 10  # fewer say little: they are the hardest of all points
PATHS = 30  # of them, followed to an image of another class
STOPS = 6  # gradients on the way
DIRECTIONS = 2  # random ones at each point
STEP = 1 / 15  # of eps: a small change, as long as a step of PGD
FAR: dict[Norm, float] = {"linf": 1 / 3, "l2": 1.0}  # of eps; in ℓ2 it is spread over all pixels
VISIBLE = 0.05  # root mean square change of a pixel from which any network is curved
HALF, NOTHING = 0.5, 0.8  # errors from which a promise counts as wrong, and as worth nothing
ROUNDING = 16  # units in the last place of the largest logit that a margin may be off

# Shares of the points tried from which a promise that fails is flagged: beyond what any of the
# networks that hide nothing showed in benchmarks/masking.py.
STEP_SHARE, FAR_SHARE, END_SHARE, PATH_SHARE = 0.15, 0.4, 0.25, 0.25
AT_LEAST = 3  # points that one step without gradients fools


@dataclass(frozen=True)
class Masking:
    """Signs that gradients mislead, at one eps; counts of points right unperturbed."""

    probed: int  # points whose gradient was held against random changes
    step_wrong: int  # it is half wrong about changes as long as a step of PGD
    far_wrong: int  # it is half wrong about changes of ``far``
    far: float  # their size, in the norm
    ends: int  # points whose gradient was tried where the attack ended, in vain
    end_wrong: int  # it has nothing to do there with changes as long as a step of PGD
    paths: int  # points followed to the nearest image of another class
    path_wrong: int  # gradients on the way are half wrong about the whole change
    nearest_tried: int  # points left by the attack that one step towards that image was tried on
    nearest_beats: int  # it fools them

    def flags(self) -> list[str]:
        """Reasons not to trust an attack that follows gradients, one sentence each."""
        found = [
            (
                _share(self.step_wrong, self.probed) >= STEP_SHARE,
                f"gradients are misleading: at {self.step_wrong} of {self.probed} points they are "
                "wrong by half or more about random changes of one small step (eps / 15)",
            ),
            (
                _share(self.far_wrong, self.probed) >= FAR_SHARE,
                f"gradients hold over short distances only: at {self.far_wrong} of {self.probed} "
                f"points they are wrong by half or more about changes of size {self.far:.2g}",
            ),
            (
                self.ends >= FEWEST_ENDS and _share(self.end_wrong, self.ends) >= END_SHARE,
                f"the attack was misled: at {self.end_wrong} of {self.ends} points where it ended "
                "in vain, the gradient has almost nothing to do with what small changes do",
            ),
            (
                _share(self.path_wrong, self.paths) >= PATH_SHARE,
                "gradients miss part of what the network does: on the way to an image of another "
                f"class they are wrong by half or more at {self.path_wrong} of {self.paths} points",
            ),
            (
                self.nearest_beats >= AT_LEAST,
                "one step towards the nearest image of another class, without a gradient, fools "
                f"{self.nearest_beats} of {self.nearest_tried} points that the attack does not",
            ),
        ]
        return [sentence for seen, sentence in found if seen]


NONE_TRIED = Masking(0, 0, 0, 0.0, 0, 0, 0, 0, 0, 0)


class Probes:
    """Tries the gradients at some points, all right unperturbed."""

    def __init__(
        self, victim: Victim, points: Points, logits: Tensor, norm: Norm, seed: int
    ) -> None:
        """``points`` with the margin's gradient, and their ``logits``."""
        self.victim, self.norm, self.seed = victim, norm, seed
        self.points, self.logits = points, logits
        self._path_errors = self._paths()

    def masking(self, result: Attacked) -> Masking:
        """What is seen at one eps."""
        first = torch.arange(len(self.points), device=self.points.index.device)[:PROBED]
        if not result.eps or not len(first):
            return NONE_TRIED
        step, far = lengths(result.eps, self.points.inputs, self.norm)
        points, logits = self.points[first], self.logits[first]
        left = (~result.fooled[self.points.index]).nonzero().squeeze(1)
        several = result.tactics != ("fgsm",)
        ends = self._ends(left[:ENDS], result, step) if several else self.logits.new_empty(0)
        tried = left[:PROBED] if several else left[:0]
        return Masking(
            probed=len(points),
            step_wrong=_wrong(self._error(points, points.inputs, logits, step)),
            far_wrong=_wrong(self._error(points, points.inputs, logits, far)),
            far=far,
            ends=len(ends),
            end_wrong=_wrong(ends, NOTHING),
            paths=len(self._path_errors),
            path_wrong=_wrong(self._path_errors),
            nearest_tried=len(tried),
            nearest_beats=self._beaten(tried, result.eps),
        )

    def _error(self, points: Points, at: Tensor, logits: Tensor, length: float) -> Tensor:
        """(N,): how wrong ``points.slope``, the gradient at ``at``, is of random changes."""
        before = margin(logits, points.labels)
        promised, seen = [], []
        for number in range(DIRECTIONS):
            moved = (at + length * self._anywhere(points, number)).clamp_(0, 1)
            promised.append((points.slope * (moved - at)).flatten(1).sum(1))
            seen.append(margin(self.victim.logits(moved), points.labels) - before)
        return error(torch.stack(promised), torch.stack(seen), logits)

    def _anywhere(self, points: Points, number: int) -> Tensor:
        """A random direction of length 1 for each point, its own; ℓ∞: random signs."""
        pixel = torch.arange(points.inputs[0].numel(), device=points.index.device)
        key = torch.tensor(streams.key(self.seed, "probe", number), device=points.index.device)
        draw = streams.uniform(key, points.index[:, None], pixel).to(points.inputs.dtype)
        return ball.direction(draw.view(points.inputs.shape) - 0.5, self.norm)

    def _ends(self, left: Tensor, result: Attacked, step: float) -> Tensor:
        """(len(left),): the error where the attack ended."""
        if not len(left):
            return self.logits.new_empty(0)
        points = self.points[left]
        at = result.inputs[points.index]
        logits, slope = self.victim.gradients(at, points, LOSSES["margin"])
        return self._error(replace(points, slope=slope), at, logits, step)

    def _paths(self) -> Tensor:
        """(K,): how wrong gradients on the way to another class are of the whole change.

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
            promised += (slope * way).flatten(1).sum(1) / STOPS
        seen = margin(self.victim.logits(others), points.labels) - margin(logits, points.labels)
        return error(promised[None], seen[None], logits)

    def _beaten(self, left: Tensor, radius: float) -> int:
        """How many points one step towards the nearest image of another class fools."""
        which, others = self._nearest(left)
        if not len(which):
            return 0
        points = self.points[which]
        eps = points.inputs.new_full((len(points),), radius)
        moved = ball.step(points.inputs, others - points.inputs, eps, points.inputs, eps, self.norm)
        return int(points.fooled(self.victim.logits(moved)).sum())

    def _nearest(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """Those of ``which`` that have one, and their nearest image of another class (K, …)."""
        which = which.to(self.points.index.device)
        if not len(which):
            return which, self.points.inputs[which]
        distance = torch.cdist(
            self.points.inputs[which].flatten(1).float(), self.points.inputs.flatten(1).float()
        )
        same = self.points.labels[which][:, None] == self.points.labels
        distance = distance.masked_fill(same, torch.inf)
        found = distance.isfinite().any(1)
        return which[found], self.points.inputs[distance.argmin(1)[found]]


def lengths(eps: float, inputs: Tensor, norm: Norm) -> tuple[float, float]:
    """A small and a large random change in the ball of radius ``eps``."""
    visible = VISIBLE if norm == "linf" else VISIBLE * inputs[0].numel() ** 0.5
    return min(STEP * eps, visible), min(FAR[norm] * eps, visible)


def error(promised: Tensor, seen: Tensor, logits: Tensor) -> Tensor:
    """(N,) in 0 … 1: Σ|p − s| / Σ(|p| + |s|) over the changes promised and seen, (K, N) each.

    0.5 where one is three times the other, 1 where they have nothing in common. What rounding of
    the ``logits`` (N, classes) may do is no error; a promise that is no number is worth nothing.
    """
    rounding = ROUNDING * torch.finfo(logits.dtype).eps * logits.abs().amax(1)
    off = ((promised - seen).abs() - rounding).clamp_min(0).sum(0)
    total = (promised.abs() + seen.abs()).sum(0)
    share = off / total.clamp_min(torch.finfo(logits.dtype).tiny)
    return share.nan_to_num(1.0, posinf=1.0)


def _wrong(errors: Tensor, limit: float = HALF) -> int:
    return int((errors >= limit).sum())


def _share(count: int, points: int) -> float:
    return count / max(points, 1)
