"""Trainings that someone else runs: measured as they go, kept as a study keeps its runs."""

from sgdscope.watching.watch import Watch

__all__ = ["Watch"]
