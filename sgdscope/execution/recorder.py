"""Taking measures on a network and recording their readings, whoever trained it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from sgdscope import streams
from sgdscope.data import Dataset
from sgdscope.data.inference import logits
from sgdscope.errors import reason
from sgdscope.measuring import Measure, Reading, Subject
from sgdscope.network import answers
from sgdscope.results.record import Measured, Measurement, array_prefix, environment

COLLAPSED = 0.99  # share of the test images that get one and the same answer, …
OTHERS = 0.9  # … and of those of other classes, which may be few


class Recorder:
    """Takes measures on a network and records their readings.

    Args:
        seed: with the measure's name and the epoch, it determines every random draw of a measure.
        prior: what was measured earlier.
        arrays: kept with it, by name.
    """

    def __init__(
        self,
        seed: int,
        prior: Measured | None = None,
        arrays: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.seed = seed
        self.measured: dict[str, dict[str, Any]] = {}  # options, once all is taken
        self.measurements: list[Measurement] = []
        self.seconds: dict[str, float] = {}
        self.arrays: dict[str, Tensor] = {}
        self.errors: list[str] = []  # of measures that failed
        if prior is not None:
            self.measured = dict(prior.measured)
            self.measurements = list(prior.measurements)
            self.seconds = dict(prior.seconds)
        kept = {m.measure for m in self.measurements}
        self.arrays = {k: v for k, v in (arrays or {}).items() if k.split("/")[0] in kept}

    def take(self, name: str, measure: Measure, subject: Subject, *, epoch: int) -> None:
        """Take a measure on the network as it is after an epoch."""
        start = time.perf_counter()
        with streams.seeded(self.seed, name, epoch):
            readings = measure.read(subject)
        for reading in readings:
            self.record(reading, epoch=epoch)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def finish(self, name: str, measure: Measure, subject: Subject, *, epoch: int) -> None:
        """Take a measure for the last time; if it fails, it leaves a gap and its traceback.

        A gap that it left there before an interruption is dropped.
        """
        self.measurements = [m for m in self.measurements if (m.measure, m.epoch) != (name, epoch)]
        try:
            self.take(name, measure, subject, epoch=epoch)
        except Exception as error:
            self.errors.append(f"{name}: {traceback.format_exc()}")
            self.leave_gap(name, error, epoch=epoch)
        else:
            self.measured[name] = measure.record(name)

    def leave_gap(self, name: str, error: Exception, *, epoch: int) -> None:
        """Record why a value is missing, in its place."""
        why = f"could not be measured: {reason(error)}"
        self.record(Reading(name, float("nan"), flags=[why]), epoch=epoch)

    def record(self, reading: Reading, *, epoch: int) -> None:
        """Keep a reading."""
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

    def values(self, epoch: int) -> dict[str, float]:
        """The values read at an epoch, by measure and, for attacks, eps: ``pgd_accuracy@0.1``."""
        return {
            m.measure if m.eps is None else f"{m.measure}@{m.eps:g}": m.value
            for m in self.measurements
            if m.epoch == epoch
        }

    def forget(self, epoch: int) -> None:
        """Drop what was read at an epoch or later."""
        self.measurements = [m for m in self.measurements if m.epoch < epoch]
        kept = {array_prefix(m.measure, epoch=m.epoch, eps=m.eps) for m in self.measurements}
        self.arrays = {k: v for k, v in self.arrays.items() if k.rpartition("/")[0] + "/" in kept}

    def saved_arrays(self) -> bytes | None:
        """The arrays as a file's content; None where there are none."""
        return save(self.arrays) if self.arrays else None

    def fields(self, data: Dataset, *, before: Mapping[str, float] | None = None) -> dict[str, Any]:
        """The fields of a result.

        Args:
            data: on the device where it was measured.
            before: seconds spent on other things.
        """
        return {
            "error": "\n".join(self.errors) or None,
            "measured": self.measured,
            "measurements": self.measurements,
            "seconds": {**(before or {}), **self.seconds},
            "environment": environment(),
            "device": _device_name(data.train.pixels.device),
        }


def collapsed(subject: Subject) -> bool:
    """Whether the network predicts one class for nearly all test images; no answer is no class.

    Where nearly all are of that class, it may still tell the others from them.
    """
    images = subject.data.test
    with streams.seeded(subject.seed, "status"):
        given = answers(logits(subject.model, images))
    most = given[given >= 0].bincount(minlength=1)
    others = given[images.labels != most.argmax()] == most.argmax()
    told_apart = len(others) > 0 and others.double().mean().item() < OTHERS
    return bool(most.max() / len(given) >= COLLAPSED) and not told_apart


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
