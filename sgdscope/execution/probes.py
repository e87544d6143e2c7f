"""The cost of updates, passes and measures on this machine: short probes, interpolated."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from sgdscope.data import Dataset
from sgdscope.data.images import Images
from sgdscope.data.inference import chunk_size, logits
from sgdscope.measuring import Measure, Subject
from sgdscope.study.run import Run
from sgdscope.training.loop import Steady, Training, initialise

SIZES = (2, 8, 32, 128, 512, 2048)  # batches tried, as long as time lasts
WARM, STEPS, REPEATS = 1, 2, 3  # updates before the clock starts, at least in a lap, and laps
LAP = 0.03  # seconds that a lap takes at least, up to ten times as many updates
LONGEST = 0.7  # seconds for the updates of one network
EXAMPLES = (32, 96)  # on which a measure is probed
IMAGES = 50  # a pass
LIGHT = 2e-4  # seconds per image of a pass, up to which measures are probed on the network itself
SMALL = "stdcnn"
UPDATES, TAUGHT_BATCH = 80, 32
TAUGHT = {  # before measures are probed: an untrained network is fooled at once
    "train_size": None, "epochs": None, "until_train_loss": None,
    "schedule": "fixed", "schedule_options": {"learning_rate": 0.003}, "optimizer": "adamw",
    "optimizer_options": {}, "method": "plain", "method_options": {},
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """Seconds by number of images: linear between probes, extrapolated beyond the last."""

    images: tuple[float, ...]  # rising
    seconds: tuple[float, ...]

    def __call__(self, images: float) -> float:
        """At a number of images; proportional if there is a single probe."""
        if len(self.images) == 1:
            return self.seconds[0] * images / self.images[0]
        if images <= self.images[-1]:
            return float(np.interp(images, self.images, self.seconds))
        (x, y), (shorter, longer) = self.images[-2:], self.seconds[-2:]
        return longer + max(longer - shorter, 0.0) / (y - x) * (images - y)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds; on a CPU processor seconds of this process, so that other load does not count."""
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def updates(run: Run, data: Dataset, *, smallest: int, largest: int) -> Line:
    """Seconds of one update by batch size, by the training code itself.

    Args:
        run: whose network, optimizer and method they are.
        data: on the device.
        smallest: the smallest batch size needed; a network may refuse those below it.
        largest: the largest one.
    """
    device = data.train.pixels.device
    data = replace(data, validation=data.validation[:1])
    sizes: list[float] = []
    seconds: list[float] = []
    left, expected = LONGEST, 0.0
    for size in [one for one in SIZES if one < largest] + [largest]:
        if len(sizes) > 1 and (expected > left or size > len(data.train)):
            break
        try:
            first = _lap(run, data, size, WARM, device)
        except Exception:
            if size < smallest:
                continue
            raise
        steps = max(STEPS, min(int(LAP / first), 10 * STEPS))
        repeats = REPEATS if REPEATS * steps * first < left else 1
        laps = [_lap(run, data, size, steps, device) for _ in range(repeats)]
        sizes.append(size)
        seconds.append(statistics.median(laps))
        left -= (WARM + repeats * steps) * seconds[-1]
        expected = 4 * (WARM + STEPS) * seconds[-1]
    return Line(tuple(sizes), tuple(seconds))


def _lap(run: Run, data: Dataset, size: int, steps: int, device: torch.device) -> float:
    """Seconds of an update."""
    short = {"train_size": None, "epochs": None, "steps": steps, "batch_size": size}
    training = Steady(run.model_copy(update=short), data)

    def train() -> None:
        while not training.finished:
            training.advance()

    return timed(train, device) / steps


def passes(network: nn.Module, data: Dataset) -> float:
    """Seconds per image of a network's forward pass, in passes of the usual size."""
    images = data.test[: min(chunk_size(data.test.pixels.device), IMAGES)]
    few = images[:4]
    device = images.pixels.device
    timed(lambda: logits(network, few), device)  # warm
    by_few = timed(lambda: logits(network, few), device) / len(few)
    if by_few * len(images) > LONGEST / 4:
        return by_few
    laps = [timed(lambda: logits(network, images), device) for _ in range(REPEATS)]
    return statistics.median(laps) / len(images)


class Measuring:
    """How long measures take, probed on one network for images of one shape: the quickest.

    If all are slow, that is a small one that comes with the package. Measures of other networks are
    assumed to take as many passes, in proportion to the time of a pass. A user's own measure may
    need the network itself.
    """

    def __init__(self) -> None:
        self._passes: dict[Any, float] = {}
        self._subjects: dict[Any, Subject] = {}
        self._lines: dict[Any, Line] = {}

    def a_pass(self, run: Run, data: Dataset) -> float:
        """Seconds per image of a run's network; call this for all networks first.

        Args:
            run: any of the network's.
            data: the part used for probing, on the device.
        """
        key = run.model, data.shape, data.classes
        if key not in self._passes:
            self._passes[key] = passes(initialise(run, data), data)
        return self._passes[key]

    def seconds(self, measure: Measure, run: Run, data: Dataset, *, whole: Dataset) -> float:
        """Of one reading.

        Args:
            measure: as it is taken.
            run: any of the network's.
            data: as for a pass.
            whole: everything that the measure may look at.
        """
        own, probed = self.a_pass(run, data), run
        if type(measure).__module__.startswith("sgdscope."):
            probed = run.model_copy(update={"model": self._quickest(data)})
        seconds = self._line(measure, probed, data)(measure.cost_in_images(whole))
        return seconds * own / self.a_pass(probed, data)

    def _quickest(self, data: Dataset) -> str:
        """The model to probe with."""
        kind = data.shape, data.classes
        found = {key[0]: spent for key, spent in self._passes.items() if key[1:] == kind}
        model = min(found, key=lambda name: found[name])
        return model if found[model] <= LIGHT else SMALL

    def _line(self, measure: Measure, run: Run, data: Dataset) -> Line:
        once = measure.model_copy(update={"every": None, "at": []})
        kinds = [once.on_fewer(examples) for examples in EXAMPLES]
        key = run.model, data.shape, data.classes, repr(kinds)
        if key not in self._lines:
            subject = self._subject(run, data)
            device = data.train.pixels.device
            found = {
                float(fewer.cost_in_images(subject.data)): timed(
                    partial(fewer.read, replace(subject)), device
                )
                for fewer in kinds
            }
            self._lines[key] = Line(tuple(found), tuple(found.values()))
        return self._lines[key]

    def _subject(self, run: Run, data: Dataset) -> Subject:
        """The network after a few updates, with images that it answers as they are labelled."""
        key = run.model, data.shape, data.classes
        if key not in self._subjects:
            light = self.a_pass(run, data) <= LIGHT
            size = min(TAUGHT_BATCH, len(data.train))
            chosen = TAUGHT | {"batch_size": size, "steps": UPDATES if light else 2}
            taught = run.model_copy(update=chosen)
            training = Training(taught, replace(data, validation=data.validation[:1]))
            while not training.finished:
                training.advance()
            network = training.network
            if light:  # give attacks work: the network's answers count as correct
                answers = logits(network, data.test).argmax(1)
                data = replace(data, test=Images(data.test.pixels, answers))
            self._subjects[key] = Subject(network, data, run.seed, run.batch_size)
        return self._subjects[key]


def crowding(workers: int) -> float:
    """How much slower a CPU core is while all workers are busy, sharing caches and even cores."""
    inputs, weight = torch.randn(64, 10, 26, 26), torch.randn(20, 10, 3, 3)

    def work() -> float:
        start = time.thread_time()
        for _ in range(40):
            F.conv2d(inputs, weight)
        return time.thread_time() - start

    work()
    alone = min(work() for _ in range(REPEATS))
    together: list[float] = []
    threads = [
        threading.Thread(target=lambda: together.extend(work() for _ in range(REPEATS)))
        for _ in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(1.0, statistics.median(together) / alone)
