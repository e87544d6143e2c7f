"""What a watched training says of itself, checked: its settings, and the numbers of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgdscope.data import DATA, Dataset
from sgdscope.errors import RequestError
from sgdscope.optimizers import find
from sgdscope.settings import checked, plain
from sgdscope.study.imported_schedules import find as find_schedule
from sgdscope.study.run import Run
from sgdscope.study.schedules import Annealed

SETTINGS = (
    "model", "data", "batch_size", "learning_rate", "schedule", "schedule_options", "momentum",
    "optimizer", "optimizer_options", "epochs", "steps", "seed", "train_size", "precision",
)  # fmt: skip


def run_settings(given: Mapping[str, Any], data: str | Dataset, images: int) -> dict[str, Any]:
    """The settings of a run from those given; the rest at their defaults.

    Args:
        given: by name, from ``SETTINGS``.
        data: the data set, or its name.
        images: how many training images it has.

    Raises:
        RequestError: a setting is unknown, missing or not valid, or does not fit the others.
    """
    if not isinstance(given, Mapping):
        raise RequestError(f"settings = {given!r}: expected values by name, as batch_size")
    known = {key: one if isinstance(one, str) else plain(one) for key, one in given.items()}
    for key in known.keys() - set(SETTINGS):
        options = find(known.get("optimizer", "sgd")).model_fields
        expected = "it in optimizer_options" if key in options else f"some of {', '.join(SETTINGS)}"
        raise RequestError(f"settings {key}: expected {expected}")
    known.setdefault("data", data if isinstance(data, str) else "data")
    registered = DATA[known["data"]].train_size if known["data"] in DATA else None
    if images != registered:  # all that a run knows of its data by itself
        known.setdefault("train_size", images)
    for key in ("batch_size", "learning_rate"):
        if key not in known and not (key == "learning_rate" and "schedule" in known):
            raise RequestError(f"settings {key}: required but missing")
    _place_rate(known)
    known = {"schedule_options": {}, "momentum": 0.0, "epochs": None, "seed": 0} | known
    run = run_of({"model": "network"} | known)
    most = min(run.train_size or images, images)
    if run.batch_size > most:
        raise RequestError(
            f"settings batch_size = {run.batch_size}: expected at most {most}, the training images"
        )
    if run.momentum and run.optimizer != "sgd":
        raise RequestError(
            f"settings momentum = {run.momentum}: is SGD's; expected none with {run.optimizer}, or "
            "one of optimizer_options"
        )
    return known


def _place_rate(known: dict[str, Any]) -> None:
    """Make the learning rate an option of the schedule."""
    if "learning_rate" not in known:
        return
    name, rate = known.setdefault("schedule", "fixed"), known.pop("learning_rate")
    options = known.setdefault("schedule_options", {})
    if "learning_rate" not in find_schedule(name).model_fields:
        raise RequestError(
            f"settings learning_rate = {rate}: schedule {name} has none; expected its options in "
            "schedule_options"
        )
    if options.get("learning_rate", rate) != rate:
        raise RequestError(
            f"settings learning_rate = {rate}: schedule_options has {options['learning_rate']}; "
            "expected it once"
        )
    known["schedule_options"] = {**options, "learning_rate": rate}


def run_of(settings: Mapping[str, Any]) -> Run:
    """The run with these settings, whose schedule and optimizer can be made.

    Raises:
        RequestError: one of them cannot.
    """
    run = checked(Run, settings, where="settings")
    schedule = find_schedule(run.schedule)
    checked(schedule, run.schedule_options, where="settings")
    heavy = {"momentum": run.momentum} if run.optimizer == "sgd" else {}
    options = heavy | run.optimizer_options
    checked(find(run.optimizer), options, where="settings optimizer_options")
    if issubclass(schedule, Annealed) and run.epochs is None and run.steps is None:
        raise RequestError(
            f"settings: the rate of schedule {run.schedule} depends on how long training is; "
            "expected epochs or steps"
        )
    return run


def pace(
    run: Run, epoch: int, *, images: int, steps: int | None, learning_rate: float | None
) -> tuple[int, float]:
    """Updates since the start and an epoch's learning rate; where not told, the settings'.

    Raises:
        RequestError: by the settings the epoch has no updates.
    """
    stretch = run.stretch(epoch, images=images)
    if not stretch.count and (steps is None or (learning_rate is None and run.stepped)):
        why = f"its batch size, {run.size(epoch)}, exceeds the {images} training images"
        if run.epochs is None and stretch.first == run.steps:
            why = f"settings steps = {run.steps} have all been made before it"
        raise RequestError(
            f"epoch = {epoch}: {why}; expected an epoch with updates, or steps and learning_rate "
            "in the call"
        )
    if steps is None:
        steps = stretch.first + stretch.count
    return steps, run.rate(epoch, images=images) if learning_rate is None else learning_rate
