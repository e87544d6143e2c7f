"""Middle and spread over seeds: one rule for figures, page and terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import stdtrit

FEW = 5  # with fewer seeds a t-interval says more about its formula than about the runs


def over_seeds(rows: pd.DataFrame, by: list[str], *, log: bool = False) -> pd.DataFrame:
    """Mean and band of ``value`` over the successful runs of each group.

    The band is a 95% t-interval of the mean if some group has at least ``FEW`` seeds, and
    otherwise from smallest to largest value; a single seed has none (low = high = middle).

    Args:
        rows: with columns ``value``, ``status`` and those of ``by``.
        by: the columns that define a group.
        log: work on logarithms, so that the middle is a geometric mean; values must be positive.

    Returns:
        One row per group: ``by``, ``middle``, ``low``, ``high``, ``seeds``.
    """
    good = counted(rows)
    values = np.log(good["value"].astype(float)) if log else good["value"].astype(float)
    groups = good.assign(value=values).groupby(by, sort=True)["value"]
    table = groups.agg(middle="mean", low="min", high="max", seeds="count", spread="std")
    if not uses_extremes(table["seeds"]):
        several = table["seeds"] > 1
        degrees = table["seeds"].clip(lower=2) - 1
        half = stdtrit(degrees, 0.975) * table["spread"] / np.sqrt(table["seeds"])
        table["low"] = table["middle"] - half.where(several, 0.0)
        table["high"] = table["middle"] + half.where(several, 0.0)
    if log:
        table[["middle", "low", "high"]] = np.exp(table[["middle", "low", "high"]])
    return table.drop(columns="spread").reset_index()


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that means are of: of successful runs, with a finite value."""
    return rows[(rows["status"] == "done") & np.isfinite(rows["value"].astype(float))]


def uses_extremes(seeds: pd.Series) -> bool:
    """Whether a band runs from smallest to largest value rather than being a t-interval."""
    return seeds.empty or int(seeds.max()) < FEW


def describe(*groups: pd.Series) -> str:
    """A description of the bands.

    Args:
        groups: seeds of each point; one group per call of :func:`over_seeds`, each with its own
            kind of band.
    """
    seeds = pd.concat(groups) if groups else pd.Series(dtype=int)
    if seeds.empty or seeds.max() == 1:
        return "one seed"
    low, high = int(seeds.min()), int(seeds.max())
    count = f"{high} seeds" if low == high else f"{low}–{high} seeds"
    extremes = {uses_extremes(group) for group in groups if len(group) and group.max() > 1}
    kind = "min–max" if True in extremes else "95% t-interval of the mean"
    if len(extremes) > 1:
        kind = f"95% t-interval of the mean in panels with {FEW} seeds, else min–max"
    return f"band: {kind}, {count}"
