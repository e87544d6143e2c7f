"""Changes to plain training; importing this registers every method."""

from sgdscope.methods import (
    absa,
    adversarial,
    augmentation,
    averaging,
    ghost_batch_norm,
    label_smoothing,
    mixup,
    plain,
    sam,
)  # fmt: skip
from sgdscope.methods.base import METHODS, Batch, Method, Pass

__all__ = [
    "METHODS",
    "Batch",
    "Method",
    "Pass",
    "absa",
    "adversarial",
    "augmentation",
    "averaging",
    "ghost_batch_norm",
    "label_smoothing",
    "mixup",
    "plain",
    "sam",
]
