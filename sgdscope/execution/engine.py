"""The interface of engines."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import torch

from sgdscope import data, references
from sgdscope.data import Dataset
from sgdscope.execution.messages import Message, Task
from sgdscope.measuring import MEASURES, Measure
from sgdscope.references import Source
from sgdscope.results.record import Outcome, Result
from sgdscope.study.plugins import Plugin
from sgdscope.study.run import Run
from sgdscope.training.cohorts import group
from sgdscope.training.precision import bfloat16_works

COHORT = 16  # runs that may train together on a GPU
ATTEMPTS = 2  # a worker that dies may have been unlucky once (memory, a signal), hardly twice
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True)
class Job:
    """What a worker needs besides its tasks; plain values that can be sent anywhere."""

    plugins: tuple[Plugin, ...]
    device: str
    checkpoint_every: float  # seconds
    sources: Mapping[str, Source] = field(default_factory=dict)  # where names lead

    def loader(self) -> Callable[[str], Dataset]:
        """A loader of data sets by name, on the device; it keeps the last one."""

        @lru_cache(maxsize=1)
        def load(name: str) -> Dataset:
            return data.load(name).to(torch.device(self.device))

        return load

    def prepare(self) -> None:
        """In the worker: load the user's parts, and set up exact and reproducible arithmetic."""
        _keep_freed_memory()
        bfloat16_works()  # settled before oneDNN is first used
        torch.backends.cudnn.allow_tf32 = False  # else float32 convolutions round to 10 bits
        torch.backends.cudnn.deterministic = True  # the same bits when a run is repeated
        references.settle(self.sources)
        for plugin in self.plugins:
            plugin.load()


def _keep_freed_memory() -> None:
    """Have the C library keep freed memory, if it supports that.

    A step allocates what the last one freed; if that is returned to the system in between, every
    page is cleared and mapped again, which takes up to a seventh of the time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            mallopt(option, 1 << 30)


def measures(task: Task) -> Mapping[str, Measure]:
    """The measures to take on a task's run, by name."""
    return {name: MEASURES[name](**options) for name, options in task.measures.items()}


class Engine(Protocol):
    """Carries out tasks somewhere. It returns their outcomes and writes nothing."""

    @property
    def device(self) -> str:
        """The best device available: "cuda" or "cpu"."""

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Message, None, None]:
        """Messages as they arrive, one outcome per task; closing the iterator stops the work."""


def batches(tasks: Sequence[Task], *, device: str, workers: int) -> list[list[Task]]:
    """The batches handed to workers: cohorts on a GPU, single tasks on a CPU.

    Cohorts are small enough that each worker gets two or more, so that all finish at about the same
    time.
    """
    if device != "cuda":
        return [[task] for task in tasks]
    by_id = {task.run.id: task for task in tasks}
    size = min(COHORT, -(-len(tasks) // (2 * workers)))
    cohorts = group([task.run for task in tasks], max(1, size))
    return [[by_id[run.id] for run in cohort] for cohort in cohorts]


class CrashCounter:
    """How often the worker of each run has crashed at the same point.

    A run that got further than at its last crash starts counting anew.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[bytes | None, int]] = {}  # checkpoint, crashes since

    def too_many(self, task: Task) -> bool:
        """Count a crash since the task's checkpoint; whether it is time to give up."""
        checkpoint, count = self._last.get(task.run.id, (None, 0))
        count = count + 1 if task.checkpoint == checkpoint else 1
        self._last[task.run.id] = task.checkpoint, count
        return count >= ATTEMPTS


def failure(run: Run, why: str) -> Outcome:
    """The outcome of a run that could not be carried out."""
    return Outcome(Result(run=run, status="failed", error=why))
