"""How the images of K networks lie in one tensor, and convolution in each layout.

Both layouts are four-dimensional, so that pooling and element-wise layers work in either; neither
needs a transpose between one convolution and the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Variant = Literal["grouped", "im2col"]
Pair = tuple[int, int]


class Layout(ABC):
    """The images of ``count`` networks in one tensor."""

    def __init__(self, count: int) -> None:
        self.count = count

    @abstractmethod
    def join(self, images: Tensor) -> Tensor:
        """From (K, B, C, H, W) to the layout."""

    @abstractmethod
    def split(self, x: Tensor) -> Tensor:
        """From the layout to (K, B, C, H, W), without a copy."""

    @abstractmethod
    def channels(self, values: Tensor) -> Tensor:
        """(K, C) in a shape that broadcasts over the layout."""

    @abstractmethod
    def by_channel(self, x: Tensor) -> Tensor:
        """From the layout to (N, K·C, H', W'), without a copy: what BatchNorm averages over."""

    @abstractmethod
    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: Pair, padding: Pair
    ) -> Tensor:
        """Each network's convolution: weight (K, O, C, h, w), bias (K, O)."""


class _Grouped(Layout):
    """(B, K·C, H, W); a convolution with K groups."""

    def join(self, images: Tensor) -> Tensor:
        return images.transpose(0, 1).flatten(1, 2)

    def split(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        return x.view(batch, self.count, -1, height, width).transpose(0, 1)

    def channels(self, values: Tensor) -> Tensor:
        return values.reshape(1, -1, 1, 1)

    def by_channel(self, x: Tensor) -> Tensor:
        return x

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: Pair, padding: Pair
    ) -> Tensor:
        flat = None if bias is None else bias.flatten()
        return F.conv2d(x, weight.flatten(0, 1), flat, stride, padding, groups=self.count)


class _Im2col(Layout):
    """(K·C, B, H, W); every window a column, and one batched matrix product."""

    def join(self, images: Tensor) -> Tensor:
        return images.transpose(1, 2).flatten(0, 1)

    def split(self, x: Tensor) -> Tensor:
        return x.view(self.count, -1, *x.shape[1:]).transpose(1, 2)

    def channels(self, values: Tensor) -> Tensor:
        return values.reshape(-1, 1, 1, 1)

    def by_channel(self, x: Tensor) -> Tensor:
        return x.flatten(1, 2)[None]

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: Pair, padding: Pair
    ) -> Tensor:
        down, right = padding
        if down or right:
            x = F.pad(x, (right, right, down, down))
        height, width = weight.shape[-2:]
        windows = x.unfold(2, height, stride[0]).unfold(3, width, stride[1])
        _, batch, rows, columns = windows.shape[:4]
        windows = windows.permute(0, 4, 5, 1, 2, 3)  # (K·C, h, w, B, H', W')
        matrix = windows.reshape(self.count, -1, batch * rows * columns)
        kernels = weight.flatten(2)
        if bias is None:
            product = torch.bmm(kernels, matrix)
        else:
            product = torch.baddbmm(bias[:, :, None], kernels, matrix)
        return product.view(-1, batch, rows, columns)


LAYOUTS: dict[Variant, type[Layout]] = {"grouped": _Grouped, "im2col": _Im2col}
