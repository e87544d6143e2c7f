"""The generalised Gauss–Newton matrix of a mean loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sgdscope.curvature.chunked import Chunked


class GaussNewton(Chunked):
    """The generalised Gauss–Newton matrix: the mean of Jᵀ (∇² of the loss in the outputs) J.

    J is the outputs' Jacobian (Schraudolph 2002). Never negative for a loss convex in the outputs;
    for cross-entropy it is the Fisher matrix. Arguments and errors are those of its base.
    """

    def _linearise(self, outputs: Tensor, labels: Tensor, weight: float) -> tuple[Any, ...]:
        ends = outputs.detach().requires_grad_()
        loss = self._mean_loss(ends, labels) * weight
        (slope,) = torch.autograd.grad(loss, ends, create_graph=True)
        # Jᵀu is linear in u; differentiated by u along v it gives Jv, from graphs that stay.
        probe = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(
            outputs, self.parameters, probe, create_graph=True, materialize_grads=True
        )
        return outputs, ends, slope, probe, pulled

    def _product(self, graph: tuple[Any, ...], vector: Sequence[Tensor]) -> Sequence[Tensor]:
        outputs, ends, slope, probe, pulled = graph
        if not slope.requires_grad:
            return [torch.zeros_like(p) for p in self.parameters]
        linear = [(p, v) for p, v in zip(pulled, vector, strict=True) if p.requires_grad]
        pulled, directions = zip(*linear, strict=True)
        (pushed,) = torch.autograd.grad(pulled, probe, directions, retain_graph=True)
        (curved,) = torch.autograd.grad(slope, ends, pushed, retain_graph=True)
        return torch.autograd.grad(
            outputs, self.parameters, curved, retain_graph=True, materialize_grads=True
        )
