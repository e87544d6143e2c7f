"""Whether products are those of a symmetric matrix: uᵀHv = vᵀHu."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.curvature.bases import inner

VECTORS = 3
NOTABLE = 1e-3  # share of a product above which a difference is not float32 rounding


def asymmetry(
    product: Callable[[Tensor], Tensor], size: int, dtype: torch.dtype, device: torch.device
) -> float:
    """About ‖H − Hᵀ‖ / ‖H‖, from the products with three random vectors; 0 … 1 or so.

    A layer whose second derivative is wrong shows up here, and so does rounding.

    Args:
        product: (size,) to (size,).
        size: of the vectors.
        dtype: theirs.
        device: theirs.
    """
    generator = streams.generator(0, "symmetry")
    draws = torch.randn(VECTORS, size, generator=generator, dtype=dtype).to(device)
    pairs = [(vector[:, None], product(vector)[:, None]) for vector in draws]
    scale = sum(image.double().norm().item() for _, image in pairs) / VECTORS
    differences = [
        abs((inner(u, image_of_v) - inner(v, image_of_u)).item())
        for (u, image_of_u), (v, image_of_v) in combinations(pairs, 2)
    ]
    return max(differences) / scale if scale > 0 else 0.0


def asymmetry_flag(uneven: float, noise: float) -> list[str]:
    """A flag, if rounding of known size does not explain the asymmetry."""
    if uneven <= max(NOTABLE, 4 * noise):
        return []
    return [
        f"products with the matrix are not symmetric: uᵀHv and vᵀHu differ by {uneven:.2g} of a "
        "product; a layer of the network, or the loss, has a wrong second derivative"
    ]
