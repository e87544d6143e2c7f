"""How the learning rate follows from batch size and epoch."""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from sgdscope.registry import Registry
from sgdscope.settings import Positive, Settings, Whole


class Schedule(Settings, ABC):
    """A learning-rate schedule; its fields are what a study file may set."""

    per_batch: ClassVar[tuple[str, ...]] = ()  # options that multiply the batch size
    phrase: ClassVar[str] = ""  # how it is named within a sentence

    @abstractmethod
    def rate(self, *, batch_size: int, epoch: int) -> float:
        """The learning rate of one epoch; the first epoch is 1."""


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")


@SCHEDULES.add("fixed")
class Fixed(Schedule):
    """One learning rate for every batch size and epoch (the paper's LR)."""

    phrase = "at a fixed learning rate"

    learning_rate: Positive = 0.01

    def rate(self, *, batch_size: int, epoch: int) -> float:
        """The learning rate itself."""
        return self.learning_rate


@SCHEDULES.add("constant-ratio")
class ConstantRatio(Schedule):
    """Learning rate proportional to the batch size (the paper's LR/BS; Jastrzebski et al. 2017)."""

    per_batch = ("ratio",)
    phrase = "with the learning rate proportional to the batch size"

    ratio: Positive = 0.00015625

    def rate(self, *, batch_size: int, epoch: int) -> float:
        """Ratio × batch size."""
        return self.ratio * batch_size


@SCHEDULES.add("step-decay")
class StepDecay(Schedule):
    """Learning rate multiplied by a factor every few epochs (the paper's Benchmark)."""

    phrase = "with a learning rate that decays in steps"

    learning_rate: Positive = 0.01
    factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    every: Whole = 5

    def rate(self, *, batch_size: int, epoch: int) -> float:
        """Learning rate × factor, once for each ``every`` epochs that have passed."""
        return self.learning_rate * self.factor ** ((epoch - 1) // self.every)
