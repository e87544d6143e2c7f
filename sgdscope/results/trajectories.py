"""Measures along training, each with how far training had got by then."""

from __future__ import annotations

import numpy as np
import pandas as pd


def trajectories(rows: pd.DataFrame, *, history: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Rows taken along training, with the progress of their run at their epoch.

    The loss is that measured at the same epoch (evaluation mode, no augmentation) where a study
    measured ``train_loss`` along the way, and otherwise the epoch's mean from the history.

    Args:
        rows: of ``table``: one measure, one eps, any epochs.
        history: one row per run and epoch.
        table: one row per run and measurement, ``train_loss`` among them where it was measured.

    Returns:
        The rows with ``loss``, ``gradient_time`` (learning rate summed over updates), ``limit`` and
        ``along``: the value on the examples that were measured along the way, at the end too.
    """
    names = {"train_loss": "loss", "lr_steps": "gradient_time", "stability_limit": "limit"}
    passed = history[["run", "epoch", *names]].rename(columns=names)
    known = [name for name in names.values() if name in rows]
    found = rows.drop(columns=known).merge(passed, on=["run", "epoch"], how="inner")
    losses = table[table["measure"] == "train_loss"].set_index(["run", "epoch"])["value"]
    measured = losses.reindex(pd.MultiIndex.from_frame(found[["run", "epoch"]])).to_numpy(float)
    everywhere = pd.Series(~np.isnan(measured)).groupby(found["run"]).transform("all")
    found["loss"] = found["loss"].where(~everywhere, measured).clip(lower=1e-12)
    subset = found["along_value"] if "along_value" in found else found["value"]
    found["along"] = subset.fillna(found["value"])
    return found
