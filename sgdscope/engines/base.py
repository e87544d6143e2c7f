"""What every engine is given and gives back."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sgdscope.execution import Checkpoint, Event, Outcome, Task
from sgdscope.measuring import Measure
from sgdscope.plugins import Plugin
from sgdscope.registry import MEASURES
from sgdscope.result import Result
from sgdscope.runs import Run

ATTEMPTS = 2  # a worker that dies may have been unlucky once (memory, a signal), hardly twice

Message = Event | Checkpoint | Outcome


@dataclass(frozen=True)
class Job:
    """What a worker must know beside its tasks; plain values, so that it can be sent anywhere."""

    plugins: tuple[Plugin, ...]
    device: str
    checkpoint_every: float  # seconds

    def prepare(self) -> None:
        """Load the user's parts, in the worker."""
        for plugin in self.plugins:
            plugin.load()


def measures(task: Task) -> Mapping[str, Measure]:
    """The measures to take on a task's run, by name."""
    return {name: MEASURES[name](**options) for name, options in task.measures.items()}


class Engine(Protocol):
    """Carries out tasks somewhere. It returns what came of them and writes nothing."""

    @property
    def device(self) -> str:
        """The best there is to train on: "cuda" or "cpu"."""

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Message, None, None]:
        """Messages as they come, one outcome a task; closing the iterator stops the work."""


def failure(run: Run, why: str) -> Outcome:
    """The outcome of a run that could not be carried out."""
    return Outcome(Result(run=run, status="failed", error=why))
