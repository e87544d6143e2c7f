"""Networks by name; importing this registers the built-in ones."""

from sgdscope.models.base import MODELS, Dropout, ModelBuilder, Normalise, bind_dropout
from sgdscope.models.building import build, check, find, normalised
from sgdscope.models.paper import Residual

__all__ = [
    "MODELS",
    "Dropout",
    "ModelBuilder",
    "Normalise",
    "Residual",
    "bind_dropout",
    "build",
    "check",
    "find",
    "normalised",
]
