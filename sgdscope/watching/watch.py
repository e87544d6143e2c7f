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
from sgdscope.arguments import number, whole
from sgdscope.data import Dataset
from sgdscope.errors import RequestError, reason
from sgdscope.execution.recorder import collapsed
from sgdscope.files import require_own
from sgdscope.measuring import MEASURES, Measure, Subject
from sgdscope.network import Network
from sgdscope.network.state import untouched
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Epoch, Status
from sgdscope.settings import checked
from sgdscope.watching.budget import Budget
from sgdscope.watching.settings import pace, run_of, run_settings
from sgdscope.watching.training import WatchedTraining

_log = logging.getLogger(__name__)


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
        if budget is not None and not number("budget", budget) > 0:
            raise RequestError(f"budget = {budget}: expected a share above 0, such as 0.1, or None")
        self.folder = StudyFolder(out)
        self.measures = _checked_measures(measures)
        whole = datasets.load(data) if isinstance(data, str) else data
        if not isinstance(whole, Dataset):
            raise RequestError(
                f"data is of type {type(data).__name__}; expected the name of a data set, or a "
                "Dataset"
            )
        self.settings = run_settings(settings, data, len(whole.train))
        for measure in self.measures.values():
            measure.check(batch_size=self.settings["batch_size"])
        self._data = whole.subset(self.settings.get("train_size"))
        self._training: WatchedTraining | None = None
        self._answered = False  # whether a network was seen to fit the data
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
            steps: updates since the start; None: those of full batches, as the settings say.
            learning_rate: in the epoch; None: the settings'.
            train_accuracy: over the epoch, if known.
            validation_accuracy: at its end, if known.

        Returns:
            The values read, by measure, for an attack with its eps: ``pgd_accuracy@0.1``.

        Raises:
            RequestError: an argument is no number, the network does not fit the data, or the folder
                cannot be written to.
        """
        seconds = self.budget.arrive()
        try:
            epoch = whole("epoch", epoch)
            told = {
                "train_loss": number("train_loss", train_loss),
                "train_accuracy": number("train_accuracy", train_accuracy),
                "validation_accuracy": number("validation_accuracy", validation_accuracy),
            }
            if steps is not None:
                steps = whole("steps", steps, lowest=0)
            if learning_rate is not None:
                learning_rate = number("learning_rate", learning_rate)
            training, data = self._prepare(model, epoch)
            run = training.run
            steps, learning_rate = pace(
                run, epoch, images=len(data.train), steps=steps, learning_rate=learning_rate
            )
            training.history.append(
                Epoch(
                    epoch=epoch, steps=steps, learning_rate=learning_rate, seconds=seconds, **told
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
                    _log.warning("%s at epoch %d: %s", name, epoch, reason(error))
                    recorder.leave_gap(name, error, epoch=epoch)
            recorder.measured[name] = measure.record(name)
        with self.budget.paying("status"):
            try:
                return "collapsed" if collapsed(subject) else "done"
            except RequestError:  # it fails on many images; readings say so
                return "done"

    def _prepare(self, model: nn.Module, epoch: int) -> tuple[WatchedTraining, Dataset]:
        """The training up to this epoch, and the data on the network's device."""
        if not isinstance(model, nn.Module):
            raise RequestError(f"model is of type {type(model).__name__}; expected an nn.Module")
        place = next((p.device for p in model.parameters()), torch.device("cpu"))
        if self._data.train.pixels.device != place:
            self._data = self._data.to(place)
        if not self._answered:
            _check_answer(model, self._data)
            self._answered = True
        if self._training is None:
            run = run_of({"model": type(model).__name__} | self.settings)
            self._training = WatchedTraining(run, self.folder, self.measures)
        self._training.rewind(epoch)
        return self._training, self._data

    def _check_folder(self) -> None:
        folder = self.folder
        if folder.path.exists() and not folder.path.is_dir():
            raise RequestError(f"out = {folder.path}: a file; expected a folder")
        if not folder.study_file.is_file():
            if folder.path.is_dir():
                shown = f"out = {folder.path}"
                require_own(folder.path, shown=shown, record=folder.study_file.name)
        elif "watched" not in folder.settings():
            raise RequestError(f"out = {folder.path}: holds a study; expected a folder of its own")


def _checked_measures(measures: Any) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    if not isinstance(measures, Mapping):
        raise RequestError(
            f"measures = {measures!r}: expected options by name, such as {{'test_accuracy': {{}}}}"
        )
    for name, options in measures.items():
        if not isinstance(options, Mapping):
            raise RequestError(f"measures {name} = {options!r}: expected options by name, or {{}}")
        found[name] = checked(MEASURES[name], options, where=f"measures {name}")
    return found


def _check_answer(model: nn.Module, data: Dataset) -> None:
    """Whether a network answers images of the data, with a logit for each class."""
    with _undisturbed(model), torch.no_grad():
        answer = Network(model).logits(data.test[:2].inputs())
    if answer.ndim != 2 or answer.shape[1] < data.classes:
        raise RequestError(
            f"the network's answer to {len(data.test[:2])} images has shape {tuple(answer.shape)}; "
            f"expected a row for each, with a logit for each of {data.classes} classes"
        )


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, outside any autocast; everything is restored afterwards."""
    place = next((p.device.type for p in model.parameters()), "cpu")
    with untouched(model), torch.autocast(place, enabled=False):
        model.eval()
        yield
