"""The loss whose curvature is taken: any loss of any network outputs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.curvature.operators import Loss, mean_loss
from sgdscope.errors import RequestError, out_of_memory, reason
from sgdscope.network import leaves, logits_of, picked, rebuilt

IGNORED = -100  # the label that cross-entropy leaves out by default
MOST = 2**24  # numbers in the outputs that a loss is tried on
ALIKE = 1e-4  # share by which a mean over parts may differ from the mean over all, in float32


class ExampleLoss:
    """A loss of what it takes: one of torch's takes the logits, any other all the outputs.

    Args:
        loss: of outputs and labels.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.flags: list[str] = []  # reasons not to trust what is computed from it

    def taken(self, outputs: Any) -> Any:
        """What the loss takes of a network's outputs."""
        return logits_of(outputs) if _of_torch(self.loss) else outputs

    def __call__(self, outputs: Any, labels: Tensor) -> Tensor:
        """The loss, (), of outputs as it takes them.

        Raises:
            RequestError: it fails on these outputs, or is not one finite number.
        """
        try:
            return mean_loss(self.loss, outputs, labels)
        except (TypeError, AttributeError, ValueError, LookupError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            raise RequestError(
                f"the loss fails on the network's outputs ({type(outputs).__name__}) and labels of "
                f"shape {tuple(labels.shape)}, {labels.dtype}: {reason(error)}; "
                "expected a loss of (outputs, labels)"
            ) from error

    @property
    def ignored(self) -> int | None:
        """The label that cross-entropy leaves out; None for any other loss."""
        loss = _inner(self.loss)
        if loss is F.cross_entropy:
            given = self.loss.keywords if isinstance(self.loss, functools.partial) else {}
            return int(given.get("ignore_index", IGNORED))
        return loss.ignore_index if isinstance(loss, nn.CrossEntropyLoss) else None

    def is_mean(self, outputs: Any, labels: Tensor) -> bool:
        """Whether the loss of many is the mean of the losses of their parts, weighted by size.

        Tried on all the labels and the outputs of a few examples again and again, split into
        thirds and with one example apart: in its value, and in its slope in the outputs.

        Args:
            outputs: of a few examples.
            labels: of all.
        """
        if not leaves(outputs):
            raise RequestError(
                f"the network's output is {type(outputs).__name__} without a floating-point "
                "tensor; expected one to compute the loss of"
            )
        rows = len(leaves(outputs)[0]) if leaves(outputs)[0].dim() else 0
        if rows == 0:
            raise RequestError("the network's output is one number; expected one row per example")
        width = sum(leaf.numel() for leaf in leaves(outputs)) // rows + 1
        labels = labels[: max(2, MOST // width)]
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            try:
                return self._is_mean(outputs, rows, labels)
            except RequestError:  # other examples' labels may be impossible with these outputs
                return self._is_mean(outputs, rows, labels[:rows])

    def refuse_direct(self, outputs: Any, labels: Tensor, parameters: Sequence[Tensor]) -> None:
        """Raise RequestError if the loss depends on parameters other than through outputs."""
        with torch.enable_grad():
            value = self(outputs, labels)
        if value.requires_grad and any(
            slope is not None
            for slope in torch.autograd.grad(
                value, parameters, allow_unused=True, retain_graph=True
            )
        ):
            raise RequestError(
                "the loss depends on the network's parameters other than through its outputs; "
                "expected a loss of outputs and labels alone (a Hessian also takes a mean over "
                "examples that has such a term)"
            )

    def _is_mean(self, outputs: Any, rows: int, labels: Tensor) -> bool:
        if len(labels) < 2:
            return True
        whole = _some(outputs, rows, torch.arange(len(labels), device=labels.device))
        value, slopes = self._with_slopes(whole, labels)
        if not _alike(value, self._with_slopes(whole, labels)[0]):
            self.flags = [
                "the loss is randomised: two calls with the same outputs differ; expected the "
                "same number for the same outputs and labels"
            ]
        third = max(1, len(labels) // 3)
        for edges in ({1}, {third, min(2 * third, len(labels) - 1)}):
            bounds = [0, *sorted(edges), len(labels)]
            try:
                parts = [
                    self._share(whole, labels, slice(first, last))
                    for first, last in itertools.pairwise(bounds)
                ]
            except RequestError:
                return False
            total = sum(part for part, _ in parts)
            joined = [torch.cat(column) for column in zip(*(s for _, s in parts), strict=True)]
            if not _alike(value, total) or not all(map(_alike, slopes, joined)):
                return False
        return True

    def sum_of_each(self, outputs: Any, labels: Tensor, *, is_mean: bool) -> Tensor:
        """The sum over examples of the loss of each alone, ()."""
        if is_mean:
            return self(outputs, labels) * len(labels)
        one = torch.arange(1, device=labels.device)
        losses = [
            self(_some(outputs, len(labels), one + place), labels[place : place + 1])
            for place in range(len(labels))
        ]
        return torch.stack(losses).sum()

    def _share(self, outputs: Any, labels: Tensor, part: slice) -> tuple[Tensor, list[Tensor]]:
        index = torch.arange(len(labels), device=labels.device)[part]
        value, slopes = self._with_slopes(_some(outputs, len(labels), index), labels[part])
        share = len(index) / len(labels)
        return value * share, [slope * share for slope in slopes]

    def _with_slopes(self, outputs: Any, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The loss and its slopes in the outputs, as plain numbers."""
        ends = [leaf.detach().requires_grad_() for leaf in leaves(outputs)]
        value = self(rebuilt(outputs, iter(ends)), labels)
        return value.detach(), slopes_of(value, ends)


def slopes_of(value: Tensor, ends: list[Tensor], *, again: bool = False) -> list[Tensor]:
    """The gradient of a loss in each given output; zero where the loss does not depend on it."""
    if not value.requires_grad:
        return [torch.zeros_like(end) for end in ends]
    return list(torch.autograd.grad(value, ends, create_graph=again, materialize_grads=True))


def _inner(loss: Any) -> Any:
    while isinstance(loss, functools.partial):
        loss = loss.func
    return loss


def _of_torch(loss: Any) -> bool:
    loss = _inner(loss)
    home = getattr(loss, "__module__", None) or type(loss).__module__
    return str(home).startswith("torch.")


def _some(outputs: Any, examples: int, index: Tensor) -> Any:
    """The outputs of examples ``index``, modulo how many there are."""
    for leaf in leaves(outputs):
        if not leaf.dim() or len(leaf) != examples:
            raise RequestError(
                f"the network's outputs for {examples} examples have shape {tuple(leaf.shape)}; "
                "expected one row per example, to compute the loss of some of them"
            )
    return picked(outputs, index % examples, examples=examples)


def _alike(left: Tensor, right: Any) -> bool:
    scale = left.abs().amax()
    return bool(((left - right).abs() <= ALIKE * scale).all())
