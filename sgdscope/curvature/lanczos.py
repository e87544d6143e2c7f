"""Extreme eigenvalues by block Lanczos with full re-orthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.curvature.bases import inner, orthonormal
from sgdscope.curvature.operators import Operator
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
    return found


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
    vectors = krylov.basis @ coefficients[..., :k].to(krylov.basis)
    close = (ritz[..., k:] >= ritz[..., k - 1 : k] - NEAR * ritz[..., k - 1 : k].abs()).sum()
    behind = krylov.basis @ coefficients[..., k : k + min(int(close), k)].to(krylov.basis)
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


class Krylov:
    """An orthonormal basis of a block Krylov space, and the operator projected on it.

    Args:
        operator: a matrix, or a batch of them, each with a basis of its own.
        width: vectors in a block.
        start: (*batch, size, width), the first block before it is made orthonormal; random if not
            given.
        seed: of the random vectors.
    """

    def __init__(
        self, operator: Operator, width: int, *, start: Tensor | None = None, seed: int = 0
    ) -> None:
        self.operator = operator
        self._generator = streams.generator(seed, "lanczos")
        self._next, _ = orthonormal(self._random(width) if start is None else start)
        self._rows = self._next.mT[..., :0, :].contiguous()  # (*batch, capacity, size)
        # What is small is kept in float64 on the CPU.
        self.projected = torch.zeros(*operator.batch, 0, 0, dtype=torch.float64)
        self._coupling = self.projected

    @property
    def basis(self) -> Tensor:
        """(*batch, size, m), orthonormal."""
        basis: Tensor = self._rows[..., : self.projected.shape[-1], :].mT
        return basis

    @property
    def exhausted(self) -> bool:
        """Whether the basis spans the whole space, so that nothing is left to find."""
        return self._next.numel() == 0

    def extend(self) -> None:
        """Multiply once by every vector of the newest block and orthonormalise what comes out."""
        image = self.operator @ self._next
        lengths = image.norm(dim=(-2, -1))
        if not lengths.isfinite().all():
            raise RequestError("a product with the matrix is not finite; expected finite numbers")
        self._append(self._next)
        remainder, shares = self._without_basis(image, self.projected.shape[-1] + image.shape[-1])
        self.projected = _bordered(self.projected, shares.cpu())
        self._next = self._orthonormal(remainder, scale=lengths[..., None])
        self._coupling = inner(self._next, remainder).cpu()

    def residuals(self, coefficients: Tensor) -> Tensor:
        """‖Av − λv‖ of the Ritz vectors v = basis × coefficients, (*batch, m, k) to (*batch, k)."""
        newest = coefficients[..., -self._coupling.shape[-1] :, :]
        lengths: Tensor = (self._coupling @ newest).norm(dim=-2)
        return lengths

    def _append(self, block: Tensor) -> None:
        """Put a block at the end of the basis, in storage that doubles when it is full."""
        used, capacity = self.projected.shape[-1], self._rows.shape[-2]
        needed = used + block.shape[-1]
        if needed > capacity:
            grown = block.new_empty(*block.shape[:-2], max(needed, 2 * capacity), block.shape[-2])
            grown[..., :used, :] = self._rows[..., :used, :]
            self._rows = grown
        self._rows[..., used:needed, :] = block.mT

    def _without_basis(self, block: Tensor, columns: int) -> tuple[Tensor, Tensor]:
        """What of a block is orthogonal to the basis's first columns, and its shares of them.

        Cancellation spoils what is taken away at once. Of a product nearly all lies in the two
        newest blocks; without these first, what is left to take from it is small.
        """
        basis = self._rows[..., :columns, :].mT
        newest = basis[..., -2 * block.shape[-1] :]
        most = inner(newest, block)
        block = block - newest @ most.to(block)
        shares = inner(basis, block)
        block = block - basis @ shares.to(block)
        shares[..., -newest.shape[-1] :, :] += most
        return block, shares

    def _orthonormal(self, block: Tensor, scale: Tensor) -> Tensor:
        """An orthonormal block that holds ``block`` and is orthogonal to the basis.

        Directions in which nothing new came out are replaced by random ones: the Krylov space has
        closed, and the rest of the spectrum, repeated eigenvalues among it, lies outside it.

        Args:
            block: without its shares of the basis.
            scale: lengths of what it was before.
        """
        block = block[..., : self.operator.size - self.projected.shape[-1]]
        if block.shape[-1] == 0:
            return block
        columns, triangle = orthonormal(block)
        lost = triangle.diagonal(dim1=-2, dim2=-1).abs() <= 4 * torch.finfo(block.dtype).eps * scale
        if lost.any():
            columns = torch.where(lost[..., None, :], self._random(block.shape[-1]), columns)
            columns, _ = self._without_basis(columns, self.projected.shape[-1])
        elif block.shape[-1] == 1:
            return columns
        # Dividing by what is left of a column magnifies its share of the basis.
        return orthonormal(self._without_basis(columns, self.projected.shape[-1])[0])[0]

    def _random(self, width: int) -> Tensor:
        operator = self.operator
        shape = (*operator.batch, operator.size, width)
        draws = torch.randn(shape, generator=self._generator, dtype=operator.dtype)
        return draws.to(operator.device)


def _bordered(projected: Tensor, shares: Tensor) -> Tensor:
    """The projected matrix with a block more: its newest columns, mirrored into rows."""
    m, width = projected.shape[-1], shares.shape[-1]
    whole = torch.zeros(*shares.shape[:-2], m + width, m + width, dtype=shares.dtype)
    whole[..., :m, :m] = projected
    whole[..., m:] = shares
    whole[..., m:, :m] = shares[..., :m, :].mT
    corner = shares[..., m:, :]
    whole[..., m:, m:] = (corner + corner.mT) / 2
    return whole
