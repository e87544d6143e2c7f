"""How the learning rate follows from the batch size and the position in training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sgdscope.registry import Registry
from sgdscope.settings import Positive, Settings, Whole

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Stretch:
    """The updates of one epoch within a whole training."""

    epoch: int  # from 1
    first: int  # updates made before it
    count: int  # updates of its own
    full: int  # updates of a first epoch that is not cut short
    total: int  # updates of the whole training, at most


class Schedule(Settings, ABC):
    """A learning-rate schedule; its fields are its options in a study file.

    Every schedule can begin with a linear warm-up (Goyal et al. 2017): update n of W has the rate
    that the schedule gives it times n / W.
    """

    per_batch: ClassVar[tuple[str, ...]] = ()  # options that multiply the batch size
    batch_sizes: ClassVar[tuple[str, ...]] = ()  # options that are a batch size
    phrase: ClassVar[str] = ""  # its name within a sentence
    grows: ClassVar[bool] = False  # whether its batch size changes from epoch to epoch

    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if all(self.linear_warmup.get(name) for name in ("warmup_epochs", "warmup_steps")):
            raise ValueError("expected exactly one of warmup_epochs and warmup_steps")
        return self

    @abstractmethod
    def rate(self, *, batch_size: int, epoch: int) -> float:
        """The learning rate of one epoch; the first epoch is 1."""

    def highest_rate(self, *, batch_size: int, epochs: int) -> float:
        """The highest learning rate of that many epochs, warm-up aside."""
        return max(self.rate(batch_size=batch_size, epoch=epoch + 1) for epoch in range(epochs))

    def size(self, *, batch_size: int, epoch: int) -> int:
        """The batch size of one epoch, if training begins with ``batch_size``."""
        return batch_size

    def options(self) -> dict[str, Any]:
        """Every option by name, warm-up only if there is one."""
        absent = {name for name, value in self.linear_warmup.items() if not value}
        return self.model_dump(exclude=absent)

    @property
    def linear_warmup(self) -> dict[str, float]:
        """The options of the linear warm-up."""
        return {"warmup_epochs": self.warmup_epochs, "warmup_steps": self.warmup_steps}

    @property
    def stepped(self) -> bool:
        """Whether its rate changes within an epoch."""
        return any(self.linear_warmup.values())

    def warmup(self, stretch: Stretch) -> int:
        """Updates of the warm-up."""
        chosen = self.linear_warmup
        steps, epochs = (chosen.get(name, 0) for name in ("warmup_steps", "warmup_epochs"))
        return int(steps) or round(epochs * stretch.full)

    def rates(self, *, batch_size: int, stretch: Stretch) -> list[float]:
        """The rate of each update of an epoch in turn; a single one if they are equal."""
        whole = self.rate(batch_size=batch_size, epoch=stretch.epoch)
        warmup = self.warmup(stretch)
        if stretch.first >= warmup:
            return [whole]
        updates = range(stretch.first, stretch.first + stretch.count)
        return [whole * min(1.0, (update + 1) / warmup) for update in updates]


class Annealed(Schedule):
    """A schedule whose rate changes with every update, and ends where training ends.

    The peak may scale with the batch size, linearly or with its square root, from a reference batch
    size at which it is the learning rate itself.
    """

    batch_sizes = ("reference",)

    learning_rate: Positive = 0.01  # the highest
    scaling: Literal["none", "linear", "square-root"] = "none"
    reference: Whole = 64  # batch size

    def rate(self, *, batch_size: int, epoch: int) -> float:
        """The peak."""
        ratio = batch_size / self.reference
        factor = {"none": 1.0, "linear": ratio, "square-root": math.sqrt(ratio)}[self.scaling]
        return self.learning_rate * factor

    @property
    def stepped(self) -> bool:
        """At every update."""
        return True

    @abstractmethod
    def height(self, update: int, updates: int) -> float:
        """The factor of the peak at an update after warm-up, counted from 0."""

    def rates(self, *, batch_size: int, stretch: Stretch) -> list[float]:
        """The rate of each update of an epoch in turn."""
        peak, warmup = self.rate(batch_size=batch_size, epoch=1), self.warmup(stretch)
        updates = range(stretch.first, stretch.first + stretch.count)
        return [
            peak * (update + 1) / warmup
            if update < warmup
            else peak * self.height(update - warmup, max(stretch.total - warmup, 1))
            for update in updates
        ]


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


@SCHEDULES.add("square-root")
class SquareRoot(Schedule):
    """Learning rate proportional to the square root of the batch size (Krizhevsky 2014)."""

    batch_sizes = ("reference",)
    phrase = "with the learning rate proportional to the square root of the batch size"

    learning_rate: Positive = 0.01
    reference: Whole = 64  # the batch size that has this learning rate

    def rate(self, *, batch_size: int, epoch: int) -> float:
        """Learning rate × √(batch size / reference)."""
        return self.learning_rate * math.sqrt(batch_size / self.reference)


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


@SCHEDULES.add("cosine")
class Cosine(Annealed):
    """Learning rate that falls along half a cosine to the end (Loshchilov and Hutter 2017)."""

    phrase = "with a learning rate that falls along a cosine"

    final: Share = 0.0  # at the end, as a share of the peak

    def height(self, update: int, updates: int) -> float:
        """Final + (1 − final) · (1 + cos(π · update / updates)) / 2."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * update / updates)) / 2


@SCHEDULES.add("one-cycle")
class OneCycle(Annealed):
    """Learning rate that rises to a peak and falls far below where it began (Smith, Topin 2018).

    Both ways along half a cosine, as torch's ``OneCycleLR``, without its cycle of momentum.
    """

    phrase = "with a learning rate of one cycle"

    rising: Annotated[float, Field(gt=0, lt=1)] = 0.3  # share of the updates
    first: Share = 0.04  # at the start, as a share of the peak
    final: Share = 4e-6  # likewise at the end

    def height(self, update: int, updates: int) -> float:
        """Half a cosine up until ``rising`` of the updates are made, another one down."""
        turn = self.rising * updates - 1
        if update <= turn:
            return _between(self.first, 1.0, update / turn if turn else 1.0)
        return _between(1.0, self.final, (update - turn) / (updates - 1 - turn))


def _between(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@SCHEDULES.add("batch-growth")
class BatchGrowth(Schedule):
    """Batch size that grows every few epochs, instead of a decay (Smith et al. 2018)."""

    batch_sizes = ("largest",)
    phrase = "with a batch size that grows"
    grows = True

    learning_rate: Positive = 0.01
    factor: Annotated[float, Field(ge=1)] = 2.0
    every: Whole = 5
    largest: Whole | None = None

    def rate(self, *, batch_size: int, epoch: int) -> float:
        """The learning rate itself."""
        return self.learning_rate

    def size(self, *, batch_size: int, epoch: int) -> int:
        """Batch size × factor, once for each ``every`` epochs that have passed."""
        times, most = (epoch - 1) // self.every, max(self.largest or 0, batch_size)
        if self.largest is not None and times * math.log(self.factor) > math.log(most):
            return most  # the power itself may be too large for a float
        grown = round(batch_size * self.factor**times)
        return grown if self.largest is None else min(grown, most)
