"""Encoded images in tables, as uint8 tensors."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sgdscope.data.images import Images
from sgdscope.errors import RequestError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa
    from PIL.Image import Image

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's, by channels
GREY = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")
_DEEP = 65_535  # the largest value of 16 bits


def decoded(
    table: pa.Table, *, column: str, label: str, shape: tuple[int, int, int], place: str
) -> Images:
    """The images of a table, all in the mode that fits the number of channels.

    Args:
        table: one row per image.
        column: of encoded images: bytes, or a struct with ``bytes``.
        label: the column of labels.
        shape: channels, height and width of every image.
        place: what to call the table in an error.

    Raises:
        RequestError: a column is missing or of another kind, or an image cannot be converted.
    """
    for name in (column, label):
        if name not in table.column_names:
            found = ", ".join(table.column_names)
            raise RequestError(f"{place}: no column {name!r}; expected one, found {found}")
    channels, height, width = shape
    pixels = np.empty((len(table), height, width, channels), dtype=np.uint8)
    for i, cell in enumerate(table[column]):
        where = f"{place}: image {i}"
        pixels[i] = pixels_of(_encoded(cell.as_py(), where), shape, where)
    return Images(
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(_labels(table[label], place)),
    )


def _labels(column: pa.ChunkedArray, place: str) -> npt.NDArray[np.int64]:
    values = column.to_numpy()
    if values.dtype.kind not in "iu":
        empty = f", {column.null_count} of them empty" if column.null_count else ""
        raise RequestError(f"{place}: labels are {column.type}{empty}; expected whole numbers")
    labels: npt.NDArray[np.int64] = values.astype(np.int64)
    return labels


def _encoded(cell: Any, where: str) -> bytes:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise RequestError(f"{where} holds no encoded image; expected the bytes of one")
    return content


def pixels_of(
    content: bytes, shape: tuple[int, int, int], where: str, *, resized: bool = False
) -> npt.NDArray[np.uint8]:
    """(height, width, channels) of one image, upright.

    Args:
        content: the bytes of an image's file.
        shape: channels, height and width.
        where: what to call it in an error.
        resized: resize it bilinearly to that height and width.

    Raises:
        RequestError: it has another size, or cannot be converted.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    with Image.open(io.BytesIO(content)) as file:
        image = ImageOps.exif_transpose(file)
    if image.size != (width, height) and not resized:
        found = f"{image.height}×{image.width}"
        raise RequestError(f"{where} is {found}; expected {height}×{width}×{channels}")
    if channels <= 2 and image.mode not in GREY and coloured(image):
        raise RequestError(f"{where} is in colour; expected grey, with {channels} channel(s)")
    if channels not in _MODES:
        raise RequestError(f"{where}: {channels} channels; expected 1 to 4")
    image = _shallow(image, where).convert(_MODES[channels])
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels)


def coloured(image: Image) -> bool:
    """Whether any pixel of an image is not grey."""
    red, green, blue = image.convert("RGB").split()
    return red.tobytes() != green.tobytes() or red.tobytes() != blue.tobytes()


def _shallow(image: Image, where: str) -> Image:
    """Convert 16 bits per pixel to 8; Pillow itself would clip at 255."""
    from PIL import Image

    if image.mode == "F":
        raise RequestError(f"{where} holds floating-point numbers; expected 8 or 16 bits per pixel")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _DEEP:
        raise RequestError(f"{where} holds values outside 0 … {_DEEP}; expected 8 or 16 bits")
    return Image.fromarray((values / (_DEEP / 255)).round().astype(np.uint8))
