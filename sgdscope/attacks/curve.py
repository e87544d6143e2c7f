"""Robustness beyond one eps: the area under the curve, and the smallest eps that fools a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgdscope.attacks.checks import check_tactic, checked
from sgdscope.attacks.descent import Walk
from sgdscope.attacks.evaluation import look
from sgdscope.attacks.losses import Loss
from sgdscope.attacks.points import Attacked, Norm, Points
from sgdscope.attacks.victim import Victim, frozen
from sgdscope.network import Finding, outside_inference

STRIDE = 1.5  # factor between guesses until one eps fools the network and one does not


@dataclass(frozen=True)
class SmallestEps:
    """How far each point is from being fooled, as far as the attack can tell."""

    fools: Tensor  # (N,): the smallest eps found to fool; 0 for clean errors, ∞ where none did
    holds: Tensor  # (N,): the largest eps below it at which the attack failed
    findings: tuple[Finding, ...] = ()  # about the network, before it was attacked

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons not to trust these that lie in the network."""
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
    """
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
    step_size: float = 1 / 8,
    largest: float | None = None,
    loss: Loss = "margin",
    norm: Norm = "linf",
    median_only: bool = False,
) -> SmallestEps:
    """Bisect, for every point at its own eps, where BIM begins to fool the network.

    The first guess is the distance to the boundary of a linear network with the same margin and
    gradient. Guesses then grow or shrink by a factor of 1.5 until they have enclosed the boundary,
    and halve the bracket, on a log scale, in what is left of ``rounds`` guesses a point. Each is an
    attack of ``steps`` steps of ``step_size`` · eps. A point that stands at ``largest`` counts as
    never fooled; by default no image is further away than that.

    With ``median_only`` a point is left as soon as it cannot be the median any more: the median
    comes out the same at about a third of the cost, and the other points' brackets stay wide.
    """
    check_tactic(norm=norm, loss=loss, rounds=rounds, steps=steps)
    request = checked(model, inputs, labels, loss=loss)
    largest = largest or (1.0 if norm == "linf" else math.sqrt(inputs[0].numel()))
    victim = request.victim
    walk = Walk(steps, step_size, loss, norm)
    with frozen(model):
        points, logits = look(victim, request.inputs, request.labels, "margin")
        wrong = points.fooled(logits)
        guess = _linear(points, logits, norm).clamp(1e-4, largest)
        bracket = _Bracket(guess, wrong, largest)
        for _ in range(rounds):
            bracket.narrow(victim, points, walk, bracket.open(median_only))
        if median_only:  # those left above it may yet be points that nothing fools
            bracket.try_largest(victim, points, walk)
    return SmallestEps(bracket.fools, bracket.holds, request.findings)


def _linear(points: Points, logits: Tensor, norm: Norm) -> Tensor:
    """(N,): margin over the dual norm of its gradient."""
    dual: Tensor = torch.linalg.vector_norm(
        points.slope.flatten(1), 1 if norm == "linf" else 2, dim=1
    )
    return -points.margins(logits) / dual.clamp_min(torch.finfo(dual.dtype).tiny)


class _Bracket:
    """What is known of each point's smallest eps, (N,): it fails at ``holds``, fools at ``fools``.

    Points that are wrong unperturbed have both at 0.
    """

    def __init__(self, guess: Tensor, wrong: Tensor, largest: float) -> None:
        self._guess, self._largest = guess, largest
        self.fools = torch.where(wrong, 0.0, torch.inf).to(guess)
        self.holds = torch.zeros_like(guess)

    def open(self, median_only: bool) -> Tensor:
        """Which points another guess can tell more of."""
        open_ = (self.fools > 0) & (self.holds < self._largest)
        if median_only:
            open_ &= (self.holds < _middle(self.fools)) & (self.fools > _middle(self.holds))
        return open_.nonzero().squeeze(1)

    def narrow(self, victim: Victim, points: Points, walk: Walk, which: Tensor) -> None:
        """Attack at the guesses, and guess again."""
        if not len(which):
            return
        eps = self._guess[which]
        self._learn(which, eps, walk(victim, points[which], eps).fooled)
        low, high = self.holds[which], self.fools[which]
        between = (low * high).sqrt()
        self._guess[which] = torch.where(
            high.isinf(), low * STRIDE, torch.where(low == 0, high / STRIDE, between)
        ).clamp_max(self._largest)

    def try_largest(self, victim: Victim, points: Points, walk: Walk) -> None:
        """Attack those that nothing has fooled at the largest eps of all."""
        never = (self.fools.isinf() & (self.holds < self._largest)).nonzero().squeeze(1)
        if len(never):
            eps = torch.full_like(self._guess[never], self._largest)
            self._learn(never, eps, walk(victim, points[never], eps).fooled)

    def _learn(self, which: Tensor, eps: Tensor, fooled: Tensor) -> None:
        self.fools[which] = torch.where(fooled, eps, self.fools[which])
        self.holds[which] = torch.where(fooled, self.holds[which], eps)
