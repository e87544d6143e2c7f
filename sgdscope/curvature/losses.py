"""The loss whose curvature is taken: any loss of any network outputs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.curvature.operators import Loss
from sgdscope.errors import RequestError, out_of_memory, reason
from sgdscope.network import leaves, logits_of, picked, rebuilt

IGNORED = -100  # the label that cross-entropy leaves out by default
MOST = 2**24  # numbers in the outputs that a loss is tried on at a time
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
            return self._exact(outputs, labels)
        except (TypeError, AttributeError, ValueError, LookupError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            raise RequestError(
                f"the loss fails on the network's outputs ({type(outputs).__name__}) and labels of "
                f"shape {tuple(labels.shape)}, {labels.dtype}: {reason(error)}; "
                "expected a loss of (outputs, labels)"
            ) from error

    def _exact(self, outputs: Any, labels: Tensor) -> Tensor:
        """The loss in float64; flagged where that cannot be had.

        A confident network's slopes are differences of nearly equal numbers: in float32 a
        probability of 1 − 1e-7 keeps one digit of the 1e-7, and λ₁ with it.
        """
        for whole in (False, True):  # most losses take float64 as they are
            try:
                loss = _in_float64(self.loss) if whole else self.loss
                exact = rebuilt(outputs, iter([leaf.double() for leaf in leaves(outputs)]))
                return _finite(loss(exact, _in_float64(labels)))
            except (RuntimeError, TypeError) as error:
                if out_of_memory(error):
                    raise
        value = _finite(self.loss(outputs, labels))
        for dtype in {leaf.dtype for leaf in leaves(outputs)} - {torch.float64}:
            self._flag(
                f"the loss fails in float64 and is computed in {dtype}, in which a confident "
                "network's curvature is lost; expected a loss that takes float64, without "
                "tensors of another type of its own"
            )
        return value

    def _flag(self, flag: str) -> None:
        if flag not in self.flags:
            self.flags.append(flag)

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
        thirds and with one example apart: in its value, and in its slope in the outputs. Where
        these are too many numbers, in several tries: labels that are alike may stand together.

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
        order = torch.randperm(len(labels), generator=streams.generator(0, "mean"))
        tries = order.to(labels.device).chunk(max(1, len(labels) // max(2, MOST // width)))
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            try:
                return all(
                    self._is_mean(outputs, rows, labels[some.sort().values]) for some in tries
                )
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
        whole = _some(outputs, rows, torch.arange(len(labels), device=labels.device))
        value, slopes = self._with_slopes(whole, labels)
        if not _alike(value, self._with_slopes(whole, labels)[0]):
            self._flag(
                "the loss is randomised: two calls with the same outputs differ; expected the "
                "same number for the same outputs and labels"
            )
        if len(labels) < 2:
            return True
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


def _finite(loss: Tensor) -> Tensor:
    """The loss, or RequestError if it is not a finite number."""
    if not isinstance(loss, Tensor):
        raise RequestError(f"the loss is {type(loss).__name__}; expected a tensor of one number")
    if loss.numel() != 1:
        raise RequestError(
            f"the loss has shape {tuple(loss.shape)}; expected one number, the mean over examples"
        )
    if not loss.isfinite():
        raise RequestError(
            f"the loss is {loss.item()}; expected a finite number: "
            "a network that has diverged has no curvature"
        )
    return loss.reshape(())


def _in_float64(own: Any) -> Any:
    """A tensor in float64, or a loss with the tensors of its own that can be found."""
    if isinstance(own, Tensor):
        return own.double() if own.is_floating_point() else own
    if isinstance(own, functools.partial):
        given = {name: _in_float64(value) for name, value in own.keywords.items()}
        return functools.partial(_in_float64(own.func), *map(_in_float64, own.args), **given)
    if isinstance(own, nn.Module):
        named = itertools.chain(own.named_parameters(), own.named_buffers())
        tensors = {name: _in_float64(tensor) for name, tensor in named}
        return lambda outputs, labels: functional_call(own, tensors, (outputs, labels))
    return own


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
