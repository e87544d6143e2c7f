"""Results whose answer is known: every value follows from a formula and a little noise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from sgdscope.results.record import Epoch, Measurement, Result, Status
from sgdscope.results.tables import Results
from sgdscope.study.run import Run

OPTIONS = {
    "fixed": {"learning_rate": 0.01},
    "constant-ratio": {"ratio": 0.00015625},
    "step-decay": {"learning_rate": 0.01, "factor": 0.5, "every": 5},
}
ALL_LINES = [("fixed", m) for m in (0.0, 0.2, 0.5, 0.9)]
ALL_LINES += [("constant-ratio", 0.0), ("constant-ratio", 0.9), ("step-decay", 0.9)]
SIZES = [64, 128, 256, 512, 1024, 2048]
Formula = Callable[[Run, float], float]  # of the run and its training loss


def doublings(run: Run) -> float:
    """Of the batch size, from 64."""
    return math.log2(run.batch_size / 64)


def results(**settings) -> Results:
    """The tables of ``made``."""
    return Results.collect(made(**settings))


def made(
    *,
    lines: Sequence[tuple[str, float]],
    panels: Sequence[tuple[str, str]] = (("stdcnn", "mnist"),),
    sizes: Sequence[int] = SIZES,
    seeds: int = 2,
    noise: float = 0.002,
    epochs: int = 10,
    every: int | None = None,
    status: Callable[[Run], Status] = lambda run: "done",
    loss: Callable[[Run, int], float] = lambda run, epoch: 2.3 * 0.6**epoch,
    accuracy: Formula = lambda run, loss: 0.98,
    robust: Formula = lambda run, loss: 0.5,
    curvature: Formula = lambda run, loss: 10.0,
    eps: Sequence[float] = (0.1,),
    options: Mapping[str, Mapping[str, float]] = OPTIONS,
) -> list[Result]:
    """A study's results; formulas give test accuracy, PGD accuracy and λ₁ at a training loss."""
    found = []
    for model, data in panels:
        for schedule, momentum in lines:
            for size in sizes:
                for seed in range(seeds):
                    run = Run(
                        model=model, data=data, schedule=schedule, batch_size=size, seed=seed,
                        schedule_options=dict(options[schedule]), momentum=momentum, epochs=epochs,
                    )  # fmt: skip
                    found.append(_result(run, status(run), noise, every, loss, eps, {
                        "test_accuracy": accuracy, "pgd_accuracy": robust,
                        "top_eigenvalue": curvature,
                    }))  # fmt: skip
    return found


def _result(run, status, noise, every, loss, all_eps, formulas) -> Result:
    draw = random.Random(f"{run.model}{run.data}{run.schedule}{run.momentum}"
                         f"{run.batch_size}{run.seed}")  # fmt: skip
    history = [
        Epoch(
            epoch=epoch, steps=epoch * (55_000 // run.batch_size), learning_rate=run.rate(epoch),
            train_loss=loss(run, epoch), train_accuracy=0.9, validation_accuracy=0.9, seconds=1.0,
        )
        for epoch in range(1, run.epochs + 1)
    ]  # fmt: skip
    taken = range(every, run.epochs + 1, every) if every else [run.epochs]
    rows = []
    for epoch in taken if status != "diverged" else []:
        for measure, formula in formulas.items():
            for eps in all_eps if measure == "pgd_accuracy" else [None]:
                value = formula(run, loss(run, epoch))
                shaken = value * 2 ** draw.gauss(0, 10 * noise)
                if measure != "top_eigenvalue":
                    shaken = min(1.0, max(0.0, value + draw.gauss(0, noise if value else 0.0)))
                evidence = {"chance": 0.1} if measure == "test_accuracy" else {}
                rows.append(
                    Measurement(
                        epoch=epoch, measure=measure, eps=eps, value=shaken, evidence=evidence
                    )
                )
    return Result(run=run, status=status, history=history, measurements=rows)
