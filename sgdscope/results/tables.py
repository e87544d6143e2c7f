"""The results of a study as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from sgdscope.errors import RequestError
from sgdscope.files import write_atomically
from sgdscope.results import differing
from sgdscope.results.axis import BATCH
from sgdscope.results.axis import chosen as chosen_axis
from sgdscope.results.files import Array, KeptFiles
from sgdscope.results.folder import StudyFolder
from sgdscope.results.folders import Folders
from sgdscope.results.record import Epoch, Result, array_prefix, at_once
from sgdscope.study.hypotheses import Hypothesis
from sgdscope.study.line import Line
from sgdscope.study.run import Run

if TYPE_CHECKING:
    from sgdscope.notebook import Page

SETTINGS = ["run", "model", "data", "schedule", "schedule_options", "batch_size", "learning_rate"]
SETTINGS += ["momentum", "epochs", "seed", "line"]
OUTCOME = ["status", "steps", "lr_steps", "final_train_loss"]
READING = ["epoch", "measure", "eps", "value", "flags"]
TAKEN = {*SETTINGS, "train_size", "precision", *READING, *OUTCOME}  # columns of every row


@dataclass(frozen=True)
class Results:
    """A study's results: three tidy tables, whose rows start with the settings of their run.

    ``table`` has one row per run and measurement, ``runs`` one per run, ``history`` one per run
    and epoch; ``lines`` are those that their column ``line`` names. Arrays stay in ``folder`` until
    they are requested.
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    history: pd.DataFrame
    lines: tuple[Line, ...]
    axis: str = BATCH  # the knob to draw along
    hypotheses: tuple[Hypothesis, ...] = ()  # that the study states
    environments: tuple[dict[str, str], ...] = ()  # versions and machines, each once
    folder: StudyFolder | Folders | None = None

    @classmethod
    def load(cls, folder: str | Path, *others: str | Path) -> Self:
        """Read a study's folder, or several as one, with more seeds or further lines.

        Raises:
            RequestError: one holds no study, or they cannot be compared.
        """
        study = Folders([folder, *others]) if others else StudyFolder(folder)
        study.load_plugins()
        return cls.collect(study.results(), folder=study)

    @classmethod
    @at_once()
    def collect(
        cls, results: Iterable[Result], *, folder: StudyFolder | Folders | None = None
    ) -> Self:
        """Make the tables, in the order of model, data, schedule, momentum, batch size and seed."""
        ordered = sorted(results, key=_order)
        of_run = _lines(ordered, folder)
        settings = [_settings(*each) for each in zip(ordered, of_run, strict=True)]
        outcomes = [_outcome(result) for result in ordered]
        each = list(zip(ordered, settings, outcomes, strict=True))
        runs = [own | outcome for _, own, outcome in each]
        rows = [row for one in each for row in _measurements(*one)]
        columns = [*SETTINGS, "epoch", "measure", "eps", "value", "status", "steps", "lr_steps"]
        table = pd.DataFrame(
            rows, columns=None if rows else [*columns, "final_train_loss", "flags"]
        )
        lines = tuple(dict.fromkeys(of_run))
        stated = () if folder is None else folder.hypotheses()
        asked = None if folder is None else folder.axis()
        axis = chosen_axis(asked, lines, [result.run.batch_size for result in ordered])
        tables = _with_gaps(table), pd.DataFrame(runs), _history(ordered, settings)
        environments = {tuple(result.environment.items()): None for result in ordered}
        return cls(*tables, lines, axis, stated, tuple(map(dict, environments)), folder)

    def at_end(self, measure: str, *, eps: float | None = None) -> pd.DataFrame:
        """The rows of one measure at the end of training (at one eps, if it has several)."""
        rows = self.table[self.table["measure"] == measure]
        ends = rows[rows["epoch"] == rows.groupby("run")["epoch"].transform("max")]
        return ends if eps is None else ends[ends["eps"] == eps]

    def arrays(
        self, run: str, measure: str, *, epoch: int, eps: float | None = None
    ) -> dict[str, Array]:
        """The arrays that a measure kept with one of its numbers, by name; often none."""
        if self.folder is None:
            return {}
        return self.folder.arrays(run, array_prefix(measure, epoch=epoch, eps=eps))

    def report(self, *, height: int = 900) -> Page:
        """The study's page, which a notebook shows below the cell, ``height`` pixels high.

        Raises:
            RequestError: these results have no folder, and so no study to show.
        """
        from sgdscope import notebook

        if self.folder is None:
            raise RequestError("results without a folder have no page; load them from a study's")
        return notebook.page_of(self, height=height)

    def _repr_html_(self) -> str:
        from sgdscope import notebook

        return notebook.of_results(self)

    def save(self, folder: KeptFiles) -> None:
        """Write ``results.csv`` and ``results.parquet``; both are derived and may be deleted.

        A failed run without measurements has a row too, with the reason among its flags.
        """
        table = self._with_failures()
        write_atomically(folder.csv, lambda aside: table.to_csv(aside, index=False))
        write_atomically(folder.parquet, lambda aside: table.to_parquet(aside, index=False))

    def _with_failures(self) -> pd.DataFrame:
        if self.runs.empty:
            return self.table
        failed = self.runs[self.runs["status"] == "failed"]
        failed = failed[~failed["run"].isin(self.table["run"])].assign(flags=failed["reason"])
        known = [name for name in self.table if name in failed]
        return (
            pd.concat([self.table, failed[known]], ignore_index=True) if len(failed) else self.table
        )


def _with_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Each column of one type: a gap in boolean evidence is unknown, not false."""
    may_be = [name for name, kind in table.dtypes.items() if kind in (bool, object)]
    return table.assign(**{str(name): _of_one_type(table[name]) for name in may_be})


def _of_one_type(column: pd.Series) -> pd.Series:
    kinds = set(column.dropna().map(type))
    if kinds == {bool}:
        return column.astype("boolean")
    if len(kinds) < 2:
        return column
    if kinds <= {bool, int, float}:
        return column.astype("float64")
    return column.map(str, na_action="ignore")


def _order(result: Result) -> tuple[Any, ...]:
    run = result.run
    return run.model, run.data, run.schedule, run.momentum, run.batch_size, run.seed, run.id


def _lines(results: Sequence[Result], folder: StudyFolder | Folders | None) -> list[Line]:
    """Each run's line, with the settings in which runs of a panel differ otherwise."""
    if isinstance(folder, Folders):
        apart = [folder.apart(result) for result in results]
    elif differences := differing.differences({"": results}):
        apart = [(differing.choice(result, differences),) for result in results]
    else:
        apart = [()] * len(results)
    return [
        Line((*result.run.line.choices, *own)) if own else result.run.line
        for result, own in zip(results, apart, strict=True)
    ]


def _settings(result: Result, line: Line) -> dict[str, Any]:
    run = result.run
    return {
        "run": run.id,
        "model": run.model,
        "data": run.data,
        "train_size": float("nan") if run.train_size is None else run.train_size,
        "schedule": run.schedule,
        "schedule_options": ", ".join(f"{k}={v}" for k, v in run.schedule_options.items()),
        "batch_size": run.batch_size,
        "learning_rate": run.peak,
        "momentum": run.momentum,
        "epochs": result.history[-1].epoch if result.history else 0,
        "seed": run.seed,
        "precision": run.precision,
        "line": line.name,
    } | _further_knobs(run)


def _further_knobs(run: Run) -> dict[str, Any]:
    """Options of the run's optimizer, each in a column of its own, and its method."""
    own = {} if run.optimizer == "sgd" else {"optimizer": run.optimizer}
    if run.method != "plain":
        own["method"] = run.method
        own["method_options"] = ", ".join(f"{k}={v}" for k, v in run.method_options.items())
    return own | {key: _cell(value) for key, value in run.optimizer_options.items()}


def _cell(option: Any) -> Any:
    """An option as a cell of a table: a list, such as Adam's betas, as text."""
    return ", ".join(map(str, option)) if isinstance(option, list) else option


def _outcome(result: Result) -> dict[str, Any]:
    losses = [epoch.train_loss for epoch in result.history] or [float("nan")]
    return {
        "status": result.status,
        "steps": result.steps,
        "lr_steps": result.lr_steps,
        "noise_scale": result.noise_scale,
        "final_train_loss": losses[-1],
        "lowest_train_loss": min(losses),
        "seconds": sum(result.seconds.values()),
        "device": result.device,
        "reason": result.reason or None,
        "error": result.error,
    }


def _history(results: Sequence[Result], settings: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row per run and epoch."""
    of_run = pd.DataFrame(settings)
    counts = [len(result.history) for result in results]
    epochs = [epoch for result in results for epoch in result.history]
    if not epochs:
        return pd.DataFrame()
    limits = [
        rule.stability_limit(epoch.learning_rate)
        for result in results
        for rule in [result.run.rule()]
        for epoch in result.history
    ]
    return of_run.loc[np.repeat(of_run.index, counts)].assign(
        **{name: [getattr(epoch, name) for epoch in epochs] for name in Epoch.model_fields},
        lr_steps=[done for result in results for done in result.lr_steps_by_epoch],
        stability_limit=limits,
    ).reset_index(drop=True)  # fmt: skip


def _measurements(
    result: Result, settings: dict[str, Any], outcome: dict[str, Any]
) -> list[dict[str, Any]]:
    beside = {key: outcome[key] for key in OUTCOME}
    return [
        settings
        | {
            "epoch": reading.epoch,
            "measure": reading.measure,
            "eps": float("nan") if reading.eps is None else reading.eps,
            "value": reading.value,
        }
        | beside
        | {"flags": " | ".join(reading.flags)}
        | _named(reading.evidence)
        for reading in result.measurements
    ]


def _named(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence by column: with a prefix where its name is that of a column of every reading."""
    return {f"evidence_{k}" if k in TAKEN else k: value for k, value in evidence.items()}
