"""What is attacked and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

CHUNK = 100  # points a pass: what a chunk's activations take stays in the cache of one core

Norm = Literal["linf", "l2"]


@dataclass(frozen=True)
class Points:
    """Points under attack; any subset draws the same random numbers as the whole."""

    inputs: Tensor  # (N, …) in [0, 1]
    labels: Tensor  # (N,) int64
    index: Tensor  # (N,) int64, which of the attacked points each one is
    targets: Tensor | None = None  # (N,) int64, the class each is to be taken for

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, choice: Tensor) -> Points:
        targets = None if self.targets is None else self.targets[choice]
        return Points(self.inputs[choice], self.labels[choice], self.index[choice], targets)

    def fooled(self, logits: Tensor) -> Tensor:
        """(N,) bool: taken for the target, or without one for anything but the label."""
        answers = logits.argmax(1)
        return answers != self.labels if self.targets is None else answers == self.targets


@dataclass(frozen=True)
class Attacked:
    """What an attack at one eps did to each point."""

    eps: float
    inputs: Tensor  # (N, …): what fooled the network, or the last try where nothing did
    fooled: Tensor  # (N,) bool; a point that is wrong unperturbed counts as fooled
    clean: Tensor  # (N,) bool: right when unperturbed
    zero_gradient: Tensor  # (N,) bool: right, but the loss has no gradient there at all

    @property
    def accuracy(self) -> float:
        """Share of all points that are still right."""
        return 1 - self.fooled.double().mean().item()


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


def logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """(N, classes), in chunks, without gradients."""
    with torch.no_grad():
        return torch.cat([model(chunk) for chunk in torch.split(inputs, CHUNK)])


def gradients(
    model: nn.Module,
    inputs: Tensor,
    points: Points,
    loss: Callable[[Tensor, Tensor, Tensor | None], Tensor],
) -> tuple[Tensor, Tensor]:
    """Logits (N, classes) at ``inputs`` and the loss's gradient (N, …) there, in chunks."""
    scores, slopes = [], []
    for start in range(0, len(inputs), CHUNK):
        part = slice(start, start + CHUNK)
        targets = None if points.targets is None else points.targets[part]
        chunk = inputs[part].detach().requires_grad_()
        out = model(chunk)
        (slope,) = torch.autograd.grad(loss(out, points.labels[part], targets).sum(), chunk)
        scores.append(out.detach())
        slopes.append(slope)
    return torch.cat(scores), torch.cat(slopes)
