"""The data for the page's script: every run and every reading, once, as plain lists."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from sgdscope.measuring import card_of
from sgdscope.report import explained
from sgdscope.results import style
from sgdscope.results.view import View

RUN_COLUMNS = ["run", "model", "data", "schedule", "schedule_options", "momentum", "batch_size"]
RUN_COLUMNS += ["learning_rate", "epochs", "seed", "status", "steps", "lr_steps"]
RUN_COLUMNS += ["noise_scale", "final_train_loss", "seconds", "label", "place"]
NOT_EVIDENCE = {
    *RUN_COLUMNS,
    "train_size",
    "precision",
    "epoch",
    "measure",
    "eps",
    "value",
    "flags",
    "reading",
    "line",
    "panel",
    "x",
    "optimizer",
    "method",
    "method_options",
}


def tables(view: View) -> dict[str, Any]:
    """Runs and end-of-training readings, each with the names of its columns."""
    if view.runs.empty:
        return {
            "runs": [], "columns": RUN_COLUMNS, "readings": [], "measures": [], "explained": [],
        }  # fmt: skip
    runs = view.runs.assign(place=view.runs["x"].map(view.axis.named))
    place = {run: i for i, run in enumerate(runs["run"])}
    measures = view.measures
    evidence = {name: _evidence(view, name) for name in measures}
    return {
        "columns": RUN_COLUMNS,
        "runs": [
            [plain(value) for value in row] for row in runs[RUN_COLUMNS].itertuples(index=False)
        ],
        "measures": [
            {
                "name": name,
                "label": style.label(name),
                "short": _short(view, name),
                "main": name in view.main or name in view.attacks,
                "evidence": evidence[name],
            }
            for name in measures
        ],
        "readings": _readings(view, place, measures, evidence),
        "explained": [[one.parts, one.means] for one in explained.occurring(_flags(view))],
    }


def _flags(view: View) -> list[str]:
    if view.table.empty:
        return []
    flags = [flag for all_ in view.table["flags"].dropna().unique() for flag in all_.split(" | ")]
    return [*flags, explained.UNCONVERGED]


def _short(view: View, measure: str) -> str:
    """A measure's name as a column head, where an attack is followed by its eps."""
    card = card_of(measure)
    short = card.kind != "accuracy" and card.short != card.label
    return card.short if short or measure in view.attacks else card.label.lower()


def _evidence(view: View, measure: str) -> list[str]:
    rows = view.table[view.table["measure"] == measure]
    known = NOT_EVIDENCE.union(view.runs.columns)  # every option of an optimizer has a column
    names = [name for name in rows.columns if name not in known]
    return [name for name in names if rows[name].notna().any()]


def _readings(
    view: View,
    place: dict[str, int],
    measures: list[str],
    evidence: dict[str, list[str]],
) -> list[list[Any] | int]:
    """By place in the table: run, measure, eps, value, flags, evidence; 0 for a repeated entry."""
    readings: list[list[Any] | int] = [0] * len(view.table)
    for i, name in enumerate(measures):
        rows = view.at_end(name)
        columns = [rows[column] for column in ["reading", "run", "eps", "value", "flags"]]
        columns += [rows[column] for column in evidence[name]]
        for reading, run, eps, value, flags, *found in zip(*columns, strict=True):
            cells = [plain(cell) for cell in found]
            readings[reading] = [place[run], i, plain(eps), plain(value), flags, *cells]
    return readings


def plain(value: Any) -> Any:
    """A cell as JSON: None if it is not a number, else to six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | str):
        return value
    return (
        plain(float(value))
        if hasattr(value, "dtype") and value.dtype.kind == "f"
        else (bool(value) if hasattr(value, "dtype") and value.dtype.kind == "b" else int(value))
    )
