"""Mixup."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.methods.base import METHODS, Batch, Method, Pass
from sgdscope.settings import Positive


@METHODS.add("mixup")
class Mixup(Method):
    """Images and labels mixed in pairs, λx + (1 − λ)x′ with λ ~ Beta(α, α) (Zhang et al. 2018).

    One λ per batch. The history records the loss on the mixed images, and as hits those that are
    answered with the label of larger weight.
    """

    symbols = {"alpha": "α"}
    source = "Zhang, Cisse, Dauphin and Lopez-Paz 2018, arXiv 1710.09412"
    helps = "generalisation from few images, and against small perturbations of them"
    cost = "one addition of images"

    alpha: Positive = 0.2

    def loss(self, batch: Batch) -> Pass:
        """λ times the loss with one label and 1 − λ times that with the other."""
        share = self.share(batch)
        order = torch.randperm(len(batch.labels), generator=batch.generator("mixup"))
        order = order.to(batch.labels.device)
        scores = batch.logits(share * batch.images + (1 - share) * batch.images[order])
        one, other = (F.cross_entropy(scores, y) for y in (batch.labels, batch.labels[order]))
        loss = share * one + (1 - share) * other
        if share < 0.5:  # the row of each label is that of the image in which it weighs more
            scores = scores[order.argsort()]
        return Pass(loss, loss, scores)

    def share(self, batch: Batch) -> float:
        """The λ of a batch."""
        draw = np.random.default_rng(streams.key(batch.seed, "mixup share", batch.step))
        return float(draw.beta(self.alpha, self.alpha))
