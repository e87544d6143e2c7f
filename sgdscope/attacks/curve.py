"""Robustness beyond one eps: the area under the curve, and the smallest eps that fools a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgdscope.arguments import positive
from sgdscope.attacks.apgd import Apgd
from sgdscope.attacks.checks import check_tactic, checked
from sgdscope.attacks.losses import Loss
from sgdscope.attacks.minimum_norm import MinimumNorm
from sgdscope.attacks.points import Attacked, Norm, Points, Radius
from sgdscope.attacks.victim import frozen
from sgdscope.errors import RequestError
from sgdscope.network import Finding, answers, outside_inference

WIDTH = 0.01  # of a bracket, relative
# Where only the median is wanted: how far above its estimate a point may be and still become it.
NEARLY, FAR = 0.85, 1.5
SHARE = 0.5  # of the first searches' steps that those from the nearest place take
ROUNDING = 1e-6


@dataclass(frozen=True)
class SmallestEps:
    """The smallest perturbation that fools each point, as far as the attack can tell."""

    fools: Tensor  # (N,): the smallest eps found to fool; 0 for clean errors, ∞ where none did
    holds: Tensor  # (N,): the largest eps below it at which the attack failed
    findings: tuple[Finding, ...] = ()  # about the network, before it was attacked

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons in the network not to trust these."""
        return tuple(str(found) for found in self.findings if found.level != "note")

    @property
    def median(self) -> float:
        """Of ``fools`` over all points: at this eps half of them fall."""
        return _middle(self.fools)

    @property
    def median_holds(self) -> float:
        """Of ``holds``: the median lies between this and ``median``."""
        return _middle(self.holds)


def _middle(values: Tensor) -> float:
    return values.quantile(0.5, interpolation="higher").item()


def area(results: Sequence[Attacked]) -> float:
    """Mean accuracy from eps 0 to the largest eps attacked, by trapezoids; 0 … 1.

    Args:
        results: of one attack on one network at one or more eps above 0.

    Raises:
        RequestError: none is above 0.
    """
    if not any(result.eps > 0 for result in results):
        seen = ", ".join(f"{result.eps:g}" for result in results) or "none"
        raise RequestError(f"results are at eps {seen}; expected at least one above 0")
    results = sorted(results, key=lambda result: result.eps)
    eps = [0.0, *(result.eps for result in results)]
    accuracy = [results[0].clean.double().mean().item(), *(r.accuracy for r in results)]
    total = sum(
        (eps[i + 1] - eps[i]) * (accuracy[i + 1] + accuracy[i]) / 2 for i in range(len(results))
    )
    return total / eps[-1]


@outside_inference()
def smallest_eps(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    rounds: int = 10,
    steps: int = 20,
    step_size: Radius = 1.0,
    largest: Radius | None = None,
    loss: Loss = "margin",
    norm: Norm = "linf",
    median_only: bool = False,
) -> SmallestEps:
    """The smallest eps found to fool each point, and the largest at which an attack failed.

    A round is an attack of ``steps`` gradients on the points that are still open. The first two are
    searches for the nearest place that fools (``MinimumNorm``), from where a linear network would
    be fooled and from the point itself. As long as a round brings a point at least 1% nearer, the
    next searches on from there; after that APGD attacks 1% nearer still, and where it fails the
    point is closed. A point that nothing fools within ``largest`` counts as never fooled; by
    default no image is further away.

    ``median_only`` does the same for the median alone: the searches drop points that are far from
    it, and APGD attacks all points above it, until half of all points stand. The median is then
    known to within the width of the brackets, for about half of the gradients.

    Args:
        model: as for every attack (see the package); likewise the tensors.
        inputs: (N, …).
        labels: (N,).
        rounds: at most this many for each point.
        steps: of each round.
        step_size: of FMN's first step, in multiples of eps.
        largest: eps.
        loss: that the searches and APGD increase.
        norm: of eps.
        median_only: nothing but the median is wanted.
    """
    check_tactic(norm=norm, loss=loss, rounds=rounds, steps=steps)
    size = positive("step_size", step_size, unit="multiples of eps, such as 0.5")
    if largest is not None:
        largest = positive("largest", largest, unit="pixel units, such as 0.1 or 8/255")
    request = checked(model, inputs, labels, loss=loss)
    if largest is None:
        largest = 1.0 if norm == "linf" else math.sqrt(inputs[0].numel())
    victim, inputs, labels = request.victim, request.inputs, request.labels
    points = Points(inputs, labels, torch.arange(len(labels), device=labels.device), inputs)
    with frozen(model):
        nearest = MinimumNorm(victim, points, norm=norm, loss=loss, largest=largest, step_size=size)
        given = answers(victim.logits(inputs))
        nearest.distance[given != labels] = 0
        bracketing = _Bracketing(nearest, Apgd(steps, loss, norm), median_only)
        bracketing.narrow(rounds)
    return SmallestEps(nearest.distance, bracketing.holds, request.having_answered(given))


class _Bracketing:
    """Rounds of attacks that narrow the bracket around each point's smallest eps.

    A point is fooled at ``nearest.distance`` (N,), and an attack failed at ``holds`` (N,), 0 if
    none did. Both are 0 where the network is wrong unperturbed.
    """

    def __init__(self, nearest: MinimumNorm, attack: Apgd, median_only: bool) -> None:
        self.nearest, self.attack, self.median_only = nearest, attack, median_only
        self.holds = torch.zeros_like(nearest.distance)
        self._before = self._target()  # of the last round

    def narrow(self, rounds: int) -> None:
        """All rounds, and an attack at the largest eps on the points that nothing has fooled."""
        for number in range(rounds):
            self._round(number, last=number == rounds - 1)
        largest = torch.full_like(self.holds, self.nearest.largest)
        self._attack(self.nearest.distance.isinf() & (self.holds < largest), largest)

    def _round(self, number: int, *, last: bool) -> None:
        """Round ``number``, from 0: a search, or an attack where the last round did not help."""
        target, distance = self._target(), self.nearest.distance
        steady = (target >= (1 - WIDTH) * self._before) | last
        self._before = target
        open_ = self._open(target)
        if number == 0:
            self._search(open_, self.nearest.linear(open_))
        elif number == 1:
            self._search(open_ & self._contends(NEARLY), self.nearest.points.inputs)
        else:
            moving = open_ & ~steady & distance.isfinite() & self._contends(1 - WIDTH)
            self._search(moving, self.nearest.place, share=SHARE)
            self._attack(open_ & steady & (distance > target) & (self.holds < target), target)

    def _target(self) -> Tensor:
        """The eps to attack next, (N,): a little less than what is known to fool."""
        fools = self.nearest.distance
        if self.median_only:
            fools = torch.full_like(fools, _middle(fools))
        return (fools * (1 - WIDTH)).clamp_max(self.nearest.largest)

    def _open(self, target: Tensor) -> Tensor:
        """(N,) bool: no attack has failed there yet."""
        holds = self.holds
        if self.median_only:
            holds = torch.full_like(holds, _middle(holds))
        return (self.nearest.distance > 0) & (holds < (1 - ROUNDING) * target)

    def _contends(self, above: float) -> Tensor:
        """(N,) bool: may yet be the median, and is ``above`` times what it seems to be; or all."""
        fools = self.nearest.distance
        if not self.median_only:
            return torch.ones_like(fools, dtype=torch.bool)
        middle = _middle(fools)
        return (fools > above * middle) & (fools < FAR * middle) | fools.isinf()

    def _search(self, which: Tensor, start: Tensor, *, share: float = 1.0) -> None:
        chosen = which.nonzero().squeeze(1)
        if len(chosen):
            self.nearest.search(chosen, start[chosen], steps=self.attack.steps, share=share)

    def _attack(self, which: Tensor, eps: Tensor) -> None:
        nearest, chosen = self.nearest, which.nonzero().squeeze(1)
        if not len(chosen):
            return
        tries = self.attack(nearest.victim, nearest.points[chosen], eps[chosen])
        nearest.note(chosen, tries.inputs, tries.fooled)
        held = chosen[~tries.fooled]
        self.holds[held] = eps[held]
        self.holds[nearest.distance <= self.holds] = 0
