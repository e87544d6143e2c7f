"""What a device makes of training one by one, captured and stacked: correctness, then speed.

    python benchmarks/device.py [--device cuda] [--minutes 8] [--out device.json] [--models m1 …]
    python benchmarks/device.py --device cpu --smoke

First every model is trained one by one and by each other method, from the same start, in float64
and in float32: they must agree in float64, and each must repeat itself bit for bit. Then training
images a second, by model × batch size × runs together × method, in float32 and with TF32 allowed.
What the minutes do not suffice for is left out and counted. Images are random: no data set is
needed. Needs sgdscope, with torch, numpy, pydantic, safetensors and what torch brings along.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sgdscope import models
from sgdscope.data import Dataset, Images
from sgdscope.study.run import Run
from sgdscope.training.loop import Training
from sgdscope.training.stacked_loop import StackedTraining

SHAPES = {"stdcnn": (1, 28, 28), "m1": (1, 28, 28), "c1": (3, 32, 32), "resnet18": (3, 32, 32)}
METHODS = ["one by one", "captured", "grouped", "im2col"]
SCHEDULES = [
    ("fixed", {"learning_rate": 0.01}, 0.0),
    ("constant-ratio", {"ratio": 0.0001}, 0.9),
    ("step-decay", {"learning_rate": 0.01, "every": 1}, 0.5),
]
AGREEMENT = 1e-8  # relative, in float64, after the few updates of the check
TARGETS = "H200 targets: stdcnn 30 × the plain script; resnet18 25,000 images/s"


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    models: list[str]
    batch_sizes: list[int]
    counts: list[int]  # runs together
    steps: int  # updates an epoch, when timed
    epochs: int  # timed, after one to warm up
    matrix: int  # side of the matrices that tell the ceiling


FULL = Scale([*SHAPES], [64, 256, 1024], [4, 16, 32], 16, 3, 8192)
SMOKE = Scale(["stdcnn", "c1"], [16], [2], 2, 1, 512)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all together")
    parser.add_argument("--out", type=Path, default=Path("device.json"))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--models", nargs="+", choices=list(SHAPES))
    parser.add_argument("--batch-sizes", nargs="+", type=int)
    parser.add_argument("--counts", nargs="+", type=int, help="runs together")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no CUDA device was found; expected one, or --device cpu")
    end = time.monotonic() + 60 * options.minutes
    device, scale = torch.device(options.device), SMOKE if options.smoke else FULL
    chosen = {name: getattr(options, name) for name in ("models", "batch_sizes", "counts")}
    scale = replace(scale, **{name: values for name, values in chosen.items() if values})
    torch.backends.cudnn.deterministic = True  # as in a study
    report = {"machine": machine(device), "ceilings": ceilings(device, scale)}
    print(*(f"{key}: {value}" for key, value in report["machine"].items()), sep="; ")
    print(*(f"{key}: {value:,.3g}" for key, value in report["ceilings"].items()), sep="; ")
    precision(tf32=False)
    report["checks"] = checks(device, scale)
    report["speeds"], report["left_out"] = speeds(device, scale, end, report["ceilings"])
    options.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(f"left out for want of time: {report['left_out']}; all figures: {options.out}")
    print(TARGETS)
    return 0 if all(check["passed"] for check in report["checks"]) else 1


def machine(device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "device": name or device.type,
        "cores": str(os.cpu_count()),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "python": platform.python_version(),
    }


def precision(*, tf32: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def wait(device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(work, device, repeats: int = 5) -> float:
    work()
    times = []
    for _ in range(repeats):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ceilings(device, scale: Scale) -> dict[str, float]:
    """Operations a second of a large matrix product; bytes a second of a large copy."""
    side = scale.matrix if device.type == "cuda" else min(scale.matrix, 1024)
    a, b = torch.randn(2, side, side, device=device)
    found = {}
    for name, tf32 in (("float32", False), ("tf32", True)):
        precision(tf32=tf32)
        found[f"{name} operations/s"] = 2 * side**3 / median_seconds(lambda: a @ b, device)
    source = torch.randn(4 * side * side, device=device)
    target = torch.empty_like(source)
    seconds = median_seconds(lambda: target.copy_(source), device)
    return found | {"copied bytes/s": 2 * source.nbytes / seconds}


def random_data(model: str, train: int, device) -> Dataset:
    """Random images, augmented where they have colours, as CIFAR-10 is."""
    shape = SHAPES[model]
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Images:
        pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.randint(0, 10, (count,), generator=generator))

    colours = shape[0]
    data = Dataset(
        images(train), images(16), images(16), 10, [0.5] * colours, [0.3] * colours, colours > 1
    )
    return data.to(device)


def make_runs(model: str, count: int, *, batch_size: int, epochs: int) -> list[Run]:
    """Runs of one shape with schedules, momenta and seeds of their own."""
    return [
        Run(
            model=model, data="mnist", schedule=schedule, schedule_options=settings,
            batch_size=batch_size, momentum=momentum, epochs=epochs, seed=seed,
        )
        for seed in range(count)
        for schedule, settings, momentum in [SCHEDULES[seed % len(SCHEDULES)]]
    ]  # fmt: skip


def trainings(runs, data, dtype=torch.float32) -> list[Training]:
    members = [Training(run, data) for run in runs]
    for member in members:
        member.model.to(dtype)
    return members


def stacks(members, method: str) -> list:
    """Whatever advances the members, an epoch at a time."""
    if method == "one by one":
        return members
    if method == "captured":
        return [StackedTraining([member], variant="grouped") for member in members]
    return [StackedTraining(members, variant=method)]


def trained(runs, data, method: str, dtype) -> list[dict[str, torch.Tensor]]:
    members = trainings(runs, data, dtype)
    for training in stacks(members, method):
        while not training.finished:
            training.advance()
    return [{name: t.clone() for name, t in member.state().items()} for member in members]


def distance(ours, expected) -> float:
    """Of two cohorts' states: the largest relative difference of a tensor's norm."""
    return max(
        ((a[name].double() - b[name].double()).norm() / b[name].double().norm()).item()
        for a, b in zip(ours, expected, strict=True)
        for name in b
        if b[name].is_floating_point()
    )


def checks(device, scale: Scale) -> list[dict]:
    """Each method beside one by one; float32 also beside one by one in float64."""
    rows = []
    print(f"\n{'model':9} {'method':11} {'float64':>9} {'float32':>9} {'f32-f64':>9} repeats")
    for model in scale.models:
        runs = make_runs(model, 3, batch_size=16, epochs=2)
        data = random_data(model, 64, device)
        exact = trained(runs, data, "one by one", torch.float64)
        plain = trained(runs, data, "one by one", torch.float32)
        for method in METHODS:
            float64 = distance(trained(runs, data, method, torch.float64), exact)
            found = trained(runs, data, method, torch.float32)
            again = trained(runs, data, method, torch.float32)
            repeats = all(
                torch.equal(a[name], b[name])
                for a, b in zip(found, again, strict=True)
                for name in a
            )
            row = {
                "model": model,
                "method": method,
                "float64": float64,
                "float32": distance(found, plain),
                "float32 from float64": distance(found, exact),
                "repeats": repeats,
                "passed": float64 < AGREEMENT and repeats,
            }
            rows.append(row)
            print(
                f"{model:9} {method:11} {row['float64']:9.1e} {row['float32']:9.1e} "
                f"{row['float32 from float64']:9.1e} {'yes' if repeats else 'NO'}"
                f"{'' if row['passed'] else '   FAILED'}",
                flush=True,
            )
    return rows


def speeds(device, scale: Scale, end: float, ceiling) -> tuple[list[dict], int]:
    """Images a second, the first sizes of every model before the next."""
    rows, left_out = [], 0
    print(f"\n{'precision':9} {'model':9} {'batch':>5} {'runs':>4}  images/s: {', '.join(METHODS)}")
    for tf32 in (False, True) if device.type == "cuda" else (False,):
        precision(tf32=tf32)
        name = "tf32" if tf32 else "float32"
        for batch in scale.batch_sizes:
            for model in scale.models:
                flops = operations(model)
                data = random_data(model, scale.steps * batch, device)
                line = {}
                for count in [1, *scale.counts]:
                    for method in METHODS[:2] if count == 1 else METHODS[2:]:
                        if time.monotonic() > end:
                            left_out += 1
                            continue
                        rate = speed(make_runs(model, count, batch_size=batch, epochs=99), data,
                                     method, scale)  # fmt: skip
                        line.setdefault(count, []).append(rate)
                        rows.append(
                            {
                                "precision": name, "model": model, "batch_size": batch,
                                "runs": count, "method": method, "images/s": rate,
                                "of ceiling": (rate or 0) * flops / ceiling[f"{name} operations/s"],
                            }
                        )  # fmt: skip
                for count, rates in line.items():
                    shown = " ".join(f"{'memory' if r is None else f'{r:,.0f}':>11}" for r in rates)
                    print(f"{name:9} {model:9} {batch:5} {count:4}  "
                          f"{'' if count == 1 else ' ' * 24}{shown}", flush=True)  # fmt: skip
    return rows, left_out


def operations(model: str) -> int:
    """Of one training image, forward and backward."""
    network = models.build(model, shape=SHAPES[model], classes=10, seed=0)
    images = torch.rand(4, *SHAPES[model])
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(images), torch.arange(4)).backward()
    return counter.get_total_flops() // 4


def speed(runs, data, method: str, scale: Scale) -> float | None:
    """Training images a second of all runs; None where the memory does not suffice."""
    try:
        (training,) = stacks(trainings(runs, data), method)
        training.advance()
        seconds = []
        for _ in range(scale.epochs):
            start = time.perf_counter()
            training.advance()  # ends with the losses read: the device has ended too
            seconds.append(time.perf_counter() - start)
        return len(runs) * len(data.train) / statistics.median(seconds)
    except torch.OutOfMemoryError:
        return None
    finally:
        training = None
        if data.train.pixels.is_cuda:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
