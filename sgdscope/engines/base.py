"""What every engine is given and gives back."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sgdscope import plugins
from sgdscope.execution import Outcome, Task
from sgdscope.measuring import Measure
from sgdscope.registry import MEASURES
from sgdscope.result import Result
from sgdscope.runs import Run


@dataclass(frozen=True)
class Event:
    """Something that happened to a run: "epoch", or the name of a measure taken."""

    run_id: str
    what: str


@dataclass(frozen=True)
class Job:
    """What a worker must know beside its tasks; plain values, so that it can be sent anywhere."""

    measures: dict[str, dict[str, Any]]  # options by name
    plugins: tuple[Path, ...]
    device: str

    def prepare(self) -> Mapping[str, Measure]:
        """Load the user's parts and make the measures, in the worker."""
        for file in self.plugins:
            plugins.load(file)
        return {name: MEASURES[name](**options) for name, options in self.measures.items()}


class Engine(Protocol):
    """Carries out tasks somewhere. It returns what came of them and writes nothing."""

    def execute(self, job: Job, tasks: Sequence[Task]) -> Generator[Event | Outcome, None, None]:
        """Events as they happen, one outcome a task; closing the iterator stops the work."""


def failure(run: Run, why: str) -> Outcome:
    """The outcome of a run that could not be carried out."""
    return Outcome(Result(run=run, status="failed", error=why))
