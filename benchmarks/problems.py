"""Trained networks whose curvature is known, and peers' ways to it."""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from networks import Case
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.curvature import Hessian, top_eigenvalues

GOAL = 1e-3  # true relative error
NETWORKS = Path(__file__).parent / "networks"
CASES = {
    "stdcnn": (Case("stdcnn", "mnist", 64, 0.01, 0.9, 2, train_size=30_000), 2_000),
    "m1": (Case("m1", "mnist", 64, 0.01, 0.9, 1, train_size=10_000), 600),
    "c1": (Case("c1", "cifar10", 64, 0.01, 0.9, 3, train_size=20_000), 500),
    "resnet18": (Case("resnet18", "cifar10", 32, 0.01, 0.9, 6, train_size=500), 40),
}  # with the examples that the curvature is of


@dataclass(frozen=True)
class Problem:
    """A trained network with examples, and the answer."""

    model: nn.Module
    inputs: Tensor
    labels: Tensor
    truth: float  # λ₁
    doubt: float  # the truth is within this of an eigenvalue, relative

    def batches(self, most: int = 250) -> list[tuple[Tensor, Tensor]]:
        """The examples in equal chunks: hessian-eigenthings gives each the same weight."""
        count = len(self.inputs)
        size = max(size for size in range(1, most + 1) if count % size == 0)
        return list(zip(self.inputs.split(size), self.labels.split(size), strict=True))


def prepare(name: str) -> Problem:
    """A case's network and the truth about it, from an earlier time if there was one."""
    case, examples = CASES[name]
    model, data = case.trained(NETWORKS)
    images = data.train[:examples]
    inputs, labels = images.inputs(), images.labels
    path = NETWORKS / f"{case.run.id}-{examples}.json"
    if not path.exists():
        path.write_text(json.dumps(settle(model, inputs, labels)))
    return Problem(model, inputs, labels, *json.loads(path.read_text()))


def settle(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """λ₁ and its doubt: a long Lanczos's vector, its product and its residual in float64."""
    long = top_eigenvalues(Hessian(model, inputs, labels), tolerance=1e-5, max_products=200, seed=7)
    vector = long.vectors.double()
    vector /= vector.norm()
    exact = Hessian(deepcopy(model).double(), inputs.double(), labels, memory=0, chunk=50)
    image = exact @ vector
    truth = (vector * image).sum()
    doubt = ((image - truth * vector).norm() / truth).item()
    assert long.converged
    assert doubt < GOAL / 2, doubt
    return truth.item(), doubt


def by_pyhessian(problem: Problem, tolerance: float) -> float:
    """On one batch: it then keeps the gradient's graph, which is its fastest form."""
    import pyhessian

    torch.manual_seed(0)
    batch = (problem.inputs, problem.labels)
    with released_gradients(problem.model):
        matrix = pyhessian.hessian(problem.model, F.cross_entropy, data=batch, cuda=False)
        return float(matrix.eigenvalues(maxIter=300, tol=tolerance)[0][0])


def by_eigenthings(problem: Problem, steps: int, *, converged: bool = False) -> float:
    """With ``converged``, the value only if the library says so, at its own tolerance."""
    import hessian_eigenthings

    found = hessian_eigenthings.lanczos(
        eigenthings_hessian(problem), k=1, max_iter=steps, which="LA", seed=0
    )
    return float(found.eigenvalues[0]) if found.converged[0] or not converged else math.nan


def by_curvlinops(problem: Problem, setting: tuple[int, float]) -> float:
    import numpy as np
    from scipy.sparse.linalg import eigsh

    matrix = curvlinops_hessian(problem).to_scipy()
    start = np.random.default_rng(0).standard_normal(matrix.shape[0]).astype(np.float32)
    ncv, tolerance = setting
    return float(eigsh(matrix, k=1, which="LA", tol=tolerance, ncv=ncv, v0=start)[0][0])


def eigenthings_hessian(problem: Problem) -> Any:
    from hessian_eigenthings import HessianOperator

    def mean_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    return HessianOperator(problem.model, problem.batches(), mean_loss)


def curvlinops_hessian(problem: Problem) -> Any:
    from curvlinops import HessianLinearOperator

    parameters = list(problem.model.parameters())
    return HessianLinearOperator(
        problem.model, nn.CrossEntropyLoss(), parameters, problem.batches(),
        check_deterministic=False, num_data=len(problem.inputs),
    )  # fmt: skip


@contextlib.contextmanager
def released_gradients(model: nn.Module) -> Iterator[None]:
    """PyHessian leaves gradients whose graphs refer to themselves; drop them, and its chatter."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            yield
        finally:
            for parameter in model.parameters():
                parameter.grad = None


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a function returns and its seconds: of this process alone where it has one thread."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    result = function(*arguments)
    return result, clock() - start
