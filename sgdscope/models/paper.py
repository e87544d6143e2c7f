"""The networks: the paper's four, each a map from pixels in [0, 1] to logits.

Pooling comes before ReLU where the paper has ReLU first: the maximum of the positive parts is the
positive part of the maximum, so outputs and gradients are the same, on a quarter of the elements.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.models.base import MODELS, Dropout


def _features(trunk: nn.Module, shape: tuple[int, int, int]) -> int:
    """The number of features that the trunk computes for one image."""
    with torch.no_grad():
        return int(trunk.eval()(torch.zeros(1, *shape)).numel())


@MODELS.add("stdcnn")
def stdcnn(*, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """The paper's StdCNN: four 3×3 convolutions, two poolings, dropout; 23,010 parameters."""
    trunk = nn.Sequential(
        nn.Conv2d(shape[0], 10, 3), nn.ReLU(),
        nn.Conv2d(10, 10, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(10, 20, 3), nn.ReLU(),
        nn.Conv2d(20, 20, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip
    head = (nn.Linear(_features(trunk, shape), 50), nn.ReLU(), Dropout(0.5), nn.Linear(50, classes))
    return nn.Sequential(*trunk, *head).train()


@MODELS.add("m1")
def m1(*, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Yao et al.'s M1: two 5×5 convolutions, no pooling, 500 hidden units; 4,016,050 parameters."""
    trunk = nn.Sequential(
        nn.Conv2d(shape[0], 20, 5), nn.ReLU(),
        nn.Conv2d(20, 20, 5), nn.ReLU(),
        nn.Flatten(),
    )  # fmt: skip
    head = (nn.Linear(_features(trunk, shape), 500), nn.ReLU(), nn.Linear(500, classes))
    return nn.Sequential(*trunk, *head).train()


@MODELS.add("c1")
def c1(*, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Yao et al.'s C1: two 5×5 convolutions with pooling then BatchNorm; 1,756,682 parameters."""
    trunk = nn.Sequential(
        nn.Conv2d(shape[0], 64, 5, padding=2),
        nn.MaxPool2d(3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(64),
        nn.Conv2d(64, 64, 5, padding=2),
        nn.MaxPool2d(3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(64),
        nn.Flatten(),
    )  # fmt: skip
    head = (
        nn.Linear(_features(trunk, shape), 384), nn.ReLU(),
        nn.Linear(384, 192), nn.ReLU(),
        nn.Linear(192, classes),
    )  # fmt: skip
    return nn.Sequential(*trunk, *head).train()


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016, the basic block)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False), nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.shortcut = (
            nn.Identity()
            if channels == width
            else nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, H / stride, W / stride)."""
        return F.relu(self.block(x) + self.shortcut(x))


@MODELS.add("resnet18")
def resnet18(*, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """He et al.'s ResNet18 for CIFAR: 3×3 stem, 64 wide, [2, 2, 2, 2]; 11,173,962 parameters."""
    return _resnet18(shape, classes, base=64)


@MODELS.add("resnet18-narrow")
def resnet18_narrow(*, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """ResNet18 an eighth as wide, for machines too small for the whole; 176,402 parameters."""
    return _resnet18(shape, classes, base=8)


def _resnet18(shape: tuple[int, int, int], classes: int, *, base: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    channels = base
    for width, stride in ((base, 1), (2 * base, 2), (4 * base, 2), (8 * base, 2)):
        blocks += [Residual(channels, width, stride), Residual(width, width, 1)]
        channels = width
    return nn.Sequential(
        nn.Conv2d(shape[0], base, 3, padding=1, bias=False), nn.BatchNorm2d(base), nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * base, classes),
    )  # fmt: skip
