"""Equal progress: each run's value when its training loss passed a common value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


def at_equal_loss(taken: pd.DataFrame) -> pd.DataFrame:
    """One row per run, interpolated where its loss first falls through a common value.

    The common loss is the one that the most runs pass between two measurements; of those, the
    lowest.

    Args:
        taken: as ``trajectories`` gives them.

    Returns:
        The runs that pass it, with interpolated ``value`` and the later epoch's ``rate``; none
        where no two share a loss.
    """
    by_epoch = np.argsort(taken["epoch"].to_numpy())
    runs, _ = pd.factorize(taken["run"].to_numpy()[by_epoch])
    by_run = np.argsort(runs, kind="stable")
    order, runs = by_epoch[by_run], runs[by_run]
    losses = taken["loss"].to_numpy(float)[order]
    common = _common(losses, np.flatnonzero(np.diff(runs, prepend=-1)))
    if common is None:
        return taken.iloc[:0]
    after = 1 + np.flatnonzero(
        (runs[:-1] == runs[1:]) & (losses[:-1] >= common) & (losses[1:] <= common)
    )
    after = after[np.unique(runs[after], return_index=True)[1]]  # the first of each run
    values = taken["along"].to_numpy(float)[order]
    return taken.iloc[order[after]].assign(value=_between(losses, values, after, common))


def _common(losses: FloatArray, starts: IntArray) -> float | None:
    """The loss that most runs pass, at least two.

    Args:
        losses: (N,) of one run after the other.
        starts: (runs,) where each begins.
    """
    if not len(starts):
        return None
    low, high = (extreme.reduceat(losses, starts) for extreme in (np.fmin, np.fmax))
    several = np.add.reduceat((~np.isnan(losses)).astype(int), starts) > 1
    low, high = low[several], high[several]
    held = ((low <= low[:, None]) & (low[:, None] <= high)).sum(1)
    if held.max(initial=0) < 2:
        return None
    return float(low[held == held.max()].min())


def _between(losses: FloatArray, values: FloatArray, after: IntArray, common: float) -> FloatArray:
    """Values where the loss is a common one: linear in its logarithm since the row before."""
    before = after - 1
    gap = np.log(losses[before] / losses[after])
    passed = np.log(losses[before] / common)
    share = np.divide(passed, gap, out=np.ones(len(after)), where=gap > 0)
    return np.asarray(values[before] + share * (values[after] - values[before]))
