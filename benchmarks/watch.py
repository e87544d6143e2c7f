"""What watching λ₁ costs: followed from epoch to epoch, beside a start at random at each.

    python benchmarks/watch.py --threads 1              # about 4 minutes

A StdCNN is trained on MNIST at a fixed learning rate. After every epoch λ₁ of the first training
images is measured twice, with ``afresh`` at 20 and at 1, and the two values are compared. Products
are counted, and processor time, which other work on the machine stretches least.

Data: SGDSCOPE_DATA or the hub.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from networks import Case
from rich.console import Console
from rich.table import Table

from sgdscope.data import load
from sgdscope.measuring import MEASURES, Reading, Subject
from sgdscope.training.loop import Training

console = Console(width=120)
AFRESH = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--epochs", type=int, default=21)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--train-size", type=int, default=10_000)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    case = Case("stdcnn", "mnist", 64, 0.01, 0.9, options.epochs, train_size=options.train_size)
    data = load("mnist")
    training = Training(case.run, data)
    measures = {
        afresh: MEASURES["top_eigenvalue"](
            examples=options.examples, tolerance=options.tolerance, afresh=afresh
        )
        for afresh in (AFRESH, 1)
    }
    memories: dict[int, dict[str, Any]] = {afresh: {} for afresh in measures}
    read: dict[int, list[Reading]] = {afresh: [] for afresh in measures}
    seconds = dict.fromkeys(measures, 0.0)
    while not training.finished:
        training.advance()
        training.model.eval()
        for afresh, measure in measures.items():
            subject = Subject(training.model, training.data, len(read[1]), 64, memories[afresh])
            start = time.process_time()
            read[afresh] += measure.read(subject)
            seconds[afresh] += time.process_time() - start
        training.model.train()
        followed, fresh = read[AFRESH][-1], read[1][-1]
        console.print(
            f"epoch {len(read[1])}: {followed.value:.4f}, {followed.evidence['products']} "
            f"products; afresh {fresh.value:.4f}, {fresh.evidence['products']}"
        )
    show(read, seconds, options)


def show(
    read: dict[int, list[Reading]], seconds: dict[int, float], options: argparse.Namespace
) -> None:
    """Sums over all epochs, and how far the followed values are off."""
    off = [abs(a.value / b.value - 1) for a, b in zip(read[AFRESH], read[1], strict=True)]
    table = Table(
        title=f"λ₁ after each of {options.epochs} epochs, StdCNN, {options.examples:,} images, "
        f"tolerance {options.tolerance:g}"
    )
    for column in (
        "λ₁",
        "products",
        "of afresh",
        "processor seconds",
        "furthest off",
        "beyond tolerance",
    ):
        table.add_column(column, justify="right")
    base = sum(int(one.evidence["products"]) for one in read[1])
    for afresh, name in ((AFRESH, f"followed, afresh every {AFRESH}"), (1, "afresh each epoch")):
        products = sum(int(one.evidence["products"]) for one in read[afresh])
        errors = off if afresh != 1 else [0.0]
        table.add_row(
            name, f"{products:,}", f"{products / base:.2f}", f"{seconds[afresh]:.0f}",
            f"{max(errors):.1e}", str(sum(one > options.tolerance for one in errors)),
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
