"""Ghost batch normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sgdscope.errors import RequestError
from sgdscope.methods.base import METHODS, Method
from sgdscope.settings import Whole


@METHODS.add("ghost-batch-norm")
class GhostBatchNorm(Method):
    """Batch normalisation over parts of a large batch (Hoffer et al. 2017, algorithm 1).

    Parts have the given size, or slightly more if it does not divide the batch.
    """

    batch_sizes = ("size",)
    source = "Hoffer, Hubara and Soudry 2017, arXiv 1705.08741"
    helps = (
        "large batches on networks with batch normalisation, whose statistics become as noisy as "
        "a small batch's"
    )
    cost = "one normalisation per part instead of one per batch"

    size: Whole = 32

    def prepare(self, network: nn.Module) -> None:
        """Make every batch normalisation layer work on parts of its batch during training."""
        layers = [layer for layer in network.modules() if type(layer) in _GHOSTS]
        if not layers:
            raise RequestError(
                "method.ghost-batch-norm: the network has no batch normalisation; expected one "
                "with it, such as c1 or resnet18"
            )
        for layer in layers:
            layer.__class__ = _GHOSTS[type(layer)]
            layer.ghost = self.size  # type: ignore[assignment]


class _Parts:
    """A forward pass that normalises each part separately, and updates running moments by part."""

    training: bool
    ghost: int

    def forward(self, input: Tensor) -> Tensor:
        """The outputs of all parts, concatenated."""
        whole = super().forward  # type: ignore[misc]
        if not self.training:
            return whole(input)  # type: ignore[no-any-return]
        parts = input.tensor_split(max(1, len(input) // self.ghost))
        return torch.cat([whole(part) for part in parts])


class _Ghost1d(_Parts, nn.BatchNorm1d):
    pass


class _Ghost2d(_Parts, nn.BatchNorm2d):
    pass


class _Ghost3d(_Parts, nn.BatchNorm3d):
    pass


_GHOSTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _Ghost1d,
    nn.BatchNorm2d: _Ghost2d,
    nn.BatchNorm3d: _Ghost3d,
}
