"""How a network fares under attack, and whether that number can be trusted."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from sgdscope.attacks import Attacked, fgsm, pgd
from sgdscope.attacks.losses import Loss
from sgdscope.measuring.base import Count, Measure, Reading, Subject
from sgdscope.registry import MEASURES

Radius = Annotated[float, Field(ge=0)]


class _AttackAccuracy(Measure):
    """Share of test points still right under an attack, one reading an eps."""

    name: ClassVar[str]

    eps: Annotated[list[Radius], Field(min_length=1)]
    loss: Loss = "cross_entropy"
    examples: Count | None = None  # so many test points, the first ones; all of them by default

    @abstractmethod
    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result an eps."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading an eps, with who survived in ``robust`` (N,) bool."""
        images = subject.data.test[: self.examples]
        results = self.attack(subject.model, images.inputs(), images.labels, subject.seed)
        return [self._reading(result) for result in results]

    def _reading(self, result: Attacked) -> Reading:
        points, zero = len(result.fooled), int(result.zero_gradient.sum())
        flags = []
        if zero > points / 100:
            flags.append(f"the input gradient is exactly zero at {zero:,} of {points:,} points")
        return Reading(
            self.name,
            result.accuracy,
            eps=result.eps,
            evidence={"zero_gradient": zero, "clean_accuracy": result.clean.double().mean().item()},
            flags=flags,
            arrays={"robust": ~result.fooled},
        )


@MEASURES.add("fgsm_accuracy")
class FgsmAccuracy(_AttackAccuracy):
    """Accuracy under FGSM: one step of the whole eps."""

    name = "fgsm_accuracy"

    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result an eps."""
        return fgsm(model, inputs, labels, eps=self.eps, loss=self.loss)


@MEASURES.add("pgd_accuracy")
class PgdAccuracy(_AttackAccuracy):
    """Accuracy under PGD: many small steps from a random start."""

    name = "pgd_accuracy"

    steps: Count = 40
    step_size: Annotated[float, Field(gt=0)] = 1 / 15  # multiple of eps
    random_start: bool = True
    restarts: Count = 1

    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result an eps."""
        return pgd(
            model, inputs, labels, eps=self.eps, loss=self.loss, steps=self.steps, seed=seed,
            step_size=self.step_size, random_start=self.random_start, restarts=self.restarts,
        )  # fmt: skip
