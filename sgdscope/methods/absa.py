"""Adaptive batch size with adversarial training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.curvature import Hessian, top_eigenvalues
from sgdscope.methods.adversarial import signed_step
from sgdscope.methods.base import METHODS, Batch, Method, Pass
from sgdscope.network import logits_of
from sgdscope.settings import Pixels, Whole


@METHODS.add("absa")
class Absa(Method):
    """A batch that grows as λ₁ falls, part of it attacked at first (Yao et al. 2018, ABSA).

    After an epoch, batch size and learning rate are multiplied by ``factor``, and the attacked
    share is divided by it, if λ₁ has fallen to 1 / factor of its value after the first epoch, or of
    that at which it last made the batch grow, or if ``patience`` epochs have passed since any
    growth, as in the authors' code. λ₁ is that on the epoch's first ``examples`` images.
    """

    source = "Yao, Gholami, Arfeen, Liaw, Gonzalez, Keutzer and Mahoney 2018, arXiv 1810.01021"
    helps = "large batches at the accuracy of small ones"
    cost = "λ₁ of some images once per epoch; one extra pass over the attacked images"

    factor: Annotated[int, Field(ge=2)] = 2
    largest: Whole = 16  # batch size, in multiples of the first
    patience: Whole = 10  # epochs
    examples: Whole = 200
    share: Annotated[float, Field(ge=0, le=1)] = 0.2  # attacked share of the first batches
    eps: Pixels = 0.005  # of the attack, one signed step, in pixels of [0, 1]
    attacked_epochs: Annotated[int, Field(ge=0)] = 10  # half of all epochs in the paper

    _growth: int = PrivateAttr(default=1)
    _highest: float | None = PrivateAttr(default=None)  # λ₁ at first, or at the last growth by it
    _waited: int = PrivateAttr(default=0)  # epochs since any growth
    _seen: list[tuple[Tensor, Tensor]] = PrivateAttr(default_factory=list)

    @property
    def growth(self) -> int:
        """The factor of batch size and learning rate, for the next epoch."""
        return self._growth

    @property
    def largest_growth(self) -> int:
        """The option ``largest``."""
        return self.largest

    def loss(self, batch: Batch) -> Pass:
        """Cross-entropy on the batch, its first images attacked."""
        if sum(len(labels) for _, labels in self._seen) < self.examples:
            self._seen.append((batch.images, batch.labels))
        scores = batch.logits(self.attacked(batch))
        loss = F.cross_entropy(scores, batch.labels)
        return Pass(loss, loss, scores)

    def attacked(self, batch: Batch) -> Tensor:
        """The batch's images; at the largest batch size, none is attacked any more."""
        over = batch.epoch > self.attacked_epochs or self._growth >= self.largest
        count = 0 if over else int(len(batch.images) * self.share / self._growth)
        if not count:
            return batch.images
        part = replace(batch, images=batch.images[:count], labels=batch.labels[:count])
        moved = signed_step(part, part.images, size=self.eps).clamp(0, 1)
        return torch.cat([moved, batch.images[count:]])

    def after_epoch(self, network: nn.Module, *, epoch: int, images: Iterable[Tensor]) -> None:
        """Measure λ₁ and decide on the next epoch."""
        curvature = self.top_eigenvalue(network)
        self._waited += 1
        if self._highest is None and not math.isnan(curvature):
            self._highest = curvature
        fallen = self._highest is not None and curvature <= self._highest / self.factor
        if fallen:
            self._highest = curvature
        if fallen or self._waited >= self.patience:
            self._growth = min(self._growth * self.factor, self.largest)
            self._waited = 0

    def top_eigenvalue(self, network: nn.Module) -> float:
        """λ₁ of the loss on the first images of the epoch, which are then released."""
        images, labels = (torch.cat(own)[: self.examples] for own in zip(*self._seen, strict=True))
        self._seen.clear()
        if not logits_of(network(images)).isfinite().all():
            return math.nan  # training has diverged; nothing grows
        found = top_eigenvalues(Hessian(network, images, labels), tolerance=0.01)
        return found.values[0].item()

    def state(self) -> dict[str, Tensor]:
        """The state that the next growth depends on."""
        highest = math.nan if self._highest is None else self._highest
        return {
            "growth": torch.tensor(self._growth),
            "highest": torch.tensor(highest, dtype=torch.float64),
            "waited": torch.tensor(self._waited),
        }

    def restore(self, state: Mapping[str, Tensor], network: nn.Module) -> None:
        """Resume from it."""
        self._seen.clear()
        self._growth, self._waited = int(state.get("growth", 1)), int(state.get("waited", 0))
        highest = float(state.get("highest", math.nan))
        self._highest = None if math.isnan(highest) else highest
