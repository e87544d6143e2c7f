"""The images that measures of the training loss are taken over."""

from typing import Self

from torch import Tensor

from sgdscope.data import Dataset
from sgdscope.measuring.base import Measure, Subject, in_order
from sgdscope.settings import Whole

RESCALING = (
    "Rescaling the weights can change it without changing any prediction (Dinh et al. 2017)."
)


class OnTrainingImages(Measure):
    """A measure on the first ``examples`` training images; None: all."""

    examples: Whole | None = 2_000

    def doubts(self, subject: Subject) -> list[str]:
        """Whether the images are sorted by class."""
        return in_order(subject.data.train, self.examples)

    def points(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Inputs and labels."""
        images = subject.data.train[: self.examples]
        return images.inputs(), images.labels

    def cost_in_images(self, data: Dataset) -> int:
        """Those of the training images."""
        return len(data.train[: self.examples])

    def on_fewer(self, examples: int) -> Self:
        """The same on fewer images."""
        return self.model_copy(update={"examples": examples})
