"""Sharpness-aware minimisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sgdscope.methods.base import METHODS, Batch, Method, Pass
from sgdscope.settings import Positive

SMALL = 1e-12  # below this length, squares that float32 cannot hold may count
TINY = 1e-37  # so that a gradient of length zero moves nothing


@METHODS.add("sam")
class Sam(Method):
    """Each update of w follows the gradient at w + ρ·g/‖g‖ (Foret et al. 2021).

    Both passes draw the same numbers from torch, so dropout masks are the same; running moments of
    batch normalisation follow the first.
    """

    symbols = {"rho": "ρ"}
    source = "Foret, Kleiner, Mobahi and Neyshabur 2021, arXiv 2010.01412"
    helps = "flatter minima, as small batches find"
    cost = "twice the passes"

    rho: Positive = 0.05

    def gradients(self, batch: Batch) -> Pass:
        """The gradients at the worst nearby weights, to first order; the weights are unchanged."""
        device = batch.images.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            found = self.loss(batch)
            found.loss.backward()  # type: ignore[no-untyped-call]
        moved = [p for p in batch.network.parameters() if p.grad is not None]
        gradients = [p.grad for p in moved if p.grad is not None]
        norm = _length(gradients).clamp_min(TINY)
        changing = [*moved, *batch.network.buffers()]
        before = [tensor.detach().clone() for tensor in changing]
        with torch.no_grad():
            for parameter, gradient in zip(moved, gradients, strict=True):
                parameter.add_(gradient * (self.rho / norm))
                parameter.grad = None
        self.loss(batch).loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for tensor, value in zip(changing, before, strict=True):
                tensor.copy_(value)
        return found


def _length(gradients: Sequence[Tensor]) -> Tensor:
    """Their joint length, ().

    Float64 takes a CPU twenty times as long, so there it is used only where it matters; on a GPU
    always, since asking would wait for it.
    """
    length: Tensor = torch.stack([g.norm() for g in gradients]).norm()
    if length.device.type != "cpu" or length <= SMALL:
        exact = [torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients]
        length = torch.stack(exact).norm()
    return length
