"""On what scale a knob's values are best compared."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

RATIO = 4.0  # two values further apart than this differ by a factor, others by a difference


def geometric(values: Iterable[float]) -> bool:
    """Whether steps between values are rather equal factors than equal differences."""
    ordered = np.unique(np.array(list(values), dtype=np.float64))
    if len(ordered) < 2 or ordered[0] <= 0:
        return False
    if len(ordered) == 2:
        return bool(ordered[1] / ordered[0] >= RATIO)
    return _unevenness(np.log(ordered)) < _unevenness(ordered)


def _unevenness(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    steps = np.diff(values)
    return float(steps.std() / steps.mean())
