"""Inner products of long vectors, and orthonormal bases of them.

A matrix product in float32 adds up millions of terms in a few accumulators and loses up to a per
cent at ResNet18's eleven million parameters. Added up by pieces in float64, nothing is lost.
"""

from __future__ import annotations

import torch
from torch import Tensor

PIECE = 8192  # terms that are added up in the vectors' own precision


def inner(left: Tensor, right: Tensor) -> Tensor:
    """Inner products of columns, (…, n, m) and (…, n, k) to (…, m, k) float64."""
    total = left.new_zeros(*left.shape[:-2], left.shape[-1], right.shape[-1], dtype=torch.float64)
    pieces = (torch.split(vectors, PIECE, -2) for vectors in (left, right))
    for ours, theirs in zip(*pieces, strict=True):
        total += ours.mT @ theirs
    return total


def power_of_two(block: Tensor) -> Tensor:
    """(…, 1, 1) float64 on the CPU, the order of magnitude of a block's largest entry; 1 for zeros.

    Divided by it, which rounds nothing, a block has squares that its precision can hold.
    """
    largest = torch.linalg.vector_norm(block, torch.inf, dim=(-2, -1), keepdim=True).double().cpu()
    power = largest / (2 * torch.frexp(largest).mantissa)
    return torch.where(largest > 0, power, 1.0).clamp(min=torch.finfo(block.dtype).tiny)


def orthonormal(block: Tensor) -> tuple[Tensor, Tensor]:
    """An orthonormal basis of a block's columns, (…, n, k), and what QR divided by, (…, k, k)."""
    if block.shape[-1] == 1:
        length = inner(block, block).sqrt()
        return block / length.to(block), length.to(block)
    columns, triangle = torch.linalg.qr(block)
    # QR loses as much as a matrix product does; one Cholesky of what is left repairs it.
    factor = torch.linalg.cholesky(inner(columns, columns))
    return columns @ torch.linalg.inv(factor).mT.to(columns), triangle
