"""Extreme eigenvalues by block Lanczos with full re-orthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdscope.arguments import positive, whole
from sgdscope.curvature.krylov import Krylov
from sgdscope.curvature.missed import margins, missed
from sgdscope.curvature.operators import Operator, trusted
from sgdscope.errors import RequestError

MISSED = 1e-5  # probability up to which it is neglected that a larger one was missed
ROUNDING = 4  # errors of a value that are expected, in largest asymmetries
CLOSE = 0.1  # of a value: where the next eigenvalue may stand, though no Ritz value is there yet
NEAR = 3  # Ritz vectors that are kept to lean on
ZERO = 1e-6  # of the largest magnitude: a smaller value is held to the tolerance of this share


@dataclass(frozen=True)
class Eigenvalues:
    """Eigenpairs from one end of a spectrum, outermost first, and how far they can be trusted."""

    values: Tensor  # (k,) float64, on the CPU; for a batch of matrices (*batch, k)
    vectors: Tensor  # (size, k), of unit length
    residuals: Tensor  # (k,) ‖Av − λv‖: an eigenvalue lies within this of each value
    errors: Tensor  # (k,) the true one lies within this beyond the value, but for a chance of 1e-5
    missed: Tensor  # (k,) bound on the chance that it lies further away than the tolerance
    rounding: Tensor  # (), (*batch,): what the products' rounding may have done to a value
    converged: bool  # every error, rounding included, is within the tolerance
    settled: (
        bool  # an eigenvalue, perhaps not the outermost, lies within the tolerance of the first
    )
    products: int
    examples: int
    near: Tensor  # (size, j), those and the next vectors: where to look when the matrix has changed
    flags: tuple[str, ...] = ()  # reasons in the network or the matrix not to trust them


def top_eigenvalues(
    operator: Operator,
    *,
    k: int = 1,
    tolerance: float = 1e-3,
    max_products: int = 100,
    seed: int = 0,
    near: Tensor | None = None,
) -> Eigenvalues:
    """The k largest eigenvalues (algebraically, not by magnitude), largest first.

    A Ritz value never lies beyond the eigenvalue that it approximates. The random start shows that
    no eigenvalue lies further out than the tolerance (:mod:`~sgdscope.curvature.missed`), except
    with a probability of at most 1e-5; symmetry shows that products are exact enough. A residual r
    gives another guarantee: some eigenvalue lies within r of the value.

    Blocks of k vectors find eigenvalues repeated up to k times. Memory is (size × products)
    numbers.

    Args:
        operator: the matrix.
        k: how many.
        tolerance: largest error accepted, as a share of the eigenvalue's magnitude, or of a
            millionth of the largest magnitude met if that is more.
        max_products: where to stop, converged or not.
        seed: of the random start.
        near: (size, j), the field ``near`` of a slightly different matrix. Products then end
            once the value has settled: by Kato and Temple an eigenvalue lies within the tolerance.
            Whether it is the largest is unknown, unless ``converged`` says so; ``errors`` says
            how far beyond it another may lie. For k = 1.

    Raises:
        RequestError: k exceeds the operator's size, a count is no whole number from 1 or the
            tolerance no number above 0, or products are not finite.
    """
    return _extreme(operator, 1, k, tolerance, max_products, seed, near)


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
    operator: Operator, sign: int, k: int, tolerance: float, max_products: int, seed: int,
    near: Tensor | None = None,
) -> Eigenvalues:  # fmt: skip
    """The k largest of sign × operator."""
    positive("tolerance", tolerance)
    whole("max_products", max_products)
    if whole("k", k) > operator.size:
        raise RequestError(f"k = {k}; expected at most {operator.size}, the size of the matrix")
    krylov = Krylov(operator, k, seed=seed, near=near)
    before = operator.products
    while True:
        krylov.extend()
        ritz, vectors = torch.linalg.eigh(krylov.projected)
        if sign > 0:
            ritz, vectors = ritz.flip(-1), vectors.flip(-1)  # the outermost first
        values, coefficients = ritz[..., :k], vectors[..., :k]
        largest = ritz.abs().amax(-1, keepdim=True)
        accepted = tolerance * values.abs().maximum(ZERO * largest)
        chances = missed(krylov, values + sign * accepted, coefficients)
        products = operator.products - before
        known = bool((chances <= MISSED).all())
        settled = _settled(krylov, ritz, coefficients, accepted)
        if known or (settled and near is not None) or krylov.exhausted or products >= max_products:
            break
    rounding = ROUNDING * krylov.asymmetry
    errors = margins(krylov, values, coefficients, MISSED, sign=sign) + rounding[..., None]
    exact = bool((rounding[..., None] <= accepted).all())
    answer = Eigenvalues(
        values, krylov.combined(coefficients), krylov.residuals(coefficients), errors,
        chances, rounding, known and exact, settled and exact, products, operator.examples,
        krylov.combined(vectors[..., : max(k, NEAR)]),
    )  # fmt: skip
    return trusted(answer, operator, tolerance)


def _settled(krylov: Krylov, ritz: Tensor, coefficients: Tensor, accepted: Tensor) -> bool:
    """Whether the outermost Ritz value is as near to an eigenvalue as is accepted.

    A residual r leaves at most r² over the distance to the next eigenvalue (Kato 1949, Temple
    1928), for which the next Ritz value stands, or one that is close and not seen yet.
    """
    if ritz.shape[-1] < 2:
        return False
    gap = (ritz[..., 0] - ritz[..., 1]).abs().minimum(CLOSE * ritz[..., 0].abs())
    return bool((krylov.residuals(coefficients)[..., 0].square() <= accepted[..., 0] * gap).all())
