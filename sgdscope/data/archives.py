"""Images in arrays: from an npz file, or returned by a user's function."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.lib.npyio import NpzFile
from torch import Tensor

from sgdscope.data.images import Dataset, Images, arranged, tensor_of
from sgdscope.errors import RequestError, reason
from sgdscope.settings import Settings

# The names of a part's pixels and labels: common ones, and those of MedMNIST.
NAMES = {
    "train": [("x_train", "y_train"), ("train_images", "train_labels")],
    "validation": [
        ("x_validation", "y_validation"), ("x_val", "y_val"), ("x_valid", "y_valid"),
        ("val_images", "val_labels"),
    ],
    "test": [("x_test", "y_test"), ("test_images", "test_labels")],
}  # fmt: skip
_KNOWN = {name for pairs in NAMES.values() for pair in pairs for name in pair}
_FEW = range(1, 5)  # what counts as channels


class Npz(Settings):
    """Arrays x_train, y_train, x_test, y_test of a FILE; x_val, y_val; MedMNIST's names."""

    def load(self, path: str) -> Dataset:
        """Read the arrays.

        Raises:
            RequestError: there is no such file, or an array is missing or does not fit.
        """
        if not Path(path).is_file():
            raise RequestError(f"no file {path}; expected one that numpy.savez wrote")
        if not is_zipfile(path):
            raise RequestError(f"{path}: not an npz file; expected one that numpy.savez wrote")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return of_arrays({n: _read(arrays, n, path) for n in arrays.files}, place=path)
        except (ValueError, OSError, EOFError, BadZipFile, AttributeError) as error:
            raise RequestError(f"{path}: cannot be read as an npz file: {reason(error)}") from error


def _read(arrays: NpzFile, name: str, path: str) -> Any:
    """One array of a file; None where it is none of a data set's."""
    try:
        return arrays[name] if name in _KNOWN else None
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise RequestError(f"{path}: {name} holds Python objects; expected numbers") from error


def returned(value: Any) -> Dataset:
    """A data set from what a function returns: arrays by name, or x_train, y_train, x_test, y_test.

    Raises:
        RequestError: it is neither, or they do not fit together.
    """
    if isinstance(value, Dataset):
        return value
    if isinstance(value, tuple | list) and len(value) == 4:
        value = dict(zip(("x_train", "y_train", "x_test", "y_test"), value, strict=True))
    if not isinstance(value, Mapping):
        raise RequestError(
            f"the function returns {_kind(value)}; expected x_train, y_train, x_test, "
            "y_test, or these by name"
        )
    return of_arrays(value, place="the function")


def of_arrays(arrays: Mapping[str, Any], *, place: str) -> Dataset:
    """A data set from arrays by name.

    Args:
        arrays: pixels, uint8, (N, H, W), (N, H, W, C) or (N, C, H, W), and labels, (N,) or (N, 1).
        place: what to call them in an error.

    Raises:
        RequestError: one is missing or does not fit.
    """
    parts: dict[str, Images] = {}
    for part, choices in NAMES.items():
        names = next((pair for pair in choices if pair[0] in arrays), None)
        if names is None:
            if part == "validation":
                continue
            raise RequestError(
                f"{place}: no {' or '.join(pixels for pixels, _ in choices)}; found "
                f"{', '.join(arrays) or 'nothing'}"
            )
        if names[1] not in arrays:
            raise RequestError(f"{place}: {names[0]} without {names[1]}; expected both")
        pixels, labels = (tensor_of(arrays[n], f"{place}: {n}").cpu() for n in names)
        pixels = _channels_first(pixels, f"{place}: {names[0]}")
        parts[part] = _images(pixels, labels, f"{place}: {', '.join(names)}")
    for part, images in parts.items():
        if not len(images):
            raise RequestError(f"{place}: no {part} images; expected some")
    return arranged(
        parts["train"], parts["test"], validation=parts.get("validation"),
        classes=_classes(parts, place),
    )  # fmt: skip


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{name} of {len(value)}" if isinstance(value, tuple | list) else name


def _images(pixels: Tensor, labels: Tensor, where: str) -> Images:
    """Images of arrays as they come; errors name the arrays."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.squeeze(1)
    try:
        return Images(pixels, labels)
    except RequestError as error:
        raise RequestError(f"{where}: {str(error).removeprefix('images: ')}") from None


def _channels_first(pixels: Tensor, where: str) -> Tensor:
    if pixels.ndim == 3:
        return pixels[:, None]
    if pixels.ndim != 4:
        return pixels  # refused when images are made from it
    _, a, b, c = pixels.shape
    first, last = a in _FEW, c in _FEW
    if first and last:  # so small: assume square images
        first, last = b == c, a == b
    if first == last:
        raise RequestError(
            f"{where} has shape {tuple(pixels.shape)}; expected 1 to 4 channels, either in the "
            "second place or in the last"
        )
    return pixels if first else pixels.permute(0, 3, 1, 2).contiguous()


def _classes(parts: Mapping[str, Images], place: str) -> int:
    """The number of classes: the training labels have to be all whole numbers from 0 on."""
    seen = {part: set(images.labels.tolist()) for part, images in parts.items()}
    train = seen["train"]
    if len(train) < 2:
        raise RequestError(f"{place}: all training labels are {_listed(train)}; expected 2 classes")
    if train != set(range(len(train))):
        raise RequestError(
            f"{place}: training labels are {_listed(train)}; expected 0 to {len(train) - 1}, with "
            "images of each"
        )
    for part, own in seen.items():
        if strange := own - train:
            raise RequestError(
                f"{place}: {part} labels {_listed(strange)} are not in the training labels, "
                f"{_listed(train)}; expected the same ones"
            )
    return len(train)


def _listed(labels: set[int]) -> str:
    said = [str(label) for label in sorted(labels)]
    return ", ".join(said if len(said) <= 6 else [*said[:3], "…", said[-1]])
