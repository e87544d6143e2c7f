"""Image files of one shape, as tensors; infers the shape and names files that do not fit."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from sgdscope.data import cache, memory
from sgdscope.data.decoding import GREY, coloured, pixels_of
from sgdscope.errors import RequestError, reason
from sgdscope.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger(__name__)
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF


@dataclass(frozen=True)
class Encoded:
    """One image: its file's bytes, or the file."""

    where: str  # what errors call it
    content: bytes | Path

    def read(self) -> bytes:
        """The bytes of its file."""
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


def _size(value: Any) -> Any:
    """``32`` or ``"32x48"`` as height and width."""
    sides = str(value).lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError("expected a size in pixels, as 32, or as 32x48 for height and width")
    return int(sides[0]), int(sides[-1])


class Shaping(Settings):
    """Options for images of different shapes."""

    resize: Annotated[tuple[int, int] | None, BeforeValidator(_size)] = None  # height, width
    channels: Annotated[int | None, Field(ge=1, le=4)] = None

    def tensors(
        self, parts: Mapping[str, Sequence[Encoded]], *, name: str, stamp: Sequence[object]
    ) -> dict[str, Tensor]:
        """The images of each part, (N, C, H, W) uint8, all of one shape; decoded once and kept.

        Args:
            parts: the images.
            name: what to call them.
            stamp: identifies their state without reading them.

        Raises:
            RequestError: they are not of one shape, cannot be read, or do not fit into memory.
        """
        counts = {part: len(images) for part, images in parts.items()}
        file = cache.file(Path(name).name, [name, self.model_dump(), counts, *stamp])
        found = cache.kept(file)
        if found is None:
            count = sum(counts.values())
            _log.info("reading %s images from %s (once; decoded images are kept)", count, name)
            found = self._decoded(parts)
            cache.keep(found, file)
        return found

    def _decoded(self, parts: Mapping[str, Sequence[Encoded]]) -> dict[str, Tensor]:
        images = [image for part in parts.values() for image in part]
        shape = self._shape(images)
        memory.must_hold(len(images), shape)
        return {name: self._pixels(part, shape) for name, part in parts.items()}

    def _pixels(self, images: Sequence[Encoded], shape: tuple[int, int, int]) -> Tensor:
        channels, height, width = shape
        pixels = np.empty((len(images), height, width, channels), dtype=np.uint8)
        for i, image in enumerate(images):
            try:
                pixels[i] = pixels_of(
                    image.read(), shape, image.where, resized=self.resize is not None
                )
            except (OSError, ValueError, SyntaxError) as error:  # of Pillow, of a damaged file
                raise _unreadable(image, error) from error
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def _shape(self, images: Sequence[Encoded]) -> tuple[int, int, int]:
        """Channels, height and width of all images, from the files' headers alone if possible."""
        first: tuple[Encoded, tuple[int, int]] | None = None
        kinds: dict[int, Encoded] = {}  # the first image of each number of channels
        for image, size, channels in self._surveyed(images):
            first = first or (image, size)
            if size != first[1] and self.resize is None:
                a, b = ("×".join(map(str, each)) for each in (first[1], size))
                raise RequestError(
                    f"{first[0].where} is {a} and {image.where} is {b}; expected images of one "
                    f"size, or the size to bring them to: ?resize={min(first[1])}"
                )
            kinds.setdefault(channels, image)
        if first is None:
            raise RequestError("no images; expected some")
        if self.channels is None and len(kinds) > 1:
            raise RequestError(
                f"{kinds[1].where} is grey and {kinds[3].where} is in colour; expected one kind, "
                "or ?channels=3 to take grey as colour"
            )
        return self.channels or next(iter(kinds)), *(self.resize or first[1])

    def _surveyed(
        self, images: Sequence[Encoded]
    ) -> Iterator[tuple[Encoded, tuple[int, int], int]]:
        from PIL import Image

        for image in images:
            content = image.content
            try:
                with Image.open(
                    io.BytesIO(content) if isinstance(content, bytes) else content
                ) as file:
                    if file.format != "MPO" and getattr(file, "is_animated", False):
                        raise RequestError(f"{image.where} holds several images; expected one")
                    width, height = file.size
                    if file.getexif().get(_ORIENTATION) in _SIDEWAYS:
                        width, height = height, width
                    channels = self.channels or _channels(file, image.where)
            except (OSError, ValueError, SyntaxError) as error:
                raise _unreadable(image, error) from error
            yield image, (height, width), channels


def _channels(file: Image, where: str) -> int:
    """1 for a grey image, 3 for one in colour."""
    if file.has_transparency_data and _lowest_alpha(file) < 255:
        raise RequestError(
            f"{where} is partly transparent; expected opaque images, or ?channels=3 to drop the "
            "transparency, 4 to keep it"
        )
    if file.mode == "P":
        return 3 if coloured(file) else 1
    return 1 if file.mode in GREY else 3


def _lowest_alpha(file: Image) -> float:
    low, _ = file.convert("RGBA").getchannel("A").getextrema()
    return float(low) if not isinstance(low, tuple) else 0.0


def _unreadable(image: Encoded, error: Exception) -> RequestError:
    said = reason(error)
    if "cannot identify image file" in said:
        said = "the file is empty or of no format that Pillow knows"
    return RequestError(f"{image.where} cannot be read as an image: {said}")
