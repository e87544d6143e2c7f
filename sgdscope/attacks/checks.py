"""Requests that no attack can answer, each refused in one sentence before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sgdscope.attacks.losses import LOSSES
from sgdscope.attacks.points import NORMS
from sgdscope.errors import RequestError, unknown


def check(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    loss: str = "margin",
) -> None:
    """Model, inputs, labels and loss are such that an attack means something.

    Raises:
        RequestError: says which of them is not, and what was expected.
    """
    _check_mode(model)
    _check_inputs(inputs)
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.dtype != inputs.dtype:
            raise RequestError(
                f"inputs are {inputs.dtype}; expected {parameter.dtype}, as the model's parameters"
            )
        break
    _check_classes("labels", labels, len(inputs))
    if targets is not None:
        _check_classes("targets", targets, len(inputs))
    classes = _classes(model, inputs)
    for name, chosen in (("labels", labels), ("targets", targets)):
        if chosen is not None and not 0 <= int(chosen.min()) <= int(chosen.max()) < classes:
            raise RequestError(
                f"{name} lie in {int(chosen.min())} … {int(chosen.max())}; expected "
                f"0 … {classes - 1}, the model's {classes} classes"
            )
    needed = 2 if loss != "dlr" else 3 if targets is None else 4
    if classes < needed:
        raise RequestError(
            f"the model has {classes} classes; expected at least {needed}, which the dlr loss "
            "compares; margin takes two"
        )


def check_eps(eps: Sequence[float]) -> None:
    """Every eps is a radius.

    Raises:
        RequestError: there is none, or one is negative or not finite.
    """
    if isinstance(eps, (int, float)):
        raise RequestError(f"eps = {eps}; expected a list of radii, such as [{eps}]")
    if not len(eps):
        raise RequestError("eps is empty; expected at least one radius, in pixels of [0, 1]")
    for radius in eps:
        if not (math.isfinite(radius) and radius >= 0):
            raise RequestError(f"eps = {radius}; expected a finite number, 0 or larger")


def check_tactic(*, norm: str = "linf", loss: str = "margin", **counts: int) -> None:
    """A ball and a loss that there are, and a whole number from 1 of each thing counted.

    Raises:
        RequestError: says which is not.
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    if loss not in LOSSES:
        raise unknown("loss", loss, LOSSES)
    for name, count in counts.items():
        if count < 1:
            raise RequestError(f"{name} = {count}; expected a whole number from 1")


def _check_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if module.training:
            place = f" (its {name!r} is)" if name else ""
            raise RequestError(
                f"the model is in training mode{place}; expected evaluation mode: model.eval()"
            )


def _check_inputs(inputs: Tensor) -> None:
    if not inputs.is_floating_point():
        raise RequestError(
            f"inputs are {inputs.dtype}; expected floating point in [0, 1], such as pixels / 255"
        )
    if inputs.dim() < 2 or not inputs.numel():
        raise RequestError(
            f"inputs have shape {tuple(inputs.shape)}; expected (N, …) with at least one point"
        )
    if bool(inputs.isnan().any()):
        raise RequestError(f"inputs hold {int(inputs.isnan().sum())} NaN; expected none")
    low, high = float(inputs.min()), float(inputs.max())
    if low < 0 or high > 1:
        raise RequestError(
            f"inputs lie in [{low:.4g}, {high:.4g}]; expected [0, 1], with any normalisation "
            "inside the model"
        )


def _check_classes(name: str, classes: Tensor, count: int) -> None:
    if classes.dtype != torch.int64 or classes.shape != (count,):
        raise RequestError(
            f"{name} are {classes.dtype} of shape {tuple(classes.shape)}; expected torch.int64 of "
            f"shape ({count},)"
        )


def _classes(model: nn.Module, inputs: Tensor) -> int:
    """How many, from the answers to a few points."""
    few = inputs[:2]
    with torch.no_grad():
        logits = model(few)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(few):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise RequestError(
            f"the model's output for {len(few)} points is {found}; expected logits of shape "
            f"({len(few)}, classes)"
        )
    if logits.shape[1] < 2:
        raise RequestError("the model has one class; expected at least 2")
    if not bool(logits.isfinite().all()):
        raise RequestError("the model's logits are not finite; expected a network that can answer")
    return logits.shape[1]
