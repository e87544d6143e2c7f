"""λ₁ while a training is watched: from the last eigenvectors, or now and then a random start."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from sgdscope import curvature
from sgdscope.curvature import Eigenvalues, Operator


@dataclass(frozen=True)
class Followed:
    """What one reading hands to the next."""

    near: Tensor  # (size, j), where it found the largest eigenvalues
    since: int  # readings since the last one that started afresh


def follow(
    operator: Operator,
    last: Followed | None,
    *,
    afresh: int,
    tolerance: float,
    max_products: int,
    seed: int,
) -> tuple[Eigenvalues, Followed, list[str]]:
    """λ₁, from the last reading or a random start, the state for the next one, and flags.

    A reading that starts at random finds out whether those before it still followed the largest:
    it also follows, and flags a followed value that is not the largest.

    Args:
        operator: the matrix.
        last: what the reading before left; none for the first.
        afresh: one reading in this many starts at random.
        tolerance: as in :func:`~sgdscope.curvature.top_eigenvalues`.
        max_products: of one start.
        seed: of starts.
    """
    if last is not None and (last.near.shape[0] != operator.size or afresh == 1):
        last = None
    found, flags, products = None, [], 0
    if last is not None:
        found = curvature.top_eigenvalues(
            operator, tolerance=tolerance, max_products=max_products, seed=seed, near=last.near
        )
        if last.since + 1 < afresh:
            return found, Followed(found.near, last.since + 1), []
        products = found.products
    fresh = curvature.top_eigenvalues(
        operator, tolerance=tolerance, max_products=max_products, seed=seed
    )
    if found is not None and last is not None:
        value, followed = fresh.values[0].item(), found.values[0].item()
        if value - followed > 2 * tolerance * abs(value):
            flags.append(
                f"The last {last.since} readings followed another eigenvalue, now {followed:.4g}, "
                "and may be too low."
            )
    return replace(fresh, products=fresh.products + products), Followed(fresh.near, 0), flags
