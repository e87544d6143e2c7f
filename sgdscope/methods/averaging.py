"""Averages of the weights during training: exponential, and over epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sgdscope.methods.base import METHODS, Method
from sgdscope.network.state import copied
from sgdscope.settings import Whole


class _Averaging(Method):
    """The outcome is a network of averaged weights; training itself is not affected."""

    _average: nn.Module | None = PrivateAttr(default=None)
    _count: int = PrivateAttr(default=0)  # of networks in the average

    def _take(self, network: nn.Module, share: float) -> None:
        """Add a network to the average with this share."""
        self._count += 1
        if self._average is None:
            self._average = _copy(network)
            return
        own, theirs = self._average.state_dict(), network.state_dict()
        storages = {name: mean.untyped_storage().data_ptr() for name, mean in own.items()}
        counts = Counter(storages.values())
        tied: list[tuple[Tensor, Tensor]] = []  # and views, averaged before any of them changes
        with torch.no_grad():
            for name, mean in own.items():
                if not mean.is_floating_point():
                    mean.copy_(theirs[name])
                elif counts[storages[name]] == 1:
                    mean.lerp_(theirs[name], share)
                else:
                    tied.append((mean, mean.lerp(theirs[name], share)))
            for mean, value in tied:
                mean.copy_(value)

    def outcome(self, network: nn.Module) -> nn.Module:
        """The average, once there is one."""
        return network if self._average is None else self._average

    def state(self) -> dict[str, Tensor]:
        """The average and the number of networks in it."""
        if self._average is None:
            return {}
        kept = {f"average.{name}": value for name, value in self._average.state_dict().items()}
        return kept | {"count": torch.tensor(self._count)}

    def restore(self, state: Mapping[str, Tensor], network: nn.Module) -> None:
        """Resume from it."""
        self._average, self._count = None, 0
        if state:
            self._average = _copy(network)
            self._count = int(state["count"])
            prefix = "average."
            self._average.load_state_dict(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            )


@METHODS.add("ema")
class Ema(_Averaging):
    """Exponential average of the weights over updates, w̄ ← d·w̄ + (1 − d)·w.

    The running moments of batch normalisation are averaged in the same way.
    """

    source = "Polyak and Juditsky 1992, with the exponential weights that have become usual since"
    helps = "a learning rate that stays large to the end, whose noise it removes"
    cost = "one addition of the weights per update, and a second copy of them"

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99

    def after_step(self, network: nn.Module, *, epoch: int) -> None:
        """Add the new weights to the average."""
        self._take(network, 1 - self.decay)


@METHODS.add("swa")
class Swa(_Averaging):
    """Mean of the weights at the ends of epochs, from a chosen one on (Izmailov et al. 2018).

    The moments of batch normalisation are recomputed from the training images, as in the paper.
    """

    source = "Izmailov, Podoprikhin, Garipov, Vetrov and Wilson 2018, arXiv 1803.05407"
    helps = "wider optima, if the learning rate does not decay to zero"
    cost = "a second copy of the weights; with batch normalisation one extra forward pass per epoch"

    start_epoch: Whole = 1

    @property
    def first_epoch(self) -> int:
        """As asked for."""
        return self.start_epoch

    def after_epoch(self, network: nn.Module, *, epoch: int, images: Iterable[Tensor]) -> None:
        """Add the epoch's weights to the average."""
        if epoch >= self.start_epoch:
            self._take(network, 1 / (self._count + 1))
            if self._average is not None:
                _renew_moments(self._average, images)


def _copy(network: nn.Module) -> nn.Module:
    """A copy to be measured: in evaluation mode, without gradients."""
    made = copied(network).eval()
    made.zero_grad()
    return made


@torch.no_grad()
def _renew_moments(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Set running moments of batch normalisation to their means over batches."""
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    if not layers:
        return
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a mean, each batch alike
        layer.train()
    for batch in images:
        network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
