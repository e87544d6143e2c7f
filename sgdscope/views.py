"""The rows that a figure or the page shows, picked from a study's results."""

from __future__ import annotations

import pandas as pd

from sgdscope import palette
from sgdscope.results import Results

Panel = tuple[str, str]  # model, data

LOST = ("diverged", "collapsed")  # runs drawn by a symbol of their own


def panels(runs: pd.DataFrame) -> list[Panel]:
    """Every (model, data) of a study; each is one panel of a figure."""
    if runs.empty:
        return []
    pairs = runs[["model", "data"]].drop_duplicates()
    return [(str(row.model), str(row.data)) for row in pairs.itertuples(index=False)]


def within(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows of a panel."""
    model, data = panel
    return frame[(frame["model"] == model) & (frame["data"] == data)]


def measures(table: pd.DataFrame) -> list[str]:
    """Every measure of a study: what the paper shows first, then in alphabetical order."""
    first = ["test_accuracy", "fgsm_accuracy", "pgd_accuracy", "top_eigenvalue"]
    return sorted(table["measure"].unique(), key=lambda m: (palette.rank(m, first), m))


def attacks(table: pd.DataFrame) -> dict[str, list[float]]:
    """The accuracies under attack, each with its eps in rising order."""
    found = table[table["eps"].notna()]
    return {
        measure: sorted(found.loc[found["measure"] == measure, "eps"].unique())
        for measure in measures(found)
        if palette.is_accuracy(measure)
    }


def along_training(table: pd.DataFrame) -> list[str]:
    """The measures that were taken at more than one epoch of some run."""
    times = table[table["eps"].isna()].groupby(["measure", "run"])["epoch"].nunique()
    several = set(times[times > 1].index.get_level_values("measure"))
    return [measure for measure in measures(table) if measure in several]


def chance(table: pd.DataFrame, data: str) -> float | None:
    """The accuracy of guessing on a data set, where some run reported it."""
    if "chance" not in table:
        return None
    found = table.loc[table["data"] == data, "chance"].dropna()
    return None if found.empty else float(found.iloc[0])


def doubtful(rows: pd.DataFrame) -> pd.Series:
    """Whether each value carries a flag or says that it did not converge."""
    flagged = rows["flags"].fillna("") != ""
    if "converged" not in rows:
        return flagged
    return flagged | rows["converged"].map(lambda said: said is False or said == 0).astype(bool)


def with_lost(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows and, without a value, the diverged and collapsed runs that have none among them."""
    runs = results.runs[results.runs["status"].isin(LOST)]
    missing = runs[~runs["run"].isin(rows["run"])].assign(flags="")
    return pd.concat([rows, missing], ignore_index=True) if len(missing) else rows


def paired(results: Results, attack: str, *, eps: float) -> pd.DataFrame:
    """Accuracies under an attack in ``value``, each with its run's λ₁ in ``top_eigenvalue``."""
    curvature = results.at_end("top_eigenvalue")[["run", "value"]]
    curvature = curvature.rename(columns={"value": "top_eigenvalue"}).dropna()
    return results.at_end(attack, eps=eps).merge(curvature, on="run")


def by_eps(results: Results, attack: str) -> pd.DataFrame:
    """Accuracies under an attack at every eps, from the accuracy without attack at eps = 0."""
    rows = results.at_end(attack)
    clean = results.at_end("test_accuracy").assign(eps=0.0)
    if (rows["eps"] == 0).any():
        return rows
    return pd.concat([clean[clean["run"].isin(rows["run"])], rows], ignore_index=True)


def along(results: Results, measure: str) -> pd.DataFrame:
    """A measure at every epoch it was taken, with the learning rate of that epoch in ``rate``."""
    rows = results.table[(results.table["measure"] == measure) & results.table["eps"].isna()]
    rates = results.history[["run", "epoch", "learning_rate"]]
    rates = rates.rename(columns={"learning_rate": "rate"})
    return rows.merge(rates, on=["run", "epoch"], how="left")


def stability_limit(momentum: float, rate: pd.Series) -> pd.Series:
    """2 (1 + m) / learning rate: above it, full-batch heavy ball does not converge."""
    return 2 * (1 + momentum) / rate
