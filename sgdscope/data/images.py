"""Images as uint8 tensors: as inputs, split, augmented."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.errors import RequestError


@dataclass(frozen=True)
class Images:
    """Images with their labels."""

    pixels: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    def __post_init__(self) -> None:
        for name in ("pixels", "labels"):
            if not isinstance(value := getattr(self, name), Tensor):
                object.__setattr__(self, name, tensor_of(value, f"images: {name}"))
        pixels, labels = self.pixels, self.labels
        if pixels.dtype != torch.uint8:
            raise RequestError(
                f"images: pixels of type {_type(pixels)}{_span(pixels)}; expected uint8 from 0 to "
                f"255{_uint8(pixels)}"
            )
        if pixels.ndim != 4 or labels.ndim != 1 or len(pixels) != len(labels):
            raise RequestError(
                f"images: pixels of shape {tuple(pixels.shape)} and labels of shape "
                f"{tuple(labels.shape)}; expected (N, channels, height, width) and (N,)"
                + " (of one-hot labels: labels.argmax(1))"
                * (labels.ndim == 2)
            )
        if 0 in pixels.shape[1:]:
            raise RequestError(
                f"images: pixels of shape {tuple(pixels.shape)}; expected at least one pixel"
            )
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise RequestError(f"images: labels of type {_type(labels)}; expected whole numbers")
        if labels.dtype != torch.int64:
            object.__setattr__(self, "labels", labels.long())

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> Images:
        return Images(self.pixels[index], self.labels[index])

    def to(self, device: torch.device) -> Images:
        """The same images on another device."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def inputs(self) -> Tensor:
        """Pixels in [0, 1]: float32, channels last."""
        return as_inputs(self.pixels)


def tensor_of(value: Any, where: str) -> Tensor:
    """Numbers as a tensor, whatever holds them: an array of any order of bytes, or a list.

    Raises:
        RequestError: they are no numbers, or of different shapes.
    """
    try:
        if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
            value = torch.stack(list(value))
        if isinstance(value, Tensor):
            return value.detach()
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            kind = "text" if array.dtype.kind in "SU" else "objects"
            raise RequestError(f"{where}: an array of {kind}; expected numbers")
        if not (array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative):
            array = array.astype(array.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RequestError(f"{where}: {error}".splitlines()[0]) from error


def _uint8(pixels: Tensor) -> str:
    """How to make pixels in [0, 1] such numbers, where they are."""
    real = pixels.is_floating_point() and pixels.numel() > 0
    if not real or pixels.min() < 0 or pixels.max() > 1:
        return ""
    return " (of pixels in [0, 1]: (pixels * 255).round().to(torch.uint8))"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _span(tensor: Tensor) -> str:
    if not tensor.numel() or tensor.is_complex():
        return ""
    low, high = tensor.double().aminmax()
    return f", from {low.item():g} to {high.item():g}"


def as_inputs(pixels: Tensor, layout: torch.memory_format = torch.channels_last) -> Tensor:
    """Pixels of 0 … 255 as a network's input in [0, 1]: float32, channels last by default."""
    return pixels.to(torch.float32, memory_format=layout).div_(255)


FEWEST_VALIDATION = 500  # enough that the standard error of an accuracy is at most 2%


@dataclass(frozen=True)
class Dataset:
    """One data set, split once for all runs alike."""

    train: Images
    validation: Images
    test: Images
    classes: int
    mean: list[float]  # of the training pixels in [0, 1], by channel
    std: list[float]
    augmented: bool = False  # whether training batches are cropped and flipped at random

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise RequestError(f"data set: classes = {self.classes}; expected at least 2")
        for name in ("train", "validation", "test"):
            part: Images = getattr(self, name)
            if not len(part):
                raise RequestError(f"data set: no {name} images; expected at least one")
            if part.pixels.shape[1:] != self.train.pixels.shape[1:]:
                raise RequestError(
                    f"data set: {name} images of shape {tuple(part.pixels.shape[1:])}; expected "
                    f"that of the training images, {tuple(self.train.pixels.shape[1:])}"
                )
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < 0 or high >= self.classes:
                raise RequestError(
                    f"data set: {name} labels from {low} to {high}; expected 0 to "
                    f"{self.classes - 1}, for {self.classes} classes"
                )
        for name in ("mean", "std"):
            values: list[float] = getattr(self, name)
            lowest = -math.inf if name == "mean" else 0.0
            if len(values) != self.shape[0] or not all(lowest < v < math.inf for v in values):
                raise RequestError(
                    f"data set: {name} = {values}; expected a finite number"
                    f"{' above 0' * (name == 'std')} for each of {self.shape[0]} channels"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.train.pixels.shape
        return channels, height, width

    def subset(self, train_size: int | None) -> Dataset:
        """The first ``train_size`` training images, and validation images in proportion.

        Every epoch ends with the validation images; with few training images, evaluating all of
        them would take longer than the updates.
        """
        if train_size is None:
            return self
        share = -(-train_size * len(self.validation) // len(self.train))
        return replace(
            self,
            train=self.train[:train_size],
            validation=self.validation[: max(share, FEWEST_VALIDATION)],
        )

    def to(self, device: torch.device) -> Dataset:
        """The same data on another device."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )


def augment(pixels: Tensor, index: Tensor, *, seed: int, epoch: int) -> Tensor:
    """Random crop of the padded image and random horizontal flip, the whole batch at once.

    The result depends on the seed, the epoch and the image, not on its batch.

    Args:
        pixels: (N, C, H, W).
        index: (N,) which training image each one is.
        seed: the run's seed.
        epoch: the epoch, from 1.
    """
    key = torch.tensor(augmentation_key(seed, epoch), device=pixels.device)
    return crop_and_flip(pixels, index, keys=key.expand(len(index)))


def augmentation_key(seed: int, epoch: int) -> int:
    """The key of all random draws of augmentation in one epoch of a run."""
    return streams.key(seed, "augmentation", epoch)


def crop_and_flip(
    pixels: Tensor, index: Tensor, *, keys: Tensor, pad: int = 4, flip: bool = True
) -> Tensor:
    """Augment images of one or several runs, each image by its run's key.

    Args:
        pixels: (N, C, H, W).
        index: (N,) which training image each one is.
        keys: (N,) int64.
        pad: zero pixels added on each side before the crop.
        flip: whether half of them are flipped.
    """
    count, channels, height, width = pixels.shape
    device = pixels.device
    draws = streams.uniform(keys[:, None], index[:, None], torch.arange(3, device=device))  # (N, 3)
    top, left = (draws[:, :2] * (2 * pad + 1)).long().unbind(1)
    rows = top[:, None] + torch.arange(height, device=device)
    columns = left[:, None] + torch.arange(width, device=device)
    if flip:
        columns = torch.where(draws[:, 2:] < 0.5, columns, columns.flip(1))
    return F.pad(pixels, (pad, pad, pad, pad))[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def split(
    train: Images, test: Images, *, validation_size: int, classes: int, augmented: bool = False
) -> Dataset:
    """Hold out validation images: the same for every run and seed.

    Raises:
        RequestError: there are too few images for that.
    """
    if not 0 < validation_size < len(train):
        raise RequestError(
            f"data set: validation_size = {validation_size}; expected 1 to {len(train) - 1}, "
            f"to be held out of {len(train)} training images"
        )
    order = torch.randperm(len(train), generator=streams.generator(0, "split"))
    train, validation = train[order[validation_size:]], train[order[:validation_size]]
    mean, std = _moments(train.pixels)
    return Dataset(train, validation, test, classes, mean, std, augmented)


def arranged(train: Images, test: Images, *, validation: Images | None, classes: int) -> Dataset:
    """A data set from images that may be sorted by class.

    Training and test images are shuffled in the same way for every run and seed, since measures
    take the first of them. Without validation images, a tenth of the training images is held out.

    Raises:
        RequestError: there are too few images, or their labels do not fit the classes.
    """
    order = torch.randperm(len(test), generator=streams.generator(0, "test order"))
    test = test[order]
    if validation is None:
        size = max(1, round(len(train) / 10))
        return split(train, test, validation_size=size, classes=classes)
    train = train[torch.randperm(len(train), generator=streams.generator(0, "split"))]
    mean, std = _moments(train.pixels)
    return Dataset(train, validation, test, classes, mean, std)


def _moments(pixels: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation by channel, in [0, 1], from counts of the 256 levels."""
    channels = pixels.transpose(0, 1).flatten(1)
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in channels]).double()
    weights = counts / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = weights @ levels
    std = (weights @ levels.square() - mean.square()).clamp_min(0).sqrt()
    std[(counts > 0).sum(1) == 1] = 1  # a constant channel has no deviation to divide by
    return mean.tolist(), std.tolist()
