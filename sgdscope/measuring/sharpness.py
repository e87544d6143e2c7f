"""How curved the training loss is where a network landed, and how sharply it rises nearby.

All are of the mean cross-entropy over the first so many training images, evaluation mode, no
augmentation.
"""

from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from sgdscope import curvature
from sgdscope.curvature import Eigenvalues, Hessian, InputHessian, Sharpness
from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.measuring.base import MEASURES, Measure, Reading, Subject
from sgdscope.measuring.card import Card
from sgdscope.settings import Positive, Whole

ENOUGH = 18  # products by which λ₁ of a trained network has converged
RESCALING = "Rescaling weights can change it and keep every answer (Dinh et al. 2017)."


class _OnTraining(Measure):
    """A measure on the first ``examples`` training images; None: all."""

    examples: Whole | None = 2_000

    def points(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Inputs and labels."""
        images = subject.data.train[: self.examples]
        return images.inputs(), images.labels

    def work(self, data: Dataset) -> int:
        """Those of the training images."""
        return len(data.train[: self.examples])

    def brief(self, examples: int) -> Self:
        """The same on fewer images."""
        return self.model_copy(update={"examples": examples})


class _Eigenvalue(_OnTraining):
    """One end of a spectrum."""

    tolerance: Positive = 1e-3  # largest error accepted, relative to the value
    max_products: Whole = 100

    def brief(self, examples: int) -> Self:
        """With the products that a trained network takes; one hardly trained takes more."""
        return super().brief(examples).model_copy(update={"max_products": ENOUGH})


@MEASURES.add("top_eigenvalue")
class TopEigenvalue(_Eigenvalue):
    """λ₁: the largest eigenvalue of the training loss's Hessian in the parameters."""

    card = Card(label="λ₁, top Hessian eigenvalue", short="λ₁", log=True, order=50)

    def read(self, subject: Subject) -> list[Reading]:
        """One reading; an eigenvalue lies within ``residual`` of it."""
        hessian = Hessian(subject.model, *self.points(subject))
        found = curvature.top_eigenvalues(
            hessian, tolerance=self.tolerance, max_products=self.max_products, seed=subject.seed
        )
        return [_of_eigenvalue("top_eigenvalue", found, self.tolerance)]


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
    """Mean over images of the largest eigenvalue of their loss's Hessian in their pixels."""

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
            "standard_error": values.std(correction=0).item() / len(values) ** 0.5,
            "largest": values.max().item(),
        }
        flags = _unconverged(found, "some image's largest eigenvalue", self.tolerance)
        value = values.mean().item()
        return [Reading("input_top_eigenvalue", value, evidence=evidence, flags=flags)]


@MEASURES.add("hessian_trace")
class HessianTrace(_OnTraining):
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
class SpectralDensity(_OnTraining):
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


@MEASURES.add("sam_sharpness")
class SamSharpness(_OnTraining):
    """Rise of the loss along the gradient to distance ``rho``."""

    card = Card(label="SAM sharpness", source="Foret et al. 2021", caveat=RESCALING)

    rho: Positive = 0.05

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        found = curvature.sam_sharpness(subject.model, *self.points(subject), rho=self.rho)
        return [_of_sharpness("sam_sharpness", found)]


@MEASURES.add("asam_sharpness")
class AsamSharpness(_OnTraining):
    """Rise of the loss to distance ``rho`` relative to each weight."""

    card = Card(label="ASAM sharpness", source="Kwon et al. 2021")

    rho: Positive = 0.5

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        found = curvature.asam_sharpness(subject.model, *self.points(subject), rho=self.rho)
        return [_of_sharpness("asam_sharpness", found)]


@MEASURES.add("keskar_sharpness")
class KeskarSharpness(_OnTraining):
    """Rise of the loss, in per cent of 1 + loss, within a small box."""

    card = Card(label="Keskar’s sharpness", source="Keskar et al. 2017")

    box: Positive = 1e-3  # half its width, relative to |weight| + 1

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        found = curvature.keskar_sharpness(subject.model, *self.points(subject), eps=self.box)
        return [_of_sharpness("keskar_sharpness", found)]


@MEASURES.add("batch_sharpness")
class BatchSharpness(_OnTraining):
    """Curvature along batches' gradients, each on its own batch."""

    card = Card(source="Andreyev & Beneventano 2024")

    examples: Whole | None = None  # None: as many as the batches hold
    batch_size: Whole | None = None  # None: the run's, to be set against 2/lr
    batches: int = Field(20, ge=2)

    def work(self, data: Dataset) -> int:
        """In batches."""
        return self.batches

    def brief(self, examples: int) -> Self:
        """With two batches, which are to be whole."""
        return self.model_copy(update={"examples": None, "batches": 2})

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with its standard error over batches."""
        batch_size = self.batch_size or subject.batch_size
        if batch_size is None:
            raise RequestError(
                "batch_sharpness: batch_size is not given and there is no run to take it from; "
                "expected the batch size that the network was trained with"
            )
        images = subject.data.train[: self.examples or self.batches * batch_size]
        found = curvature.batch_sharpness(
            subject.model,
            images.inputs(),
            images.labels,
            batch_size=batch_size,
            batches=self.batches,
            seed=subject.seed,
        )
        return [_of_sharpness("batch_sharpness", found)]


@MEASURES.add("input_gradient_norm")
class InputGradientNorm(_OnTraining):
    """Mean over images of the ℓ2 norm of their loss's gradient in their pixels."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with its standard error over images."""
        found = curvature.input_gradient_norm(subject.model, *self.points(subject))
        return [_of_sharpness("input_gradient_norm", found)]


def _of_eigenvalue(measure: str, found: Eigenvalues, tolerance: float) -> Reading:
    return Reading(
        measure,
        found.values[0].item(),
        evidence=_evidence(found),
        flags=_unconverged(found, "the eigenvalue", tolerance),
    )


def _of_sharpness(measure: str, found: Sharpness) -> Reading:
    evidence = {"standard_error": found.standard_error, "examples": found.examples}
    return Reading(measure, found.value, evidence=evidence, flags=list(found.flags))


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
        f"rounding alone may be {rounding:.2g} of the value"
        if rounding > tolerance
        else (f"a further eigenvalue may lie {error:.2g} of the value beyond it")
    )
    return [
        *found.flags,
        f"{what[0].upper()}{what[1:]} did not converge in {found.products} products: {reason}.",
    ]
