"""Images as uint8 tensors, and where they come from."""

from sgdscope.data.images import (
    Dataset,
    Images,
    as_inputs,
    augment,
    augmentation_key,
    crop_and_flip,
    split,
)
from sgdscope.data.sources import DATA, DataSource, HubImages, load

__all__ = [
    "DATA",
    "DataSource",
    "Dataset",
    "HubImages",
    "Images",
    "as_inputs",
    "augment",
    "augmentation_key",
    "crop_and_flip",
    "load",
    "split",
]
