"""Equal progress: what a run measured when its training loss passed a common value."""

from __future__ import annotations

import numpy as np
import pandas as pd


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
    passing = [
        row
        for run, curve in taken.sort_values("epoch").groupby("run", sort=False)
        if run in windows.index and (row := _passing(curve, common)) is not None
    ]
    return pd.DataFrame(passing, columns=taken.columns)


def _passing(curve: pd.DataFrame, common: float) -> pd.Series | None:
    """A run's row where its loss first falls through a value."""
    losses, values = curve["loss"].to_numpy(), curve["along"].to_numpy()
    below = np.flatnonzero((losses[:-1] >= common) & (losses[1:] <= common))
    if not below.size:
        return None
    before, after = below[0], below[0] + 1
    gap = np.log(losses[before] / losses[after])
    share = np.log(losses[before] / common) / gap if gap > 0 else 1.0
    row = pd.Series(curve.iloc[after])
    row["value"] = values[before] + share * (values[after] - values[before])
    return row
