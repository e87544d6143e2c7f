"""Sources of data sets: found, decoded once, cached, checked."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import torch
from pyarrow import parquet
from torch import Tensor
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.data import cache, named
from sgdscope.data.decoding import decoded
from sgdscope.data.images import Dataset, Images, split
from sgdscope.errors import RequestError, reason, unknown
from sgdscope.registry import Registry

_log = logging.getLogger(__name__)


class DataSource(Protocol):
    """Where a data set comes from; registered as a class, its docstring says what it is."""

    train_size: int  # training images after the split

    def load(self) -> Dataset:
        """The data set; raises RequestError where it is missing or damaged."""


DATA: Registry[type[DataSource]] = Registry("data set")


def load(name: str) -> Dataset:
    """A data set by name, ready to use; the same however often it is loaded.

    Args:
        name: a registered one, or a user's own, such as ``folder:PATH``.

    Raises:
        RequestError: there is no such data set, or it is not available or not valid.
    """
    if name not in DATA and ":" in name:
        return named.load(name)
    source = registered(name)()
    try:
        with streams.seeded(0, "data"):
            found = source.load()
    except RequestError as error:
        raise RequestError(_named(name, str(error))) from error
    except (Exception, SystemExit) as error:  # whatever a user's own source says
        raise RequestError(_named(name, reason(error))) from error
    if not isinstance(found, Dataset):
        raise RequestError(
            f"data set {name!r}: load() returns {type(found).__name__}; expected a Dataset"
        )
    if len(found.train) != source.train_size:
        raise RequestError(
            f"data set {name!r}: {len(found.train):,} training images; expected "
            f"{source.train_size:,}, its train_size"
        )
    return found


def registered(name: str) -> type[DataSource]:
    """The source of that name.

    Raises:
        RequestError: there is none.
    """
    if name not in DATA:
        raise RequestError(f"{unknown('data set', name, DATA)}, {named.FORMS}")
    return DATA[name]


def _named(name: str, said: str) -> str:
    """An error about a data set, with its name."""
    said = said.removeprefix("data set: ")
    return said if name in said else f"data set {name!r}: {said}"


class HubImages:
    """Images laid out as a Hugging Face repository: in ``$SGDSCOPE_DATA/<name>``, else the hub."""

    name: str
    repository: str
    shape: tuple[int, int, int]
    train_size: int
    validation_size: int
    test_size: int
    column, label = "image", "label"
    classes = 10
    augmented = False

    def load(self) -> Dataset:
        """Decode, or read the cache; check every count; split."""
        files = self._files()
        file = self._cache_file(files)
        tensors = cache.kept(file)
        if tensors is None:
            tensors = self._decode(files)
            cache.keep(tensors, file)
        return split(
            Images(tensors["train_pixels"], tensors["train_labels"]),
            Images(tensors["test_pixels"], tensors["test_labels"]),
            validation_size=self.validation_size,
            classes=self.classes,
            augmented=self.augmented,
        )

    def _files(self) -> dict[str, list[str]] | None:
        """The parquet files of each part, or None if the hub is to be used."""
        root = os.environ.get("SGDSCOPE_DATA")
        if not root:
            return None
        try:
            folder = Path(root).expanduser() / self.name
        except RuntimeError as error:
            raise RequestError(f"SGDSCOPE_DATA={root}: {error}") from error
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

    def _cache_file(self, files: dict[str, list[str]] | None) -> Path:
        """The file of cached tensors; its name depends on how they are decoded."""
        stamp: list[object] = [self.repository, self.shape, self.column, self.label]
        if files is not None:
            stamp += cache.stamps(Path(f) for part in sorted(files) for f in files[part])
        return cache.file(self.name, stamp)

    def _decode(self, files: dict[str, list[str]] | None) -> dict[str, Tensor]:
        """Every image of both parts as tensors."""
        source = f"{self.repository} on the Hugging Face hub"
        if files is not None:
            source = str(Path(files["train"][0]).parent)
        _log.info("reading %s from %s (once; decoded images are kept)", self.name, source)
        sizes = {"train": self.train_size + self.validation_size, "test": self.test_size}
        tensors: dict[str, Tensor] = {}
        try:
            parts = _from_hub(self.repository) if files is None else _from_files(files)
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
                f"data set {self.name!r} cannot be read from {source}: {_root_reason(error)}"
                + (advice if files is None else "")
            ) from error
        return tensors

    def _tensors(self, rows: pa.Table, size: int, place: str) -> Images:
        if len(rows) != size:
            raise RequestError(f"{place}: {len(rows):,} images; expected {size:,}")
        images = decoded(rows, column=self.column, label=self.label, shape=self.shape, place=place)
        if not 0 <= int(images.labels.min()) <= int(images.labels.max()) < self.classes:
            raise RequestError(f"{place}: labels outside 0 … {self.classes - 1}")
        return images


def _from_files(files: dict[str, list[str]]) -> dict[str, pa.Table]:
    """The rows of each part; special characters in paths have no meaning."""
    return {
        part: pa.concat_tables([parquet.ParquetFile(file).read() for file in own])
        for part, own in files.items()
    }


def _from_hub(repository: str) -> dict[str, pa.Table]:
    """The rows of each part, images as the bytes of their files."""
    import datasets

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # retries are its own affair
    parts = datasets.load_dataset(repository)
    return {part: parts[part].with_format("arrow")[:] for part in ("train", "test")}


def _root_reason(error: BaseException) -> str:
    """The original error; if the hub cannot be reached, without the search of its cache."""
    while not isinstance(error, ConnectionError) and (
        cause := error.__cause__ or error.__context__
    ):
        error = cause
    return reason(error)


@DATA.add("digits")
class Digits:
    """scikit-learn's digits, embedded: 1,297 training images, enlarged from 8×8 to 28×28, grey."""

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
    """MNIST: 55,000 training images of handwritten digits, 28×28, in grey."""

    name, repository = "mnist", "ylecun/mnist"
    shape = (1, 28, 28)
    train_size, validation_size, test_size = 55_000, 5_000, 10_000


@DATA.add("fashion_mnist")
class FashionMnist(HubImages):
    """Fashion-MNIST: 55,000 training images of clothing, 28×28, in grey."""

    name, repository = "fashion_mnist", "zalando-datasets/fashion_mnist"
    shape = (1, 28, 28)
    train_size, validation_size, test_size = 55_000, 5_000, 10_000


@DATA.add("cifar10")
class Cifar10(HubImages):
    """CIFAR-10: 40,000 training images, 32×32 in colour, cropped and flipped."""

    name, repository, column = "cifar10", "uoft-cs/cifar10", "img"
    shape = (3, 32, 32)
    train_size, validation_size, test_size = 40_000, 10_000, 10_000
    augmented = True
