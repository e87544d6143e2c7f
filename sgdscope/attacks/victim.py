"""The network under attack: frozen, asked in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from sgdscope.attacks.losses import LossFunction
from sgdscope.attacks.points import Points
from sgdscope.data.inference import chunk_size
from sgdscope.kernels.input_gradient import ThinConvolutions

Answer = TypeVar("Answer")

# A pass has a multiple of so many points. On a CPU each other number of them is another kernel to
# compile and to keep, some 6 ms and 1 MiB for a small network.
MULTIPLE = 10


class Victim:
    """A network whose answers and input gradients are wanted, chunk by chunk."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model = model
        self.chunk = chunk_size(device)

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, classes)."""

        def answer(part: slice) -> Tensor:
            with torch.no_grad():
                return self._asked(self._filled(inputs[part]))[: len(inputs[part])]

        return torch.cat(self._in_chunks(answer, len(inputs)))

    def gradients(self, at: Tensor, points: Points, loss: LossFunction) -> tuple[Tensor, Tensor]:
        """Logits (N, classes) and the loss's gradient (N, …) at ``at`` (N, …)."""

        def answer(part: slice) -> tuple[Tensor, Tensor]:
            targets = None if points.targets is None else points.targets[part]
            labels = points.labels[part]
            inputs = self._filled(at[part]).detach().requires_grad_()
            with ThinConvolutions():
                logits = self._asked(inputs)[: len(labels)]
            (slope,) = torch.autograd.grad(loss(logits, labels, targets).sum(), inputs)
            return logits.detach(), slope[: len(labels)]

        logits, slopes = zip(*self._in_chunks(answer, len(at)), strict=True)
        return torch.cat(logits), torch.cat(slopes)

    def _asked(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(inputs)
        return logits

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
                if self.chunk == 1 or "memory" not in str(error):
                    raise
                self.chunk //= 2
                continue
            start += self.chunk
        return answers


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient inside, so a backward pass computes the inputs' alone."""
    thawed = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in thawed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)
