"""Images as uint8 tensors, and where they come from."""

from sgdscope.data.images import (
    Dataset,
    Images,
    arranged,
    as_inputs,
    augment,
    augmentation_key,
    crop_and_flip,
    split,
)
from sgdscope.data.named import KINDS, describe
from sgdscope.data.sources import DATA, DataSource, HubImages, load, registered

__all__ = [
    "DATA",
    "KINDS",
    "DataSource",
    "Dataset",
    "HubImages",
    "Images",
    "arranged",
    "as_inputs",
    "augment",
    "augmentation_key",
    "crop_and_flip",
    "describe",
    "load",
    "registered",
    "split",
]
