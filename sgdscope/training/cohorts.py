"""Cohorts: runs of one shape, which can train together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sgdscope.study.run import Run

SHAPE = ["model", "data", "train_size", "normalise", "precision", "batch_size"]
SHAPE += ["epochs", "steps", "until_train_loss", "optimizer", "method", "grows"]


def shape(run: Run) -> tuple[Any, ...]:
    """What runs that train together must share; schedule and seed may differ."""
    return tuple(getattr(run, setting) for setting in SHAPE)


def group(runs: Sequence[Run], size: int) -> list[list[Run]]:
    """Cohorts of at most ``size`` runs, as even as possible, in the order of their shapes.

    Args:
        runs: of any shapes.
        size: how many may train together.
    """
    alike: dict[Any, list[Run]] = {}
    for run in runs:
        alike.setdefault(shape(run), []).append(run)
    return [part for runs in alike.values() for part in _evenly(runs, at_most=size)]


def _evenly(runs: list[Run], *, at_most: int) -> list[list[Run]]:
    count = -(-len(runs) // at_most)
    bounds = [len(runs) * i // count for i in range(count + 1)]
    return [runs[a:b] for a, b in pairwise(bounds)]
