"""Equal progress: what a run measured when its training loss passed a common value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]


def at_end(taken: pd.DataFrame) -> pd.DataFrame:
    """The last row of each run."""
    return taken[taken["epoch"] == taken.groupby("run")["epoch"].transform("max")]


def at_equal_loss(taken: pd.DataFrame) -> pd.DataFrame:
    """One row a run, interpolated where its loss first falls through a common value.

    The common loss is the one that the most runs pass between two measurements; of those, the
    lowest.

    Args:
        taken: as ``trajectories`` gives them.

    Returns:
        The runs that pass it, with interpolated ``value`` and the later epoch's ``rate``; none
        where no two share a loss.
    """
    windows = taken.groupby("run")["loss"].agg(["min", "max", "count"])
    windows = windows[windows["count"] > 1]
    if len(windows) < 2:
        return taken.iloc[:0]
    held = [
        int(((windows["min"] <= loss) & (loss <= windows["max"])).sum()) for loss in windows["min"]
    ]
    common = float(windows["min"][np.array(held) == max(held)].min())
    if max(held) < 2:
        return taken.iloc[:0]
    taken = taken.sort_values("epoch")
    all_losses, all_values = taken["loss"].to_numpy(float), taken["along"].to_numpy(float)
    passing: dict[int, float] = {}  # by the row's place in ``taken``
    for run, places in taken.groupby("run", sort=False).indices.items():
        if run in windows.index:
            found = _passing(all_losses[places], all_values[places], common)
            if found is not None:
                passing[int(places[found[0]])] = found[1]
    return taken.iloc[list(passing)].assign(value=list(passing.values()))


def _passing(losses: FloatArray, values: FloatArray, common: float) -> tuple[int, float] | None:
    """Which of a run's measurements is the first with its loss below one, and the value at it."""
    below = np.flatnonzero((losses[:-1] >= common) & (losses[1:] <= common))
    if not below.size:
        return None
    before, after = below[0], below[0] + 1
    gap = np.log(losses[before] / losses[after])
    share = np.log(losses[before] / common) / gap if gap > 0 else 1.0
    return int(after), float(values[before] + share * (values[after] - values[before]))
