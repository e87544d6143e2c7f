"""The trace of a matrix from its products with random vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from sgdscope import streams
from sgdscope.arguments import positive, whole
from sgdscope.curvature.bases import inner, orthonormal
from sgdscope.curvature.operators import Operator, require_one_matrix, trusted
from sgdscope.errors import RequestError

FEWEST_PROBES = 8  # a standard error from fewer says little
CONFIDENCE = (
    0.98  # of Student's interval: checked after every probe, it still holds in 95 of 100 cases
)


@dataclass(frozen=True)
class Trace:
    """An estimate of a trace and how far it can be trusted."""

    value: float
    standard_error: float  # 0 where the sketch spans the whole space: the value is then exact
    error: float  # the trace lies within this of the value in at least 95 of 100 cases
    converged: bool  # that is within the tolerance
    products: int  # over all the examples; those on a part of them, for the sketch, not counted
    examples: int
    flags: tuple[str, ...] = ()  # reasons in the network or the matrix not to trust it


def trace(
    operator: Operator,
    *,
    tolerance: float = 0.02,
    max_products: int = 100,
    sketch: int = 10,
    seed: int = 0,
) -> Trace:
    """The trace by Hutch++ (Meyer, Musco, Musco, Woodruff 2021).

    Exact on the span Q of a sketch, which catches the few large eigenvalues; by random signs on
    what is orthogonal to it: tr QᵀAQ + mean of (Pz)ᵀA(Pz), P = 1 − QQᵀ (Hutchinson 1990). The
    estimate is unbiased for any sketch, so a cheaper part of the operator is enough to find it.

    Args:
        operator: the matrix.
        tolerance: largest error accepted, as a share of the trace's magnitude.
        max_products: where to stop, converged or not.
        sketch: columns of Q; each costs a product, two where there is no part to find it
            on; 0 is Hutchinson's estimator.
        seed: of the random vectors.

    Raises:
        RequestError: ``max_products`` leaves no room for the probes, a count is no whole number,
            ``tolerance`` no number above 0, or the operator is more than one matrix.
    """
    require_one_matrix(operator, "trace")
    positive("tolerance", tolerance)
    whole("max_products", max_products)
    sketch = min(whole("sketch", sketch, lowest=0), operator.size)
    part = operator.part()
    passes = 2 if part is not None else 1
    left = max_products - (sketch if part is not None else 2 * sketch)
    if left < FEWEST_PROBES and sketch < operator.size:
        raise RequestError(
            f"max_products = {max_products} with sketch = {sketch}; "
            f"expected at least {max_products - left + FEWEST_PROBES}"
        )
    before = operator.products
    generator = streams.generator(seed, "trace")
    basis = _sketch(part or operator, sketch, generator, passes=passes)
    caught = _inside(operator, basis)
    rest, standard_error, error = 0.0, 0.0, 0.0
    if sketch < operator.size:
        rest, standard_error, error = _outside(operator, basis, caught, tolerance, left, generator)
    value = caught + rest
    if not math.isfinite(value):
        raise RequestError("a product with the matrix is not finite; expected finite numbers")
    converged = error <= tolerance * abs(value)
    answer = Trace(
        value, standard_error, error, converged, operator.products - before, operator.examples
    )
    return trusted(answer, operator, tolerance)


def _inside(operator: Operator, basis: Tensor) -> float:
    """The trace on the basis's span, exactly."""
    image = operator @ basis if basis.shape[1] else basis
    return (basis.double() * image.double()).sum().item()


def _outside(
    operator: Operator,
    basis: Tensor,
    caught: float,
    tolerance: float,
    most: int,
    generator: torch.Generator,
) -> tuple[float, float, float]:
    """The trace on what is orthogonal to the basis, by random signs.

    Returns:
        It, its standard error, and half of its interval.
    """
    probed: list[float] = []
    while True:
        probe = _signs(operator, 1, generator)
        probe = probe - basis @ inner(basis, probe).to(probe)
        probed.append(inner(probe, operator @ probe).item())
        if len(probed) < FEWEST_PROBES:
            continue
        samples = torch.tensor(probed, dtype=torch.float64)
        mean, standard_error = samples.mean().item(), samples.std().item() / math.sqrt(len(probed))
        error = standard_error * float(stdtrit(len(probed) - 1, (1 + CONFIDENCE) / 2))
        if len(probed) >= most or error <= tolerance * abs(caught + mean):
            return mean, standard_error, error


def _sketch(operator: Operator, width: int, generator: torch.Generator, *, passes: int) -> Tensor:
    """An orthonormal basis, (size, width), of nearly the dominant eigenvectors."""
    basis: Tensor = _signs(operator, width, generator)
    for _ in range(passes if width else 0):
        basis, _ = orthonormal(operator @ basis)
    return basis


def _signs(operator: Operator, width: int, generator: torch.Generator) -> Tensor:
    bits = torch.randint(2, (operator.size, width), generator=generator)
    return (2 * bits - 1).to(operator.device, operator.dtype)
