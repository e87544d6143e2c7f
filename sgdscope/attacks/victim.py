"""The network under attack: frozen, evaluated in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sgdscope.attacks.ball import nearer
from sgdscope.attacks.losses import LossFunction
from sgdscope.attacks.points import Points
from sgdscope.data.inference import chunk_size
from sgdscope.errors import out_of_memory
from sgdscope.kernels.input_gradient import ThinConvolutions
from sgdscope.network import Network
from sgdscope.network.state import untouched

Answer = TypeVar("Answer")

# A pass has a multiple of this many points. On a CPU every new number of points compiles and keeps
# another kernel, some 6 ms and 1 MiB for a small network.
MULTIPLE = 10


class Victim:
    """A network evaluated for logits and input gradients, chunk by chunk.

    Attacks compute in float32 at least. A network of lower precision gets inputs rounded towards
    the image they came from, so that they stay in the ball.

    Args:
        model: the network.
        device: of its inputs.
        dtype: of its inputs, if not that of the inputs given.
        differentiable: whether its logits have a graph; if not, every gradient is zero.
        thin: whether its convolutions of few channels may compute input gradients faster.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        *,
        dtype: torch.dtype | None = None,
        differentiable: bool = True,
        thin: bool = True,
    ) -> None:
        self._network = Network(model)
        self._dtype, self._differentiable, self._thin = dtype, differentiable, thin
        self.chunk = chunk_size(device)

    def logits(self, inputs: Tensor, origin: Tensor | None = None) -> Tensor:
        """(N, classes) at (N, …), each of which came from its place in ``origin`` (N, …)."""
        taken = self.network_inputs(inputs, origin)

        def answer(part: slice) -> Tensor:
            with torch.no_grad():
                return _precise(self._network.logits(self._filled(taken[part])))[
                    : len(taken[part])
                ].clone()

        return torch.cat(self._in_chunks(answer, len(inputs)))

    def precision(self, dtype: torch.dtype) -> float:
        """Relative rounding error of the network's answers when attacks compute in ``dtype``."""
        return torch.finfo(self._dtype or dtype).eps

    def network_inputs(self, inputs: Tensor, origin: Tensor | None = None) -> Tensor:
        """The inputs as the network takes them."""
        dtype = self._dtype or inputs.dtype
        if dtype == inputs.dtype:
            return inputs
        return inputs.to(dtype) if origin is None else nearer(inputs, origin, dtype)

    def gradients(self, at: Tensor, points: Points, loss: LossFunction) -> tuple[Tensor, Tensor]:
        """Logits (N, classes) and the loss's gradient (N, …) at ``at`` (N, …).

        A gradient that is not finite counts as zero.
        """
        if not self._differentiable:
            return self.logits(at, points.inputs), torch.zeros_like(at)
        taken = self.network_inputs(at, points.inputs)

        def answer(part: slice) -> tuple[Tensor, Tensor]:
            targets = None if points.targets is None else points.targets[part]
            labels = points.labels[part]
            inputs = self._filled(taken[part]).detach().requires_grad_()
            with ThinConvolutions() if self._thin else nullcontext():
                logits = _precise(self._network.logits(inputs)[: len(labels)])
            (slope,) = torch.autograd.grad(loss(logits, labels, targets).sum(), inputs)
            return logits.detach(), slope[: len(labels)].to(at.dtype).nan_to_num(0, 0, 0)

        logits, slopes = zip(*self._in_chunks(answer, len(at)), strict=True)
        return torch.cat(logits), torch.cat(slopes)

    def _filled(self, inputs: Tensor) -> Tensor:
        """With its last point again and again, up to a multiple of ``MULTIPLE`` points."""
        lack = -len(inputs) % min(MULTIPLE, self.chunk)
        return torch.cat([inputs, inputs[-1:].expand(lack, *inputs.shape[1:])]) if lack else inputs

    def _in_chunks(self, answer: Callable[[slice], Answer], count: int) -> list[Answer]:
        """One answer a chunk; chunks are halved, for good, whenever memory runs out."""
        answers: list[Answer] = []
        start = 0
        while start < count or not answers:
            try:
                answers.append(answer(slice(start, start + self.chunk)))
            except RuntimeError as error:
                if self.chunk == 1 or not out_of_memory(error):
                    raise
                self.chunk //= 2
                continue
            start += self.chunk
        return answers


def _precise(logits: Tensor) -> Tensor:
    """In float32 at least, so that losses and margins do not round."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def thin_agrees(model: nn.Module, few: Tensor) -> bool:
    """Whether input gradients stay what they are where convolutions of few channels are replaced.

    A network that differentiates within its own forward pass may need more of a convolution than
    the replacement has.

    Args:
        model: the network, which is left as it was.
        few: points (N, …) to compare the gradients at.
    """
    if few.device.type != "cpu":  # where nothing is replaced
        return True
    replaced = ThinConvolutions()
    try:
        fast = _slope(model, few, replaced)
        if not replaced.used:
            return True
        expected = _slope(model, few, nullcontext())
    except Exception:  # whatever a network says; also that memory is short for so many points
        return False
    within = torch.finfo(few.dtype).eps ** 0.5 * expected.abs().amax()
    return bool(((fast - expected).abs() <= within).all())


def _slope(model: nn.Module, few: Tensor, context: AbstractContextManager[Any]) -> Tensor:
    """The gradient (N, …) of a sum of logits in which nothing cancels; not finite counts as 0."""
    inputs = few.clone().requires_grad_()
    with untouched(model), frozen(model), context:  # which then draws the same random numbers
        logits = Network(model).logits(inputs).nan_to_num(0, 0, 0)
        weights = torch.arange(1, logits.numel() + 1).cos().view_as(logits).to(logits)
        (slope,) = torch.autograd.grad((logits * weights).sum(), inputs, materialize_grads=True)
    return slope.nan_to_num(0, 0, 0)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient within it, so a backward pass computes only the inputs'."""
    thawed = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in thawed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)
