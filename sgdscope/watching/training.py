"""One watched training: its run, its epochs so far, and what was measured."""

from __future__ import annotations

import math

from safetensors.torch import load

from sgdscope.data import Dataset
from sgdscope.execution.taking import Taken
from sgdscope.results.files import ARRAYS
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Epoch, Result, Status
from sgdscope.results.tables import Results
from sgdscope.study.run import Run


class WatchedTraining:
    """A training's record, kept in a folder; continues what an earlier process kept there.

    Args:
        run: what is known of the training.
        folder: where its record is kept.
    """

    def __init__(self, run: Run, folder: StudyFolder) -> None:
        self.run, self.folder = run, folder
        self.taken = Taken(run.seed)
        self.history: list[Epoch] = []
        if (kept := folder.result(run.id)) is not None:
            file = folder.run_file(run.id, ARRAYS)
            arrays = load(file.read_bytes()) if file.is_file() else {}
            self.taken = Taken(run.seed, kept, arrays)
            self.history = list(kept.history)

    @property
    def diverged(self) -> bool:
        """Whether the loss of the last epoch is no finite number."""
        return not math.isfinite(self.history[-1].train_loss)

    def rewind(self, epoch: int) -> None:
        """Drop an epoch and all later ones."""
        self.history = [one for one in self.history if one.epoch < epoch]
        self.taken.forget(epoch)

    def keep(self, status: Status, *, data: Dataset, method: str) -> None:
        """Write all of it to the folder, and the tables of every training there."""
        trained = sum(one.seconds for one in self.history)
        result = Result(
            run=self.run,
            status=status,
            history=self.history,
            method=method,
            **self.taken.fields(data, before={"train": trained}),
        )
        self.folder.save_watched(result, self.taken.saved_arrays())
        Results.collect(self.folder.results(), folder=self.folder).save(self.folder)
