"""Label smoothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch.nn import functional as F

from sgdscope.methods.base import METHODS, Batch, Method, Pass


@METHODS.add("label-smoothing")
class LabelSmoothing(Method):
    """Labels of 1 − s + s/K for the right class and s/K for each other one (Szegedy et al. 2016).

    The history records the cross-entropy with unsmoothed labels.
    """

    symbols = {"smoothing": "s"}
    source = "Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, arXiv 1512.00567, section 7"
    helps = "less overconfidence; logits stay bounded, so input gradients do not vanish"
    cost = "nothing"

    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def loss(self, batch: Batch) -> Pass:
        """Cross-entropy with the smoothed labels."""
        scores = batch.logits(batch.images)
        smoothed = F.cross_entropy(scores, batch.labels, label_smoothing=self.smoothing)
        return Pass(smoothed, F.cross_entropy(scores.detach(), batch.labels), scores)
