"""The cost of a study: runs, arithmetic, memory and time, from a short probe of this machine."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from rich.table import Table
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sgdscope import data as datasets
from sgdscope.curvature.chunked import default_memory
from sgdscope.data import Dataset
from sgdscope.execution.driver import check_parts, choose_device, choose_engine
from sgdscope.execution.engine import COHORT
from sgdscope.execution.local import default_workers
from sgdscope.measuring import Measure, Subject
from sgdscope.network import logits_of
from sgdscope.results import style
from sgdscope.study.run import Run
from sgdscope.study.study import Study
from sgdscope.training.cohorts import group
from sgdscope.training.loop import Training, initialise

WARM, STEPS = 3, 8  # steps made before the clock starts, and timed
EXAMPLES = 128  # on which a measure is probed
IMAGES = 1_000  # of a data set, for the probe


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
    memory: int  # bytes that the probe took at most, on the device

    @property
    def seconds(self) -> float:
        """All workers busy to the end, but no less than the longest run."""
        longest = max((cost.training + cost.measuring for cost in self.costs), default=0.0)
        return max(longest, sum(cost.seconds for cost in self.costs) / self.workers)


def plan(
    study: Study,
    *,
    device: str = "auto",
    workers: int | None = None,
    finished: Collection[str] = (),
) -> Plan:
    """Probe every model, data set, batch size and duration of a study, each for a few steps.

    On a CPU the probe has one thread, as a worker has; other workers at the same time can slow it
    down, which the estimate does not know, nor what a GPU gains by cohorts.

    Args:
        study: what to plan.
        device: as for :func:`sgdscope.run`.
        workers: likewise.
        finished: ids of runs that need not be counted any more.

    Raises:
        RequestError: the device or the data cannot be used.
    """
    device = choose_device(device, choose_engine("local", workers=workers))
    check_parts(study)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        left = [run for run in study.runs if run.id not in finished]
        costs = list(_costs(study, left, torch.device(device)))
    finally:
        torch.set_num_threads(threads)
    return Plan(study, device, workers or default_workers(device), costs, left, _memory(device))


def _memory(device: str) -> int:
    """The most bytes that this process has had, on the device."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _costs(study: Study, runs: Sequence[Run], device: torch.device) -> Iterator[Cost]:
    """One a model, data set, batch size and duration, in the order of the runs."""
    measuring: dict[tuple[str, str, int, str], float] = {}
    for same in group(runs, len(runs)):
        run = same[0]
        model, data, size = run.model, run.data, run.batch_size
        whole = datasets.load(data).subset(run.train_size)
        part = replace(
            whole, train=whole.train[: max(IMAGES, size)], test=whole.test[:IMAGES],
            validation=whole.validation[:EXAMPLES],
        ).to(device)  # fmt: skip
        per_epoch = len(whole.train) // size
        steps = run.steps or (run.epochs or 0) * per_epoch
        epochs = -(-steps // per_epoch)
        measures = study.measures_of(run)
        key = model, data, epochs, repr(measures)
        if key not in measuring:
            measuring[key] = _measuring(run, measures, part, whole, epochs)
        parameters, flops = _arithmetic(run, part)
        yield Cost(
            model=model,
            data=data,
            batch_size=size,
            runs=len(same),
            lines=len({run.line for run in same}),
            epochs=epochs,
            steps=steps,
            parameters=parameters,
            flops=flops * steps * size,
            training=_step_seconds(run, part) * steps,
            measuring=measuring[key],
            bytes_kept=4 * parameters,
        )


def _step_seconds(run: Run, data: Dataset) -> float:
    """Of one update, by the training code itself."""
    run = run.model_copy(update={"train_size": None, "epochs": None, "steps": WARM})
    Training(run, data).advance()
    training = Training(run.model_copy(update={"steps": STEPS}), data)
    start = time.perf_counter()
    while not training.finished:
        training.advance()
    return (time.perf_counter() - start) / STEPS


def _measuring(
    run: Run, measures: dict[str, Measure], part: Dataset, whole: Dataset, epochs: int
) -> float:
    """Seconds of all measures of one run: each probed on few images, scaled to as many as it uses.

    An untrained network is fooled at once; the probe trains it for a few steps first.
    """
    probe = run.model_copy(update={"train_size": None, "epochs": None, "steps": STEPS})
    training = Training(probe, part)
    while not training.finished:
        training.advance()
    total = 0.0
    for measure in measures.values():
        for taken, times in ((measure, 1), (measure.during_training(), _times(measure, epochs))):
            if times:
                total += times * _reading_seconds(taken, training, part, whole)
    return total


def _times(measure: Measure, epochs: int) -> int:
    return sum(measure.due(epoch) for epoch in range(1, epochs))


def _reading_seconds(measure: Measure, training: Training, part: Dataset, whole: Dataset) -> float:
    """Of one reading."""
    run = training.run
    subject = Subject(training.network, part, run.seed, run.batch_size)
    fewer = measure.on_fewer(EXAMPLES)
    start = time.perf_counter()
    fewer.read(subject)
    spent = time.perf_counter() - start
    return spent * measure.cost_in_images(whole) / fewer.cost_in_images(part)


def _arithmetic(run: Run, data: Dataset) -> tuple[int, float]:
    """Parameters, and the floating-point operations of training on one image."""
    model = initialise(run, data).train()
    inputs = data.train[:2].inputs()
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(logits_of(model(inputs)), data.train.labels[:2]).backward()  # type: ignore[no-untyped-call]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, counter.get_total_flops() / 2


def table(made: Plan) -> Table:
    """One row a model, data set and batch size."""
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
    yield (
        f"about {style.duration(made.seconds)} with {made.workers} workers on {made.device} "
        f"({os.cpu_count()} cores) if nothing else runs; estimated from a few steps, "
        "within a factor of two or so"
    )
