"""The interface of networks: a builder by name, and shared layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.registry import Registry


class ModelBuilder(Protocol):
    """Builds an untrained network for images of one shape, initialised as torch does."""

    def __call__(self, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """A map from (N, channels, height, width), normalised or not, to logits (N, classes)."""


MODELS: Registry[ModelBuilder] = Registry("model")


class Normalise(nn.Module):
    """Per-channel standardisation as the first layer, so that attacks see pixels in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return (pixels - self.mean) / self.std


class Dropout(nn.Module):
    """Dropout whose mask follows from a key and the step, so that runs are exactly repeatable.

    Without them (a network used on its own) it is torch's dropout.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p
        self.key: Tensor | None = None  # () int64
        self.step: Tensor | None = None  # () int64, advanced by the training loop

    def forward(self, x: Tensor) -> Tensor:
        """Zero each element with probability ``p`` and scale the rest, in training mode only."""
        if not self.training or self.key is None or self.step is None:
            return F.dropout(x, self.p, self.training)
        places = streams.place(self.key, self.step)
        kept = streams.draw(places, streams.elements(x.shape, x.device)) >= self.p
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        """The dropout probability."""
        return f"p={self.p}"


def bind_dropout(model: nn.Module, *, seed: int, step: Tensor) -> None:
    """Make every dropout mask of the model follow from ``seed`` and the shared ``step`` counter."""
    layers = [module for module in model.modules() if isinstance(module, Dropout)]
    for number, layer in enumerate(layers):
        layer.key = torch.tensor(streams.key(seed, "dropout", number), device=step.device)
        layer.step = step
