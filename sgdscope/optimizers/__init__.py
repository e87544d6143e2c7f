"""Optimizers: updates from gradients; importing this registers every one."""

from sgdscope.optimizers import adamw, sgd
from sgdscope.optimizers.base import OPTIMIZERS, Optimizer, StackedUpdates, Updates
from sgdscope.optimizers.checking import check
from sgdscope.optimizers.imported import find

__all__ = ["OPTIMIZERS", "Optimizer", "StackedUpdates", "Updates", "adamw", "check", "find", "sgd"]
