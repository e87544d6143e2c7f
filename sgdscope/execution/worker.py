"""Carrying out runs, one or a cohort: train, measure, say what came of each."""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from safetensors.torch import load as read
from safetensors.torch import save
from torch import Tensor

from sgdscope import streams
from sgdscope.data import Dataset
from sgdscope.data.inference import logits
from sgdscope.execution.messages import Checkpoint, Event, Outcome, Task
from sgdscope.measuring import Measure, Reading, Subject
from sgdscope.results.record import Measurement, Result, Status, array_prefix, environment
from sgdscope.training import autotune
from sgdscope.training.loop import Training
from sgdscope.training.stacked_loop import StackedTraining

COLLAPSED = 0.99  # share of the test images that get one and the same answer
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
        load: gives a data set by name, on the device to train on.
        tell: told of events, and of a checkpoint after an epoch or a measure when one is due.
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
    """Carry out tasks of one shape in the fastest way; their outcomes as they come.

    Whatever fails in common is tried again one by one, so that no run suffers from another.
    The arguments are as for a single task, but ``measures`` gives each task's.
    """
    left = {task.run.id: task for task in tasks}
    if len(tasks) > 1:
        try:
            for outcome in _together(tasks, measures, load, tell, checkpoint_every):
                del left[outcome.result.run.id]
                yield outcome
        except Exception:
            _log.exception("%d runs that train together failed; now one by one", len(left))
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
        self.measured: dict[str, dict[str, object]] = {}  # options, once all is taken
        self.measurements: list[Measurement] = []
        self.seconds: dict[str, float] = {}
        self.arrays: dict[str, Tensor] = {}
        self.errors: list[str] = []  # of measures that failed
        self.method = "one by one"
        self._every, self._due = checkpoint_every, time.monotonic() + checkpoint_every
        if task.checkpoint is not None:
            self._resume(task.checkpoint)
        elif task.prior is not None and task.weights is not None:
            weights = read(task.weights)
            arrays = {} if task.arrays is None else read(task.arrays)
            self._restore(task.prior, {f"model.{k}": v for k, v in weights.items()}, arrays)

    def _resume(self, checkpoint: bytes) -> None:
        """Go on from a checkpoint, if the measures taken along training are still the same."""
        header = int.from_bytes(checkpoint[:8], "little")
        metadata = json.loads(checkpoint[8 : 8 + header])["__metadata__"]
        then = json.loads(metadata.get("measures", "{}"))
        changed = {
            name
            for name, measure in self.measures.items()
            if not measure.taken_with(then.get(name), name)
        }
        if any(self.measures[name].along for name in changed):
            _log.info("run %s starts anew: its measures along training changed", self.run.id)
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
        self.measured = dict(result.measured)
        self.measurements = list(result.measurements)
        self.seconds = dict(result.seconds)
        self.method = result.method
        kept = {m.measure for m in self.measurements}
        self.arrays = {k: v for k, v in arrays.items() if k.split("/")[0] in kept}
        for _ in result.history:
            self.tell(Event(self.run.id, "epoch"))

    def train(self) -> None:
        """Train to the end."""
        while not self.training.finished:
            self.training.advance()
            self.end_epoch()

    def end_epoch(self) -> None:
        """Say so, and take the measures that ask for this epoch; one that fails leaves a gap."""
        self.tell(Event(self.run.id, "epoch"))
        epoch = len(self.training.history)
        for name, measure in self.measures.items():
            if measure.due(epoch) and not self.training.finished:
                try:
                    self._take(name, measure.on_the_way())
                except Exception as error:
                    self._leave_gap(name, error)
        self._keep()

    def measure(self) -> None:
        """Take the measures that are missing. One that fails spares the others."""
        for name, measure in self.measures.items():
            if name in self.measured:
                self.tell(Event(self.run.id, name))
                continue
            try:
                if self.training.diverged:
                    self._record(Reading(name, float("nan")))
                else:
                    self._take(name, measure)
            except Exception as error:
                self.errors.append(f"{name}: {traceback.format_exc()}")
                self._leave_gap(name, error)
            else:
                self.measured[name] = measure.record(name)
            self.tell(Event(self.run.id, name))
            self._keep()

    def outcome(self) -> Outcome:
        """The result, with the network."""
        weights = self.training.weights()
        arrays = save(self.arrays) if self.arrays else None
        return Outcome(self._result(self._status()), save(weights), arrays)

    def _take(self, name: str, measure: Measure) -> None:
        start = time.perf_counter()
        subject = Subject(self.training.network, self.data, self.run.seed, self.run.batch_size)
        with streams.seeded(self.run.seed, name, len(self.training.history)):
            readings = measure.read(subject)
        for reading in readings:
            self._record(reading)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def _leave_gap(self, name: str, error: Exception) -> None:
        """Say why a value is missing, where it would stand."""
        why = f"could not be taken: {type(error).__name__}: {str(error).strip()}"
        self._record(Reading(name, float("nan"), flags=[why.splitlines()[0]]))

    def _record(self, reading: Reading) -> None:
        epoch = len(self.training.history)
        self.measurements.append(
            Measurement(
                epoch=epoch,
                measure=reading.measure,
                eps=reading.eps,
                value=reading.value,
                evidence=reading.evidence,
                flags=reading.flags,
            )
        )
        prefix = array_prefix(reading.measure, epoch=epoch, eps=reading.eps)
        for key, array in reading.arrays.items():
            self.arrays[prefix + key] = array.contiguous().cpu()

    def _status(self) -> Status:
        if self.training.diverged:
            return "diverged"
        with streams.seeded(self.run.seed, "status"):
            answers = logits(self.training.network, self.data.test).argmax(1)
        commonest = answers.bincount().max().item() / len(answers)
        return "collapsed" if commonest >= COLLAPSED else "done"

    def _result(self, status: Status) -> Result:
        trained = sum(epoch.seconds for epoch in self.training.history)
        return Result(
            run=self.run,
            status=status,
            error="\n".join(self.errors) or None,
            history=self.training.history,
            measured=self.measured,
            measurements=self.measurements,
            seconds={"train": trained} | self.seconds,
            environment=environment(),
            device=_device_name(self.data.train.pixels.device),
            method=self.method,
        )

    def _keep(self) -> None:
        """Hand over the run as it stands, if it is time."""
        if time.monotonic() < self._due:
            return
        tensors = self.training.state() | {f"arrays.{k}": v for k, v in self.arrays.items()}
        metadata = {
            "result": self._result("unfinished").model_dump_json(),
            "measures": json.dumps({k: m.record(k) for k, m in self.measures.items()}),
        }
        self.tell(Checkpoint(self.run.id, save(tensors, metadata=metadata)))
        self._due = time.monotonic() + self._every


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
