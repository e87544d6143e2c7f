"""Extreme eigenvalues by block Lanczos with full re-orthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.curvature.operators import Operator
from sgdscope.errors import RequestError


@dataclass(frozen=True)
class Eigenvalues:
    """Eigenpairs from one end of a spectrum, the outermost first, and how far to trust them."""

    values: Tensor  # (k,) float64
    vectors: Tensor  # (size, k), of unit length
    residuals: Tensor  # (k,) ‖Av − λv‖: an eigenvalue lies within this of each value
    converged: bool  # every residual is within the tolerance
    products: int
    examples: int


def top_eigenvalues(
    operator: Operator,
    *,
    k: int = 1,
    tolerance: float = 1e-2,
    max_products: int = 100,
    start: Tensor | None = None,
    seed: int = 0,
) -> Eigenvalues:
    """The k largest eigenvalues (algebraically, not by magnitude), largest first.

    A residual r is a guarantee: an eigenvalue lies within r of the value. The error is usually far
    smaller, about r² over the distance to the next eigenvalue (Parlett 1998, §11.7).

    Blocks of k vectors find eigenvalues repeated up to k times. Memory is (size × products)
    numbers.

    Args:
        operator: the matrix.
        k: how many.
        tolerance: largest residual accepted, as a share of the eigenvalue's magnitude.
        max_products: where to stop, converged or not.
        start: (size, k), a guess at the eigenvectors; random if not given.
        seed: of the random vectors.

    Raises:
        RequestError: k is below 1 or above the operator's size, or products are not finite.
    """
    return _extreme(operator, 1, k, tolerance, max_products, start, seed)


def bottom_eigenvalues(
    operator: Operator,
    *,
    k: int = 1,
    tolerance: float = 1e-2,
    max_products: int = 100,
    start: Tensor | None = None,
    seed: int = 0,
) -> Eigenvalues:
    """The k smallest eigenvalues, most negative first; otherwise as :func:`top_eigenvalues`."""
    return _extreme(operator, -1, k, tolerance, max_products, start, seed)


def _extreme(
    operator: Operator,
    sign: int,
    k: int,
    tolerance: float,
    max_products: int,
    start: Tensor | None,
    seed: int,
) -> Eigenvalues:
    """The k largest of sign × operator."""
    if not 1 <= k <= operator.size:
        raise RequestError(f"k={k}; expected 1 … {operator.size}, the size of the matrix")
    krylov = Krylov(operator, k, start=start, seed=seed)
    before = operator.products
    while True:
        krylov.extend()
        values, coefficients = torch.linalg.eigh(sign * krylov.projected)
        values, coefficients = values.flip(0)[:k], coefficients.flip(1)[:, :k]
        residuals = krylov.residuals(coefficients)
        floor = torch.finfo(operator.dtype).eps * krylov.projected.abs().max()
        converged = bool((residuals <= (tolerance * values.abs()).clamp(min=floor)).all())
        products = operator.products - before
        if converged or krylov.exhausted or products >= max_products:
            break
    vectors = krylov.basis @ coefficients.to(operator.dtype)
    return Eigenvalues(sign * values, vectors, residuals, converged, products, operator.examples)


class Krylov:
    """An orthonormal basis of a block Krylov space, and the operator projected on it."""

    def __init__(
        self, operator: Operator, width: int, *, start: Tensor | None = None, seed: int = 0
    ) -> None:
        self.operator = operator
        self._generator = streams.generator(seed, "lanczos")
        if start is None:
            start = self._random(width)
        self._next: Tensor = torch.linalg.qr(start)[0]
        self._blocks: list[Tensor] = []
        self.projected = torch.zeros(0, 0, dtype=torch.float64)  # on the CPU: it is small
        self._coupling = torch.zeros(0, 0, dtype=torch.float64)

    @property
    def basis(self) -> Tensor:
        """(size, m), orthonormal."""
        return torch.cat(self._blocks, dim=1)

    @property
    def exhausted(self) -> bool:
        """Whether the basis spans the whole space, so that nothing is left to find."""
        return self._next.numel() == 0

    def extend(self) -> None:
        """Multiply once by every vector of the newest block and orthonormalise what comes out."""
        block = self._next
        self._blocks.append(block)
        image = self.operator @ block
        if not image.isfinite().all():
            raise RequestError("a product with the matrix is not finite; expected finite numbers")
        width = block.shape[1]
        m = len(self.projected)
        projected = torch.zeros(m + width, m + width, dtype=torch.float64)
        projected[:m, :m] = self.projected
        remainder = image
        for _ in range(2):  # once loses orthogonality to cancellation, twice is enough
            shares = [old.T @ remainder for old in self._blocks]
            remainder = remainder - sum(
                old @ share for old, share in zip(self._blocks, shares, strict=True)
            )
            projected[:, m:] += torch.cat(shares).double().cpu()
        projected[m:, :m] = projected[:m, m:].T
        projected[m:, m:] = (projected[m:, m:] + projected[m:, m:].T) / 2
        self.projected = projected
        self._next = self._orthonormal(remainder, scale=image.norm())
        self._coupling = (self._next.T @ remainder).double().cpu()

    def residuals(self, coefficients: Tensor) -> Tensor:
        """‖Av − λv‖ of the Ritz vectors v = basis × coefficients, (m, k) to (k,)."""
        newest = coefficients[-self._blocks[-1].shape[1] :]
        lengths: Tensor = (self._coupling @ newest).norm(dim=0)
        return lengths

    def _orthonormal(self, block: Tensor, scale: Tensor) -> Tensor:
        """An orthonormal block that holds ``block`` and is orthogonal to the basis.

        Directions in which nothing new came out are replaced by random ones: the Krylov space has
        closed, and the rest of the spectrum, repeated eigenvalues among it, lies outside it.
        """
        room = self.operator.size - len(self.projected)
        block = block[:, :room]
        if room == 0:
            return block
        orthonormal: Tensor
        orthonormal, triangle = torch.linalg.qr(block)
        lost = triangle.diagonal().abs() <= 4 * torch.finfo(block.dtype).eps * scale
        if lost.any():
            fresh = self._random(block.shape[1])
            orthonormal = torch.where(lost, fresh, orthonormal)
        for _ in range(2):
            for old in self._blocks:
                orthonormal = orthonormal - old @ (old.T @ orthonormal)
            orthonormal = torch.linalg.qr(orthonormal)[0]
        return orthonormal

    def _random(self, width: int) -> Tensor:
        operator = self.operator
        draws = torch.randn(operator.size, width, generator=self._generator, dtype=operator.dtype)
        return draws.to(operator.device)
