"""A matrix over a network's parameters, multiplied chunk by chunk of the examples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.arguments import whole
from sgdscope.curvature.coupled import Coupled, pulled_back
from sgdscope.curvature.losses import ExampleLoss, slopes_of
from sgdscope.curvature.operators import Examples, Loss, differentiating, refuse_severed
from sgdscope.curvature.symmetry import asymmetry, asymmetry_flag
from sgdscope.errors import RequestError
from sgdscope.kernels.second_order import twice_differentiable
from sgdscope.network import Preflight, leaves, outside_inference, rebuilt

MEMORY = 2 * 2**30  # bytes of graphs kept between products, on the CPU …
CHUNKS = 4  # … in at least so many chunks, where fewer do not hold all examples
LARGEST_CHUNK = 500  # on a CPU larger ones gain nothing
SAMPLE = 16  # examples on which a graph's bytes are counted
KEPT = 0.97  # share of the slope in the outputs that a part() keeps, …
WEIGHTIEST = 0.25  # … or as much as this share of the examples holds, where …
MOST = 0.75  # … no more than this share holds the whole of it; otherwise …
PART = 10  # … it has one example in so many, …
SMALLEST_PART = 10  # … and at least so many
PART_SIZES = 40  # steps between none and all, for a library compiles kernels for every size


class Chunked(ABC):
    """A matrix over the parameters that require a gradient: a mean over examples, in chunks.

    The sum over chunks is divided once by the number of examples, so any chunk size gives the same
    matrix. A loss that is not such a mean (a sum, class weights, pairs of examples) is one loss of
    all the examples, and so is its matrix, at two passes per product instead of one.

    A chunk's graph is kept from one product to the next as far as ``memory`` allows: a product is
    then one backward pass through it, about twice the cost of a gradient.

    The network must stay as it is while the operator is in use.

    Args:
        model: a network in evaluation mode.
        inputs: (N, …).
        labels: (N, …).
        loss: of outputs and labels, one number. A loss of torch is given the logits among the
            outputs, any other loss all of them.
        memory: bytes of graphs kept between products; other chunks' are rebuilt each time. By
            default 2 GiB, or on a GPU a quarter of its free memory.
        chunk: examples per pass; by default as many as fit into a quarter of ``memory``.
        looked: what an earlier look at the same network found.

    Raises:
        RequestError: the network is in training mode, has nothing to differentiate by or layers
            that cannot be differentiated twice, there are no examples, or (at the first product at
            the latest) the loss is not finite.
    """

    batch: tuple[int, ...] = ()
    residual: bool  # the matrix has the network's own second derivatives

    @outside_inference()
    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        *,
        loss: Loss = F.cross_entropy,
        memory: int | None = None,
        chunk: int | None = None,
        looked: Preflight | None = None,
    ) -> None:
        memory = None if memory is None else whole("memory", memory, lowest=0)
        chunk = None if chunk is None else whole("chunk", chunk)
        self.loss = ExampleLoss(loss)
        examples = Examples(model, inputs, labels, ignored=self.loss.ignored, looked=looked)
        self.parameters = differentiated(model, examples.looked)
        self.model, self.network, self.looked = model, examples.network, examples.looked
        self.inputs, self.labels = examples.inputs, examples.labels
        self._lengths = [p.numel() for p in self.parameters]
        self.size, self.examples, self.products = sum(self._lengths), len(inputs), 0
        self.dtype, self.device = _widest(self.parameters), self.parameters[0].device
        self._coupled: Coupled | None = None
        self._sample: Any = None  # the graph of a few examples, until symmetry has been looked at
        self._graphs: dict[int, Any] = {}  # by the chunk's first example
        self.memory = default_memory(self.device) if memory is None else memory
        sample = self._outputs(slice(SAMPLE))
        self._is_mean = self.loss.is_mean(sample, self.labels)
        if self._is_mean and not self.residual:
            self.loss.refuse_direct(sample, self.labels[:SAMPLE], self.parameters)
        per_example = self._bytes_per_example()
        largest = LARGEST_CHUNK if self.device.type == "cpu" else self.examples
        most = chunk or min(max(1, self.memory // CHUNKS // per_example), largest)
        self.chunk = math.ceil(self.examples / math.ceil(self.examples / most))  # all of a size
        per_graph = self.chunk * per_example + self.size * self.dtype.itemsize
        self._room = self.memory // per_graph  # how many graphs are kept
        if not self._is_mean:
            self._coupled = Coupled(
                self.loss, self._chunks(), self._outputs, self.labels, self.parameters
            )
        uneven = 0.0  # of a part, and of other examples of a network, it is known already
        if looked is None:
            uneven = asymmetry(self._sampled, self.size, self.dtype, self.device)
        self._sample = None
        self.noise = torch.inf if self.loss.flags else max(examples.noise, uneven)
        self.flags = (
            *examples.flags, *self.loss.flags, *asymmetry_flag(uneven, examples.noise)
        )  # fmt: skip

    @outside_inference()
    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(size, k) to (size, k)."""
        self.products += vectors.shape[1]
        with differentiating(self.parameters):
            return self._multiplied(vectors.clone() if vectors.is_inference() else vectors)

    def _multiplied(self, vectors: Tensor) -> Tensor:
        columns = vectors.T.contiguous()
        images = torch.zeros_like(columns)
        shaped = [self._directions(column) for column in columns]
        totals = [self._shaped(image) for image in images]
        if self._coupled is not None:
            for vector, total in zip(shaped, totals, strict=True):
                self._coupled.multiply(vector, total, self._graph, residual=self.residual)
            return images.T
        for first in range(0, self.examples, self.chunk):
            graph = self._graph(first)
            for vector, total in zip(shaped, totals, strict=True):
                for part, share in zip(total, self._product(graph, vector), strict=True):
                    part += share
        return images.T

    @outside_inference()
    def part(self) -> Self | None:
        """Nearly the same matrix at a fraction of the cost; None if there are too few examples.

        It has the examples that the network is least sure of, which count most. Where nearly all
        count, it has one example in ten instead, from the least sure to the surest. Examples that
        it is equally sure of are in random order, since data may be sorted by class.
        """
        if MOST * self.examples < SMALLEST_PART or self._coupled is not None:
            return None
        order = torch.randperm(self.examples, generator=streams.generator(0, "part"))
        order = order.to(self.inputs.device)
        slopes, ranks = self._slopes()[order].sort(descending=True)
        chosen = order[ranks]
        counting = int((slopes.cumsum(0) < KEPT * slopes.sum()).sum()) + 1
        if counting <= MOST * self.examples:
            weightiest = max(SMALLEST_PART, min(counting, WEIGHTIEST * self.examples))
            step = math.ceil(self.examples / PART_SIZES)
            chosen = chosen[: step * math.ceil(weightiest / step)]
        else:
            chosen = chosen[:: min(PART, self.examples // SMALLEST_PART)]
        return type(self)(
            self.model, self.inputs[chosen], self.labels[chosen], loss=self.loss.loss,
            memory=self.memory // 2, chunk=self.chunk, looked=self.looked,
        )  # fmt: skip

    def _slopes(self) -> Tensor:
        """The length of each example's slope of the loss in the outputs, (N,)."""
        lengths = []
        chunks = (torch.split(tensor, self.chunk) for tensor in (self.inputs, self.labels))
        for inputs, labels in zip(*chunks, strict=True):
            with torch.no_grad():
                outputs = self.loss.taken(self.network(inputs))
            with torch.enable_grad():
                ends = [leaf.detach().requires_grad_() for leaf in leaves(outputs)]
                loss = self.loss(rebuilt(outputs, iter(ends)), labels) * len(inputs)
                slopes = slopes_of(loss, ends)
            lengths.append(sum(slope.flatten(1).norm(dim=1) for slope in slopes))
        return torch.cat(lengths)

    @abstractmethod
    def _linearise(self, outputs: Any, labels: Tensor, weight: float) -> Any:
        """The graph that a chunk's products are read from; its loss has weight ``weight``."""

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
        with differentiating(self.parameters), twice_differentiable():
            outputs = self.loss.taken(self.network(inputs))
            if self._is_mean:
                return self._linearise(outputs, labels, len(inputs) / self.examples)
            if self._coupled is not None:
                return self._coupled.linearise(outputs, chosen)
            rows = leaves(outputs)  # to see how much memory they take
            return pulled_back(rows, [torch.ones_like(row) for row in rows], self.parameters)

    def _outputs(self, chosen: slice) -> Any:
        with torch.no_grad():
            return self.loss.taken(self.network(self.inputs[chosen]))

    def _chunks(self) -> list[slice]:
        starts = range(0, self.examples, self.chunk)
        return [slice(first, min(first + self.chunk, self.examples)) for first in starts]

    def _sampled(self, vector: Tensor) -> Tensor:
        """The product with a few examples' matrix, (size,) to (size,)."""
        if self._coupled is not None:
            return self._multiplied(vector[:, None])[:, 0]
        with differentiating(self.parameters):
            if self._sample is None:
                self._sample = self._build(slice(SAMPLE))
                refuse_severed(self._sample)
            parts = self._product(self._sample, self._directions(vector))
        return torch.cat([part.reshape(-1).to(self.dtype) for part in parts])

    def _bytes_per_example(self) -> int:
        """The bytes that a graph keeps for each example, without parameters."""
        storages: dict[int, int] = {}
        saved: list[Tensor] = []  # a node that saved its own output directly would never be freed

        def note(tensor: Tensor) -> int:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            saved.append(tensor)
            return len(saved) - 1

        with torch.autograd.graph.saved_tensors_hooks(note, saved.__getitem__):
            self._build(slice(SAMPLE))
        saved.clear()
        for parameter in self.parameters:
            storages.pop(parameter.untyped_storage().data_ptr(), None)
        return max(1, sum(storages.values()) // min(SAMPLE, self.examples))

    def _directions(self, flat: Tensor) -> list[Tensor]:
        """A flat vector in the parameters' shapes and precisions."""
        return [part.to(p) for part, p in zip(self._shaped(flat), self.parameters, strict=True)]

    def _shaped(self, flat: Tensor) -> list[Tensor]:
        """Views of a flat vector in the parameters' shapes."""
        parts = torch.split_with_sizes(flat, self._lengths)
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]


def differentiated(model: nn.Module, looked: Preflight) -> list[nn.Parameter]:
    """The parameters in which curvature is taken, each once.

    Raises:
        RequestError: there are none, one is complex, or the outputs do not depend on them.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise RequestError("no parameter of the network requires a gradient; expected some")
    for found in looked.findings:
        if found.name == "parameters":
            raise RequestError(str(found))
    for parameter in parameters:
        if parameter.is_complex():
            raise RequestError(f"a parameter is {parameter.dtype}; expected real numbers")
    return parameters


def _widest(parameters: Sequence[Tensor]) -> torch.dtype:
    """A precision that holds them all, float32 at least."""
    dtype = torch.float32
    for parameter in parameters:
        dtype = torch.promote_types(dtype, parameter.dtype)
    return dtype


def default_memory(device: torch.device) -> int:
    """Bytes of graphs that a matrix keeps between products by default."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else MEMORY
