"""Hessians of a loss in its inputs, one for each example."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.arguments import whole
from sgdscope.curvature.losses import ExampleLoss
from sgdscope.curvature.operators import (
    CHUNK,
    Examples,
    Loss,
    differentiating,
    refuse_severed,
    require_examples,
)
from sgdscope.curvature.symmetry import asymmetry, asymmetry_flag
from sgdscope.errors import RequestError
from sgdscope.kernels.second_order import twice_differentiable
from sgdscope.network import outside_inference


class InputHessian:
    """Each example's Hessian of its own loss with respect to its own input: N matrices at once.

    ``size`` is the numbers in one input, ``batch`` is (N,). Evaluation mode keeps the examples
    apart, so one pass multiplies all the matrices.

    Args:
        model: a network in evaluation mode.
        inputs: (N, …), floating point.
        labels: (N, …).
        loss: of outputs and labels, one number; each example's is that of it alone.
        chunk: examples per pass.

    Raises:
        RequestError: the network is in training mode or has layers that cannot be differentiated
            twice, there are no examples, or the loss is not finite.
    """

    @outside_inference()
    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        *,
        loss: Loss = F.cross_entropy,
        chunk: int = CHUNK,
    ) -> None:
        slopes = InputSlopes(model, inputs, labels, loss=loss, chunk=chunk)
        self.batch, self.size = (len(inputs),), inputs[0].numel()
        self.examples, self.products = len(inputs), 0
        self.dtype = torch.promote_types(inputs.dtype, torch.float32)
        self.device = inputs.device
        with differentiating(), twice_differentiable():
            self._points, self._slopes = slopes.all(again=True)
            refuse_severed(self._slopes[:1])
        uneven = asymmetry(self._sampled, self._points[0].numel(), self.dtype, self.device)
        self.noise = max(slopes.noise, uneven)
        self.flags = (*slopes.flags, *asymmetry_flag(uneven, slopes.noise))

    @outside_inference()
    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(N, size, k) to (N, size, k)."""
        self.products += vectors.shape[2]
        vectors = vectors.clone() if vectors.is_inference() else vectors
        with differentiating():
            return torch.stack([self._product(column) for column in vectors.unbind(2)], dim=2)

    def part(self) -> None:
        """None: each matrix belongs to a single example already."""

    def _product(self, vectors: Tensor) -> Tensor:
        """(N, size) to (N, size)."""
        images, first = [], 0
        for place, points in enumerate(self._points):
            images.append(self._of_chunk(place, vectors[first : first + len(points)]))
            first += len(points)
        return torch.cat(images)

    def _of_chunk(self, place: int, vectors: Tensor) -> Tensor:
        """A chunk's products, (n, size) to (n, size)."""
        points, slopes = self._points[place], self._slopes[place]
        if not slopes.requires_grad:
            return torch.zeros_like(vectors)
        (image,) = torch.autograd.grad(
            slopes, points, vectors.view(points.shape).to(slopes),
            retain_graph=True, materialize_grads=True,
        )  # fmt: skip
        return image.flatten(1).to(self.dtype)

    def _sampled(self, vector: Tensor) -> Tensor:
        """The products of the first chunk, its matrices treated as the blocks of one."""
        with differentiating():
            return self._of_chunk(0, vector.view(len(self._points[0]), -1)).flatten()


class InputSlopes:
    """Each example's gradient of its own loss in its own input, chunk by chunk.

    Arguments and errors are those of :class:`InputHessian`.
    """

    def __init__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, *, loss: Loss, chunk: int
    ) -> None:
        require_examples(inputs, labels)
        if not inputs.is_floating_point():
            raise RequestError(
                f"inputs are {inputs.dtype}; expected floating point, which can be differentiated"
            )
        self._loss, self._chunk = ExampleLoss(loss), whole("chunk", chunk)
        self._examples = Examples(model, inputs, labels, ignored=self._loss.ignored)
        with torch.no_grad():
            sample = self._outputs(self._examples.inputs[:chunk])
        self._is_mean = self._loss.is_mean(sample, self._examples.labels)
        self.noise = torch.inf if self._loss.flags else self._examples.noise
        self.flags = [*self._examples.flags, *self._loss.flags]

    def all(self, *, again: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Inputs and their gradients, a chunk (n, …) each; with a graph, to differentiate again."""
        points, slopes = [], []
        inputs = torch.split(self._examples.inputs, self._chunk)
        labels = torch.split(self._examples.labels, self._chunk)
        for few, theirs in zip(inputs, labels, strict=True):
            points.append(few.clone().requires_grad_())
            outputs = self._outputs(points[-1])
            total = self._loss.sum_of_each(outputs, theirs, is_mean=self._is_mean)
            slopes.append(self._slope(total, points[-1], again=again))
        return points, slopes

    def _outputs(self, inputs: Tensor) -> Any:
        return self._loss.taken(self._examples.network(inputs))

    def _slope(self, total: Tensor, points: Tensor, *, again: bool) -> Tensor:
        if not total.requires_grad:  # the flags say that no gradient reaches the inputs
            return torch.zeros_like(points)
        (slope,) = torch.autograd.grad(total, points, create_graph=again, materialize_grads=True)
        return slope
