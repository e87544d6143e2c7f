"""What a measure is: options in, readings out."""

from __future__ import annotations

import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import ValidationError
from scipy.special import bdtrc
from torch import Tensor, nn

from sgdscope.data import Dataset, Images
from sgdscope.measuring.card import Card, Kind
from sgdscope.network import Finding, Preflight, preflight
from sgdscope.registry import Registry
from sgdscope.settings import AsList, Settings, Whole

FEW = 10  # images that the network is looked at with
BY_CHANCE = 1e-6  # probability of an order that is taken for random


@dataclass(frozen=True)
class Subject:
    """A network to be measured, with the data it was trained on and is tested on."""

    model: nn.Module  # evaluation mode, on the data's device
    data: Dataset
    seed: int  # the run's; attack starts and probe vectors derive from it
    batch_size: int | None = None  # the run's, where there was a run
    memory: dict[str, Any] = field(default_factory=dict)  # left by a measure at an earlier epoch

    @functools.cached_property
    def looked(self) -> Preflight:
        """Whether the network is a fixed function of one input."""
        images = self.data.test if len(self.data.test) else self.data.train
        return preflight(self.model, images[:FEW].inputs(), images[:FEW].labels)


@dataclass(frozen=True)
class Reading:
    """One number measured on a network, with the evidence that it can be trusted."""

    measure: str
    value: float
    eps: float | None = None  # ℓ∞ or ℓ2 radius in pixel units, for attacks
    evidence: dict[str, float | int | bool] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)  # reasons not to trust it, each one sentence
    arrays: dict[str, Tensor] = field(default_factory=dict)  # kept beside the weights


class Measure(Settings, ABC):
    """Something to measure on a network; the fields are its options in a study file."""

    card: ClassVar[Card] = Card()
    other_cards: ClassVar[Mapping[str, Card]] = {}  # of readings not named as the measure is

    def __init_subclass__(cls, **options: Any) -> None:
        """Every reading also carries what was found about the network."""
        super().__init_subclass__(**options)
        if "read" in vars(cls):
            cls.read = _flagged(cls.read)  # type: ignore[method-assign,assignment]

    every: Whole | None = None  # taken after every so many epochs too, not only at the end
    at: Annotated[list[Whole], AsList] = []  # taken after these epochs too

    @classmethod
    def options(cls) -> str:
        """Its options with their defaults on one line, without those that every measure has."""
        own = {key: f for key, f in cls.model_fields.items() if key not in Measure.model_fields}
        required = [f"{key} required" for key, f in own.items() if f.is_required()]
        stated = {key: f.default for key, f in own.items() if not f.is_required()}
        preset = [f"{key}={_short(value)}" for key, value in stated.items() if value is not None]
        return ", ".join([*required, *preset, *(key for key in stated if stated[key] is None)])

    @property
    def tracked(self) -> bool:
        """Whether it is taken during training."""
        return self.every is not None or bool(self.at)

    def record(self, name: str) -> dict[str, Any]:
        """What is kept beside its readings: its options, and which plugin's code took it.

        Args:
            name: under which the measure is registered.
        """
        code = MEASURES.code(name)
        return self.model_dump() | ({} if code is None else {"code": code})

    def taken_with(self, record: Mapping[str, Any] | None, name: str) -> bool:
        """Whether a stored record describes this measure; options added since count as default."""
        if record is None:
            return False
        options = {key: value for key, value in record.items() if key != "code"}
        try:
            return type(self)(**options) == self and record.get("code") == MEASURES.code(name)
        except ValidationError:
            return False

    def check(self, *, batch_size: int) -> None:
        """Check the options against the batch size of a training, before it begins.

        Raises:
            RequestError: the measure could not be taken of its network.
        """

    def due(self, epoch: int) -> bool:
        """Whether it is taken after this epoch."""
        return epoch in self.at or (self.every is not None and epoch % self.every == 0)

    def doubts(self, subject: Subject) -> list[str]:
        """Reasons in the data not to trust its readings, one sentence each; by default none."""
        return []

    def during_training(self) -> Self:
        """The measure to take before the end of training; a cheaper one if the options say so."""
        return self

    def cost_in_images(self, data: Dataset) -> int:
        """How many images it evaluates, to which its time is proportional. By default unknown."""
        return len(data.train) + len(data.test)

    def on_fewer(self, examples: int) -> Self:
        """The measure on only this many examples, or reduced otherwise, to time it."""
        return self

    @abstractmethod
    def read(self, subject: Subject) -> list[Reading]:
        """Measure. The network is left as it was found."""


def _short(value: Any) -> str:
    """A default as a study file has it, without quotes, to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value).strip('"')


def _flagged(
    read: Callable[[Any, Subject], list[Reading]],
) -> Callable[[Any, Subject], list[Reading]]:
    """The same, with what was found about network and data added to each reading's flags."""

    @functools.wraps(read)
    def flagged(self: Any, subject: Subject) -> list[Reading]:
        known = (*subject.looked.flags, *self.doubts(subject))
        return [
            replace(reading, flags=list(dict.fromkeys((*known, *reading.flags))))
            for reading in read(self, subject)
        ]

    return flagged


def in_order(images: Images, first: int | None) -> list[str]:
    """A flag, if the first images are sorted by class, so that they are not like all of them.

    Args:
        images: N of them.
        first: how many are measured; None: all.
    """
    labels, among = images.labels, images.labels[:first]
    if len(among) in (1, len(labels)):
        return []
    alike = int((among[1:] == among[:-1]).sum())
    expected = (labels.bincount() / len(labels)).square().sum().item()
    if bdtrc(alike - 1, len(among) - 1, min(expected, 1.0)) >= BY_CHANCE:  # so many or more
        return []
    found = Finding(
        "order",
        f"the first {len(among):,} of {len(labels):,} images are sorted by class: {alike:,} come "
        "after another of their class",
        "expected a random order, or a measure of all of them",
    )
    return [str(found)]


MEASURES: Registry[type[Measure]] = Registry("measure")


def card_of(name: str) -> Card:
    """The complete card of a reading; the defaults for a name that no registered measure has."""
    stated = _stated(name)
    kind: Kind = "accuracy" if name.endswith("_accuracy") else "positive"
    label = stated.label or name.replace("_", " ").capitalize()
    short = stated.short or label.removesuffix(" accuracy")
    return replace(stated, label=label, short=short, kind=stated.kind or kind)


def _stated(name: str) -> Card:
    if name not in MEASURES:
        others = (MEASURES[measure].other_cards for measure in MEASURES)
        return next((cards[name] for cards in others if name in cards), Card())
    measure = MEASURES[name]
    if "card" in vars(measure):
        return measure.card
    return replace(measure.card, label="", short="", order=None)
