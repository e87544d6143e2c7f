"""Covariates: what else differs between runs and may explain their robustness."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sgdscope.results.view import View

# Progress, noise and confidence: columns of the covariates.
LABELS = {
    "final_train_loss": "Loss while training, last epoch",
    "steps": "Steps",
    "lr_steps": "lr · steps",
    "noise_scale": "Noise scale, lr·N/(B(1 − m))",
    "stability": "Stability ratio, λ₁·lr/(2(1 + m))",
    "confidence": "Mean test confidence",
    "margin": "Mean test logit margin",
    "most_predicted": "Share of the most common prediction",
}
_BESIDE_TEST_ACCURACY = ["confidence", "margin", "most_predicted"]


def causes(view: View) -> pd.DataFrame:
    """One row per run: as in ``view.runs``, with those columns of ``LABELS`` that are known.

    The stability ratio takes λ₁ and the learning rate of the last epoch: full-batch heavy ball
    diverges above 1.
    """
    runs = view.runs
    tested = view.at_end("test_accuracy")
    there = [name for name in _BESIDE_TEST_ACCURACY if name in tested]
    if there:
        runs = runs.merge(tested[["run", *there]], on="run", how="left")
    sharp = view.at_end("top_eigenvalue")
    if not sharp.empty:
        ends = view.trajectory("top_eigenvalue").merge(sharp[["run", "epoch"]], on=["run", "epoch"])
        ratio = ends["value"] / ends["limit"].where(np.isfinite(ends["limit"]))
        runs = runs.merge(ends[["run"]].assign(stability=ratio), on="run", how="left")
    return runs


def values(found: pd.DataFrame, name: str) -> pd.DataFrame:
    """One of the columns as rows to draw; none if no run has it."""
    if name not in found:
        return found.iloc[:0].assign(value=[], flags=[])
    rows = found.assign(value=found[name], flags="")
    return rows[rows["value"].notna()]
