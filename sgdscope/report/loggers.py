"""Results written to experiment trackers: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sgdscope.auditing import Audit
from sgdscope.errors import RequestError, reason, unknown
from sgdscope.results.tables import Results

HISTORY = ("train_loss", "train_accuracy", "validation_accuracy", "learning_rate")
TAG = "sgdscope.id"  # by which MLflow finds earlier entries
NOT_SETTINGS = {"status", "reason", "error", "line", "run"}


@dataclass(frozen=True)
class Logged:
    """One network: its settings, and every number by name at an epoch."""

    id: str
    name: str
    settings: Mapping[str, Any]
    numbers: list[tuple[str, int, float]]  # name, epoch, value


def of_study(results: Results) -> Iterator[Logged]:
    """The runs of a study, from its tables."""
    runs, history, table = results.runs, results.history, results.table
    for row in runs.to_dict("records"):
        own = history[history["run"] == row["run"]] if len(history) else history
        numbers = [
            (f"training/{name}", int(epoch["epoch"]), float(epoch[name]))
            for epoch in own.to_dict("records")
            for name in HISTORY
            if math.isfinite(epoch[name])
        ]
        numbers += _measured(table[table["run"] == row["run"]] if len(table) else table)
        settings = {str(k): _plain(v) for k, v in row.items() if k not in NOT_SETTINGS}
        name = f"{row['model']} {row['data']} B={row['batch_size']} seed {row['seed']}"
        yield Logged(str(row["run"]), f"{name} {row['run']}", settings, numbers)


def of_audit(found: Audit) -> Iterator[Logged]:
    """The networks of an audit, from its table."""
    table = found.table
    fixed = ("model", "data", "split", "seed", "source", "parameters")
    for network, rows in table.groupby("run", sort=False):
        first = rows.iloc[0]
        settings = {name: _plain(first[name]) for name in fixed}
        yield Logged(str(network), str(first["model"]), settings, _measured(rows))


def _measured(rows: pd.DataFrame) -> list[tuple[str, int, float]]:
    """The finite numbers; each flagged one is accompanied by a number that says so."""
    found = []
    for row in rows.to_dict("records"):
        value = row.get("value")
        if value is None or not math.isfinite(value):
            continue
        eps = "" if row["eps"] != row["eps"] else f"/eps {row['eps']:g}"
        name, epoch = f"{row['measure']}{eps}", int(row["epoch"])
        found.append((name, epoch, float(value)))
        if isinstance(row["flags"], str) and row["flags"]:
            found.append((f"flagged/{name}", epoch, 1.0))
    return found


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def check(to: str | None) -> None:
    """Check that there is such a logger, before anything is computed.

    Raises:
        RequestError: there is none.
    """
    if to is not None and to not in LOGGERS:
        raise unknown("logger", to, LOGGERS, where="--log")


def write(to: str, networks: Iterator[Logged], *, folder: Path, project: str) -> str:
    """Write to one of ``LOGGERS``; returns where, in words.

    Args:
        to: its name.
        networks: the entries to write.
        folder: the study's or audit's, where files are written.
        project: its name there.

    Raises:
        RequestError: there is no such logger, or its client is not installed.
    """
    check(to)
    try:
        return LOGGERS[to](networks, folder, project)
    except ImportError as error:
        raise RequestError(f"--log {to}: {reason(error)}; expected it to be installed") from error


def _tensorboard(networks: Iterator[Logged], folder: Path, project: str) -> str:
    from torch.utils.tensorboard import SummaryWriter

    home = folder / "tensorboard"
    for one in networks:
        for old in (home / one.name).glob("events.out.*"):
            old.unlink()  # otherwise every value would be there twice
        with SummaryWriter(str(home / one.name)) as writer:
            writer.add_text("settings", "\n".join(f"- {k}: {v}" for k, v in one.settings.items()))
            for name, epoch, value in one.numbers:
                writer.add_scalar(name, value, epoch)
    return f"tensorboard --logdir {home}"


def _wandb(networks: Iterator[Logged], folder: Path, project: str) -> str:
    import wandb

    for one in networks:
        run = wandb.init(
            project=project, name=one.name, id=one.id, config=dict(one.settings),
            dir=str(folder), reinit="finish_previous", resume="allow",
        )  # fmt: skip
        for epoch in sorted({epoch for _, epoch, _ in one.numbers}):
            values = {name: value for name, at, value in one.numbers if at == epoch}
            run.log(values, step=epoch)
        run.finish()
    wandb.teardown()  # waits until all is written
    return f"Weights & Biases, project {project}; offline where WANDB_MODE=offline is set"


def _mlflow(networks: Iterator[Logged], folder: Path, project: str) -> str:
    import mlflow

    mlflow.set_experiment(project)
    for one in networks:
        same = f"tags.`{TAG}` = '{one.id}'"
        for old in mlflow.search_runs(filter_string=same, output_format="list"):
            mlflow.delete_run(old.info.run_id)
        with mlflow.start_run(run_name=one.name):
            mlflow.set_tag(TAG, one.id)
            mlflow.log_params({k: v for k, v in one.settings.items() if v is not None})
            for name, epoch, value in one.numbers:
                mlflow.log_metric(name, value, step=epoch)
    return f"MLflow at {mlflow.get_tracking_uri()}, experiment {project}"


LOGGERS: dict[str, Callable[[Iterator[Logged], Path, str], str]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
