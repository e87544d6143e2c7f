"""Stochastic gradient descent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sgdscope.optimizers.base import OPTIMIZERS, Optimizer, StackedUpdates, Updates
from sgdscope.settings import Momentum, Positive


@OPTIMIZERS.add("sgd")
class Sgd(Optimizer):
    """SGD with heavy-ball momentum, v ← m·v + g, w ← w − lr·v (Polyak 1964), or Nesterov's."""

    symbols: ClassVar = {"momentum": "m", "weight_decay": "wd", "clip_norm": "clip"}

    momentum: Momentum = 0.0
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0  # added to the gradient, times the weights
    decoupled: bool = False  # subtracted from the weights directly (Loshchilov and Hutter 2019)
    clip_norm: Positive | None = None  # gradients whose joint norm exceeds this are scaled to it

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov = true: expected a momentum above 0 as well")
        if self.decoupled and not self.weight_decay:
            raise ValueError("decoupled = true: expected a weight_decay above 0 as well")
        return self

    def bind(self, parameters: Sequence[nn.Parameter]) -> SgdUpdates:
        """Updates by torch's SGD, fused."""
        return SgdUpdates(self, parameters)

    @classmethod
    def stack(cls, members: Sequence[Updates]) -> StackedUpdates | None:
        """One addition for all members; without clipping."""
        own = [one for one in members if isinstance(one, SgdUpdates) and not one.options.clip_norm]
        return _StackedSgd(own) if len(own) == len(members) else None

    def noise_factor(self) -> float:
        """1 / (1 − m) (Smith and Le 2018)."""
        return 1 / (1 - self.momentum)

    def stability_limit(self, learning_rate: float) -> float:
        """2 (1 + m) / lr, for heavy ball on a quadratic; unknown for Nesterov's momentum."""
        if self.nesterov:
            return super().stability_limit(learning_rate)
        return 2 * (1 + self.momentum) / learning_rate if learning_rate else math.inf


class SgdUpdates(Updates):
    """Updates of a network by SGD."""

    def __init__(self, options: Sgd, parameters: Sequence[nn.Parameter]) -> None:
        coupled = 0.0 if options.decoupled else options.weight_decay
        super().__init__(
            torch.optim.SGD(
                parameters, lr=0.0, momentum=options.momentum, nesterov=options.nesterov,
                weight_decay=coupled, fused=True,
            )
        )  # fmt: skip
        self.options = options

    def step(self) -> None:
        """Clip, decay and update, according to the options."""
        if self.options.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip_norm)
        if self.options.decoupled:
            kept = 1 - self.rule.param_groups[0]["lr"] * self.options.weight_decay
            with torch.no_grad():
                for parameter in self.parameters:
                    if parameter.grad is not None:  # frozen or unused ones stay, as in torch
                        parameter.mul_(kept)
        super().step()

    @property
    def velocities(self) -> list[Tensor]:
        """The velocities, by parameter; zeros before the first update, or without momentum."""
        kept = (self.rule.state[p].get("momentum_buffer") for p in self.parameters)
        return [
            torch.zeros_like(p) if velocity is None else velocity
            for p, velocity in zip(self.parameters, kept, strict=True)
        ]

    def set_velocities(self, velocities: Sequence[Tensor]) -> None:
        """Resume from these, in the order of the parameters; without momentum there are none."""
        if self.options.momentum:
            self.restore({f"{n}.momentum_buffer": v for n, v in enumerate(velocities)})


class _StackedSgd(StackedUpdates):
    def __init__(self, members: Sequence[SgdUpdates]) -> None:
        self.members = members
        self.velocities = torch.stack(
            [torch.cat([v.flatten() for v in member.velocities]) for member in members]
        )
        options = [member.options for member in members]
        self.momenta = self._column([one.momentum for one in options])
        self.nesterov = self._column([float(one.nesterov) for one in options])
        self.coupled = self._column([one.weight_decay * (not one.decoupled) for one in options])
        self.decoupled = self._column([one.weight_decay * one.decoupled for one in options])
        self.state = [self.velocities]
        self._plain = not any(one.nesterov or one.weight_decay for one in options)

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(
            values, dtype=self.velocities.dtype, device=self.velocities.device
        )[:, None]  # fmt: skip

    def step(self, weights: Tensor, gradients: Tensor, *, rates: Tensor) -> None:
        if not self._plain:
            gradients = gradients + self.coupled * weights
            weights.mul_(1 - rates * self.decoupled)
        self.velocities.mul_(self.momenta).add_(gradients)
        if self._plain:
            weights.addcmul_(rates, self.velocities, value=-1)
            return
        ahead = gradients + self.momenta * self.velocities
        direction = torch.where(self.nesterov > 0, ahead, self.velocities)
        weights.addcmul_(rates, direction, value=-1)

    def hand_back(self) -> None:
        for member, whole in zip(self.members, self.velocities, strict=True):
            parts = torch.split(whole, [p.numel() for p in member.parameters])
            shaped = [v.view(p.shape) for v, p in zip(parts, member.parameters, strict=True)]
            member.set_velocities(shaped)
