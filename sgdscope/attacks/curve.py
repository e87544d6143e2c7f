"""Robustness beyond one eps: the area under the curve, and the smallest eps that fools a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgdscope.attacks.checks import check
from sgdscope.attacks.descent import Walk
from sgdscope.attacks.evaluation import look
from sgdscope.attacks.losses import Loss
from sgdscope.attacks.points import Attacked, Norm, Points
from sgdscope.attacks.victim import Victim, frozen

STRIDE = 1.5  # factor between guesses until one eps fools the network and one does not


@dataclass(frozen=True)
class SmallestEps:
    """How far each point is from being fooled, as far as the attack can tell."""

    fools: Tensor  # (N,): the smallest eps found to fool; 0 for clean errors, ∞ where none did
    holds: Tensor  # (N,): the largest eps below it at which the attack failed

    @property
    def median(self) -> float:
        """Of ``fools`` over all points: at this eps half of them fall."""
        return self.fools.quantile(0.5, interpolation="higher").item()


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


def smallest_eps(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    rounds: int = 10,
    steps: int = 20,
    step_size: float = 1 / 8,
    largest: float = 1.0,
    loss: Loss = "margin",
    norm: Norm = "linf",
) -> SmallestEps:
    """Bisect, for every point at its own eps, where BIM begins to fool the network.

    The first guess is the distance to the boundary of a linear network with the same margin and
    gradient. Guesses then grow or shrink by a factor of 1.5 until they have enclosed the boundary,
    and halve the bracket, on a log scale, in what is left of ``rounds`` guesses a point. Each is an
    attack of ``steps`` steps of ``step_size`` · eps. A point that stands at ``largest`` counts as
    never fooled; 1 is the whole cube for ℓ∞.
    """
    check(model, inputs, labels)
    victim = Victim(model, inputs.device)
    walk = Walk(steps, step_size, loss, norm)
    with frozen(model):
        points, logits = look(victim, inputs, labels, "margin")
        right = (~points.fooled(logits)).nonzero().squeeze(1)
        fools = torch.zeros(len(labels), dtype=inputs.dtype, device=inputs.device)
        holds = torch.zeros_like(fools)
        if len(right):
            guess = _linear(points[right], logits[right], norm).clamp(1e-4, largest)
            fools[right], holds[right] = _bisect(
                victim, points[right], walk, guess, rounds, largest
            )
    return SmallestEps(fools, holds)


def _linear(points: Points, logits: Tensor, norm: Norm) -> Tensor:
    """(N,): margin over the dual norm of its gradient."""
    dual: Tensor = torch.linalg.vector_norm(
        points.slope.flatten(1), 1 if norm == "linf" else 2, dim=1
    )
    return -points.margins(logits) / dual.clamp_min(torch.finfo(dual.dtype).tiny)


def _bisect(
    victim: Victim, points: Points, walk: Walk, guess: Tensor, rounds: int, largest: float
) -> tuple[Tensor, Tensor]:
    """The smallest eps (N,) that fooled each point, and the largest below it that did not."""
    fools, holds = torch.full_like(guess, torch.inf), torch.zeros_like(guess)
    for _ in range(rounds):
        open_ = (holds < largest).nonzero().squeeze(1)
        if not len(open_):
            break
        eps = guess[open_]
        fooled = walk(victim, points[open_], eps).fooled
        fools[open_] = torch.where(fooled, eps, fools[open_])
        holds[open_] = torch.where(fooled, holds[open_], eps)
        low, high = holds[open_], fools[open_]
        between = (low * high).sqrt()
        guess[open_] = torch.where(
            high.isinf(), low * STRIDE, torch.where(low == 0, high / STRIDE, between)
        ).clamp_max(largest)
    return fools, holds
