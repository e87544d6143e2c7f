"""Measures of sharpness other than eigenvalues: how much the loss rises nearby.

Each is a property of the mean loss L over the examples given, in the units of the loss unless said
otherwise. Maxima over a neighbourhood are found by ascent, so they are lower bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.arguments import positive, whole
from sgdscope.curvature.bases import inner, power_of_two
from sgdscope.curvature.hessian import Hessian
from sgdscope.curvature.inputs import InputSlopes
from sgdscope.curvature.landscape import Landscape, Weights
from sgdscope.curvature.operators import CHUNK, Loss, differentiating, require_examples
from sgdscope.errors import RequestError
from sgdscope.network import Preflight, outside_inference


@dataclass(frozen=True)
class Sharpness:
    """One number and how it was obtained."""

    value: float
    standard_error: float  # over examples or batches; 0 where nothing was sampled
    examples: int
    flags: tuple[str, ...] = ()  # reasons not to trust it


@outside_inference()
def sam_sharpness(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    rho: float = 0.05,
    loss: Loss = F.cross_entropy,
) -> Sharpness:
    """L(w + δ) − L(w) at SAM's δ = ρ g/‖g‖, the first-order maximum over ‖δ‖ ≤ ρ.

    Foret et al. 2021, equations 1 and 2. Not invariant to a rescaling of the weights.
    """
    positive("rho", rho)
    land = Landscape(model, inputs, labels, loss)
    slope = land.slope(land.weights)
    length = _length(slope)
    step = {name: rho * part / length for name, part in slope.items()} if length else slope
    return Sharpness(land.rise(step), 0.0, len(inputs), land.flags)


@outside_inference()
def asam_sharpness(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    rho: float = 0.5,
    loss: Loss = F.cross_entropy,
) -> Sharpness:
    """L(w + δ) − L(w) at δ = ρ T²g/‖Tg‖, T = |w|: the first-order maximum over ‖δ/w‖ ≤ ρ.

    Kwon et al. 2021, equation 9 with the element-wise operator. Invariant to rescalings of the
    weights that leave the network's function as it is.
    """
    positive("rho", rho)
    land = Landscape(model, inputs, labels, loss)
    slope = land.slope(land.weights)
    scaled = {name: part * land.weights[name].abs() for name, part in slope.items()}
    length = _length(scaled)
    step = scaled
    if length:
        step = {n: rho * part * land.weights[n].abs() / length for n, part in scaled.items()}
    return Sharpness(land.rise(step), 0.0, len(inputs), land.flags)


@outside_inference()
def keskar_sharpness(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: float = 1e-3,
    steps: int = 10,
    loss: Loss = F.cross_entropy,
) -> Sharpness:
    """100 × (max L(w + δ) − L(w)) / (1 + L(w)) over the box |δᵢ| ≤ ε(|wᵢ| + 1), in per cent.

    Keskar et al. 2017, metric 2.1 in the full space. The maximum is by ascent along the gradient's
    sign within the box, with steps of a quarter of it, not by L-BFGS-B. Not invariant to
    rescalings.
    """
    positive("eps", eps)
    whole("steps", steps)
    land = Landscape(model, inputs, labels, loss)
    base = land.value(land.weights)
    box = {name: eps * (weight.abs() + 1) for name, weight in land.weights.items()}
    moved, best = land.weights, base
    for _ in range(steps):
        slope = land.slope(moved)
        climbed = {name: moved[name] + box[name] * slope[name].sign() / 4 for name in moved}
        moved = {
            name: land.weights[name] + (climbed[name] - land.weights[name]).clamp(-edge, edge)
            for name, edge in box.items()
        }
        best = max(best, land.value(moved))
    return Sharpness(100 * (best - base) / (1 + base), 0.0, len(inputs), land.flags)


@outside_inference()
def batch_sharpness(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    batch_size: int,
    batches: int = 20,
    loss: Loss = F.cross_entropy,
    seed: int = 0,
) -> Sharpness:
    """Mean over random batches B of gᵀH_B g/‖g‖², g the batch's gradient and H_B its Hessian.

    Andreyev & Beneventano 2024: what SGD holds near 2/lr, at the edge of stochastic stability.
    Units are those of an eigenvalue. Not invariant to rescalings. A batch without a gradient
    counts as 0.

    Raises:
        RequestError: as :class:`Hessian`, ``batch_size`` exceeds the examples, or a count is no
            whole number.
    """
    require_examples(inputs, labels)
    if whole("batch_size", batch_size) > len(inputs):
        raise RequestError(
            f"batch_size = {batch_size}; expected at most the {len(inputs)} examples"
        )
    whole("batches", batches, lowest=2)
    generator = streams.generator(seed, "batch sharpness")
    values: list[float] = []
    flags: tuple[str, ...] = ()
    looked: Preflight | None = None
    for _ in range(batches):
        chosen = torch.randperm(len(inputs), generator=generator)[:batch_size].to(inputs.device)
        hessian = Hessian(model, inputs[chosen], labels[chosen], loss=loss, looked=looked)
        if looked is None:
            flags, looked = hessian.flags, hessian.looked
        slope = hessian.gradient()[:, None]
        slope = slope / power_of_two(slope).to(slope)  # its squares may be too small for float32
        square = inner(slope, slope).item()
        values.append(inner(slope, hessian @ slope).item() / square if square else 0.0)
    return _mean(torch.tensor(values, dtype=torch.float64), len(inputs), flags)


@outside_inference()
def input_gradient_norm(
    model: nn.Module, inputs: Tensor, labels: Tensor, *, loss: Loss = F.cross_entropy
) -> Sharpness:
    """Mean over examples of ‖∇ₓ ℓ‖₂, in units of the loss per unit of input.

    Invariant to rescalings of the weights that leave the network's function as it is.
    """
    slopes = InputSlopes(model, inputs, labels, loss=loss, chunk=CHUNK)
    with differentiating():
        _, parts = slopes.all()
    norms = torch.cat([part.flatten(1).double().norm(dim=1) for part in parts])
    return _mean(norms, len(inputs), slopes.flags)


def _length(step: Weights) -> float:
    return math.sqrt(sum(part.double().square().sum().item() for part in step.values()))


def _mean(values: Tensor, examples: int, flags: Sequence[str]) -> Sharpness:
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Sharpness(values.mean().item(), error, examples, tuple(flags))
