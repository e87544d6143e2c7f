"""The spectrum of the training loss's Hessian where a network landed.

All are of the mean cross-entropy over the first so many training images, evaluation mode, no
augmentation.
"""

import math
from dataclasses import replace
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from sgdscope import curvature
from sgdscope.curvature import Eigenvalues, Hessian, InputHessian
from sgdscope.measuring.base import MEASURES, Reading, Subject
from sgdscope.measuring.card import Card
from sgdscope.measuring.following import follow
from sgdscope.measuring.training_images import RESCALING, OnTrainingImages
from sgdscope.settings import Positive, Whole

ENOUGH = 18  # products by which λ₁ of a trained network has converged


class _Eigenvalue(OnTrainingImages):
    """One end of a spectrum."""

    tolerance: Positive = 1e-3  # largest error accepted, relative to the value
    max_products: Whole = 100

    def on_fewer(self, examples: int) -> Self:
        """With the products that a trained network takes; a barely trained one takes more."""
        return super().on_fewer(examples).model_copy(update={"max_products": ENOUGH})


@MEASURES.add("top_eigenvalue")
class TopEigenvalue(_Eigenvalue):
    """λ₁: the largest eigenvalue of the training loss's Hessian with respect to the parameters."""

    card = Card(label="λ₁, top Hessian eigenvalue", short="λ₁", log=True, order=50)

    afresh: Whole = 1  # when watching, one reading in this many starts at random; the others follow

    def read(self, subject: Subject) -> list[Reading]:
        """One reading; an eigenvalue lies within ``residual`` of it."""
        hessian = Hessian(subject.model, *self.points(subject))
        last = subject.memory.get("top_eigenvalue")
        found, left, flags = follow(
            hessian, last, afresh=self.afresh, tolerance=self.tolerance,
            max_products=self.max_products, seed=subject.seed,
        )  # fmt: skip
        subject.memory["top_eigenvalue"] = left
        reading = _of_eigenvalue("top_eigenvalue", found, self.tolerance)
        if left.since:  # a followed value has no bound on a larger one that was missed
            reading.evidence["followed"] = left.since
            if found.settled:
                reading = replace(reading, flags=list(found.flags))
        return [replace(reading, flags=[*reading.flags, *flags])]


@MEASURES.add("bottom_eigenvalue")
class BottomEigenvalue(_Eigenvalue):
    """The smallest (most negative) eigenvalue of the training loss's Hessian in the parameters."""

    card = Card(label="Bottom Hessian eigenvalue")

    def read(self, subject: Subject) -> list[Reading]:
        """One reading; an eigenvalue lies within ``residual`` of it."""
        hessian = Hessian(subject.model, *self.points(subject))
        found = curvature.bottom_eigenvalues(
            hessian, tolerance=self.tolerance, max_products=self.max_products, seed=subject.seed
        )
        return [_of_eigenvalue("bottom_eigenvalue", found, self.tolerance)]


@MEASURES.add("input_top_eigenvalue")
class InputTopEigenvalue(_Eigenvalue):
    """Mean over images of the largest eigenvalue of the loss's Hessian in the pixels."""

    card = Card(label="λ₁ with respect to the input")

    examples: Whole | None = 500

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with its standard error over images."""
        hessian = InputHessian(subject.model, *self.points(subject))
        found = curvature.top_eigenvalues(
            hessian, tolerance=self.tolerance, max_products=self.max_products, seed=subject.seed
        )
        values = found.values[:, 0]
        evidence = _evidence(found) | {
            "standard_error": _standard_error(values),
            "largest": values.max().item(),
        }
        flags = _unconverged(found, "some image's largest eigenvalue", self.tolerance)
        value = values.mean().item()
        return [Reading("input_top_eigenvalue", value, evidence=evidence, flags=flags)]


@MEASURES.add("hessian_trace")
class HessianTrace(OnTrainingImages):
    """Trace of the training loss's Hessian in the parameters: the sum of its eigenvalues."""

    card = Card(caveat=RESCALING)

    tolerance: Positive = 0.05  # largest error accepted, relative to the value
    max_products: int = Field(100, ge=28)

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with its standard error."""
        hessian = Hessian(subject.model, *self.points(subject))
        found = curvature.trace(
            hessian, tolerance=self.tolerance, max_products=self.max_products, seed=subject.seed
        )
        evidence = {
            "standard_error": found.standard_error,
            "error": found.error,
            "converged": found.converged,
            "products": found.products,
            "examples": found.examples,
        }
        flags = list(found.flags)
        if not found.converged:
            flags.append(
                f"The trace did not converge in {found.products} products: it lies within "
                f"{found.error:.3g} of the value."
            )
        return [Reading("hessian_trace", found.value, evidence=evidence, flags=flags)]


@MEASURES.add("spectral_density")
class SpectralDensity(OnTrainingImages):
    """Density of the Hessian's eigenvalues; as a number, the negative share of their magnitude."""

    card = Card(label="Negative share of the spectrum")

    probes: int = Field(4, ge=2)
    steps: Whole = 30
    tolerance: Positive = 0.25  # largest error accepted, of the whole density

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with the density as arrays."""
        hessian = Hessian(subject.model, *self.points(subject))
        found = curvature.spectral_density(
            hessian,
            probes=self.probes,
            steps=self.steps,
            tolerance=self.tolerance,
            seed=subject.seed,
        )
        magnitude = found.nodes.abs() * found.weights
        below = magnitude[found.nodes < 0].sum() / magnitude.sum().clamp(min=1e-300)
        evidence = {
            "relative_error": found.relative_error,
            "converged": found.converged,
            "products": found.products,
            "examples": found.examples,
        }
        arrays = {
            "grid": found.grid,
            "density": found.density,
            "standard_error": found.standard_error,
        }
        flags = list(found.flags)
        if not found.converged:
            flags.append(
                f"The density did not converge with {self.probes} probes of {self.steps} steps: "
                f"its error is {found.relative_error:.0%} of it."
            )
        value = below.item()
        return [Reading("spectral_density", value, evidence=evidence, flags=flags, arrays=arrays)]


def _standard_error(values: Tensor) -> float:
    return values.std().item() / len(values) ** 0.5 if len(values) > 1 else math.nan


def _of_eigenvalue(measure: str, found: Eigenvalues, tolerance: float) -> Reading:
    return Reading(
        measure,
        found.values[0].item(),
        evidence=_evidence(found),
        flags=_unconverged(found, "the eigenvalue", tolerance),
    )


def _evidence(found: Eigenvalues) -> dict[str, float | int | bool]:
    return {
        "residual": found.residuals.max().item(),
        "error": found.errors.max().item(),
        "rounding": found.rounding.max().item(),
        "converged": found.converged,
        "products": found.products,
        "examples": found.examples,
    }


def _unconverged(found: Eigenvalues, what: str, tolerance: float) -> list[str]:
    if found.converged:
        return list(found.flags)
    least = found.values.abs().clamp(min=torch.finfo().tiny)
    error = (found.errors / least).max().item()
    rounding = (found.rounding[..., None] / least).max().item()
    reason = (
        f"rounding error alone may reach {rounding:.2g} of the value"
        if rounding > tolerance
        else f"another eigenvalue may lie beyond it by {error:.2g} of the value"
    )
    return [
        *found.flags,
        f"{what[0].upper()}{what[1:]} did not converge in {found.products} products: {reason}.",
    ]
