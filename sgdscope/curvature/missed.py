"""The probability that a Krylov space from a random start has missed an eigenvalue.

A residual says that a number is an eigenvalue, not which. Let u be a unit eigenvector of λ, g its
products with the start's vectors, z its products with the orthonormal basis of m vectors and with
the block next to them. Symmetry gives m equations (λ − T) z − Bᵀ z_next = 0, and z is no longer
than u. Beyond the Ritz values their solutions grow with m, so that only a small g leaves z short;
and a small g is improbable, for the products of a unit vector with a normally distributed start
are normally distributed. With one vector this is the largest mass that the start's moments allow
at λ, the Christoffel function; it bounds what Kuczyński & Woźniakowski (1992) bound for any
matrix, on the matrix at hand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sgdscope.curvature.krylov import Krylov

DECADES = 20  # below the largest Ritz value that a margin is looked for in, …
HALVINGS = 14  # … to within a factor of 10^(DECADES / 2^HALVINGS)


def missed(krylov: Krylov, limits: Tensor, vectors: Tensor) -> Tensor:
    """A bound on the probability that a matrix has an eigenvalue at a limit, unseen.

    Beyond all Ritz values the bound falls, so it also holds for every eigenvalue further out.

    Args:
        krylov: a space after at least one product.
        limits: (*batch, k), beyond the k outermost Ritz values, each less far out than the last.
        vectors: (*batch, m, k), those values' vectors in the basis.

    Returns:
        (*batch, k), over the draws of the start.
    """
    m, width = vectors.shape[-2], krylov.start.shape[-1]
    eye = torch.eye(m, dtype=torch.float64)
    start = krylov.start.mT
    bounds = []
    for number, limit in enumerate(limits.unbind(-1)):
        equations = limit[..., None, None] * eye - krylov.projected
        equations = torch.cat([equations, -krylov.coupling], -2)  # (*batch, m + next, m)
        solutions = torch.linalg.qr(equations, mode="complete")[0][..., :width, m:]
        # g lies in this ellipsoid. What was found further out stretches it along its own g, which
        # says nothing of another's.
        found = vectors[..., :width, :number].flip(-1)
        axes = torch.linalg.qr(start @ found, mode="complete")[0]
        bounds.append(_of_small(axes.mT @ start @ solutions, width - number))
    return torch.stack(bounds, -1)


def _of_small(ellipsoids: Tensor, fewest: int) -> Tensor:
    """The least probability, over j, that normal draws' last j components are so small."""
    bounds = []
    for j in range(fewest, ellipsoids.shape[-2] + 1):
        last = ellipsoids[..., ellipsoids.shape[-2] - j :, :]
        longest = torch.linalg.matrix_norm(last, 2) if last.shape[-1] else last.sum((-2, -1))
        bounds.append((longest / math.sqrt(2)) ** j / math.gamma(j / 2 + 1))
    return torch.stack(bounds).amin(0).clamp(max=1)


def margins(
    krylov: Krylov, values: Tensor, vectors: Tensor, probability: float, *, sign: int
) -> Tensor:
    """How far beyond each value an eigenvalue may lie unseen, (*batch, k).

    Args:
        krylov: a space after at least one product.
        values: (*batch, k), the outermost Ritz values.
        vectors: (*batch, m, k), in the basis.
        probability: below this, a missed eigenvalue is neglected.
        sign: 1 for the largest values, −1 for the smallest.
    """
    scale = krylov.projected.abs().amax((-2, -1))[..., None].clamp(min=torch.finfo().tiny)
    low, high = torch.full_like(values, -DECADES), torch.full_like(values, 3.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        seen = missed(krylov, values + sign * 10**middle * scale, vectors) <= probability
        low, high = torch.where(seen, low, middle), torch.where(seen, middle, high)
    return 10**high * scale
