"""The records of a network: the result of a run, or of an audit."""

from __future__ import annotations

import gc
import hashlib
import os
import platform
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from itertools import accumulate
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from sgdscope.data import DATA
from sgdscope.network import Finding
from sgdscope.study.run import Run

Status = Literal["done", "diverged", "collapsed", "failed", "unfinished"]


class _Record(BaseModel):
    # JSON has no NaN or infinity: they are written as strings and read back as numbers.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Epoch(_Record):
    """What happened in one epoch of training."""

    epoch: int  # from 1
    steps: int  # updates since the start
    learning_rate: float
    train_loss: float  # mean over the epoch's batches, training mode
    train_accuracy: float  # likewise
    validation_accuracy: float  # at the epoch's end, evaluation mode
    seconds: float


class Measurement(_Record):
    """One row of the results: what was measured, when, and how far it can be trusted."""

    epoch: int
    measure: str
    eps: float | None = None
    value: float
    evidence: dict[str, bool | int | float] = {}
    flags: list[str] = []


def array_prefix(measure: str, *, epoch: int, eps: float | None) -> str:
    """The prefix of a measurement's arrays in a run's file of arrays."""
    radius = "" if eps is None else f"/{eps:g}"
    return f"{measure}{radius}/{epoch}/"


@contextmanager
def at_once() -> Iterator[None]:
    """Create many records without the garbage collector, which would scan all of them repeatedly.

    Records have no reference cycles; for a thousand runs collecting takes longer than reading.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _OfRun(_Record):
    run: Run  # a base of its own, so that it stays the first key of a result's file


class Measured(_Record):
    """The measurements on one network, and what failed."""

    status: Status
    error: str | None = None  # traceback of a run, or of measures of it, that failed
    history: list[Epoch] = []  # of its training, if known
    measured: dict[str, dict[str, Any]] = {}  # options of each measure that was taken
    measurements: list[Measurement] = []
    seconds: dict[str, float] = {}  # "train", and each measure by name
    environment: dict[str, str] = {}
    device: str = "cpu"

    def without(self, measures: Collection[str]) -> Self:
        """A copy as if these measures had never been taken."""
        return self.model_copy(
            update={
                "measured": {k: v for k, v in self.measured.items() if k not in measures},
                "measurements": [m for m in self.measurements if m.measure not in measures],
                "seconds": {k: v for k, v in self.seconds.items() if k not in measures},
            }
        )

    @property
    def reason(self) -> str:
        """Why the run, or a measure of it, failed, in one line; empty if none did."""
        return _last_lines(self.error or "")


class Result(Measured, _OfRun):
    """Everything about one run except its weights."""

    method: str = "one by one"  # how it trained: alone or in a cohort, with the speeds that decided
    digests: dict[str, str] = {}  # of the files beside this one, by name

    @property
    def id(self) -> str:
        """The run's."""
        return self.run.id

    @property
    def steps(self) -> int:
        """Updates made."""
        return self.history[-1].steps if self.history else 0

    @property
    def noise_scale(self) -> float:
        """lr·N/(B(1 − m)) of SGD at the peak learning rate; N: the images of its full batches.

        The temperature of SGD's noise (Smith and Le 2018).
        """
        if not self.history:
            return float("nan")
        run, first = self.run, self.history[0]
        per_epoch = first.steps
        if first.steps == run.steps:  # perhaps a part of an epoch
            per_epoch = (run.train_size or DATA[run.data].train_size) // run.batch_size
        return run.peak * per_epoch * run.rule().noise_factor()

    @property
    def lr_steps(self) -> float:
        """Learning rate summed over the updates: the time that gradient flow would have run."""
        return self.lr_steps_by_epoch[-1] if self.history else 0.0

    @property
    def lr_steps_by_epoch(self) -> list[float]:
        """The same after each epoch."""
        before = [0, *(epoch.steps for epoch in self.history)]
        return list(
            accumulate(
                epoch.learning_rate * (epoch.steps - steps)
                for epoch, steps in zip(self.history, before, strict=False)
            )
        )


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to resume."""

    run_id: str
    state: bytes


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task."""

    result: Result
    weights: bytes | None = None
    arrays: bytes | None = None


class GivenNetwork(_Record):
    """A network to audit, from a study or elsewhere."""

    name: str  # its name in tables and on the page
    source: str  # as given by the user
    fingerprint: str  # of its weights and buffers
    architecture: str  # of their names and shapes
    parameters: int
    code: str | None = None  # digests of the user's own code behind it and its data
    content: str | None = None  # digest of the user's own data
    data: str
    split: str = "test"  # the images that it is tested on
    train_size: int | None = None  # None: all training images
    seed: int = 0  # attack starts and probe vectors derive from it
    epoch: int = 0  # after which its run ended; 0 where no run is known
    batch_size: int | None = None  # its run's

    @cached_property
    def id(self) -> str:
        """A short hash of all that the numbers depend on, but not its name or path."""
        canonical = self.model_dump_json(exclude={"name", "source"}, exclude_defaults=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class Audited(Measured):
    """The results of an audit for one network."""

    network: GivenNetwork
    findings: list[Finding] = []  # of the preflight, before anything was measured
    digests: dict[str, str] = {}  # of the files beside this one, by name

    @property
    def id(self) -> str:
        """The network's."""
        return self.network.id


def _last_lines(tracebacks: str) -> str:
    """The message of each traceback: its last line that is not indented.

    Of an exception that another caused, that is its own message.
    """
    lines = [line for line in tracebacks.splitlines() if line.strip()]
    starts = [i for i, line in enumerate(lines) if "Traceback (most recent call last)" in line]
    if not starts:
        return lines[-1].strip() if lines else ""
    ends = [*starts[1:], len(lines)]
    said: list[str] = []
    name = ""
    for start, end in zip(starts, ends, strict=True):
        if lines[start - 1] not in _CHAINED:
            name = lines[start].partition("Traceback")[0]
        elif said:
            said.pop()
        own = [line for line in lines[start + 1 : end] if not line.startswith(" ")]
        message = own[0] if own else lines[end - 1].strip()
        said.append(name + message.removeprefix("sgdscope.errors.RequestError: "))
    return "; ".join(dict.fromkeys(said))


_CHAINED = (  # what stands between two tracebacks of one failure
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


_OPTIONAL = ("timm", "transformers")  # that networks may come from


@cache
def environment() -> dict[str, str]:
    """Versions and machine, recorded with every result."""
    return {
        **{package: version(package) for package in ("sgdscope", "torch", "numpy")},
        **{package: version(package) for package in _OPTIONAL if package in sys.modules},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"
