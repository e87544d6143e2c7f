"""Matrices whose spectrum is known, as operators."""

import torch
from torch import Tensor


class Dense:
    """A matrix, or a batch of them, that is written down."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix, self.size, self.examples, self.products = matrix, matrix.shape[-1], 1, 0
        self.dtype, self.device = matrix.dtype, matrix.device
        self.batch = tuple(matrix.shape[:-2])

    def __matmul__(self, vectors: Tensor) -> Tensor:
        self.products += vectors.shape[-1]
        return self.matrix @ vectors

    def part(self) -> None:
        pass


def with_spectrum(*values: float) -> Dense:
    generator = torch.Generator().manual_seed(1)
    n = len(values)
    basis = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    return Dense(basis * torch.tensor(values, dtype=torch.float64) @ basis.T)
