"""Checks that refuse an impossible request in one sentence, before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sgdscope.arguments import number, whole
from sgdscope.attacks.losses import LOSSES
from sgdscope.attacks.points import NORMS, Norm, Radii
from sgdscope.attacks.victim import Victim, thin_agrees
from sgdscope.errors import RequestError, unknown
from sgdscope.network import Finding, of_answers, preflight
from sgdscope.network.calling import usable
from sgdscope.network.requirements import of_labels
from sgdscope.settings import plain

FEW = 4  # points at which gradients are computed in two ways


@dataclass(frozen=True)
class Request:
    """What is to be attacked, after all checks."""

    victim: Victim
    inputs: Tensor  # (N, …) in [0, 1], float32 at least
    labels: Tensor  # (N,) int64
    targets: Tensor | None  # likewise
    dtype: torch.dtype  # of the inputs as they were given, and as the network takes them
    findings: tuple[Finding, ...]  # about the network

    def having_answered(self, given: Tensor) -> tuple[Finding, ...]:
        """The findings, those about a few answers replaced by those about all (N,)."""
        before = (found for found in self.findings if found.name != "finite")
        return (*before, *of_answers(given))


def checked(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    targets: Tensor | None = None,
    loss: str = "margin",
) -> Request:
    """Model, inputs, labels and loss, checked so that an attack is meaningful.

    Raises:
        RequestError: one of them is invalid; says which, and what was expected.
    """
    looked = preflight(model, inputs, labels).require()
    classes = looked.classes or 0
    if targets is not None:
        for found in of_labels("targets", targets, len(inputs), classes=classes):
            raise RequestError(str(found))
    needed = 2 if loss != "dlr" else 3 if targets is None else 4
    if classes < needed:
        raise RequestError(
            f"the model has {classes} classes; expected at least {needed}, which the dlr loss "
            "compares; the margin loss needs only two"
        )
    victim = Victim(
        model, inputs.device, dtype=inputs.dtype, differentiable=looked.differentiable,
        thin=looked.differentiable and thin_agrees(model, usable(inputs[:FEW])),
    )  # fmt: skip
    precise = torch.promote_types(inputs.dtype, torch.float32)
    return Request(
        victim,
        usable(inputs).to(precise).clamp(0, 1),
        usable(labels).to(inputs.device, torch.int64),
        None if targets is None else usable(targets).to(inputs.device, torch.int64),
        inputs.dtype,
        looked.findings,
    )


def radii(eps: Radii, norm: Norm = "linf") -> list[float]:
    """Every eps as a number, in the order given, from one number, several, a tensor or an array.

    Raises:
        RequestError: there is none, or one is not a number, is negative or not finite, or is so
            large that its ball contains every image.
    """
    found = plain(eps)
    several = found if isinstance(found, list) else [found]
    if not several:
        raise RequestError("eps is empty; expected at least one radius, in pixels of [0, 1]")
    numbers = [number("eps", one, unit="pixel units, such as 0.1 or 8/255") for one in several]
    for radius in numbers:
        if not (math.isfinite(radius) and radius >= 0):
            raise RequestError(f"eps = {radius}; expected a finite number, 0 or larger")
    if norm == "linf" and max(numbers) > 1:
        raise RequestError(
            f"eps = {max(numbers):g}; expected at most 1, since pixels lie in [0, 1]; "
            "8 of 256 levels are 8/255 = 0.0314"
        )
    return numbers


def check_tactic(*, norm: str = "linf", loss: str = "margin", **counts: int) -> None:
    """Check that norm and loss exist and that every count is a whole number from 1.

    Raises:
        RequestError: one of them is invalid; says which.
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    if loss not in LOSSES:
        raise unknown("loss", loss, LOSSES)
    for name, count in counts.items():
        whole(name, count)
