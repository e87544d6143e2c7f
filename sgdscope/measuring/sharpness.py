"""How sharply the training loss rises near where a network landed.

All are of the mean cross-entropy over the first so many training images, evaluation mode, no
augmentation.
"""

from typing import Self

from pydantic import Field

from sgdscope import curvature
from sgdscope.curvature import Sharpness
from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.measuring.base import MEASURES, Reading, Subject, in_order
from sgdscope.measuring.card import Card
from sgdscope.measuring.training_images import RESCALING, OnTrainingImages
from sgdscope.settings import Positive, Whole


@MEASURES.add("sam_sharpness")
class SamSharpness(OnTrainingImages):
    """Rise of the loss along the gradient to distance ``rho``."""

    card = Card(label="SAM sharpness", source="Foret et al. 2021", caveat=RESCALING)

    rho: Positive = 0.05

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        found = curvature.sam_sharpness(subject.model, *self.points(subject), rho=self.rho)
        return [_of_sharpness("sam_sharpness", found)]


@MEASURES.add("asam_sharpness")
class AsamSharpness(OnTrainingImages):
    """Rise of the loss to distance ``rho`` relative to each weight."""

    card = Card(label="ASAM sharpness", source="Kwon et al. 2021")

    rho: Positive = 0.5

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        found = curvature.asam_sharpness(subject.model, *self.points(subject), rho=self.rho)
        return [_of_sharpness("asam_sharpness", found)]


@MEASURES.add("keskar_sharpness")
class KeskarSharpness(OnTrainingImages):
    """Rise of the loss, in per cent of 1 + loss, within a small box."""

    card = Card(label="Keskar’s sharpness", source="Keskar et al. 2017")

    box: Positive = 1e-3  # half its width, relative to |weight| + 1

    def read(self, subject: Subject) -> list[Reading]:
        """One reading."""
        found = curvature.keskar_sharpness(subject.model, *self.points(subject), eps=self.box)
        return [_of_sharpness("keskar_sharpness", found)]


@MEASURES.add("batch_sharpness")
class BatchSharpness(OnTrainingImages):
    """Curvature along batches' gradients, each on its own batch."""

    card = Card(source="Andreyev & Beneventano 2024")

    examples: Whole | None = None  # None: as many as the batches hold
    batch_size: Whole | None = None  # None: the run's, to be set against 2/lr
    batches: int = Field(20, ge=2)

    def check(self, *, batch_size: int) -> None:
        """There are images for a batch."""
        size = self.batch_size or batch_size
        if self.examples is not None and self.examples < size:
            raise RequestError(
                f"measure batch_sharpness.examples = {self.examples}: expected at least {size}, "
                "the images of a batch"
            )

    def doubts(self, subject: Subject) -> list[str]:
        """Whether the images are sorted by class."""
        first = self.batches * (self.batch_size or subject.batch_size or 0)
        return in_order(subject.data.train, self.examples or first or None)

    def cost_in_images(self, data: Dataset) -> int:
        """In batches."""
        return self.batches

    def on_fewer(self, examples: int) -> Self:
        """With two batches, since they have to be whole."""
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
class InputGradientNorm(OnTrainingImages):
    """Mean over images of the ℓ2 norm of the loss's gradient with respect to the pixels."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with its standard error over images."""
        found = curvature.input_gradient_norm(subject.model, *self.points(subject))
        return [_of_sharpness("input_gradient_norm", found)]


def _of_sharpness(measure: str, found: Sharpness) -> Reading:
    evidence = {"standard_error": found.standard_error, "examples": found.examples}
    return Reading(measure, found.value, evidence=evidence, flags=list(found.flags))
