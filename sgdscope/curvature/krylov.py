"""Krylov spaces: the span of repeated products of a matrix with a start vector."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from sgdscope import streams
from sgdscope.curvature.bases import inner, orthonormal, power_of_two
from sgdscope.curvature.operators import Operator
from sgdscope.errors import RequestError

SHELF = 8  # blocks that memory is taken for at a time
KEPT = 0.5  # share of its length that a vector keeps when it is orthogonal to the basis already, …
PASSES = 4  # … or is made so again, at most so often
LEAN = 0.1  # how much of a random start's length a start lies along each vector that it leans to
NOISE = 32  # a remainder below this × the dtype's epsilon × the longest product is rounding


class Krylov:
    """An orthonormal basis of a block Krylov space, and the operator projected on it.

    Args:
        operator: a matrix, or a batch of them, each with a basis of its own.
        width: vectors in a block.
        seed: of the random start, normally distributed.
        near: (size, j), orthonormal, that the start leans to: its variance along them is larger,
            and nowhere smaller, so that what follows from its being random still does.
    """

    def __init__(
        self, operator: Operator, width: int, *, seed: int = 0, near: Tensor | None = None
    ) -> None:
        self.operator = operator
        self._generator = streams.generator(seed, "lanczos")
        start = self._random(width)
        if near is not None:
            draws = torch.randn(near.shape[-1], width, generator=self._generator).to(start)
            start = start + LEAN * operator.size**0.5 * near.to(start) @ draws
        self._next, triangle = orthonormal(start)
        # What is small is kept in float64 on the CPU.
        self.start = triangle.double().cpu()  # (*batch, width, width), in terms of the first block
        self._width = width
        self._shelves: list[Tensor] = []  # (*batch, SHELF × width, size), filled in turn
        self.projected = torch.zeros(*operator.batch, 0, 0, dtype=torch.float64)
        self.coupling = self.projected  # (*batch, next, m): the next block × operator × the basis
        self._remainder = self.projected  # (*batch, newest, newest), inner products
        self._scale: Tensor | None = None  # (*batch, 1, 1), the first product's; divides them all
        self._longest = torch.zeros(*operator.batch, 1, dtype=operator.dtype).to(operator.device)
        self._asymmetries = torch.zeros(*operator.batch, 0, dtype=torch.float64)

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
        if self._scale is None:
            self._scale = power_of_two(image)
        scale, image = self._scale, image / self._scale.to(image)
        lengths = image.norm(dim=-2)
        if not lengths.isfinite().all():
            raise RequestError("a product with the matrix is not finite; expected finite numbers")
        self._longest = self._longest.maximum(lengths.amax(-1, keepdim=True))
        before = self.projected.shape[-1]
        self._append(self._next)
        remainder, shares = self._without_basis(image, before + image.shape[-1])
        shares *= scale
        if before:
            differences = shares[..., :before, :] - self.coupling.mT
            self._asymmetries = torch.cat([self._asymmetries, differences.flatten(-2)], -1)
        self.projected = _bordered(self.projected, shares)
        self._next = self._orthonormal(remainder)
        self._remainder = scale.square() * inner(remainder, remainder).cpu()
        self.coupling = pad(scale * inner(self._next, remainder).cpu(), (before, 0))

    @property
    def asymmetry(self) -> Tensor:
        """The largest |uᵀAv − vᵀAu| of vectors of the basis, (*batch,): rounding, or a wrong A."""
        return pad(self._asymmetries, (1, 0)).abs().amax(-1)

    def residuals(self, coefficients: Tensor) -> Tensor:
        """‖Av − λv‖ of the Ritz vectors v = basis × coefficients, (*batch, m, k) to (*batch, k).

        Includes rounding: each component of a product is off by about as much as uᵀAv and vᵀAu
        differ, and there are as many components as the vectors have.
        """
        newest = coefficients[..., -self._remainder.shape[-1] :, :]
        square = (newest * (self._remainder @ newest)).sum(-2).clamp(min=0)
        variance = self._asymmetries.square().sum(-1) / (2 * max(1, self._asymmetries.shape[-1]))
        return (square + self.operator.size * variance[..., None]).sqrt()

    def _append(self, block: Tensor) -> None:
        """Append a block to the basis."""
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

        The block is changed in place.
        Cancellation spoils what is taken away at once. Of a product nearly all lies in the two
        newest blocks; without these first, what is left to take from it is small. Where it is not
        (the Krylov space closes), it is done again (Daniel, Gragg, Kaufman, Stewart 1976).
        """
        total = torch.zeros(*block.shape[:-2], columns, block.shape[-1], dtype=torch.float64)
        self._take_away(block, max(0, columns - 2 * self._width), total)
        for _ in range(PASSES):
            before = block.norm(dim=-2)
            self._take_away(block, 0, total)
            if (block.norm(dim=-2) >= KEPT * before).all():
                break
        return block, total

    def _take_away(self, block: Tensor, first: int, total: Tensor) -> None:
        """Subtract a block's shares of the basis's columns from ``first``; add them to a total."""
        parts = self._parts(first, total.shape[-2])
        shares = [(which, part, inner(part, block)) for which, part in parts]
        for which, part, share in shares:
            block -= part @ share.to(block)
            total[..., which, :] += share.cpu()

    def _orthonormal(self, remainder: Tensor) -> Tensor:
        """An orthonormal block that contains the remainder and is orthogonal to the basis.

        Directions in which nothing new came out are replaced by random ones: the Krylov space has
        closed, and the rest of the spectrum, repeated eigenvalues among it, lies outside it.
        """
        size = self.projected.shape[-1]
        block = remainder[..., : self.operator.size - size]
        if block.shape[-1] == 0:
            return block
        columns, triangle = orthonormal(block)
        noise = NOISE * torch.finfo(block.dtype).eps * self._longest
        lost = triangle.diagonal(dim1=-2, dim2=-1).abs() <= noise
        if lost.any():
            columns = torch.where(lost[..., None, :], self._random(block.shape[-1]), columns)
        elif block.shape[-1] == 1:
            return columns
        # Dividing by what is left of a column magnifies its share of the basis.
        for _ in range(2):
            columns = orthonormal(self._without_basis(columns, size)[0])[0]
        return columns

    def _random(self, width: int) -> Tensor:
        operator = self.operator
        shape = (*operator.batch, operator.size, width)
        draws = torch.randn(shape, generator=self._generator, dtype=operator.dtype)
        return draws.to(operator.device)


def _bordered(projected: Tensor, shares: Tensor) -> Tensor:
    """The projected matrix with one more block: its newest columns, mirrored into rows."""
    m, width = projected.shape[-1], shares.shape[-1]
    whole = torch.zeros(*shares.shape[:-2], m + width, m + width, dtype=shares.dtype)
    whole[..., :m, :m] = projected
    whole[..., m:] = shares
    whole[..., m:, :m] = shares[..., :m, :].mT
    corner = shares[..., m:, :]
    whole[..., m:, m:] = (corner + corner.mT) / 2
    return whole
