"""Augmentation as a method."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from sgdscope.data import augmentation_key, crop_and_flip
from sgdscope.methods.base import METHODS, Method


@METHODS.add("augmentation")
class Augmentation(Method):
    """Random crops of padded images, and random flips, instead of the data set's default.

    ``pad = 0`` and ``flip = false`` leave images as they are.
    """

    source = "as for CIFAR-10 in He, Zhang, Ren and Sun 2016, arXiv 1512.03385, section 4.2"
    helps = "generalisation on images whose label does not depend on position or left and right"
    cost = "a copy of each batch"

    pad: Annotated[int, Field(ge=0)] = 4  # black pixels on each side, before the crop
    flip: bool = True

    def augment(self, pixels: Tensor, index: Tensor, *, seed: int, epoch: int, own: bool) -> Tensor:
        """Crop and flip, each image by its own draw."""
        key = torch.tensor(augmentation_key(seed, epoch), device=pixels.device)
        keys = key.expand(len(index))
        return crop_and_flip(pixels, index, keys=keys, pad=self.pad, flip=self.flip)
