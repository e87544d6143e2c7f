"""The networks by name; importing this registers those that are shipped."""

from sgdscope.models.base import MODELS, Dropout, ModelBuilder, Normalise, bind_dropout
from sgdscope.models.building import build, check, find
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
]
