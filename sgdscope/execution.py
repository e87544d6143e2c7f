"""Carrying out one run: train it, measure it, say what came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from sgdscope import data as datasets
from sgdscope.data import Dataset
from sgdscope.measuring import Measure, Subject, fit
from sgdscope.result import Measurement, Result, environment
from sgdscope.runs import Run
from sgdscope.training import Trained, initialise, train

Notify = Callable[[str], None]  # told "epoch", and the name of each measure once taken


@dataclass(frozen=True)
class Task:
    """A run to carry out, with what an earlier attempt left of it."""

    run: Run
    prior: Result | None = None  # trained already, but not measured in full
    weights: bytes | None = None  # of the prior result, as a safetensors file


@dataclass(frozen=True)
class Outcome:
    """What came of a task; tensors as the bytes of safetensors files."""

    result: Result
    weights: bytes | None = None
    arrays: bytes | None = None


@dataclass
class _Record:
    """Readings as they come in."""

    measurements: list[Measurement] = field(default_factory=list)
    arrays: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def take(self, name: str, measure: Measure, subject: Subject, epoch: int) -> None:
        start = time.perf_counter()
        for reading in measure.read(subject):
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
            prefix = "/".join(
                [
                    reading.measure,
                    *([] if reading.eps is None else [f"{reading.eps:g}"]),
                    str(epoch),
                ]
            )
            self.arrays |= {f"{prefix}/{key}": value for key, value in reading.arrays.items()}
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def execute(
    task: Task, measures: Mapping[str, Measure], *, device: torch.device, notify: Notify
) -> Outcome:
    """Carry out one task on this process's device. An exception becomes a failed result."""
    try:
        data = _load(task.run.data, device).subset(task.run.train_size)
        return _execute(task, measures, data, notify)
    except Exception:
        failed = Result(run=task.run, status="failed", error=traceback.format_exc())
        return Outcome(failed.model_copy(update={"environment": environment()}))


@lru_cache(maxsize=1)
def _load(name: str, device: torch.device) -> Dataset:
    return datasets.load(name).to(device)


def _execute(task: Task, measures: Mapping[str, Measure], data: Dataset, notify: Notify) -> Outcome:
    run, record = task.run, _Record()
    measured: dict[str, Any] = {}
    if task.prior is not None and task.weights is not None:
        trained = _restore(task, data)
        measured = dict(task.prior.measured)
        record.measurements = list(task.prior.measurements)
        record.seconds = dict(task.prior.seconds)
    else:
        trained = _train(run, measures, data, record, notify)
    epoch = len(trained.history)
    subject = Subject(trained.model, data, run.seed, run.batch_size)
    error = None
    for name, measure in measures.items():
        if name in measured:
            continue
        if trained.diverged:
            nothing = Measurement(epoch=epoch, measure=name, eps=None, value=float("nan"))
            record.measurements.append(nothing)
        elif not (measure.every and epoch % measure.every == 0):
            try:
                record.take(name, measure, subject, epoch)
            except Exception:
                error = traceback.format_exc()
                continue
        measured[name] = measure.model_dump()
        notify(name)
    result = Result(
        run=run,
        status="failed" if error else _status(trained, data),
        error=error,
        history=trained.history,
        measured=measured,
        measurements=record.measurements,
        seconds=record.seconds,
        environment=environment(),
        device=_device_name(data.train.pixels.device),
    )
    weights = {key: value.contiguous().cpu() for key, value in trained.model.state_dict().items()}
    return Outcome(result, save(weights), save(record.arrays) if record.arrays else None)


def _train(
    run: Run, measures: Mapping[str, Measure], data: Dataset, record: _Record, notify: Notify
) -> Trained:
    """Train, taking measures along the way where they ask for it."""

    def after_epoch(epoch: int, model: nn.Module) -> None:
        for name, measure in measures.items():
            if measure.every and epoch % measure.every == 0:
                record.take(name, measure, Subject(model, data, run.seed, run.batch_size), epoch)
        notify("epoch")

    trained = train(run, data, after_epoch=after_epoch)
    record.seconds["train"] = sum(epoch.seconds for epoch in trained.history)
    return trained


def _restore(task: Task, data: Dataset) -> Trained:
    """The trained network of an earlier attempt."""
    assert task.prior is not None
    assert task.weights is not None
    model = initialise(task.run, data)
    model.load_state_dict(load(task.weights))
    return Trained(model.eval(), task.prior.history, task.prior.status == "diverged")


def _status(trained: Trained, data: Dataset) -> Any:
    if trained.diverged:
        return "diverged"
    answers = fit.logits(trained.model, data.test).argmax(1)
    return "collapsed" if bool((answers == answers[0]).all()) else "done"


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
