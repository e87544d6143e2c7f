"""The symmetric matrices whose curvature is asked for, known by their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.errors import RequestError

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, labels) → their mean loss, ()

CHUNK = 200  # examples per pass
MEMORY = 2 * 2**30  # bytes of first-order graphs kept between products


class Operator(Protocol):
    """A symmetric matrix, (size, size), of a mean loss over ``examples`` examples."""

    size: int
    examples: int
    products: int  # with one vector each, since the operator was made
    dtype: torch.dtype
    device: torch.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(size, k) to (size, k)."""


class Hessian:
    """The Hessian of the mean loss with respect to the parameters that require a gradient.

    The sum over chunks is divided once by the number of examples, so any chunk size gives the same
    matrix. The gradient's graph is kept from one product to the next, as far as ``memory`` allows:
    a product is then one backward pass through it, about twice the cost of a gradient.

    Args:
        model: a network in evaluation mode.
        inputs: (N, …).
        labels: (N, …).
        loss: mean over the examples it is given, as torch's losses are.
        chunk: examples per pass.
        memory: bytes of graph kept between products; beyond it graphs are rebuilt each time.

    Raises:
        RequestError: the network is in training mode or has nothing to differentiate by, there are
            no examples, or the loss is not finite.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        *,
        loss: Loss = F.cross_entropy,
        chunk: int = CHUNK,
        memory: int = MEMORY,
    ) -> None:
        _require_evaluation_mode(model)
        _require_examples(inputs, labels)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise RequestError("no parameter of the network requires a gradient; expected some")
        self.model, self.loss = model, loss
        self.chunks = list(zip(torch.split(inputs, chunk), torch.split(labels, chunk), strict=True))
        self.size = sum(p.numel() for p in self.parameters)
        self.examples = len(inputs)
        self.products = 0
        self.dtype, self.device = self.parameters[0].dtype, self.parameters[0].device
        self._kept: dict[int, tuple[Tensor, ...]] = {}
        self._room = memory // self._bytes_of_a_graph()

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(size, k) to (size, k)."""
        self.products += vectors.shape[1]
        return torch.stack([self._product(vector) for vector in vectors.unbind(1)], dim=1)

    def _product(self, vector: Tensor) -> Tensor:
        shaped = [
            part.view_as(p)
            for part, p in zip(
                torch.split(vector, [p.numel() for p in self.parameters]),
                self.parameters,
                strict=True,
            )
        ]
        total = torch.zeros_like(vector)
        for i in range(len(self.chunks)):
            gradient = self._gradient(i)
            parts = torch.autograd.grad(
                gradient, self.parameters, shaped, retain_graph=i in self._kept,
                materialize_grads=True,
            )  # fmt: skip
            total += torch.cat([part.reshape(-1) for part in parts])
        return total

    def _gradient(self, i: int) -> tuple[Tensor, ...]:
        """The i-th chunk's share of the gradient, with the graph that made it."""
        if i in self._kept:
            return self._kept[i]
        inputs, labels = self.chunks[i]
        with torch.enable_grad():
            loss = self.loss(self.model(inputs), labels) * (len(inputs) / self.examples)
            if not loss.isfinite():
                raise RequestError(
                    f"the loss is {loss.item()} within examples {i * len(self.chunks[0][0])} … ; "
                    "expected a finite number (a diverged network has no curvature)"
                )
            gradient = torch.autograd.grad(
                loss, self.parameters, create_graph=True, materialize_grads=True
            )
        if len(self._kept) < self._room:
            self._kept[i] = gradient
        return gradient

    def _bytes_of_a_graph(self) -> int:
        """What the first chunk's graph holds on to."""
        storages: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        self._room = 0
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self._gradient(0)
        return max(1, sum(storages.values()))


def _require_evaluation_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if module.training:
            raise RequestError(
                f"the network is in training mode ({name or 'the whole'}: "
                f"{type(module).__name__}), where its loss is not a function of its parameters "
                "alone; call model.eval() first"
            )


def _require_examples(inputs: Tensor, labels: Tensor) -> None:
    if len(inputs) == 0 or len(inputs) != len(labels):
        raise RequestError(
            f"{len(inputs)} inputs and {len(labels)} labels; expected equally many, at least one"
        )
