"""Accuracy under attack, and whether it can be trusted."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sgdscope import attacks
from sgdscope.attacks import Attacked, Evidence
from sgdscope.attacks.evidence import COMPARED
from sgdscope.attacks.losses import Loss
from sgdscope.attacks.points import Norm
from sgdscope.data import Dataset, Images
from sgdscope.measuring.base import MEASURES, Measure, Reading, Subject, in_order
from sgdscope.measuring.card import Card
from sgdscope.network import Network, answers
from sgdscope.settings import AT_MOST_1, AsList, Positive, Radius, Whole

SETTLED = 0.95  # least share of the median eps at which attacks still failed
SHOWN = 8  # adversarial examples kept to look at, for each eps
ONE_STEP = "A single step: attacks with more steps fool more points."


class _OnTest(Measure):
    """A measure on the first ``examples`` test images; None: all."""

    examples: Whole | None = None

    def doubts(self, subject: Subject) -> list[str]:
        """Whether the images are sorted by class."""
        return in_order(subject.data.test, self.examples)

    def cost_in_images(self, data: Dataset) -> int:
        """Those of the test images."""
        return len(data.test[: self.examples])

    def on_fewer(self, examples: int) -> Self:
        """The same on fewer images."""
        return self.model_copy(update={"examples": examples})


class AttackAccuracy(_OnTest):
    """Share of test points still classified correctly under an attack, one reading per eps.

    A new attack is a subclass with a ``name`` and ``attack``, registered under that name.
    """

    card = Card(kind="accuracy", trust=0)

    name: ClassVar[str]
    eps: Annotated[list[Radius], Field(min_length=1), AsList]
    loss: Loss = "cross_entropy"
    norm: Norm = "linf"
    along_examples: Whole | None = None  # at most this many of them during training

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.norm == "linf" and max(self.eps) > 1:
            raise ValueError(f"eps = {max(self.eps):g}: {AT_MOST_1}")
        return self

    def cost_in_images(self, data: Dataset) -> int:
        """Those of the test images, once per eps."""
        return len(self.eps) * super().cost_in_images(data)

    def on_fewer(self, examples: int) -> Self:
        """The same on fewer images, at the smallest eps and the largest."""
        ends = list(dict.fromkeys([min(self.eps), max(self.eps)]))
        return super().on_fewer(examples).model_copy(update={"eps": ends})

    def during_training(self) -> Self:
        """The same attack on ``along_examples`` points, or on ``examples`` if these are fewer."""
        limits = [limit for limit in (self.along_examples, self.examples) if limit is not None]
        return self.model_copy(update={"examples": min(limits, default=None)})

    @abstractmethod
    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result per eps."""

    def read(self, subject: Subject) -> list[Reading]:
        """One reading per eps, with the points that survived and a few adversarial examples."""
        images = subject.data.test[: self.examples]
        return [
            Reading(
                self.name,
                result.accuracy,
                eps=result.eps,
                evidence=seen.scalars() | self._along(self._first(result).accuracy),
                flags=seen.flags(),
                arrays={"robust": ~result.fooled, **_gallery(subject.model, images, result)},
            )
            for result, seen in self._attacked(subject, images)
        ]

    def _attacked(self, subject: Subject, images: Images) -> list[tuple[Attacked, Evidence]]:
        """The result of the attack at each eps, and whether it can be trusted."""
        inputs, labels = images.inputs(), images.labels
        results = self.attack(subject.model, inputs, labels, subject.seed)
        evidence = attacks.gather(
            subject.model, inputs, labels, results,
            loss=self.loss, norm=self.norm, seed=subject.seed,
        )  # fmt: skip
        return list(zip(results, evidence, strict=True))

    def _first(self, result: Attacked) -> Attacked:
        """The result at the points that are also attacked during training."""
        first = slice(self.along_examples)
        return replace(result, fooled=result.fooled[first], clean=result.clean[first])

    def _along(self, value: float) -> dict[str, float | int | bool]:
        """The value at those points, comparable with readings during training."""
        return {} if self.along_examples is None else {"along_value": value}


@MEASURES.add("fgsm_accuracy")
class FgsmAccuracy(AttackAccuracy):
    """Accuracy under FGSM: one step of size eps."""

    card = Card(label="FGSM accuracy", kind="accuracy", order=20, trust=30, caveat=ONE_STEP)

    name = "fgsm_accuracy"

    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result per eps."""
        return attacks.fgsm(model, inputs, labels, eps=self.eps, loss=self.loss, norm=self.norm)


@MEASURES.add("fgsm_margin_accuracy")
class FgsmMarginAccuracy(FgsmAccuracy):
    """Accuracy under FGSM with the margin loss, which does not vanish on a confident network."""

    card = Card(label="FGSM (margin) accuracy", kind="accuracy", trust=40, caveat=ONE_STEP)

    name = "fgsm_margin_accuracy"
    loss: Loss = "margin"


@MEASURES.add("pgd_accuracy")
class PgdAccuracy(AttackAccuracy):
    """Accuracy under PGD: many small steps from a random start."""

    card = Card(label="PGD accuracy", kind="accuracy", order=30, trust=50)

    name = "pgd_accuracy"

    steps: Whole = 40
    step_size: Positive = 1 / 15  # multiple of eps
    random_start: bool = True
    restarts: Whole = 1

    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result per eps."""
        return attacks.pgd(
            model, inputs, labels, eps=self.eps, loss=self.loss, norm=self.norm, seed=seed,
            steps=self.steps, step_size=self.step_size, random_start=self.random_start,
            restarts=self.restarts,
        )  # fmt: skip


@MEASURES.add("pgd_margin_accuracy")
class PgdMarginAccuracy(PgdAccuracy):
    """Accuracy under PGD with the margin loss, which does not vanish on a confident network."""

    card = Card(label="PGD (margin) accuracy", kind="accuracy", trust=60)

    name = "pgd_margin_accuracy"
    loss: Loss = "margin"


@MEASURES.add("apgd_accuracy")
class ApgdAccuracy(AttackAccuracy):
    """Accuracy under APGD, whose step size adapts."""

    card = Card(label="APGD accuracy", kind="accuracy", trust=70)

    name = "apgd_accuracy"

    steps: Whole = 100
    restarts: Whole = 1

    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result per eps."""
        return attacks.apgd(
            model, inputs, labels, eps=self.eps, loss=self.loss, norm=self.norm, seed=seed,
            steps=self.steps, restarts=self.restarts,
        )  # fmt: skip


@MEASURES.add("strong_accuracy")
class StrongAccuracy(AttackAccuracy):
    """Accuracy under FGSM, PGD, APGD-CE, APGD-T and Square together: the one to trust."""

    card = Card(label="Strong attack accuracy", kind="accuracy", order=40, trust=80)

    name = "strong_accuracy"

    loss: Literal["margin"] = "margin"  # of the gradient looked at beside the attacks
    steps: Whole = 100
    queries: Whole = 1000

    def attack(self, model: nn.Module, inputs: Tensor, labels: Tensor, seed: int) -> list[Attacked]:
        """One result per eps."""
        return attacks.strong(
            model, inputs, labels, eps=self.eps, norm=self.norm, seed=seed,
            steps=self.steps, queries=self.queries,
        )  # fmt: skip


@MEASURES.add("robustness_area")
class RobustnessArea(PgdAccuracy):
    """Mean accuracy under PGD from eps 0 to the largest eps given."""

    card = Card(label="Mean accuracy over eps", kind="share", trust=10)

    name = "robustness_area"

    eps: Annotated[list[Annotated[Radius, Field(gt=0)]], Field(min_length=1), AsList]

    def read(self, subject: Subject) -> list[Reading]:
        """One reading, with the accuracy at every eps as evidence."""
        attacked = self._attacked(subject, subject.data.test[: self.examples])
        results = [result for result, _ in attacked]
        evidence: dict[str, float | int | bool] = {f"eps {r.eps:g}": r.accuracy for r in results}
        evidence |= self._along(attacks.area([self._first(result) for result in results]))
        flags = [
            f"eps {result.eps:g}: {flag}" for result, seen in attacked for flag in seen.flags()
        ]
        return [Reading(self.name, attacks.area(results), evidence=evidence, flags=flags)]


@MEASURES.add("median_eps")
class MedianEps(_OnTest):
    """Smallest eps that fools half of the test points, searched for by FMN, confirmed by APGD."""

    card = Card(label="Median smallest eps that fools", trust=20)

    norm: Norm = "linf"
    rounds: Whole = 10
    steps: Whole = 20
    examples: Whole | None = 1000

    def read(self, subject: Subject) -> list[Reading]:
        """One reading; the median lies between ``holds`` and the value if gradients do not mislead.

        Whether they do is looked for there, beside an attack on a few of the points.
        """
        images = subject.data.test[: self.examples]
        found = attacks.smallest_eps(
            subject.model, images.inputs(), images.labels,
            norm=self.norm, rounds=self.rounds, steps=self.steps, median_only=True,
        )  # fmt: skip
        never = int(found.fools.isinf().sum())
        evidence: dict[str, float | int | bool] = {
            "holds": found.median_holds,
            "never_fooled": never,
            "clean_errors": int((found.fools == 0).sum()),
        }
        flags = list(found.flags)
        if never > len(images) / 100:
            flags.append(f"no eps fools {never:,} of {len(images):,} points: gradients mislead")
        if SETTLED * found.median > found.median_holds and math.isfinite(found.median):
            flags.append(
                f"the search did not settle: the median lies between {found.median_holds:.3g} and "
                f"{found.median:.3g}"
            )
        if found.median > 0:
            eps = found.median if math.isfinite(found.median) else found.median_holds
            beside = self._beside(subject, images[:COMPARED], eps)
            evidence |= beside.scalars()
            flags += [flag for flag in beside.flags() if flag not in flags]
        return [Reading("median_eps", found.median, evidence=evidence, flags=flags)]

    def _beside(self, subject: Subject, images: Images, eps: float) -> Evidence:
        """The evidence beside APGD at one eps."""
        inputs, labels = images.inputs(), images.labels
        results = attacks.apgd(
            subject.model, inputs, labels,
            eps=eps, steps=self.steps, loss="margin", norm=self.norm, seed=subject.seed,
        )  # fmt: skip
        (evidence,) = attacks.gather(
            subject.model, inputs, labels, results,
            loss="margin", norm=self.norm, seed=subject.seed,
        )  # fmt: skip
        return evidence


def _gallery(model: nn.Module, images: Images, result: Attacked) -> dict[str, Tensor]:
    """The first few points that the attack fooled, before and after; K of them."""
    shown = (result.fooled & result.clean).nonzero().squeeze(1)[:SHOWN]
    if not len(shown):
        return {}
    with torch.no_grad():
        logits = Network(model).logits(result.inputs[shown])
    given = answers(logits)
    return {
        "shown": shown,  # (K,) their places among the test points
        "original": images.pixels[shown],  # (K, C, H, W) uint8
        "adversarial": result.inputs[shown].contiguous(),  # (K, C, H, W) in [0, 1]
        "label": images.labels[shown],  # (K,)
        "confidence": result.confidence[shown],  # (K,) in the label, unperturbed
        "answer": given,  # (K,) when perturbed; −1 for none
        "answer_confidence": torch.where(given < 0, 0, logits.softmax(1).amax(1)),  # (K,)
    }
