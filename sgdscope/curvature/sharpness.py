"""Measures of sharpness other than eigenvalues: how much the loss rises nearby.

Each is a property of the mean loss L over the examples given, in the units of the loss unless said
otherwise. Maxima over a neighbourhood are found by ascent, so they are lower bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.curvature.bases import inner
from sgdscope.curvature.hessian import Hessian
from sgdscope.curvature.operators import (
    CHUNK,
    Loss,
    mean_loss,
    require_evaluation_mode,
    require_examples,
)
from sgdscope.errors import RequestError

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Sharpness:
    """One number and how it was come by."""

    value: float
    standard_error: float  # over examples or batches; 0 where nothing was sampled
    examples: int


class _Landscape:
    """A mean loss as a function of weights, evaluated in chunks; the network is not changed."""

    def __init__(self, model: nn.Module, inputs: Tensor, labels: Tensor, loss: Loss) -> None:
        require_evaluation_mode(model)
        require_examples(inputs, labels)
        self.model, self.inputs, self.labels, self.loss = model, inputs, labels, loss
        self.weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
        if not self.weights:
            raise RequestError("no parameter of the network requires a gradient; expected some")

    def value(self, weights: Weights) -> float:
        """The mean loss."""
        with torch.no_grad():
            return sum(part.item() for part in self._shares(weights))

    def slope(self, weights: Weights) -> Weights:
        """The mean loss's gradient."""
        weights = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        with torch.enable_grad():
            for part in self._shares(weights):
                grads = torch.autograd.grad(part, list(weights.values()), materialize_grads=True)
                for whole, share in zip(total.values(), grads, strict=True):
                    whole += share
        return total

    def rise(self, step: Weights) -> float:
        """How much the loss rises by a step from where the network is."""
        moved = {name: weight + step[name] for name, weight in self.weights.items()}
        return self.value(moved) - self.value(self.weights)

    def _shares(self, weights: Weights) -> Iterator[Tensor]:
        for first in range(0, len(self.inputs), CHUNK):
            few = self.inputs[first : first + CHUNK]
            outputs = functional_call(self.model, weights, few)
            loss = mean_loss(self.loss, outputs, self.labels[first : first + CHUNK])
            yield loss * (len(few) / len(self.inputs))


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
    land = _Landscape(model, inputs, labels, loss)
    slope = land.slope(land.weights)
    length = _length(slope)
    step = {name: rho * part / length for name, part in slope.items()} if length else slope
    return Sharpness(land.rise(step), 0.0, len(inputs))


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
    land = _Landscape(model, inputs, labels, loss)
    slope = land.slope(land.weights)
    scaled = {name: part * land.weights[name].abs() for name, part in slope.items()}
    length = _length(scaled)
    step = scaled
    if length:
        step = {n: rho * part * land.weights[n].abs() / length for n, part in scaled.items()}
    return Sharpness(land.rise(step), 0.0, len(inputs))


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
    land = _Landscape(model, inputs, labels, loss)
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
    return Sharpness(100 * (best - base) / (1 + base), 0.0, len(inputs))


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
        RequestError: as :class:`Hessian`, or ``batch_size`` exceeds the examples.
    """
    require_examples(inputs, labels)
    if not 1 <= batch_size <= len(inputs):
        raise RequestError(f"batch_size={batch_size}; expected 1 … {len(inputs)}, the examples")
    if batches < 2:
        raise RequestError(f"batches={batches}; expected at least 2")
    generator = streams.generator(seed, "batch sharpness")
    values = []
    for _ in range(batches):
        chosen = torch.randperm(len(inputs), generator=generator)[:batch_size].to(inputs.device)
        hessian = Hessian(model, inputs[chosen], labels[chosen], loss=loss)
        slope = hessian.gradient()[:, None]
        square = inner(slope, slope).item()
        values.append(inner(slope, hessian @ slope).item() / square if square else 0.0)
    return _mean(torch.tensor(values), len(inputs))


def input_gradient_norm(
    model: nn.Module, inputs: Tensor, labels: Tensor, *, loss: Loss = F.cross_entropy
) -> Sharpness:
    """Mean over examples of ‖∇ₓ ℓ‖₂, in units of the loss per unit of input.

    Invariant to rescalings of the weights that leave the network's function as it is.
    """
    require_evaluation_mode(model)
    require_examples(inputs, labels)
    norms = []
    for first in range(0, len(inputs), CHUNK):
        points = inputs[first : first + CHUNK].detach().clone().requires_grad_()
        with torch.enable_grad():
            total = mean_loss(loss, model(points), labels[first : first + CHUNK]) * len(points)
            (slopes,) = torch.autograd.grad(total, points)
        norms.append(slopes.flatten(1).norm(dim=1))
    return _mean(torch.cat(norms), len(inputs))


def _length(step: Weights) -> float:
    return math.sqrt(sum(part.double().square().sum().item() for part in step.values()))


def _mean(values: Tensor, examples: int) -> Sharpness:
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Sharpness(values.mean().item(), error, examples)
