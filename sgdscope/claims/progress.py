"""Equal progress: what a run measured when its training loss passed a common value."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sgdscope.results import Results


def curves(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows taken along training, with the training loss and learning rate of their epoch.

    The loss is that measured at the same epoch (evaluation mode, no augmentation) where a study
    measured ``train_loss`` along the way, and otherwise the epoch's mean from the history.

    Args:
        results: of a study.
        rows: of its table: one measure, one eps, any epochs.

    Returns:
        The rows with ``loss``, ``rate`` and ``along``: the value on the examples that were measured
        along the way, at the end too.
    """
    history = results.history[["run", "epoch", "train_loss", "learning_rate"]]
    history = history.rename(columns={"train_loss": "loss", "learning_rate": "rate"})
    found = rows.merge(history, on=["run", "epoch"], how="inner")
    rows_of_loss = results.table[results.table["measure"] == "train_loss"]
    measured = rows_of_loss.set_index(["run", "epoch"])["value"]
    losses = measured.reindex(pd.MultiIndex.from_frame(found[["run", "epoch"]])).to_numpy(float)
    everywhere = pd.Series(~np.isnan(losses)).groupby(found["run"]).transform("all")
    found["loss"] = found["loss"].where(~everywhere, losses).clip(lower=1e-12)
    subset = found["along_value"] if "along_value" in found else found["value"]
    found["along"] = subset.fillna(found["value"])
    return found


def at_end(taken: pd.DataFrame) -> pd.DataFrame:
    """The last row of each run."""
    return taken[taken["epoch"] == taken.groupby("run")["epoch"].transform("max")]


def at_equal_loss(taken: pd.DataFrame) -> tuple[pd.DataFrame, float | None]:
    """One row a run, interpolated where its loss first falls through a common value.

    The common loss is the one that the most runs pass between two measurements; of those, the
    lowest.

    Args:
        taken: as from ``curves``.

    Returns:
        The runs that pass it, with interpolated ``value`` and the later epoch's ``rate``, and the
        common loss (None where no two runs share one).
    """
    windows = taken.groupby("run")["loss"].agg(["min", "max", "count"])
    windows = windows[windows["count"] > 1]
    if len(windows) < 2:
        return taken.iloc[:0], None
    held = [
        int(((windows["min"] <= loss) & (loss <= windows["max"])).sum()) for loss in windows["min"]
    ]
    common = float(windows["min"][np.array(held) == max(held)].min())
    if max(held) < 2:
        return taken.iloc[:0], None
    passing = [
        row
        for run, curve in taken.sort_values("epoch").groupby("run", sort=False)
        if run in windows.index and (row := _passing(curve, common)) is not None
    ]
    return pd.DataFrame(passing, columns=taken.columns), common


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
