"""Measures during training, each with the progress of training then."""

from __future__ import annotations

import pandas as pd


def progress(history: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The progress of training wherever something was measured.

    Args:
        history: one row per run and epoch.
        table: one row per run and measurement, ``train_loss`` among them where it was measured.

    Returns:
        For each ``run`` and ``epoch`` of both: ``loss``, that was ``measured``, ``gradient_time``
        (learning rate summed over updates) and ``limit``.
    """
    names = {"train_loss": "loss", "lr_steps": "gradient_time", "stability_limit": "limit"}
    asked = table[["run", "epoch"]].drop_duplicates()
    passed = history[["run", "epoch", *names]].rename(columns=names).merge(asked)
    measured = table.loc[table["measure"] == "train_loss", ["run", "epoch", "value"]]
    return passed.merge(measured.rename(columns={"value": "measured"}), how="left")


def at_eps(rows: pd.DataFrame, eps: float | None) -> pd.DataFrame:
    """A measure's rows at one eps; what could not be measured is recorded once, for every eps."""
    everywhere = rows["eps"].isna()
    if eps is None:
        return rows[everywhere]
    gaps = everywhere & rows["value"].isna() & (rows["status"] != "diverged")
    return rows[(rows["eps"] == eps) | gaps].assign(eps=eps)


def trajectories(rows: pd.DataFrame, progress: pd.DataFrame) -> pd.DataFrame:
    """Rows taken during training, with the progress of their run at their epoch.

    The loss is that measured at the same epoch (evaluation mode, no augmentation) if a study
    measured ``train_loss`` during training, and otherwise the epoch's mean from the history. Losses
    are compared by their ratio: a run of which one is negative, as a likelihood of densities may
    be, has none.

    Args:
        rows: of one measure, one eps, any epochs.
        progress: of the same study.

    Returns:
        The rows with ``loss``, ``negative`` (whether some loss of the run is), ``gradient_time``,
        ``limit`` and ``along``: the value on the examples that were measured along the way, at the
        end too.
    """
    known = [name for name in progress if name in rows and name not in ("run", "epoch")]
    found = rows.drop(columns=known).merge(progress, on=["run", "epoch"], how="inner")
    everywhere = found["measured"].notna().groupby(found["run"]).transform("all")
    loss = found["loss"].where(~everywhere, found.pop("measured"))
    found["negative"] = (loss < 0).groupby(found["run"]).transform("any")
    found["loss"] = loss.mask(found["negative"]).clip(lower=1e-12)
    subset = found["along_value"] if "along_value" in found else found["value"]
    found["along"] = subset.fillna(found["value"])
    return found
