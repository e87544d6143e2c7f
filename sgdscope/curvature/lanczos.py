"""Extreme eigenvalues by block Lanczos with full re-orthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdscope.curvature.krylov import Krylov
from sgdscope.curvature.operators import Operator, trusted
from sgdscope.errors import RequestError

PATIENCE = 5  # products after which nothing larger has shown itself, from a start that is …
TRUSTED = 0.8  # … not the answer of a part, or gave less than this share of the value at first
PART_PRODUCTS = 30  # with each vector, on a part
NEAR = 0.3  # share of the value within which a part may have mistaken the order of the first two
BESIDE = 0.5  # how much of the second then goes into the start beside the first
WIDEST_GAP = 0.1  # believed, as a share of the value: a start near it hides what is next to it


@dataclass(frozen=True)
class Eigenvalues:
    """Eigenpairs from one end of a spectrum, the outermost first, and how far to trust them."""

    values: Tensor  # (k,) float64, on the CPU; for a batch of matrices (*batch, k)
    vectors: Tensor  # (size, k), of unit length
    residuals: Tensor  # (k,) ‖Av − λv‖: an eigenvalue lies within this of each value
    errors: Tensor  # (k,) estimated from residuals and the gap to the next eigenvalue
    gap: Tensor  # (), (*batch,): estimated, as a share of the k-th value's magnitude
    converged: bool  # every error is within the tolerance
    products: int  # over all the examples, beside those on parts of them that gave the start
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

    A residual r is a guarantee: an eigenvalue lies within r of the value. The error is usually far
    smaller, about r² over the gap to the next eigenvalue (Parlett 1998, §11.7), and that is what is
    held against the tolerance. The gap is itself an estimate.

    Blocks of k vectors find eigenvalues repeated up to k times. Memory is (size × products)
    numbers.

    Args:
        operator: the matrix.
        k: how many.
        tolerance: largest error accepted, as a share of the eigenvalue's magnitude.
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
    start = _in_part(operator, sign, k, tolerance, seed)
    found, _ = _search(operator, sign, k, tolerance, max_products, seed, start)
    return trusted(found, operator, tolerance)


def _search(
    operator: Operator,
    sign: int,
    k: int,
    tolerance: float,
    max_products: int,
    seed: int,
    start: _Start | None,
) -> tuple[Eigenvalues, Tensor]:
    """The answer, and the Ritz vectors that stand close behind it, (size, …).

    A start may by chance hold far less of the first eigenvector than of the second, which then
    looks converged. So unless the start proves to have been near, the answer has to last for some
    products more.
    """
    krylov = Krylov(operator, k, start=None if start is None else start.vectors, seed=seed)
    before = operator.products
    first: Tensor | None = None
    lasted, settled = 0, torch.tensor(-torch.inf, dtype=torch.float64)
    while True:
        krylov.extend()
        ritz, coefficients = torch.linalg.eigh(sign * krylov.projected)
        ritz, coefficients = ritz.flip(-1), coefficients.flip(-1)
        values, residuals = ritz[..., :k], krylov.residuals(coefficients[..., :k])
        gap = _gap(ritz, k, start)
        errors = _errors(values, residuals, gap)
        roundoff = torch.finfo(operator.dtype).eps * krylov.projected.abs().amax((-2, -1))
        accepted = (tolerance * values.abs()).maximum(roundoff[..., None])
        risen = bool((values > settled + accepted).any())
        lasted, settled = (0, values) if risen else (lasted + 1, settled)
        small = bool((errors <= accepted).all()) and values.shape[-1] == k
        first = values if first is None else first
        near = start is not None and bool((first >= TRUSTED * values).all())
        converged = small and (near or lasted >= PATIENCE or krylov.exhausted)
        products = operator.products - before
        if converged or krylov.exhausted or products >= max_products:
            break
    vectors = krylov.combined(coefficients[..., :k])
    close = (ritz[..., k:] >= ritz[..., k - 1 : k] - NEAR * ritz[..., k - 1 : k].abs()).sum()
    behind = krylov.combined(coefficients[..., k : k + min(int(close), k)])
    answer = Eigenvalues(
        sign * values, vectors, residuals, errors, gap, converged, products, operator.examples
    )
    return answer, behind


@dataclass(frozen=True)
class _Start:
    """Where to start, and how far the next eigenvalue is from there."""

    vectors: Tensor  # (size, k)
    gap: Tensor


def _in_part(operator: Operator, sign: int, k: int, tolerance: float, seed: int) -> _Start | None:
    """The answer for a part of the operator, whose graphs are gone when this returns.

    Mixed into it are vectors that stand so close behind that the whole may rank them higher: a
    start without them might take many products to show that it is the wrong one.
    """
    part = operator.part()
    if part is None:
        return None
    found, behind = _search(part, sign, k, tolerance, PART_PRODUCTS * k, seed, None)
    vectors = found.vectors.clone()
    vectors[..., k - behind.shape[-1] :] += BESIDE * behind
    return _Start(vectors, found.gap)


def _gap(ritz: Tensor, k: int, start: _Start | None) -> Tensor:
    """How far the spectrum's rest is below the k-th value, as a share of its magnitude, (*batch,).

    Ritz values beyond the k-th are below the eigenvalues that they tend to, so the gap is no more
    than it looks. A smaller one that the part has shown is believed, an especially wide one never.
    """
    widest = torch.full(ritz.shape[:-1], WIDEST_GAP, dtype=ritz.dtype)
    if ritz.shape[-1] > k:
        edge = ritz[..., k - 1]
        widest = widest.minimum((edge - ritz[..., k]) / edge.abs().clamp(min=_tiny(ritz)))
    return widest if start is None else widest.minimum(start.gap)


def _errors(values: Tensor, residuals: Tensor, gap: Tensor) -> Tensor:
    """Estimated errors, (*batch, k): the residual, or about its square over the gap."""
    square = residuals.square().sum(-1, keepdim=True)
    distance = (gap * values[..., -1].abs()).clamp(min=_tiny(values))
    return residuals.minimum(square / distance[..., None])


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny
