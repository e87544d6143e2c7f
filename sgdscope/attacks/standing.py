"""Who is still under attack, and who has fallen or is out of reach."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sgdscope.attacks.points import Points, Tries


class Standing:
    """The points that an attack has still to fool; the others are never asked about again."""

    def __init__(self, points: Points, steps: int, *, give_up: bool) -> None:
        self._place = torch.arange(len(points), device=points.labels.device)  # of who is left
        self._inputs = points.inputs.clone()
        self._fooled = torch.zeros_like(points.labels, dtype=torch.bool)
        self._given_up = self._fooled.clone()
        self._progress = Progress(steps) if give_up else None

    def settle(self, now: Tensor, hit: Tensor, margins: Tensor | None = None) -> Tensor | None:
        """Take leave of who is fooled or out of reach.

        Args:
            now: (N, …), where the N points stand that are left.
            hit: (N,) bool, who is fooled there.
            margins: (N,) before the next step; without them no one is given up.

        Returns:
            The index of those who stay; none where all do.
        """
        done = hit
        if self._progress is not None and margins is not None:
            done = hit | self._progress.add(margins)
        if not bool(done.any()):
            return None
        self._inputs[self._place[done]] = now[done]
        self._fooled[self._place[hit]] = True
        self._given_up[self._place[done & ~hit]] = True
        left = (~done).nonzero().squeeze(1)
        self._place = self._place[left]
        if self._progress is not None:
            self._progress.keep(left)
        return left

    def tries(self, now: Tensor) -> Tries:
        """What came of every point, of which those who are left stand at ``now``."""
        self._inputs[self._place] = now
        return Tries(self._inputs, self._fooled, self._given_up)


class Progress:
    """Margins of the last quarter of an attack's steps, and whom they tell it to give up on.

    Once a margin has settled it goes to and fro as a random walk does: n steps take it about √n
    times as far as one. A point is out of reach when six times that, every step as wide as the
    widest of the quarter, would not bring it to the boundary. A step away from the boundary counts
    too: a loss may lead towards another class than the nearest at first. Hardly a point that the
    rest would have fooled is lost (``docs/attacks.md`` has the count).
    """

    REACH = 6

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.window = max(steps // 4, 1)
        self.taken = 0
        self._recent: list[Tensor] = []  # margins, at most window + 1 of them

    def add(self, margins: Tensor) -> Tensor:
        """Take note of the margins (N,) before a step; returns who is out of reach, (N,) bool."""
        self._recent = [*self._recent[-self.window :], margins]
        left, self.taken = self.steps - self.taken, self.taken + 1
        if len(self._recent) <= self.window or not left:
            return torch.zeros_like(margins, dtype=torch.bool)
        widest = torch.stack(self._recent).diff(dim=0).abs().amax(0)
        return margins + self.REACH * widest * math.sqrt(left) < 0

    def keep(self, choice: Tensor) -> None:
        """Forget all other points."""
        self._recent = [margins[choice] for margins in self._recent]
