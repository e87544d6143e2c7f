"""Encoded images of every mode become the pixels that Pillow's own conversion gives."""

import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from sgdscope.data import decoding
from sgdscope.errors import RequestError

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (6, 5), dtype=np.uint8)
BLACK_OR_WHITE = np.where(GREY > 127, np.uint8(255), np.uint8(0))
COLOUR = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(content, channels, **columns):
    table = pa.table({"image": [{"bytes": content, "path": None}], "label": [3]} | columns)
    images = decoding.decoded(
        table, column="image", label="label", shape=(channels, 6, 5), place="here"
    )
    assert images.labels.tolist() == [3]
    return images.pixels[0].permute(1, 2, 0).squeeze(2).numpy()


grey = Image.fromarray(GREY)
colour = Image.fromarray(COLOUR)
palette = colour.quantize(64)
DEEP = GREY.astype(np.uint16) * 257

RIGHT = {
    "grey": (encoded(grey), 1, GREY),
    "1 bit": (encoded(Image.fromarray(BLACK_OR_WHITE).convert("1")), 1, BLACK_OR_WHITE),
    "palette of greys": (encoded(grey.convert("P")), 1, GREY),
    "palette": (encoded(palette), 3, np.asarray(palette.convert("RGB"))),
    "16 bit": (encoded(Image.fromarray(DEEP)), 1, GREY),
    "16 bit, three channels": (encoded(Image.fromarray(DEEP)), 3, np.stack([GREY] * 3, 2)),
    "grey with alpha": (encoded(grey.convert("LA")), 1, GREY),
    "grey, three channels": (encoded(grey), 3, np.stack([GREY] * 3, 2)),
    "grey as colour": (encoded(grey.convert("RGB")), 1, GREY),
    "colour": (encoded(colour), 3, COLOUR),
    "colour with alpha": (encoded(colour.convert("RGBA")), 3, COLOUR),
    "colour with alpha, kept": (
        encoded(colour.convert("RGBA")), 4, np.asarray(colour.convert("RGBA")),
    ),
    "CMYK": (
        encoded(colour.convert("CMYK"), "TIFF"), 3,
        np.asarray(colour.convert("CMYK").convert("RGB")),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "channels", "pixels"), RIGHT.values(), ids=RIGHT)
def test_every_mode_is_converted(content, channels, pixels):
    assert np.array_equal(decoded(content, channels), pixels)


WRONG = {
    "colour as grey": (encoded(colour), {}, "image 0 is in colour; expected grey"),
    "colour palette as grey": (encoded(palette), {}, "image 0 is in colour; expected grey"),
    "floats": (
        encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), {}, "floating-point numbers",
    ),
    "32 bit": (
        encoded(Image.fromarray(GREY.astype(np.int32) << 16), "TIFF"), {}, "outside 0 … 65535",
    ),
    "no image": (None, {"image": [None]}, "image 0 holds no encoded image"),
    "text": (None, {"image": ["x.png"]}, "image 0 holds no encoded image"),
    "a label missing": (encoded(grey), {"label": pa.array([None], pa.int64())}, "1 of them empty"),
    "named labels": (encoded(grey), {"label": ["cat"]}, "labels are string; expected whole"),
    "labels with decimals": (encoded(grey), {"label": [0.5]}, "labels are double; expected whole"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "columns", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_converted_is_named(content, columns, message):
    with pytest.raises(RequestError, match="here.*" + message):
        decoded(content, 1, **columns)


def test_a_photograph_stands_upright_as_its_camera_says():
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down
    assert np.array_equal(decoded(encoded(grey, exif=turned), 1), GREY[::-1, ::-1])


def test_labels_may_be_small_integers():
    small = pa.table({"image": [{"bytes": encoded(grey)}], "label": pa.array([3], pa.uint8())})
    images = decoding.decoded(small, column="image", label="label", shape=(1, 6, 5), place="here")
    assert images.labels.dtype == torch.int64
