"""The generalised Gauss–Newton matrix of a mean loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sgdscope.curvature.chunked import Chunked
from sgdscope.curvature.losses import slopes_of
from sgdscope.network import leaves, rebuilt


class GaussNewton(Chunked):
    """The generalised Gauss–Newton matrix: the mean of Jᵀ (∇² of the loss in the outputs) J.

    J is the outputs' Jacobian (Schraudolph 2002). Never negative for a loss convex in the outputs;
    for cross-entropy it is the Fisher matrix. Arguments and errors are those of the base class.
    """

    residual = False

    def _linearise(self, outputs: Any, labels: Tensor, weight: float) -> tuple[Any, ...]:
        rows = [leaf for leaf in leaves(outputs) if leaf.requires_grad]
        ends = [row.detach().requires_grad_() for row in rows]
        moved = iter(ends)
        whole = (next(moved) if leaf.requires_grad else leaf for leaf in leaves(outputs))
        loss = self.loss(rebuilt(outputs, whole), labels) * weight
        slopes = slopes_of(loss, ends, again=True)
        # Jᵀu is linear in u; differentiated by u along v it gives Jv, from graphs that stay.
        probes = [torch.zeros_like(row, requires_grad=True) for row in rows]
        pulled = torch.autograd.grad(
            rows, self.parameters, probes, create_graph=True, materialize_grads=True
        )
        return rows, ends, slopes, probes, pulled

    def _product(self, graph: tuple[Any, ...], vector: Sequence[Tensor]) -> Sequence[Tensor]:
        rows, ends, slopes, probes, pulled = graph
        linear = [(p, v) for p, v in zip(pulled, vector, strict=True) if p.requires_grad]
        if not any(slope.requires_grad for slope in slopes) or not linear:
            return [torch.zeros_like(p) for p in self.parameters]
        pulled, directions = zip(*linear, strict=True)
        pushed = torch.autograd.grad(
            pulled, probes, directions, retain_graph=True, materialize_grads=True
        )
        bent = [(s, m) for s, m in zip(slopes, pushed, strict=True) if s.requires_grad]
        slopes, moved = zip(*bent, strict=True)
        curved = torch.autograd.grad(slopes, ends, moved, retain_graph=True, materialize_grads=True)
        return torch.autograd.grad(
            rows, self.parameters, curved, retain_graph=True, materialize_grads=True
        )
