"""Krylov spaces: what a matrix makes of a start, product by product."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.curvature.bases import inner, orthonormal
from sgdscope.curvature.operators import Operator
from sgdscope.errors import RequestError

SHELF = 8  # blocks that memory is taken for at a time


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
        self._width = width
        self._shelves: list[Tensor] = []  # (*batch, SHELF × width, size), filled in turn
        # What is small is kept in float64 on the CPU.
        self.projected = torch.zeros(*operator.batch, 0, 0, dtype=torch.float64)
        self._coupling = self.projected

    def combined(self, coefficients: Tensor) -> Tensor:
        """The basis's columns put together, (*batch, m, j) to (*batch, size, j)."""
        shape = (*coefficients.shape[:-2], self.operator.size, coefficients.shape[-1])
        total = self._next.new_zeros(shape)
        for which, part in self._parts(0, coefficients.shape[-2]):
            total += part @ coefficients[..., which, :].to(part)
        return total

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
        self.projected = _bordered(self.projected, shares)
        self._next = self._orthonormal(remainder, scale=lengths[..., None])
        self._coupling = inner(self._next, remainder).cpu()

    def residuals(self, coefficients: Tensor) -> Tensor:
        """‖Av − λv‖ of the Ritz vectors v = basis × coefficients, (*batch, m, k) to (*batch, k)."""
        newest = coefficients[..., -self._coupling.shape[-1] :, :]
        lengths: Tensor = (self._coupling @ newest).norm(dim=-2)
        return lengths

    def _append(self, block: Tensor) -> None:
        """Put a block at the end of the basis."""
        used = self.projected.shape[-1] % (SHELF * self._width)
        if used == 0:
            shape = (*block.shape[:-2], SHELF * self._width, block.shape[-2])
            self._shelves.append(block.new_empty(shape))
        self._shelves[-1][..., used : used + block.shape[-1], :] = block.mT

    def _parts(self, first: int, last: int) -> Iterator[tuple[slice, Tensor]]:
        """Columns of the basis, shelf by shelf: which they are, and (*batch, size, …)."""
        full = SHELF * self._width
        for number, rows in enumerate(self._shelves):
            low, high = max(first - number * full, 0), min(last - number * full, full)
            if low < high:
                yield slice(number * full + low, number * full + high), rows[..., low:high, :].mT

    def _without_basis(self, block: Tensor, columns: int) -> tuple[Tensor, Tensor]:
        """What of a block is orthogonal to the basis's first columns, and its shares of them.

        Cancellation spoils what is taken away at once. Of a product nearly all lies in the two
        newest blocks; without these first, what is left to take from it is small.
        """
        block = block.clone()
        total = torch.zeros(*block.shape[:-2], columns, block.shape[-1], dtype=torch.float64)
        for first in (max(0, columns - 2 * self._width), 0):
            shares = [(w, part, inner(part, block)) for w, part in self._parts(first, columns)]
            for which, part, share in shares:
                block -= part @ share.to(block)
                total[..., which, :] += share.cpu()
        return block, total

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
