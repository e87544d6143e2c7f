"""Cohorts: runs of one shape, which can train together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sgdscope.runs import Run

SHAPE = ["model", "data", "train_size", "normalise", "precision", "batch_size"]
SHAPE += ["epochs", "steps", "until_train_loss"]


@dataclass(frozen=True)
class Cohort:
    """Runs that differ in schedule, momentum and seed alone."""

    runs: tuple[Run, ...]

    def __len__(self) -> int:
        return len(self.runs)


def group(runs: Sequence[Run], size: int) -> list[Cohort]:
    """Cohorts of at most ``size`` runs, as even as can be, in the order in which shapes first come.

    Args:
        runs: of any shapes.
        size: how many may train together.
    """
    by_shape: dict[Any, list[Run]] = {}
    for run in runs:
        by_shape.setdefault(_shape(run), []).append(run)
    return [
        Cohort(tuple(part)) for alike in by_shape.values() for part in _evenly(alike, at_most=size)
    ]


def _shape(run: Run) -> tuple[Any, ...]:
    return tuple(getattr(run, setting) for setting in SHAPE)


def _evenly(runs: Sequence[Run], *, at_most: int) -> list[Sequence[Run]]:
    count = -(-len(runs) // at_most)
    bounds = [len(runs) * i // count for i in range(count + 1)]
    return [runs[a:b] for a, b in pairwise(bounds)]
