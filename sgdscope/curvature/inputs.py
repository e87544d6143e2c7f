"""Hessians of a loss in its inputs, one for each example."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.curvature.operators import (
    CHUNK,
    Loss,
    mean_loss,
    require_evaluation_mode,
    require_examples,
)
from sgdscope.kernels.second_order import TwiceDifferentiable


class InputHessian:
    """Each example's Hessian of its own loss with respect to its own input: N matrices at once.

    ``size`` is the numbers in one input, ``batch`` is (N,). Evaluation mode keeps the examples
    apart, so one pass multiplies all the matrices.

    Args:
        model: a network in evaluation mode.
        inputs: (N, …).
        labels: (N, …).
        loss: the mean over the examples it is given.
        chunk: examples per pass.

    Raises:
        RequestError: the network is in training mode, there are no examples, or the loss is not
            finite.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        *,
        loss: Loss = F.cross_entropy,
        chunk: int = CHUNK,
    ) -> None:
        require_evaluation_mode(model)
        require_examples(inputs, labels)
        self.batch, self.size = (len(inputs),), inputs[0].numel()
        self.examples, self.products = len(inputs), 0
        self.dtype, self.device = inputs.dtype, inputs.device
        self._points: list[Tensor] = []
        self._slopes: list[Tensor] = []
        for few, theirs in zip(torch.split(inputs, chunk), torch.split(labels, chunk), strict=True):
            points = few.detach().clone().requires_grad_()
            with torch.enable_grad(), TwiceDifferentiable():
                total = mean_loss(loss, model(points), theirs) * len(points)
                (slopes,) = torch.autograd.grad(total, points, create_graph=True)
            self._points.append(points)
            self._slopes.append(slopes)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(N, size, k) to (N, size, k)."""
        self.products += vectors.shape[2]
        return torch.stack([self._product(column) for column in vectors.unbind(2)], dim=2)

    def part(self) -> None:
        """None: each matrix is of one example already."""

    def _product(self, vectors: Tensor) -> Tensor:
        """(N, size) to (N, size)."""
        images, first = [], 0
        for points, slopes in zip(self._points, self._slopes, strict=True):
            directions = vectors[first : first + len(points)].view(points.shape)
            (image,) = torch.autograd.grad(
                slopes, points, directions, retain_graph=True, materialize_grads=True
            )
            images.append(image.flatten(1))
            first += len(points)
        return torch.cat(images)
