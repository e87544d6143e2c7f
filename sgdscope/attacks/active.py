"""Which points are still under attack, and which are fooled or out of reach."""

from __future__ import annotations

import torch
from torch import Tensor

from sgdscope.attacks.points import Points, Tries
from sgdscope.attacks.reach import Reach


class ActivePoints:
    """The points an attack has yet to fool; the others are never evaluated again."""

    def __init__(self, points: Points, reach: Reach | None) -> None:
        self._place = torch.arange(
            len(points), device=points.labels.device
        )  # of the points that are left
        self._inputs = points.inputs.clone()
        self._fooled = torch.zeros_like(points.labels, dtype=torch.bool)
        self._given_up = self._fooled.clone()
        self._reach = reach

    def settle(self, now: Tensor, hit: Tensor, lost: Tensor | None = None) -> Tensor | None:
        """Drop the points that are fooled or out of reach.

        Args:
            now: (N, …), the current places of the N points that are left.
            hit: (N,) bool, which are fooled there.
            lost: (N,) bool, which are out of reach.

        Returns:
            The index of those that stay; None if all do.
        """
        done = hit if lost is None else hit | lost
        if not bool(done.any()):
            return None
        self._inputs[self._place[done]] = now[done]
        self._fooled[self._place[hit]] = True
        self._given_up[self._place[done & ~hit]] = True
        left = (~done).nonzero().squeeze(1)
        self._place = self._place[left]
        if self._reach is not None:
            self._reach.keep(left)
        return left

    def tries(self, now: Tensor) -> Tries:
        """The outcome for every point; those that are left are at ``now``."""
        self._inputs[self._place] = now
        return Tries(self._inputs, self._fooled, self._given_up)
