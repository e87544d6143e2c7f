"""Carrying out runs, one or a cohort: train, measure, report the outcome."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

from safetensors.torch import load as read
from safetensors.torch import save
from torch import Tensor

from sgdscope.data import Dataset
from sgdscope.execution.messages import Event, Task
from sgdscope.execution.recorder import Recorder, collapsed
from sgdscope.measuring import Measure, Reading, Subject
from sgdscope.results.record import Checkpoint, Outcome, Result, Status, environment
from sgdscope.training import autotune
from sgdscope.training.loop import Training
from sgdscope.training.stacked_loop import StackedTraining

_log = logging.getLogger(__name__)


Tell = Callable[[Event | Checkpoint], None]
Load = Callable[[str], Dataset]


def execute(
    task: Task,
    measures: Mapping[str, Measure],
    load: Load,
    *,
    tell: Tell,
    checkpoint_every: float,
) -> Outcome:
    """Carry out one task. An exception becomes a failed result.

    Args:
        task: what to do.
        measures: the measures to take, by name.
        load: loads a data set by name, on the device to train on.
        tell: called with events, and with a checkpoint after an epoch or a measure when one is due.
        checkpoint_every: seconds.
    """
    try:
        data = load(task.run.data).subset(task.run.train_size)
        execution = _Execution(task, measures, data, tell, checkpoint_every)
        execution.train()
        execution.measure()
        return execution.outcome()
    except Exception:
        error = traceback.format_exc()
        return Outcome(
            Result(run=task.run, status="failed", error=error, environment=environment())
        )


def execute_cohort(
    tasks: Sequence[Task],
    measures: Callable[[Task], Mapping[str, Measure]],
    load: Load,
    *,
    tell: Tell,
    checkpoint_every: float,
) -> Iterator[Outcome]:
    """Carry out tasks of one shape in the fastest way, yielding outcomes as they arrive.

    If they fail together, they are retried one by one, so that no run suffers from another.
    The arguments are as for a single task, but ``measures`` gives each task's.
    """
    left = {task.run.id: task for task in tasks}
    if len(tasks) > 1:
        try:
            for outcome in _together(tasks, measures, load, tell, checkpoint_every):
                del left[outcome.result.run.id]
                yield outcome
        except Exception:
            _log.exception(
                "%d runs that train together failed; retrying them one by one", len(left)
            )
    for task in left.values():
        yield execute(task, measures(task), load, tell=tell, checkpoint_every=checkpoint_every)


def _together(
    tasks: Sequence[Task],
    measures: Callable[[Task], Mapping[str, Measure]],
    load: Load,
    tell: Tell,
    checkpoint_every: float,
) -> Iterator[Outcome]:
    data = load(tasks[0].run.data).subset(tasks[0].run.train_size)
    executions = [_Execution(task, measures(task), data, tell, checkpoint_every) for task in tasks]
    growing = [execution for execution in executions if not execution.training.finished]
    if len(growing) > 1:
        choice = autotune.probe([execution.run for execution in growing], data)
        for execution in growing:
            execution.method = str(choice)
        if choice.method != "one by one":
            for i in range(0, len(growing), choice.together):
                _train_stacked(growing[i : i + choice.together], choice)
    for execution in executions:
        execution.train()
        execution.measure()
        yield execution.outcome()


def _train_stacked(executions: Sequence[_Execution], choice: autotune.Choice) -> None:
    training = StackedTraining([e.training for e in executions], variant=choice.variant)
    while not training.finished:
        moved = training.advance()
        for execution in executions:
            if execution.training in moved:
                execution.end_epoch()


class _Execution:
    """A run being carried out."""

    def __init__(
        self,
        task: Task,
        measures: Mapping[str, Measure],
        data: Dataset,
        tell: Tell,
        checkpoint_every: float,
    ) -> None:
        self.run, self.measures, self.data, self.tell = task.run, measures, data, tell
        self.training = Training(task.run, data)
        self.recorder = Recorder(task.run.seed)
        self.method = "one by one"
        self._every, self._due = checkpoint_every, time.monotonic() + checkpoint_every
        if task.checkpoint is not None:
            self._resume(task.checkpoint)
        elif task.prior is not None and task.weights is not None:
            weights = read(task.weights)
            arrays = {} if task.arrays is None else read(task.arrays)
            self._restore(task.prior, {f"model.{k}": v for k, v in weights.items()}, arrays)

    def _resume(self, checkpoint: bytes) -> None:
        """Resume from a checkpoint, if the measures taken during training are still the same."""
        header = int.from_bytes(checkpoint[:8], "little")
        metadata = json.loads(checkpoint[8 : 8 + header])["__metadata__"]
        then = json.loads(metadata.get("measures", "{}"))
        changed = {
            name
            for name, measure in self.measures.items()
            if not measure.taken_with(then.get(name), name)
        }
        if any(self.measures[name].tracked for name in changed):
            _log.info("run %s starts over: its measures during training changed", self.run.id)
            return
        result = Result.model_validate_json(metadata["result"])
        others = changed | (then.keys() - self.measures.keys())
        tensors, prefix = read(checkpoint), "arrays."
        arrays = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        self._restore(result.without(others), tensors, arrays)

    def _restore(
        self, result: Result, state: Mapping[str, Tensor], arrays: Mapping[str, Tensor]
    ) -> None:
        self.training.restore(state, result.history)
        self.recorder = Recorder(self.run.seed, result, arrays)
        self.method = result.method
        for _ in result.history:
            self.tell(Event(self.run.id, "epoch"))

    def train(self) -> None:
        """Train to the end."""
        while not self.training.finished:
            self.training.advance()
            self.end_epoch()

    def end_epoch(self) -> None:
        """Report the epoch, and take the measures due after it; one that fails leaves a gap."""
        self.tell(Event(self.run.id, "epoch"))
        epoch = len(self.training.history)
        for name, measure in self.measures.items():
            if measure.due(epoch) and not self.training.finished:
                try:
                    self.recorder.take(
                        name, measure.during_training(), self._subject(), epoch=epoch
                    )
                except Exception as error:
                    self.recorder.leave_gap(name, error, epoch=epoch)
        self._keep()

    def measure(self) -> None:
        """Take the missing measures. A failure does not affect the others."""
        epoch = len(self.training.history)
        for name, measure in self.measures.items():
            if name in self.recorder.measured:
                self.tell(Event(self.run.id, name))
                continue
            if self.training.diverged:
                self.recorder.record(Reading(name, float("nan")), epoch=epoch)
                self.recorder.measured[name] = measure.record(name)
            else:
                self.recorder.finish(name, measure, self._subject(), epoch=epoch)
            self.tell(Event(self.run.id, name))
            self._keep()

    def outcome(self) -> Outcome:
        """The result, with the network."""
        weights = self.training.weights()
        return Outcome(self._result(self._status()), save(weights), self.recorder.saved_arrays())

    def _subject(self) -> Subject:
        return Subject(self.training.network, self.data, self.run.seed, self.run.batch_size)

    def _status(self) -> Status:
        if self.training.diverged:
            return "diverged"
        return "collapsed" if collapsed(self._subject()) else "done"

    def _result(self, status: Status) -> Result:
        trained = sum(epoch.seconds for epoch in self.training.history)
        return Result(
            run=self.run,
            status=status,
            history=self.training.history,
            **self.recorder.fields(self.data, before={"train": trained}),
            method=self.method,
        )

    def _keep(self) -> None:
        """Hand over a checkpoint, if one is due."""
        if time.monotonic() < self._due:
            return
        tensors = self.training.state() | {
            f"arrays.{k}": v for k, v in self.recorder.arrays.items()
        }
        metadata = {
            "result": self._result("unfinished").model_dump_json(),
            "measures": json.dumps({k: m.record(k) for k, m in self.measures.items()}),
        }
        self.tell(Checkpoint(self.run.id, save(tensors, metadata=metadata)))
        self._due = time.monotonic() + self._every
