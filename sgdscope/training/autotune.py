"""How a cohort trains: chosen by a short timed probe, and recorded with the speeds measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.study.run import Run
from sgdscope.training.layouts import Variant
from sgdscope.training.loop import Steady, Training
from sgdscope.training.stacked_loop import StackedTraining

Method = Literal["one by one", "captured", "grouped", "im2col"]

PROBE_STEPS = 16  # updates timed by each method, after as many to warm up


@dataclass(frozen=True)
class Choice:
    """How a cohort trains, and the speeds that decided."""

    method: Method
    count: int
    rates: dict[Method, float]  # training images per second, all runs of the cohort together

    @property
    def variant(self) -> Variant:
        """How convolutions are carried out; a stack of one has a single group."""
        return "im2col" if self.method == "im2col" else "grouped"

    @property
    def together(self) -> int:
        """How many runs make one stack."""
        return 1 if self.method == "captured" else self.count

    def __str__(self) -> str:
        figures = ", ".join(f"{method} {rate:,.0f}" for method, rate in self.rates.items())
        return f"{self.method}, cohort of {self.count}; images/s when probed: {figures}"


def probe(runs: Sequence[Run], data: Dataset) -> Choice:
    """The fastest way to train a cohort on the data's device.

    Args:
        runs: of one shape.
        data: theirs, on the device to train on.
    """
    short = _Probe(runs, data)
    methods: dict[Method, Callable[[], float]] = {
        "one by one": short.one_by_one,
        "captured": lambda: short.stacked("grouped", count=1),
        "grouped": lambda: short.stacked("grouped", count=len(runs)),
        "im2col": lambda: short.stacked("im2col", count=len(runs)),
    }
    rates: dict[Method, float] = {}
    for method, measure in methods.items():
        try:
            rates[method] = measure()
        except (RequestError, torch.OutOfMemoryError):
            continue  # a layer that cannot be stacked, or too many images at once
    return Choice(max(rates, key=lambda method: rates[method]), len(runs), rates)


class _Probe:
    """Short trainings of a cohort's runs, thrown away once they are timed."""

    def __init__(self, runs: Sequence[Run], data: Dataset) -> None:
        size = runs[0].batch_size
        steps = min(PROBE_STEPS, len(data.train) // size)
        self.images = steps * size
        self.data = replace(data, train=data.train[: self.images], validation=data.validation[:1])
        endless = {"train_size": None, "epochs": 3, "steps": None, "until_train_loss": None}
        self.runs = [run.model_copy(update=endless) for run in runs]

    def one_by_one(self) -> float:
        training = Steady(self.runs[0], self.data)
        return self.images / self._seconds(training.advance)

    def stacked(self, variant: Variant, *, count: int) -> float:
        members = [Training(run, self.data) for run in self.runs[:count]]
        training = StackedTraining(members, variant=variant)
        return count * self.images / self._seconds(training.advance)

    def _seconds(self, advance: Callable[[], object]) -> float:
        """Seconds of an epoch after warm-up; reading the losses at its end waits for the device."""
        advance()
        start = time.perf_counter()
        advance()
        return time.perf_counter() - start
