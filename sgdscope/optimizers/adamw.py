"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import nn

from sgdscope.optimizers.base import OPTIMIZERS, Optimizer, Updates
from sgdscope.settings import Momentum, Positive


@OPTIMIZERS.add("adamw")
class AdamW(Optimizer):
    """AdamW: updates scaled by each gradient's own size (Loshchilov and Hutter 2019)."""

    symbols: ClassVar = {"weight_decay": "wd", "beta1": "β₁", "beta2": "β₂"}

    beta1: Momentum = 0.9
    beta2: Momentum = 0.999
    epsilon: Positive = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.01

    def bind(self, parameters: Sequence[nn.Parameter]) -> Updates:
        """Updates by torch's AdamW, fused."""
        betas = self.beta1, self.beta2
        return Updates(
            torch.optim.AdamW(
                parameters, lr=0.0, betas=betas, eps=self.epsilon, weight_decay=self.weight_decay,
                fused=True,
            )
        )  # fmt: skip
