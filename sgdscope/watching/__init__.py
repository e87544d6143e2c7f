"""Trainings run by other code: measured as they go, kept like the runs of a study."""

from sgdscope.watching.watch import Watch

__all__ = ["Watch"]
