"""One watched training: its run, its epochs so far, and what was measured."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sgdscope.data import Dataset
from sgdscope.execution.recorder import Recorder
from sgdscope.measuring import Measure
from sgdscope.results.differing import counting_options
from sgdscope.results.files import ARRAYS
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Epoch, Result, Status
from sgdscope.results.tables import Results
from sgdscope.study.run import Run

_log = logging.getLogger(__name__)

AXES = ("model", "data", "batch_size", "seed")  # of the runs, as a study file has them


class WatchedTraining:
    """A training's record, kept in a folder; continues what an earlier process kept there.

    Args:
        run: what is known of the training.
        folder: where its record is kept.
        measures: to be taken, by name; what was read with other options is dropped.
    """

    def __init__(self, run: Run, folder: StudyFolder, measures: Mapping[str, Measure]) -> None:
        self.run, self.folder = run, folder
        self.recorder = Recorder(run.seed)
        self.history: list[Epoch] = []
        self.memory: dict[str, Any] = {}  # left by measures at the epoch before
        if (kept := folder.result(run.id)) is not None:
            if changed := _changed(kept, measures):
                _log.warning("%s: read with other options before; dropped", ", ".join(changed))
                kept = kept.without(changed)
            arrays = folder.tensors(kept)
            if arrays is None:
                where = folder.run_file(run.id, ARRAYS)
                _log.warning("%s is lost or damaged; the numbers beside it are kept", where)
            self.recorder = Recorder(run.seed, kept, arrays)
            self.history = list(kept.history)

    @property
    def diverged(self) -> bool:
        """Whether the loss of the last epoch is not finite."""
        return not math.isfinite(self.history[-1].train_loss)

    def rewind(self, epoch: int) -> None:
        """Drop an epoch and all later ones."""
        if any(one.epoch >= epoch for one in self.history):
            self.memory.clear()
        self.history = [one for one in self.history if one.epoch < epoch]
        self.recorder.forget(epoch)

    def keep(self, status: Status, *, data: Dataset, method: str) -> None:
        """Write the record to the folder, and the tables of every training there."""
        trained = sum(one.seconds for one in self.history)
        result = Result(
            run=self.run,
            status=status,
            history=self.history,
            method=method,
            **self.recorder.fields(data, before={"train": trained}),
        )
        name = self.folder.path.name
        if not self.folder.study_file.is_file():  # without it the folder would be somebody else's
            self.folder.write_settings(_as_study(name, [result]))
        self.folder.save_watched(result, self.recorder.saved_arrays())
        every = self.folder.results()
        self.folder.write_settings(_as_study(name, every))
        Results.collect(every, folder=self.folder).save(self.folder)


def _changed(kept: Result, measures: Mapping[str, Measure]) -> list[str]:
    """The measures that were taken before with other options than these."""
    return [
        name
        for name, measure in measures.items()
        if name in kept.measured
        and counting_options(name, json.dumps(kept.measured[name]))
        != counting_options(name, json.dumps(measure.record(name)))
    ]


def _as_study(name: str, results: Sequence[Result]) -> dict[str, Any]:
    """Watched trainings as a study's settings: their axes, and how many there are."""
    runs = [result.run for result in results]
    schedules: dict[str, dict[str, list[Any]]] = {}
    for run in runs:
        options = schedules.setdefault(run.schedule, {})
        for key, value in {**run.schedule_options, "momentum": run.momentum}.items():
            options.setdefault(key, [])
            options[key] += [value] if value not in options[key] else []
    axes = {key: sorted({getattr(run, key) for run in runs}) for key in AXES}
    measures: dict[str, Any] = {name: {} for result in results for name in result.measured}
    return {
        "name": name,
        "description": "Trainings watched by sgdscope.Watch.",
        "watched": len(runs),
        **axes,
        "schedule": schedules,
        "measure": measures,
    }
