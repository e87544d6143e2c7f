"""Watching a training from outside, once per epoch, without disturbing it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sgdscope import data as datasets
from sgdscope.data import DATA, Dataset
from sgdscope.errors import RequestError
from sgdscope.execution.recorder import collapsed
from sgdscope.measuring import MEASURES, Measure, Subject
from sgdscope.network.state import untouched
from sgdscope.optimizers import find
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Epoch, Status
from sgdscope.settings import checked
from sgdscope.study.run import Run
from sgdscope.watching.budget import Budget
from sgdscope.watching.training import WatchedTraining

_log = logging.getLogger(__name__)
SETTINGS = (
    "model", "data", "batch_size", "learning_rate", "schedule", "schedule_options", "momentum",
    "optimizer", "optimizer_options", "epochs", "steps", "seed", "train_size", "precision",
)  # fmt: skip


class Watch:
    """Measures a network while other code trains it; call it after every epoch.

    It writes a folder like a study's: ``sgdscope report`` draws it, ``Results.load``
    reads it, and several trainings watched into one folder are compared as runs of one study.

    A call leaves the network (weights, gradients, buffers, modes) and the global random streams
    as they were.

    Args:
        out: the folder, empty or of other watched trainings.
        data: a registered data set's name, or a Dataset; curvature uses its training images,
            attacks its test images.
        measures: options of each, by name; taken at every call, or as ``every`` and ``at`` say.
        settings: of the training: at least ``batch_size`` and ``learning_rate``, and any others of
            ``SETTINGS``.
        budget: share of the training time that measuring may take; None: no limit.

    Raises:
        RequestError: a name, a setting or the folder cannot be used.
    """

    def __init__(
        self,
        *,
        out: str | Path,
        data: str | Dataset,
        measures: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, Any],
        budget: float | None = 0.1,
    ) -> None:
        if budget is not None and not budget > 0:
            raise RequestError(f"budget = {budget}: expected a share above 0, such as 0.1, or None")
        self.folder = StudyFolder(out)
        self.measures: dict[str, Measure] = {
            name: checked(MEASURES[name], options, where=f"measures {name}")
            for name, options in measures.items()
        }
        whole = datasets.load(data) if isinstance(data, str) else data
        self.settings = _run_settings(settings, data, len(whole.train))
        self._data = whole.subset(self.settings.get("train_size"))
        self._training: WatchedTraining | None = None
        self._check_folder()
        self.budget = Budget(budget)

    def __call__(
        self,
        model: nn.Module,
        *,
        epoch: int,
        train_loss: float,
        steps: int | None = None,
        learning_rate: float | None = None,
        train_accuracy: float = math.nan,
        validation_accuracy: float = math.nan,
    ) -> dict[str, float]:
        """Take the measures due after an epoch, and save them.

        A call with an epoch seen before starts over from there: readings at it and later are
        dropped, as when an interrupted training resumes from an earlier checkpoint.

        Args:
            model: the network, in any mode.
            epoch: the one that has ended, from 1.
            train_loss: mean over the epoch.
            steps: updates since the start; None: as many full batches as the epochs have.
            learning_rate: in the epoch; None: the settings'.
            train_accuracy: over the epoch, if known.
            validation_accuracy: at its end, if known.

        Returns:
            The values read, by measure, for an attack with its eps: ``pgd_accuracy@0.1``.

        Raises:
            RequestError: the epoch is not a whole number from 1, or the folder cannot be written
                to.
        """
        seconds = self.budget.arrive()
        try:
            training, data = self._prepare(model, epoch)
            run = training.run
            training.history.append(
                Epoch(
                    epoch=epoch,
                    steps=epoch * (len(data.train) // run.batch_size) if steps is None else steps,
                    learning_rate=run.rate(epoch) if learning_rate is None else learning_rate,
                    train_loss=float(train_loss),
                    train_accuracy=float(train_accuracy),
                    validation_accuracy=float(validation_accuracy),
                    seconds=seconds,
                )
            )
            with _undisturbed(model):
                subject = Subject(model, data, run.seed, run.batch_size, training.memory)
                status = self._measure(training, subject, epoch)
            training.keep(status, data=data, method=str(self.budget))
            return training.recorder.values(epoch)
        finally:
            self.budget.depart()

    def _measure(self, training: WatchedTraining, subject: Subject, epoch: int) -> Status:
        """Take what is due and can be afforded; returns the status of the network."""
        if training.diverged:
            return "diverged"
        recorder = training.recorder
        for name, measure in self.measures.items():
            if (measure.tracked and not measure.due(epoch)) or not self.budget.allows(
                name, epoch=epoch
            ):
                continue
            with self.budget.paying(name):
                try:
                    recorder.take(name, measure.during_training(), subject, epoch=epoch)
                except Exception as error:
                    _log.warning("%s at epoch %d: %s", name, epoch, error)
                    recorder.leave_gap(name, error, epoch=epoch)
            recorder.measured[name] = measure.record(name)
        with self.budget.paying("status"):
            return "collapsed" if collapsed(subject) else "done"

    def _prepare(self, model: nn.Module, epoch: int) -> tuple[WatchedTraining, Dataset]:
        """The training up to this epoch, and the data on the network's device."""
        if not isinstance(epoch, int) or epoch < 1:
            raise RequestError(f"epoch = {epoch!r}: expected a whole number from 1")
        place = next((p.device for p in model.parameters()), torch.device("cpu"))
        if self._data.train.pixels.device != place:
            self._data = self._data.to(place)
        if self._training is None:
            run = _run({"model": type(model).__name__} | self.settings)
            self._training = WatchedTraining(run, self.folder)
        self._training.rewind(epoch)
        return self._training, self._data

    def _check_folder(self) -> None:
        folder = self.folder
        if folder.study_file.is_file() and "watched" not in folder.settings():
            raise RequestError(f"out = {folder.path}: holds a study; expected a folder of its own")
        if folder.path.is_dir() and not folder.study_file.is_file() and any(folder.path.iterdir()):
            raise RequestError(f"out = {folder.path}: holds other files; expected an empty folder")


def _run_settings(settings: Mapping[str, Any], data: str | Dataset, images: int) -> dict[str, Any]:
    """The settings of a run from those given; the rest at their defaults."""
    if strange := [key for key in settings if key not in SETTINGS]:
        raise RequestError(f"settings {strange[0]}: expected some of {', '.join(SETTINGS)}")
    known = dict(settings)
    known.setdefault("data", data if isinstance(data, str) else "data")
    if known["data"] not in DATA:
        known.setdefault("train_size", images)  # a run knows this only for registered data
    for key in ("batch_size", "learning_rate"):
        if key not in known and not (key == "learning_rate" and "schedule" in known):
            raise RequestError(f"settings {key}: required but missing")
    rate = known.pop("learning_rate", None)
    if "schedule" not in known:
        known |= {"schedule": "fixed", "schedule_options": {"learning_rate": rate}}
    known = {"schedule_options": {}, "momentum": 0.0, "epochs": None, "seed": 0} | known
    _run({"model": "network"} | known)
    return known


def _run(settings: Mapping[str, Any]) -> Run:
    run = checked(Run, settings, where="settings")
    find(run.optimizer)
    run.rate(1)
    return run


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, outside any autocast; everything is restored afterwards."""
    place = next((p.device.type for p in model.parameters()), "cpu")
    with untouched(model), torch.autocast(place, enabled=False):
        model.eval()
        yield
