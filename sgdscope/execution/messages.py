"""Messages between driver and workers; tensors travel as the bytes of safetensors files."""

from __future__ import annotations

from dataclasses import dataclass, field

from sgdscope.results.record import Checkpoint, Outcome, Result
from sgdscope.settings import Options
from sgdscope.study.run import Run


@dataclass(frozen=True)
class Task:
    """A run to carry out, with what earlier attempts left behind."""

    run: Run
    measures: dict[str, Options] = field(default_factory=dict)  # options of each, by name
    checkpoint: bytes | None = None  # of an interrupted training
    prior: Result | None = None  # of a training that ended, where measures are missing
    weights: bytes | None = None  # the prior result's
    arrays: bytes | None = None  # likewise


@dataclass(frozen=True)
class Event:
    """Something that happened to a run: "epoch", or the name of a measure taken."""

    run_id: str
    what: str


Message = Event | Checkpoint | Outcome
