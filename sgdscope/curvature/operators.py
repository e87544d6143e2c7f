"""The symmetric matrices whose curvature is asked for, known by their products with vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.curvature.twice import TwiceDifferentiable
from sgdscope.errors import RequestError

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, labels) → their mean loss, ()

CHUNK = 200  # examples per pass, where no graph is kept
MEMORY = 2 * 2**30  # bytes of graphs kept between products, on the CPU …
CHUNKS = 8  # … in at least so many chunks, where one does not hold all examples
LARGEST_CHUNK = 500  # on the CPU nothing is gained beyond
SAMPLE = 16  # examples on which a graph's bytes are counted
PART = 10  # a part() has one example in so many …
SMALLEST_PART = 50  # … and at least so many, or there is none


class Operator(Protocol):
    """A symmetric matrix, (size, size), or a batch of them, known by products with vectors."""

    size: int
    examples: int
    products: int  # with one vector each, since the operator was made
    dtype: torch.dtype
    device: torch.device

    @property
    def batch(self) -> tuple[int, ...]:
        """How many matrices; () for one."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(…, size, k) to the same shape, with ``batch`` in front."""

    def part(self) -> Operator | None:
        """Nearly the same matrix at a tenth of the cost, to find a start; None if there is none."""


class _InParameters(ABC):
    """A matrix over the parameters that require a gradient: a mean over examples, in chunks.

    The sum over chunks is divided once by the number of examples, so any chunk size gives the same
    matrix. A chunk's graph is kept from one product to the next as far as ``memory`` allows: a
    product is then one backward pass through it, about twice the cost of a gradient.

    The network must stay as it is while the operator is in use.

    Args:
        model: a network in evaluation mode.
        inputs: (N, …).
        labels: (N, …).
        loss: the mean over the examples it is given, as torch's losses are.
        memory: bytes of graphs kept between products; other chunks' are rebuilt each time. 2 GiB
            if not given, on a GPU a quarter of what is free.
        chunk: examples per pass; as many as fit into an eighth of ``memory`` if not given.

    Raises:
        RequestError: the network is in training mode or has nothing to differentiate by, there are
            no examples, or (at the first product at the latest) the loss is not finite.
    """

    batch: tuple[int, ...] = ()

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        *,
        loss: Loss = F.cross_entropy,
        memory: int | None = None,
        chunk: int | None = None,
    ) -> None:
        require_evaluation_mode(model)
        require_examples(inputs, labels)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise RequestError("no parameter of the network requires a gradient; expected some")
        self.model, self.inputs, self.labels = model, inputs, labels
        self.loss = loss
        self._lengths = [p.numel() for p in self.parameters]
        self.size, self.examples, self.products = sum(self._lengths), len(inputs), 0
        self.dtype, self.device = self.parameters[0].dtype, self.parameters[0].device
        self._graphs: dict[int, Any] = {}  # by the chunk's first example
        self.memory = _default_memory(self.device) if memory is None else memory
        per_example = self._bytes_per_example()
        largest = LARGEST_CHUNK if self.device.type == "cpu" else self.examples
        self.chunk = chunk or min(max(1, self.memory // CHUNKS // per_example), largest)
        per_graph = self.chunk * per_example + self.size * self.dtype.itemsize
        self._room = self.memory // per_graph  # how many graphs are kept

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(size, k) to (size, k)."""
        self.products += vectors.shape[1]
        columns = vectors.T.contiguous()
        images = torch.zeros_like(columns)
        shaped = [self._shaped(column) for column in columns]
        totals = [self._shaped(image) for image in images]
        for first in range(0, self.examples, self.chunk):
            graph = self._graph(first)
            for vector, total in zip(shaped, totals, strict=True):
                for whole, share in zip(total, self._product(graph, vector), strict=True):
                    whole += share
        return images.T

    def part(self) -> Self | None:
        """The same matrix from one example in ten, None if those are too few to be like it."""
        if self.examples < PART * SMALLEST_PART:
            return None
        return type(self)(
            self.model, self.inputs[::PART], self.labels[::PART],
            loss=self.loss, memory=self.memory // PART, chunk=self.chunk,
        )  # fmt: skip

    @abstractmethod
    def _linearise(self, outputs: Tensor, labels: Tensor, weight: float) -> Any:
        """What a chunk's products are read from; its loss counts ``weight``."""

    @abstractmethod
    def _product(self, graph: Any, vector: Sequence[Tensor]) -> Sequence[Tensor]:
        """A chunk's share of a product, by parameter. The graph is retained."""

    def _graph(self, first: int) -> Any:
        """The graph of the chunk that starts at example ``first``, kept or rebuilt."""
        if first in self._graphs:
            return self._graphs[first]
        graph = self._build(slice(first, first + self.chunk))
        if len(self._graphs) < self._room:
            self._graphs[first] = graph
        return graph

    def _build(self, chosen: slice) -> Any:
        inputs, labels = self.inputs[chosen], self.labels[chosen]
        with torch.enable_grad(), TwiceDifferentiable():
            return self._linearise(self.model(inputs), labels, len(inputs) / self.examples)

    def _bytes_per_example(self) -> int:
        """What a graph holds on to for each example, parameters aside."""
        storages: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self._build(slice(SAMPLE))
        for parameter in self.parameters:
            storages.pop(parameter.untyped_storage().data_ptr(), None)
        return max(1, sum(storages.values()) // min(SAMPLE, self.examples))

    def _mean_loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return finite(self.loss(outputs, labels))

    def _shaped(self, flat: Tensor) -> list[Tensor]:
        """Views of a flat vector in the parameters' shapes."""
        parts = torch.split_with_sizes(flat, self._lengths)
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]


class Hessian(_InParameters):
    """The Hessian of the mean loss: H = ∇²L. Arguments and errors are those of its base."""

    def _linearise(self, outputs: Tensor, labels: Tensor, weight: float) -> list[Tensor]:
        loss = self._mean_loss(outputs, labels) * weight
        return list(
            torch.autograd.grad(loss, self.parameters, create_graph=True, materialize_grads=True)
        )

    def gradient(self) -> Tensor:
        """The mean loss's gradient, (size,)."""
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for first in range(0, self.examples, self.chunk):
            for whole, share in zip(self._shaped(total), self._graph(first), strict=True):
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


class GaussNewton(_InParameters):
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
                total = finite(loss(model(points), theirs)) * len(points)
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


def require_evaluation_mode(model: nn.Module) -> None:
    """Raise RequestError if any part of the network is in training mode."""
    for name, module in model.named_modules():
        if module.training:
            raise RequestError(
                f"the network is in training mode ({name or 'the whole'}: "
                f"{type(module).__name__}), where its loss is not a function of its parameters "
                "alone; call model.eval() first"
            )


def require_examples(inputs: Tensor, labels: Tensor) -> None:
    """Raise RequestError unless there are as many inputs as labels, and some."""
    if len(inputs) == 0 or len(inputs) != len(labels):
        raise RequestError(
            f"{len(inputs)} inputs and {len(labels)} labels; expected equally many, at least one"
        )


def _default_memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else MEMORY


def finite(loss: Tensor) -> Tensor:
    """The loss, or RequestError if it is not a finite number."""
    if not loss.isfinite():
        raise RequestError(
            f"the loss is {loss.item()}; expected a finite number: "
            "a network that has diverged has no curvature"
        )
    return loss
