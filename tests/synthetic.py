"""A study's folder made up from formulas: real files, no training."""

import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tomli_w
from safetensors.numpy import save

from sgdscope.files import write_bytes, write_text
from sgdscope.results.files import ARRAYS, RESULT
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Epoch, Measurement, Result, Status, array_prefix
from sgdscope.study.run import Run

OPTIONS = {
    "fixed": {"learning_rate": 0.01},
    "constant-ratio": {"ratio": 0.00015625},
    "step-decay": {"learning_rate": 0.01, "factor": 0.5, "every": 5},
}
LINES = [("fixed", 0.0), ("fixed", 0.9), ("constant-ratio", 0.0), ("step-decay", 0.9)]
EPS = [0.05, 0.1, 0.3]
ENVIRONMENT = {"sgdscope": "0.1.0", "torch": "2.13.0", "processor": "A <fast> CPU", "cores": "2"}


def study(
    path: Path,
    *,
    models: list[str] | None = None,
    data: list[str] | None = None,
    lines: list[tuple[str, float]] | None = None,
    batch_sizes: list[int] | None = None,
    seeds: int = 2,
    epochs: int = 6,
    extra_measures: int = 0,
    finished: bool = True,
    mishaps: bool = True,
    spectrum: bool = False,
    fail: bool = False,
) -> StudyFolder:
    """Write a study's folder with one result for each run of the grid."""
    models, data = models or ["stdcnn"], data or ["mnist"]
    lines, batch_sizes = lines or LINES, batch_sizes or [64, 256, 1024]
    folder = StudyFolder(path)
    write_text(
        folder.study_file,
        tomli_w.dumps(
            {
                "name": "made-up <b>study</b>",
                "description": "Does the batch size matter & how much?",
                "model": models,
                "data": data,
                "batch_size": batch_sizes,
                "seed": list(range(seeds)),
                "epochs": epochs,
                "schedule": {
                    name: OPTIONS[name] | {"momentum": [m for n, m in lines if n == name]}
                    for name in dict(lines)
                },
                "measure": {"test_accuracy": {}, "pgd_accuracy": {"eps": EPS}},
            }
        ),
    )
    results = [
        _result(model, source, line, size, seed, epochs, extra_measures)
        for model in models
        for source in data
        for line in lines
        for size in batch_sizes
        for seed in range(seeds)
    ]
    if spectrum:
        results = [_with_spectrum(result) for result in results]
    if mishaps:
        results = list(_with_mishaps(results))
    if fail:
        results = [_failed(result) for result in results]
    for result in results if finished else []:
        write_text(folder.run_file(result.run.id, RESULT), result.model_dump_json(indent=1))
        write_bytes(folder.run_file(result.run.id, ARRAYS), save(_arrays(result)))
    return folder


def _with_spectrum(result: Result) -> Result:
    found = {"examples": 200}
    row = _row(result.history[-1].epoch, "spectral_density", None, 0.1, found)
    return result.model_copy(update={"measurements": [*result.measurements, row]})


def _arrays(result: Result) -> dict[str, np.ndarray]:
    """Examples of PGD at its two larger eps: flat squares, made half of eps brighter."""
    kept = {}
    for row in result.measurements:
        if row.measure == "pgd_accuracy" and row.eps > EPS[0]:
            original = np.full((8, 1, 4, 4), 100, np.uint8)
            own = {
                "shown": np.arange(8) + result.run.seed,
                "original": original + np.arange(8, dtype=np.uint8)[:, None, None, None],
                "label": np.arange(8),
                "confidence": np.full(8, 0.9, np.float32),
                "answer": np.full(8, 9),
                "answer_confidence": np.full(8, 0.75, np.float32),
            }
            own["adversarial"] = (own["original"] / 255 + row.eps / 2).astype(np.float32)
            prefix = array_prefix(row.measure, epoch=row.epoch, eps=row.eps)
            kept |= {prefix + name: array for name, array in own.items()}
        if row.measure == "spectral_density":
            grid = np.linspace(-3, result.run.batch_size / 8, 1000)
            density = np.exp(-(grid**2)) + 1e-3 * np.exp(-((grid - grid[-1] + 3) ** 2))
            prefix = array_prefix(row.measure, epoch=row.epoch, eps=None)
            own = {"grid": grid, "density": density, "standard_error": density / 5}
            kept |= {prefix + name: array for name, array in own.items()}
    return kept


def _result(
    model: str,
    data: str,
    line: tuple[str, float],
    size: int,
    seed: int,
    epochs: int,
    extra: int,
) -> Result:
    schedule, momentum = line
    run = Run(
        model=model,
        data=data,
        schedule=schedule,
        schedule_options=OPTIONS[schedule],
        batch_size=size,
        momentum=momentum,
        epochs=epochs,
        seed=seed,
    )
    draw = random.Random(run.id)
    hard = {"mnist": 0.0, "fashion_mnist": 0.12, "cifar10": 0.3}[data]
    history = list(_history(run, epochs, hard, draw))
    return Result(
        run=run,
        status="done",
        history=history,
        measured={"pgd_accuracy": {"eps": EPS, "steps": 40}},
        measurements=list(_measurements(run, history, hard, extra, draw)),
        seconds={"train": 12.5 * epochs, "pgd_accuracy": 3.0},
        environment=ENVIRONMENT,
    )


def _history(run: Run, epochs: int, hard: float, draw: random.Random) -> Iterator[Epoch]:
    per_epoch = max(1, 55_000 // run.batch_size)
    gained = 0.0
    for epoch in range(1, epochs + 1):
        gained += run.rate(epoch) * per_epoch / (1 - run.momentum)
        loss = (2.3 - 0.4 * hard) * math.exp(-((gained / 4) ** 0.45)) * draw.uniform(0.93, 1.07)
        accuracy = max(0.1, (1 - hard) * (1 - loss / 2.6) * draw.uniform(0.995, 1.0))
        yield Epoch(
            epoch=epoch,
            steps=per_epoch * epoch,
            learning_rate=run.rate(epoch),
            train_loss=loss + hard * 0.3,
            train_accuracy=accuracy,
            validation_accuracy=accuracy,
            seconds=12.5,
        )


def _measurements(
    run: Run, history: list[Epoch], hard: float, extra: int, draw: random.Random
) -> Iterator[Measurement]:
    last = history[-1]
    test = last.validation_accuracy * draw.uniform(0.98, 1.0)
    evidence = {"confidence": 0.97, "margin": 8.1, "most_predicted": 0.11, "chance": 0.1}
    yield _row(last.epoch, "test_accuracy", None, test, evidence)
    for attack, strength in (("fgsm_accuracy", 2.2), ("pgd_accuracy", 4.0)):
        for eps in EPS:
            value = test * math.exp(-strength * eps * (1 + 2 * hard + 0.5 * last.train_loss))
            found = {"zero_gradient": 0, "clean_accuracy": test}
            yield _row(last.epoch, attack, eps, value * draw.uniform(0.96, 1.0), found)
    for epoch in history[:: max(1, len(history) // 6)]:
        limit = 2 * (1 + run.momentum) / epoch.learning_rate
        sharp = min(
            limit, 40 * run.batch_size**0.3 * (1 - run.momentum / 2) * math.sqrt(epoch.epoch)
        )
        sharp *= draw.uniform(0.85, 1.1)
        found = {"residual": 1e-4, "converged": True, "products": 12}
        yield _row(epoch.epoch, "top_eigenvalue", None, sharp, found)
    for i in range(extra):
        yield _row(last.epoch, f"sharpness_{i:02}", None, draw.uniform(1, 50), {"examples": 2000})


def _row(
    epoch: int,
    measure: str,
    eps: float | None,
    value: float,
    evidence: dict[str, bool | int | float],
) -> Measurement:
    return Measurement(epoch=epoch, measure=measure, eps=eps, value=value, evidence=evidence)


def _with_mishaps(results: list[Result]) -> Iterator[Result]:
    """One run diverged, one collapsed, one failed, one flagged, one unconverged."""
    mishaps = [_diverged, _collapsed, _failed, _flagged, _unconverged]
    places = {3 + 5 * i: mishap for i, mishap in enumerate(mishaps)}
    for i, result in enumerate(results):
        yield places[i](result) if i in places else result


def _diverged(result: Result) -> Result:
    last = result.history[-1].model_copy(update={"train_loss": math.nan})
    return _as(result, "diverged", history=[*result.history[:-1], last], measurements=[])


def _collapsed(result: Result) -> Result:
    rows = [
        row.model_copy(update={"value": 0.1 if row.measure.endswith("_accuracy") else 0.002})
        for row in result.measurements
    ]
    return _as(result, "collapsed", measurements=rows)


def _failed(result: Result) -> Result:
    error = 'Traceback (most recent call last):\n  File "<x>"\nMemoryError: out of <memory> & luck'
    return _as(result, "failed", history=[], measurements=[], error=error)


def _flagged(result: Result) -> Result:
    flag = "the input gradient is exactly zero at 512 of 10,000 points"
    rows = [
        row.model_copy(update={"flags": [flag], "evidence": row.evidence | {"zero_gradient": 512}})
        if row.measure == "pgd_accuracy"
        else row
        for row in result.measurements
    ]
    return _as(result, "done", measurements=rows)


def _unconverged(result: Result) -> Result:
    rows = [
        row.model_copy(update={"evidence": row.evidence | {"converged": False, "residual": 0.3}})
        if row.measure == "top_eigenvalue"
        else row
        for row in result.measurements
    ]
    return _as(result, "done", measurements=rows)


def _as(result: Result, status: Status, **changes: object) -> Result:
    return result.model_copy(update={"status": status, **changes})
