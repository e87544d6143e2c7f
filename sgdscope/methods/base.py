"""The interface of methods: options, and the hooks that training calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.data import augment
from sgdscope.registry import Registry
from sgdscope.settings import Settings


@dataclass(frozen=True)
class Batch:
    """The inputs of one update."""

    network: nn.Module  # in training mode
    logits: Callable[[Tensor], Tensor]  # the network's, in the run's precision
    images: Tensor  # (B, C, H, W) in [0, 1]
    labels: Tensor  # (B,)
    seed: int  # the run's
    epoch: int  # from 1
    step: int  # updates made before

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator for this update's draws, the same in every repetition."""
        return streams.generator(self.seed, purpose, self.step)


class Pass(NamedTuple):
    """The results of one forward pass."""

    loss: Tensor  # what is minimised, a mean over the batch
    recorded: Tensor  # the mean cross-entropy, for the history
    scores: Tensor  # (B, classes)


class Method(Settings):
    """A change to plain training; its fields are its options in a study file.

    By default each part is that of plain training. A method may keep a state in private attributes;
    ``state`` returns what training needs to resume.
    """

    batch_sizes: ClassVar[tuple[str, ...]] = ()  # options that are a batch size
    symbols: ClassVar[Mapping[str, str]] = {}  # of options, as labels write them
    source: ClassVar[str] = ""  # the paper that proposed it
    helps: ClassVar[str] = ""  # when
    cost: ClassVar[str] = ""  # beside plain training

    @property
    def growth(self) -> int:
        """The factor of batch size and learning rate in the next epoch."""
        return 1

    @property
    def largest_growth(self) -> int:
        """The largest value of ``growth``."""
        return 1

    @property
    def first_epoch(self) -> int:
        """The first epoch in which it does anything."""
        return 1

    def prepare(self, network: nn.Module) -> None:
        """Change a network's layers before its first update.

        Raises:
            RequestError: it has none that the method applies to.
        """

    def augment(self, pixels: Tensor, index: Tensor, *, seed: int, epoch: int, own: bool) -> Tensor:
        """Training images as the network should see them.

        Args:
            pixels: (B, C, H, W) uint8.
            index: (B,) which training image each one is.
            seed: the run's.
            epoch: from 1.
            own: whether the data set has augmentation by default.
        """
        return augment(pixels, index, seed=seed, epoch=epoch) if own else pixels

    def loss(self, batch: Batch) -> Pass:
        """The loss that is minimised."""
        scores = batch.logits(batch.images)
        loss = F.cross_entropy(scores, batch.labels)
        return Pass(loss, loss, scores)

    def gradients(self, batch: Batch) -> Pass:
        """Leave the gradients for the update in the parameters, which hold none before."""
        found = self.loss(batch)
        found.loss.backward()  # type: ignore[no-untyped-call]
        return found

    def after_step(self, network: nn.Module, *, epoch: int) -> None:
        """Called after every update."""

    def after_epoch(self, network: nn.Module, *, epoch: int, images: Iterable[Tensor]) -> None:
        """Called after every epoch; ``images`` are all training images in batches."""

    def outcome(self, network: nn.Module) -> nn.Module:
        """The network that is measured and kept."""
        return network

    def state(self) -> dict[str, Tensor]:
        """All that the method needs to resume, besides the network and the optimizer's state."""
        return {}

    def restore(self, state: Mapping[str, Tensor], network: nn.Module) -> None:
        """Resume from a state; from an empty one, as if the network were the outcome."""


METHODS: Registry[type[Method]] = Registry("method")
