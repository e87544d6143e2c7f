"""A whole study, trained and measured, beside the plain script that does the same.

    python benchmarks/study.py [--runs 4] [--epochs 2] [--device cpu]

The plain script uses torchattacks and PyHessian (benchmarks/requirements.txt). Both do the same
runs at the same eps; accuracies and λ₁ stand side by side. The start of sgdscope's workers counts.
"""

import argparse
import os
import tempfile
import time

import pandas as pd
import plain
import torch
from rich.console import Console
from rich.table import Table

import sgdscope
from sgdscope import data
from sgdscope.study.study import Study

EPS, STEPS, EXAMPLES = [0.1, 0.3], 40, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train-size", type=int, default=10_000)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    measures = ["test_accuracy", "fgsm_accuracy", "pgd_accuracy", "top_eigenvalue"]
    study = Study.load(
        "paper/mnist-stdcnn",
        overrides={
            "batch_size": 32,
            "seed": list(range(options.runs)),
            "epochs": options.epochs,
            "train_size": options.train_size,
            "schedule": "fixed",
            "momentum": 0.9,
            "measure": measures,
            "measure.fgsm_accuracy.eps": EPS,
            "measure.pgd_accuracy.eps": EPS,
            "measure.top_eigenvalue.examples": EXAMPLES,
        }
        | {f"measure.{name}.at": [] for name in measures},  # at the end alone, as the script does
    )
    dataset = data.load("mnist").subset(options.train_size)
    start = time.perf_counter()
    theirs = [by_plain(run, dataset, options.device) for run in study.runs]
    plain_seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        results = sgdscope.run(study, out=out, device=options.device)
        our_seconds = time.perf_counter() - start
    show(pd.DataFrame(theirs).mean(), ours(results), plain_seconds, our_seconds, len(study.runs))


def by_plain(run, dataset, device) -> dict[str, float]:
    model = plain.train(run, dataset, device)
    return plain.measure(model, dataset, eps=EPS, steps=STEPS, examples=EXAMPLES)


def ours(results) -> pd.Series:
    table = results.table
    eps = table["eps"].map(lambda eps: "" if eps != eps else f" {eps:g}")
    return table.groupby(table["measure"] + eps)["value"].mean()


def show(theirs, ours, plain_seconds: float, our_seconds: float, runs: int) -> None:
    table = Table(
        "mean over runs", "plain script", "sgdscope", title=f"{runs} runs of StdCNN, MNIST"
    )
    for name in theirs.index:
        table.add_row(name, f"{theirs[name]:.4f}", f"{ours[name]:.4f}")
    table.add_section()
    table.add_row("seconds", f"{plain_seconds:.0f}", f"{our_seconds:.0f}")
    table.add_row("ratio", "1", f"{plain_seconds / our_seconds:.1f}×")
    Console().print(table)
    print(f"{os.cpu_count()} cores, torch {torch.__version__}")


if __name__ == "__main__":
    main()
