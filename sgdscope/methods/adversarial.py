"""Adversarial training."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from sgdscope.methods.base import METHODS, Batch, Method, Pass
from sgdscope.settings import Pixels, Positive, Whole


@METHODS.add("adversarial-training")
class AdversarialTraining(Method):
    """Training on PGD's adversarial examples of each batch, within eps in ℓ∞ (Madry et al. 2018).

    The attack starts at random and sees the network in evaluation mode. ``natural_epochs`` of plain
    training may come first. The history records the loss and hits on the attacked images.
    """

    source = "Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv 1706.06083"
    helps = "accuracy under attack within eps, at the price of test accuracy"
    cost = "one forward and backward pass per step of the attack"

    eps: Pixels = 0.1  # in pixels of [0, 1]
    steps: Whole = 7
    step_size: Positive | None = None  # by default 2.5 · eps / steps
    natural_epochs: Annotated[int, Field(ge=0)] = 0

    @property
    def first_epoch(self) -> int:
        """After the natural ones."""
        return self.natural_epochs + 1

    def loss(self, batch: Batch) -> Pass:
        """Cross-entropy on the attacked images."""
        if batch.epoch <= self.natural_epochs:
            return super().loss(batch)
        scores = batch.logits(self.attacked(batch))
        loss = F.cross_entropy(scores, batch.labels)
        return Pass(loss, loss, scores)

    def attacked(self, batch: Batch) -> Tensor:
        """X ← Π(x + step · sign ∇ₓ loss), ``steps`` times from a uniform start."""
        images, size = batch.images, self.step_size or 2.5 * self.eps / self.steps
        start = torch.rand(images.shape, generator=batch.generator("adversary"))
        moved = images + (2 * start.to(images) - 1) * self.eps
        low, high = (images - self.eps).clamp_min(0), (images + self.eps).clamp_max(1)
        moved = moved.clamp(low, high)
        for _ in range(self.steps):
            moved = signed_step(batch, moved, size=size).clamp(low, high)
        return moved


def signed_step(batch: Batch, images: Tensor, *, size: float) -> Tensor:
    """Images + size · sign ∇ₓ loss, of the network in evaluation mode (Goodfellow et al. 2015)."""
    images = images.detach().requires_grad_()
    batch.network.eval()
    loss = F.cross_entropy(batch.logits(images), batch.labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    batch.network.train()
    return images.detach() + size * gradient.sign()
