"""The cost of a study: runs, arithmetic, memory and time, from a short probe of this machine."""

from __future__ import annotations

import itertools
import math
import os
import resource
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.table import Table
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sgdscope.curvature.chunked import default_memory
from sgdscope.data import Dataset
from sgdscope.errors import RequestError, reason
from sgdscope.execution.checks import check_parts
from sgdscope.execution.driver import choose_device, choose_engine
from sgdscope.execution.engine import COHORT
from sgdscope.execution.local import default_workers
from sgdscope.execution.probes import Line, Measuring, crowding, updates
from sgdscope.measuring import Measure, card_of
from sgdscope.network import logits_of
from sgdscope.results import style
from sgdscope.study.run import Run
from sgdscope.study.study import Study
from sgdscope.training.cohorts import group
from sgdscope.training.loop import initialise

IMAGES = 600  # of a data set, to probe measures with
FEW = 4  # at most, to count the arithmetic of training on
START = 4.0  # seconds until a worker has imported torch and loaded data


@dataclass(frozen=True)
class Cost:
    """Of all runs of one model, data set, batch size and duration."""

    model: str
    data: str
    batch_size: int
    runs: int
    lines: int
    epochs: int  # of one run; where a run counts steps, as many epochs as they fill
    steps: int  # of one run
    parameters: int
    flops: float  # to train one run: forward and backward of every step
    training: float  # seconds of one worker for one run
    measuring: float  # likewise, along training and at the end
    bytes_kept: int  # weights of one run

    @property
    def seconds(self) -> float:
        """Of one worker, for all runs."""
        return self.runs * (self.training + self.measuring)


@dataclass(frozen=True)
class Plan:
    """A study's costs on one machine."""

    study: Study
    device: str
    workers: int
    costs: list[Cost]  # of the runs that are left
    left: list[Run]
    memory: int  # peak bytes of the probe, on the device

    @property
    def seconds(self) -> float:
        """If all workers are busy to the end; at least the longest run."""
        if not self.costs:
            return 0.0
        longest = max(cost.training + cost.measuring for cost in self.costs)
        return START + max(longest, sum(cost.seconds for cost in self.costs) / self.busy)

    @property
    def busy(self) -> int:
        """Workers that can be busy at once."""
        return min(self.workers, max(len(self.left), 1), default_workers(self.device))


def plan(
    study: Study,
    *,
    device: str = "auto",
    workers: int | None = None,
    finished: Collection[str] = (),
) -> Plan:
    """Probe every model and data set of a study with a few small batches and images.

    On a CPU the probe uses one thread, like a worker, and measures how much workers slow each other
    down; the gain of cohorts on a GPU is not estimated.

    Args:
        study: what to plan.
        device: as for :func:`sgdscope.run`.
        workers: likewise.
        finished: ids of runs that are already done.

    Raises:
        RequestError: the device, the data or so many workers cannot be had.
    """
    device = choose_device(device, choose_engine("local", workers=workers))
    loaded = check_parts(study)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left = [run for run in study.runs if run.id not in finished]
    made = Plan(study, device, workers or default_workers(device), [], left, 0)
    try:
        slower = crowding(made.busy) if device == "cpu" else 1.0
        costs = [
            replace(one, training=slower * one.training, measuring=slower * one.measuring)
            for one in _costs(study, left, loaded, torch.device(device))
        ]
    finally:
        torch.set_num_threads(threads)
    return replace(made, costs=costs, memory=_memory(device))


def _memory(device: str) -> int:
    """The peak memory of this process in bytes, on the device."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _costs(
    study: Study, runs: Sequence[Run], wholes: Mapping[str, Dataset], device: torch.device
) -> Iterator[Cost]:
    """One a model, data set, batch size and duration, in the order of the runs."""
    parts = {name: _sample(whole, IMAGES).to(device) for name, whole in wholes.items()}
    lines: dict[Any, Line] = {}
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    probed, sizes = Measuring(), {run.size(1) for run in runs} | {run.batch_size for run in runs}
    for run in runs:
        if (network := (run.model, run.data)) not in sums:
            with _blamed(run):
                sums[network] = _arithmetic(run, parts[run.data])
                probed.a_pass(run, parts[run.data])
    for same in group(runs, len(runs)):
        run = same[0]
        model, data = network = run.model, run.data
        whole, part = wholes[data].subset(run.train_size), parts[data]
        kind = model, part.shape, part.classes, part.augmented
        key = *kind, run.precision, run.optimizer, run.method, repr(run.method_options)
        if key not in lines:
            enough = _sample(wholes[data], max(IMAGES, *sizes)).to(device)
            with _blamed(run):
                lines[key] = updates(run, enough, smallest=min(sizes), largest=max(sizes))
        epochs = list(_epochs(run, len(whole.train)))
        steps = sum(count for count, _ in epochs)
        looked = len(epochs) * len(whole.validation) + len(whole.test)
        training = sum(count * lines[key](size) for count, size in epochs)
        parameters, flops = sums[network]
        with _blamed(run):
            measuring = sum(
                times * probed.seconds(measure, run, part, whole=whole)
                for measure, times in _occurrences(study.measures_of(run), len(epochs))
            )
        yield Cost(
            model=model,
            data=data,
            batch_size=run.batch_size,
            runs=len(same),
            lines=len({run.line for run in same}),
            epochs=len(epochs),
            steps=steps,
            parameters=parameters,
            flops=flops * sum(count * size for count, size in epochs),
            training=training + looked * probed.a_pass(run, part),
            measuring=measuring,
            bytes_kept=4 * parameters,
        )


def _sample(data: Dataset, images: int) -> Dataset:
    """Enough of a data set to probe with."""
    return replace(
        data,
        train=data.train[:images],
        validation=data.validation[:IMAGES],
        test=data.test[:IMAGES],
    )


def _epochs(run: Run, images: int) -> Iterator[tuple[int, int]]:
    """Updates and batch size of each epoch; a run counted in steps has as many as they fill."""
    left = run.steps or math.inf
    for epoch in itertools.count(1) if run.epochs is None else range(1, run.epochs + 1):
        size = run.size(epoch)
        count = int(min(images // size, left))
        if count < 1:
            return
        yield count, size
        left -= count


def _occurrences(measures: Mapping[str, Measure], epochs: int) -> Iterator[tuple[Measure, int]]:
    """Each measure as it is taken, with the number of times."""
    for measure in measures.values():
        yield measure, 1
        yield measure.during_training(), sum(measure.due(epoch) for epoch in range(1, epochs))


def _arithmetic(run: Run, data: Dataset) -> tuple[int, float]:
    """Parameters, and the floating-point operations of training on one image."""
    model = initialise(run, data).train()
    images = data.train[: min(run.batch_size, FEW)]
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(logits_of(model(images.inputs())), images.labels).backward()  # type: ignore[no-untyped-call]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, counter.get_total_flops() / len(images)


@contextmanager
def _blamed(run: Run) -> Iterator[None]:
    """Turn whatever a run's network or optimizer raises into a RequestError that names it."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(
            f"{run.model} on {run.data}, batch size {run.batch_size}: "
            f"{reason(error)}; expected a network that can be trained and measured"
        ) from error


def table(made: Plan) -> Table:
    """One row per model, data set and batch size."""
    grid = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for name in ("model, data", "batch", "lines", "runs", "epochs", "steps", "TFLOP"):
        grid.add_column(name, justify="left" if name == "model, data" else "right", no_wrap=True)
    for name in ("train a run", "measure it", "all, one worker"):
        grid.add_column(name, justify="right", no_wrap=True)
    previous = ""
    for cost in made.costs:
        name = f"{cost.model} {cost.data}"
        grid.add_row(
            name if name != previous else "", f"{cost.batch_size}", f"{cost.lines}",
            f"{cost.runs}", f"{cost.epochs}", f"{cost.steps:,}", f"{cost.flops / 1e12:,.3g}",
            *map(style.duration, (cost.training, cost.measuring, cost.seconds)),
        )  # fmt: skip
        previous = name
    return grid


def summary(made: Plan) -> Iterator[str]:
    """The plan in a few lines."""
    costs, runs = made.costs, len(made.left)
    models = {(cost.model, cost.data): cost.parameters for cost in costs}
    parameters = ", ".join(f"{model} {count:,}" for (model, _), count in models.items())
    kept = sum(cost.runs * cost.bytes_kept for cost in costs)
    flops = sum(cost.runs * cost.flops for cost in costs)
    if made.study.description:
        yield made.study.description.split("\n")[0]
    if finished := len(made.study.runs) - runs:
        yield f"{finished} of {len(made.study.runs)} runs are finished; still to do:"
    how = "each trains alone, one per worker"
    if made.device == "cuda":
        cohorts = len(group(made.left, COHORT))
        how = f"in {cohorts} cohorts of up to {COHORT}, each trained the fastest way"
    yield f"{runs} runs, {how}; parameters: {', '.join(dict.fromkeys(parameters.split(', ')))}"
    yield f"training arithmetic: {flops / 1e15:,.3g} PFLOP; weights kept: {kept / 1e9:,.2g} GB"
    yield (
        f"memory per worker: {made.memory / 1e9:.2g} GB, as in this probe; curvature over many "
        f"examples takes up to {default_memory(torch.device(made.device)) / 1e9:.2g} GB more"
    )
    early = any(run.until_train_loss is not None for run in made.left)
    attacked = any(card_of(name).trust is not None for name in made.study.measures)
    yield (
        f"about {style.duration(made.seconds)} with {made.workers} workers on {made.device} "
        f"({os.cpu_count()} cores) if nothing else runs; estimated from short probes"
        + ", with attacks on images that are all classified correctly" * attacked
        + "; runs that reach until_train_loss before their last epoch take less" * early
    )
