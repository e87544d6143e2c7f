"""Extreme eigenvalues by block Lanczos with full re-orthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdscope.curvature.krylov import Krylov
from sgdscope.curvature.missed import margins, missed
from sgdscope.curvature.operators import Operator, trusted
from sgdscope.errors import RequestError

MISSED = 1e-5  # probability up to which it is neglected that a larger one was missed
ROUNDING = 4  # errors of a value that are expected, in largest asymmetries
ZERO = 1e-6  # of the largest magnitude: a smaller value is held to the tolerance of this share


@dataclass(frozen=True)
class Eigenvalues:
    """Eigenpairs from one end of a spectrum, the outermost first, and how far to trust them."""

    values: Tensor  # (k,) float64, on the CPU; for a batch of matrices (*batch, k)
    vectors: Tensor  # (size, k), of unit length
    residuals: Tensor  # (k,) ‖Av − λv‖: an eigenvalue lies within this of each value
    errors: Tensor  # (k,) the true one lies within this beyond the value, but for a chance of 1e-5
    missed: Tensor  # (k,) bound on the chance that it lies further away than the tolerance
    rounding: Tensor  # (), (*batch,): what the products' rounding may have done to a value
    converged: bool  # every error, rounding included, is within the tolerance
    products: int
    examples: int
    flags: tuple[str, ...] = ()  # reasons not to trust them that lie in the network or the matrix


def top_eigenvalues(
    operator: Operator,
    *,
    k: int = 1,
    tolerance: float = 1e-3,
    max_products: int = 100,
    seed: int = 0,
) -> Eigenvalues:
    """The k largest eigenvalues (algebraically, not by magnitude), largest first.

    A Ritz value is never beyond the eigenvalue that it stands for. That there is none further
    out than the tolerance is known from the random start (:mod:`~sgdscope.curvature.missed`), but
    for a chance of at most 1e-5; that products are exact enough, from their symmetry. A residual r
    is another guarantee: some eigenvalue lies within r of the value.

    Blocks of k vectors find eigenvalues repeated up to k times. Memory is (size × products)
    numbers.

    Args:
        operator: the matrix.
        k: how many.
        tolerance: largest error accepted, as a share of the eigenvalue's magnitude, or of a
            millionth of the largest magnitude met if that is more.
        max_products: where to stop, converged or not.
        seed: of the random start.

    Raises:
        RequestError: k is below 1 or above the operator's size, or products are not finite.
    """
    return _extreme(operator, 1, k, tolerance, max_products, seed)


def bottom_eigenvalues(
    operator: Operator,
    *,
    k: int = 1,
    tolerance: float = 1e-3,
    max_products: int = 100,
    seed: int = 0,
) -> Eigenvalues:
    """The k smallest eigenvalues, most negative first; otherwise as :func:`top_eigenvalues`."""
    return _extreme(operator, -1, k, tolerance, max_products, seed)


def _extreme(
    operator: Operator, sign: int, k: int, tolerance: float, max_products: int, seed: int
) -> Eigenvalues:
    """The k largest of sign × operator."""
    if not 1 <= k <= operator.size:
        raise RequestError(f"k={k}; expected 1 … {operator.size}, the size of the matrix")
    krylov = Krylov(operator, k, seed=seed)
    before = operator.products
    while True:
        krylov.extend()
        ritz, coefficients = torch.linalg.eigh(krylov.projected)
        outermost = torch.arange(ritz.shape[-1])[:k] if sign < 0 else torch.arange(-1, -k - 1, -1)
        values, coefficients = ritz[..., outermost], coefficients[..., outermost]
        largest = ritz.abs().amax(-1, keepdim=True)
        accepted = tolerance * values.abs().maximum(ZERO * largest)
        chances = missed(krylov, values + sign * accepted, coefficients)
        products = operator.products - before
        known = bool((chances <= MISSED).all())
        if known or krylov.exhausted or products >= max_products:
            break
    rounding = ROUNDING * krylov.asymmetry
    errors = margins(krylov, values, coefficients, MISSED, sign=sign) + rounding[..., None]
    exact = bool((rounding[..., None] <= accepted).all())
    answer = Eigenvalues(
        values, krylov.combined(coefficients), krylov.residuals(coefficients), errors,
        chances, rounding, known and exact, products, operator.examples,
    )  # fmt: skip
    return trusted(answer, operator, tolerance)
