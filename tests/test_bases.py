"""Inner products and orthonormal bases of vectors with millions of components."""

import torch

from sgdscope.curvature.bases import inner, orthonormal


def test_inner_products_of_long_vectors_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(3_000_001, 2, generator=generator)
    right = left + torch.rand(left.shape, generator=generator)
    exact = left.double().T @ right.double()
    torch.testing.assert_close(inner(left, right), exact, rtol=3e-6, atol=3e-6 * exact.max().item())


def test_basis_of_long_vectors_is_orthonormal() -> None:
    generator = torch.Generator().manual_seed(0)
    block = torch.randn(3_000_001, 2, generator=generator)
    block[:, 1] += 10 * block[:, 0]
    basis, triangle = orthonormal(block)
    gram = basis.double().T @ basis.double()
    torch.testing.assert_close(gram, torch.eye(2, dtype=torch.float64), atol=3e-6, rtol=0)
    assert triangle.shape == (2, 2)


def test_a_batch_of_bases() -> None:
    block = torch.randn(5, 7, 3, dtype=torch.float64)
    basis, _ = orthonormal(block)
    torch.testing.assert_close(inner(basis, basis), torch.eye(3).double().expand(5, 3, 3))
    kept = basis @ inner(basis, block)
    torch.testing.assert_close(kept, block)
