"""Square: a random search that uses logits and no gradients (Andriushchenko et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgdscope import streams
from sgdscope.attacks import ball
from sgdscope.attacks.active import ActivePoints
from sgdscope.attacks.checks import check_tactic
from sgdscope.attacks.evaluation import Tactic, evaluate
from sgdscope.attacks.points import Attacked, Points, Radii, Tries, spread
from sgdscope.attacks.reach import Reach
from sgdscope.attacks.victim import Victim
from sgdscope.errors import RequestError

FIRST_SHARE = 0.8  # of the image that the first square covers
# Queries out of 10,000 after which the share is halved (section 5.1 of the paper).
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
LOOKS = 40  # how often points out of reach are looked for


@dataclass(frozen=True)
class SquareSearch:
    """Squares of ±eps, kept if they bring the boundary nearer; ℓ∞ only."""

    queries: int = 1000
    seed: int = 0
    give_up: bool = True

    def __post_init__(self) -> None:
        check_tactic(queries=self.queries)

    def __call__(self, victim: Victim, points: Points, eps: Tensor) -> Tries:
        """Attack; a point's squares depend on its index and the seed alone."""
        if points.inputs.dim() != 4:
            raise RequestError(
                f"inputs have shape {tuple(points.inputs.shape)}; expected (N, channels, height, "
                "width) for a search with squares"
            )
        trial = now = self._stripes(points, eps)
        margins = torch.full_like(eps, -torch.inf)
        pace = max(self.queries // LOOKS, 1)
        looks = self.queries // pace
        reach = Reach(looks, readings=max(looks // 4, 1) + 1) if self.give_up else None
        active = ActivePoints(points, reach)
        for query in range(self.queries):
            if query:
                trial = self._square(now, points, eps, query)
            logits = victim.logits(trial, points.inputs)
            hit, found = points.fooled(logits), points.margins(logits)
            better = hit | (found > margins)
            now = torch.where(spread(better, now).bool(), trial, now)
            margins = torch.where(better, found, margins)
            lost = reach.lost(margins) if reach is not None and query % pace == 0 else None
            left = active.settle(now, hit, lost)
            if left is not None:
                points, eps, now, margins = points[left], eps[left], now[left], margins[left]
            if not len(points):
                break
        return active.tries(now)

    def _stripes(self, points: Points, eps: Tensor) -> Tensor:
        """Vertical stripes of ±eps, one sign a column and channel."""
        _, channels, _, width = points.inputs.shape
        column = torch.arange(channels * width, device=eps.device)
        signs = _signs(self._draw(points, 0, column)).view(-1, channels, 1, width)
        moved = points.inputs + signs * spread(eps, points.inputs)
        return ball.clip(moved, points.inputs, eps, "linf")

    def _square(self, now: Tensor, points: Points, eps: Tensor, query: int) -> Tensor:
        """A square of ±eps somewhere in each image, one sign a channel."""
        _, channels, height, width = now.shape
        share = FIRST_SHARE / 2 ** sum(query * 10_000 / self.queries > at for at in HALVED_AT)
        side = min(max(round((share * height * width) ** 0.5), 1), height, width)
        number = torch.arange(2 + channels, device=now.device)
        draws = self._draw(points, query, number)
        top = (draws[:, 0] * (height - side + 1)).long()
        left = (draws[:, 1] * (width - side + 1)).long()
        inside = _within(top, side, height)[:, None, :, None]
        inside = inside & _within(left, side, width)[:, None, None, :]
        moved = points.inputs + _signs(draws[:, 2:])[:, :, None, None] * spread(eps, now)
        return torch.where(inside, ball.clip(moved, points.inputs, eps, "linf"), now)

    def _draw(self, points: Points, query: int, number: Tensor) -> Tensor:
        """(N, len(number)) in [0, 1)."""
        key = torch.tensor(streams.key(self.seed, "square", query), device=number.device)
        return streams.uniform(key, points.index[:, None], number)


def square(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    queries: int = 1000,
    targets: Tensor | None = None,
    seed: int = 0,
    give_up: bool = True,
) -> list[Attacked]:
    """Random search in the ℓ∞ ball with the margin loss: ``queries`` passes per point, no gradient.

    Inputs are images: (N, channels, height, width).
    """
    tactics: dict[str, Tactic] = {"square": SquareSearch(queries, seed, give_up)}
    return evaluate(model, inputs, labels, eps=eps, tactics=tactics, loss="margin", targets=targets)


def _signs(draws: Tensor) -> Tensor:
    return (draws < 0.5).to(draws.dtype) * 2 - 1


def _within(first: Tensor, side: int, length: int) -> Tensor:
    """(N, length) bool: the places from ``first`` (N,) on, ``side`` of them."""
    place = torch.arange(length, device=first.device)
    return (place >= first[:, None]) & (place < first[:, None] + side)
