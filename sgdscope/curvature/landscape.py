"""A loss as a function of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sgdscope.curvature.chunked import differentiated
from sgdscope.curvature.losses import ExampleLoss, slopes_of
from sgdscope.curvature.operators import CHUNK, Examples, Loss, differentiating
from sgdscope.network import joined, leaves, rebuilt

Weights = dict[str, Tensor]


class Landscape:
    """A loss as a function of weights, evaluated in chunks; the network is not changed.

    Weights are float32 at least, and rounded to the network's precision where it is asked.

    Args:
        model: a network in evaluation mode.
        inputs: (N, …).
        labels: (N, …).
        loss: of outputs and labels, one number: a mean over examples, or of all of them at once.

    Raises:
        RequestError: there is nothing to differentiate by, there are no examples, or the loss
            depends on the weights other than through the outputs.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, labels: Tensor, loss: Loss) -> None:
        self._loss = ExampleLoss(loss)
        examples = Examples(model, inputs, labels, ignored=self._loss.ignored)
        differentiated(model, examples.looked)
        self._network, self._inputs = examples.network, examples.inputs
        self._labels = examples.labels
        named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._dtypes = {name: p.dtype for name, p in named.items()}
        self.weights = {
            name: p.detach().to(torch.promote_types(p.dtype, torch.float32))
            for name, p in named.items()
        }
        with torch.no_grad():
            sample = self._outputs(self.weights, slice(CHUNK))
        self._is_mean = self._loss.is_mean(sample, self._labels)
        outputs = sample if self._is_mean else self._joined(self.weights)
        told = self._labels[: len(leaves(outputs)[0])]
        self._loss.refuse_direct(outputs, told, list(named.values()))
        self.flags = (*examples.flags, *self._loss.flags)

    def value(self, weights: Weights) -> float:
        """The loss."""
        with torch.no_grad():
            if not self._is_mean:
                return self._loss(self._joined(weights), self._labels).item()
            return sum(part.item() for part in self._shares(weights))

    def slope(self, weights: Weights) -> Weights:
        """The loss's gradient."""
        weights = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        with torch.enable_grad(), differentiating():
            for outputs, pulled in self._pulled(weights):
                grads = torch.autograd.grad(
                    outputs, list(weights.values()), pulled, materialize_grads=True
                )
                for whole, share in zip(total.values(), grads, strict=True):
                    whole += share
        return total

    def rise(self, step: Weights) -> float:
        """How much the loss rises by a step from where the network is."""
        moved = {name: weight + step[name] for name, weight in self.weights.items()}
        return self.value(moved) - self.value(self.weights)

    def _pulled(self, weights: Weights) -> Iterator[tuple[list[Tensor], list[Tensor] | None]]:
        """Numbers with a graph, and what their gradients are multiplied by, chunk by chunk."""
        if self._is_mean:
            for share in self._shares(weights):
                yield [share], None
            return
        with torch.no_grad():
            whole = self._joined(weights)
        ends = [leaf.requires_grad_() for leaf in leaves(whole)]
        slopes = slopes_of(self._loss(rebuilt(whole, iter(ends)), self._labels), ends)
        for chunk in self._chunks():
            rows = leaves(self._outputs(weights, chunk))
            live = [(r, s[chunk]) for r, s in zip(rows, slopes, strict=True) if r.requires_grad]
            yield [row for row, _ in live], [slope for _, slope in live]

    def _shares(self, weights: Weights) -> Iterator[Tensor]:
        for chunk in self._chunks():
            labels = self._labels[chunk]
            loss = self._loss(self._outputs(weights, chunk), labels)
            yield loss * (len(labels) / len(self._labels))

    def _joined(self, weights: Weights) -> Any:
        """The outputs for all examples."""
        each = [self._outputs(weights, chunk) for chunk in self._chunks()]
        return joined(each, sizes=[chunk.stop - chunk.start for chunk in self._chunks()])

    def _outputs(self, weights: Weights, chunk: slice) -> Any:
        given = {name: weight.to(self._dtypes[name]) for name, weight in weights.items()}
        return self._loss.taken(self._network(self._inputs[chunk], given))

    def _chunks(self) -> Iterator[slice]:
        for first in range(0, len(self._inputs), CHUNK):
            yield slice(first, min(first + CHUNK, len(self._inputs)))
