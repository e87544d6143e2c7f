"""Images as uint8 tensors: found, decoded once, cached, split, augmented."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.errors import RequestError
from sgdscope.files import write_atomically
from sgdscope.registry import DATA

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """Images with their labels."""

    pixels: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

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


def as_inputs(pixels: Tensor) -> Tensor:
    """Pixels of 0 … 255 as a network's input in [0, 1]: float32, channels last."""
    return pixels.to(torch.float32, memory_format=torch.channels_last).div_(255)


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

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.train.pixels.shape
        return channels, height, width

    def subset(self, train_size: int | None) -> Dataset:
        """The same data with only the first ``train_size`` training images."""
        return self if train_size is None else replace(self, train=self.train[:train_size])

    def to(self, device: torch.device) -> Dataset:
        """The same data on another device."""
        return replace(
            self,
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
        )


def augment(pixels: Tensor, index: Tensor, *, seed: int, epoch: int, pad: int = 4) -> Tensor:
    """Random crop of the padded image and random horizontal flip, the whole batch at once.

    What an image becomes depends on the seed, the epoch and the image, not on its batch.

    Args:
        pixels: (N, C, H, W).
        index: (N,) which training image each one is.
        seed: the run's seed.
        epoch: the epoch, from 1.
        pad: zero pixels added on each side before the crop.
    """
    count, channels, height, width = pixels.shape
    device = pixels.device
    start = torch.tensor(streams.key(seed, "augmentation", epoch), device=device)
    draws = streams.uniform(start, index[:, None], torch.arange(3, device=device))  # (N, 3)
    top, left = (draws[:, :2] * (2 * pad + 1)).long().unbind(1)
    rows = top[:, None] + torch.arange(height, device=device)
    columns = left[:, None] + torch.arange(width, device=device)
    columns = torch.where(draws[:, 2:] < 0.5, columns, columns.flip(1))
    return F.pad(pixels, (pad, pad, pad, pad))[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def load(name: str) -> Dataset:
    """A registered data set, ready to use.

    Raises:
        RequestError: there is no such data set, or it cannot be had, or it is damaged.
    """
    return DATA[name]().load()


def split(
    train: Images, test: Images, *, validation_size: int, classes: int, augmented: bool = False
) -> Dataset:
    """Hold out the validation images: the same ones for every run and seed."""
    order = torch.randperm(len(train), generator=streams.generator(0, "split"))
    train, validation = train[order[validation_size:]], train[order[:validation_size]]
    mean, std = _moments(train.pixels)
    return Dataset(train, validation, test, classes, mean, std, augmented)


def _moments(pixels: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation by channel, in [0, 1], from counts of the 256 levels."""
    channels = pixels.transpose(0, 1).flatten(1)
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in channels]).double()
    weights = counts / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = weights @ levels
    return mean.tolist(), (weights @ levels.square() - mean.square()).sqrt().tolist()


class DataSource(Protocol):
    """Where a data set comes from; registered as a class, its docstring says what it is."""

    train_size: int  # training images after the split

    def load(self) -> Dataset:
        """The data set; raises RequestError where it is missing or damaged."""


class HubImages:
    """Images laid out as a Hugging Face repository: in ``$SGDSCOPE_DATA/<name>``, else the hub."""

    name: str
    repository: str
    shape: tuple[int, int, int]
    train_size: int
    validation_size: int
    test_size: int
    column = "image"
    classes = 10
    augmented = False

    def load(self) -> Dataset:
        """Decode, or read what was decoded before; check every count; split."""
        files = self._files()
        cache = _cache_file(self.name, self.repository, files)
        tensors = _kept(cache)
        if tensors is None:
            tensors = self._decode(files)
            _keep(tensors, cache)
        return split(
            Images(tensors["train_pixels"], tensors["train_labels"]),
            Images(tensors["test_pixels"], tensors["test_labels"]),
            validation_size=self.validation_size,
            classes=self.classes,
            augmented=self.augmented,
        )

    def _files(self) -> dict[str, list[str]] | None:
        """The parquet files of each part, or None where the hub is to be asked."""
        root = os.environ.get("SGDSCOPE_DATA")
        if not root:
            return None
        folder = Path(root).expanduser() / self.name
        if not folder.is_dir():
            raise RequestError(
                f"SGDSCOPE_DATA={root}: no folder {self.name!r} in it; expected "
                f"{folder}/train-*.parquet and test-*.parquet"
            )
        files = {
            part: sorted(map(str, folder.glob(f"{part}-*.parquet"))) for part in ("train", "test")
        }
        for part, found in files.items():
            if not found:
                raise RequestError(f"{folder}: no file {part}-*.parquet in it")
        return files

    def _decode(self, files: dict[str, list[str]] | None) -> dict[str, Tensor]:
        """Every image of both parts as tensors."""
        import datasets

        source = self.repository if files is None else str(Path(files["train"][0]).parent)
        bars = datasets.utils.logging.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            if files is None:
                parts = datasets.load_dataset(self.repository)
            else:
                parts = datasets.load_dataset("parquet", data_files=files)
            tensors: dict[str, Tensor] = {}
            sizes = {"train": self.train_size + self.validation_size, "test": self.test_size}
            for part, size in sizes.items():
                images = self._tensors(parts[part], size, f"{source}, {part}")
                tensors |= {f"{part}_pixels": images.pixels, f"{part}_labels": images.labels}
        except RequestError:
            raise
        except Exception as error:  # whatever the file system, network, parquet or image code says
            advice = (
                "; set SGDSCOPE_DATA to a folder that holds the data, or use the embedded 'digits'"
            )
            raise RequestError(
                f"data set {self.name!r} cannot be read from {source}: {_root_cause(error)}"
                + (advice if files is None else "")
            ) from error
        finally:
            if bars:
                datasets.enable_progress_bars()
        return tensors

    def _tensors(self, rows: Any, size: int, place: str) -> Images:
        import datasets

        for column in (self.column, "label"):
            if column not in rows.column_names:
                found = ", ".join(rows.column_names)
                raise RequestError(f"{place}: no column {column!r}; expected one, found {found}")
        if len(rows) != size:
            raise RequestError(f"{place}: {len(rows):,} images; expected {size:,}")
        rows = rows.cast_column(self.column, datasets.Image())
        channels, height, width = self.shape
        pixels = np.empty((size, height, width, channels), dtype=np.uint8)
        for i, image in enumerate(rows[self.column]):
            array = np.asarray(image)
            if array.size != pixels[i].size:
                wanted = f"{height}×{width}×{channels}"
                raise RequestError(f"{place}: image {i} is {array.shape}; expected {wanted}")
            pixels[i] = array.reshape(height, width, channels)
        labels = torch.tensor(rows["label"][:], dtype=torch.int64)
        if not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            raise RequestError(f"{place}: labels outside 0 … {self.classes - 1}")
        return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels)


def _root_cause(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no details'}"


def _cache_file(name: str, repository: str, files: dict[str, list[str]] | None) -> Path:
    """Where decoded tensors are kept; a changed source file means another name."""
    stamp = repository
    if files is not None:
        found = [Path(file).resolve() for part in sorted(files) for file in files[part]]
        stamp = repr([(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in found])
    digest = hashlib.blake2b(stamp.encode(), digest_size=6).hexdigest()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "sgdscope" / f"{name}-{digest}.safetensors"


def _kept(cache: Path) -> dict[str, Tensor] | None:
    """What was decoded before; None where nothing was, or it is damaged."""
    try:
        return load_file(cache)
    except (OSError, SafetensorError):
        return None


def _keep(tensors: dict[str, Tensor], cache: Path) -> None:
    try:
        write_atomically(cache, lambda aside: save_file(tensors, aside))
    except (OSError, SafetensorError) as error:
        _log.warning("decoded images are not cached: %s", error)


@DATA.add("digits")
class Digits:
    """scikit-learn's 8×8 digits enlarged to 28×28: 1,297 / 200 / 300; embedded."""

    train_size = 1_297

    def load(self) -> Dataset:
        """Read from scikit-learn, enlarge (bilinear), split."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        small = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
        pixels = F.interpolate(small, size=28, mode="bilinear").round().to(torch.uint8)
        images = Images(pixels, torch.from_numpy(digits.target).long())
        order = torch.randperm(len(images), generator=streams.generator(0, "digits"))
        test, train = images[order[:300]], images[order[300:]]
        return split(train, test, validation_size=200, classes=10)


@DATA.add("mnist")
class Mnist(HubImages):
    """MNIST: 55,000 / 5,000 / 10,000 handwritten digits, 28×28 grey."""

    name, repository = "mnist", "ylecun/mnist"
    shape = (1, 28, 28)
    train_size, validation_size, test_size = 55_000, 5_000, 10_000


@DATA.add("fashion_mnist")
class FashionMnist(HubImages):
    """Fashion-MNIST: 55,000 / 5,000 / 10,000 pieces of clothing, 28×28 grey."""

    name, repository = "fashion_mnist", "zalando-datasets/fashion_mnist"
    shape = (1, 28, 28)
    train_size, validation_size, test_size = 55_000, 5_000, 10_000


@DATA.add("cifar10")
class Cifar10(HubImages):
    """CIFAR-10: 40,000 / 10,000 / 10,000 photographs, 32×32 in colour, cropped and flipped."""

    name, repository, column = "cifar10", "uoft-cs/cifar10", "img"
    shape = (3, 32, 32)
    train_size, validation_size, test_size = 40_000, 10_000, 10_000
    augmented = True
