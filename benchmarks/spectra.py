"""Trace and spectral density side by side with peers, at equal standard error.

    python benchmarks/spectra.py [--threads 1]

On the StdCNN and 500 examples of benchmarks/curvature.py. Peers: PyHessian, hessian-eigenthings,
curvlinops-for-pytorch (benchmarks/requirements.txt). Data: SGDSCOPE_DATA or the hub.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import warnings
from dataclasses import replace

import torch
from problems import (
    Problem,
    curvlinops_hessian,
    eigenthings_hessian,
    prepare,
    released_gradients,
    timed,
)
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from sgdscope.curvature import Hessian, spectral_density, trace

warnings.filterwarnings("ignore")
console = Console(width=110)
EXAMPLES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    torch.set_num_threads(parser.parse_args().threads)
    whole = prepare("stdcnn")
    problem = replace(whole, inputs=whole.inputs[:EXAMPLES], labels=whole.labels[:EXAMPLES])
    compare_traces(problem)
    compare_densities(problem)


def compare_traces(problem: Problem) -> None:
    """Time to the standard error that sgdscope stops at."""
    import hessian_eigenthings
    import pyhessian

    goal = 0.05
    title = f"Trace, stdcnn, {len(problem.inputs)} examples: time to an error of {goal:.0%}"
    table = Table(title=title)
    for column in ("", "trace", "standard error", "products", "seconds", "times ours"):
        table.add_column(column, justify="left" if not column else "right")

    def mine() -> tuple[float, float, int]:
        hessian = Hessian(problem.model, problem.inputs, problem.labels)
        # Its tolerance is of an interval, about 2.5 standard errors to each side.
        found = trace(hessian, tolerance=2.5 * goal, max_products=500)
        return found.value, found.standard_error, found.products

    def eigenthings(products: int) -> tuple[float, float, int]:
        matrix = eigenthings_hessian(problem)
        found = hessian_eigenthings.trace(matrix, num_matvecs=products, seed=0)
        return found.estimate, found.stderr, products

    def pyhessian_trace(products: int) -> tuple[float, float, int]:
        torch.manual_seed(0)
        batch = (problem.inputs, problem.labels)
        with released_gradients(problem.model):
            matrix = pyhessian.hessian(problem.model, F.cross_entropy, data=batch, cuda=False)
            samples = matrix.trace(maxIter=products, tol=0)
        return (
            statistics.mean(samples),
            statistics.stdev(samples) / math.sqrt(len(samples)),
            products,
        )

    (value, error, products), best = timed(mine)
    our_value, our_error = value, error
    table.add_row(
        "sgdscope", f"{value:.1f}", f"{error / value:.1%}", str(products), f"{best:.1f}", "1.0"
    )
    for peer, run in (
        ("hessian-eigenthings Hutch++", eigenthings),
        ("PyHessian Hutchinson", pyhessian_trace),
    ):
        for budget in (30, 45, 60, 90, 120):
            (value, error, products), seconds = timed(run, budget)
            if error < goal * value:
                break
        assert abs(value - our_value) < 4 * math.hypot(error, our_error), (peer, value, our_value)
        verdict = f"{error / value:.1%}" + ("" if error < goal * value else " not reached")
        table.add_row(
            peer, f"{value:.1f}", verdict, str(products), f"{seconds:.1f}", f"{seconds / best:.1f}"
        )
    console.print(table)


def compare_densities(problem: Problem, probes: int = 2, steps: int = 15) -> None:
    """Equal probes and steps of the same estimator: the standard error is the same."""
    import curvlinops
    import hessian_eigenthings

    title = f"Density, stdcnn, {len(problem.inputs)} examples: {probes} probes of {steps} steps"
    table = Table(title=title)
    for column in ("", "seconds", "times ours"):
        table.add_column(column, justify="left" if not column else "right")

    def mine() -> None:
        hessian = Hessian(problem.model, problem.inputs, problem.labels)
        spectral_density(hessian, probes=probes, steps=steps)

    def eigenthings() -> None:
        matrix = eigenthings_hessian(problem)
        hessian_eigenthings.spectral_density(matrix, num_runs=probes, lanczos_steps=steps, seed=0)

    def linops() -> None:
        curvlinops.lanczos_approximate_spectrum(
            curvlinops_hessian(problem), steps, num_repeats=probes, boundaries=(-10.0, 100.0)
        )

    best = timed(mine)[1]
    table.add_row("sgdscope", f"{best:.1f}", "1.0")
    for peer, run in (("hessian-eigenthings", eigenthings), ("curvlinops", linops)):
        seconds = timed(run)[1]
        table.add_row(peer, f"{seconds:.1f}", f"{seconds / best:.1f}")
    console.print(table)
    console.print("PyHessian's density calls torch.eig, which torch no longer has.\n")


if __name__ == "__main__":
    main()
