"""The Hessian of a mean loss in a network's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sgdscope.curvature.chunked import Chunked
from sgdscope.network import outside_inference


class Hessian(Chunked):
    """The Hessian of the mean loss: H = ∇²L. Arguments and errors are those of the base class."""

    residual = True

    def _linearise(self, outputs: Any, labels: Tensor, weight: float) -> list[Tensor]:
        loss = self.loss(outputs, labels) * weight
        return list(
            torch.autograd.grad(loss, self.parameters, create_graph=True, materialize_grads=True)
        )

    @outside_inference()
    def gradient(self) -> Tensor:
        """The mean loss's gradient, (size,)."""
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for first in range(0, self.examples, self.chunk):
            graph = self._graph(first)
            shares = graph if self._coupled is None else self._coupled.gradient(graph)
            for whole, share in zip(self._shaped(total), shares, strict=True):
                whole += share.detach()
        return total

    def _product(self, graph: list[Tensor], vector: Sequence[Tensor]) -> Sequence[Tensor]:
        curved = [(g, v) for g, v in zip(graph, vector, strict=True) if g.requires_grad]
        if not curved:
            return [torch.zeros_like(p) for p in self.parameters]
        gradients, directions = zip(*curved, strict=True)
        return torch.autograd.grad(
            gradients, self.parameters, directions, retain_graph=True, materialize_grads=True
        )
