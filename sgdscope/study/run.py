"""Runs: each is one network trained once."""

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel

from sgdscope.data import DATA
from sgdscope.methods import METHODS, Method
from sgdscope.optimizers import Optimizer, find
from sgdscope.settings import STRICT, Momentum, Options, Positive, Seed, Whole
from sgdscope.study.imported_schedules import find as find_schedule
from sgdscope.study.line import Choice, Line
from sgdscope.study.schedules import Schedule, Stretch

Precision = Literal["float32", "bf16"]


class Run(BaseModel):
    """One network trained once. Two runs with equal settings are the same run."""

    model_config = STRICT

    model: str
    data: str
    train_size: Whole | None = None  # None: all training images
    normalise: bool = True  # standardise pixels inside the model, by the training set's moments
    precision: Precision = "float32"  # of training: bf16 keeps float32 weights, as autocast does
    schedule: str
    schedule_options: Options
    batch_size: Whole
    momentum: Momentum
    epochs: Whole | None  # how long to train; exactly one of epochs and steps
    steps: Whole | None = None
    until_train_loss: Positive | None = None  # stop after an epoch whose mean loss is no higher
    seed: Seed
    optimizer: str = "sgd"
    optimizer_options: Options = {}  # those not at their defaults; SGD's momentum stands above
    method: str = "plain"
    method_options: Options = {}  # likewise
    code: str | None = None  # digests of the plugins that its parts come from
    content: str | None = None  # digests of the user's own data, and of the network's files

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A run with other settings; values derived from the old ones are not copied."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[name]
        return copy

    def __getstate__(self) -> dict[Any, Any]:
        """The settings alone: another process cannot look up the class of an imported schedule."""
        state = super().__getstate__()
        settings = {name: state["__dict__"][name] for name in type(self).model_fields}
        return {**state, "__dict__": settings}

    @cached_property
    def id(self) -> str:
        """A short hash of the canonical settings."""
        # Settings added since the first release count only if not at their default: old ids stay
        # valid.
        later = ["precision", "optimizer", "optimizer_options", "method", "method_options"]
        plain = {
            name
            for name in [*later, "code", "content"]
            if getattr(self, name) == type(self).model_fields[name].default
        }
        canonical = json.dumps(self.model_dump(exclude=plain), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @cached_property
    def line(self) -> Line:
        """The line: what the run shares with runs of other batch sizes and seeds."""
        rule = self.rule()
        options = rule.model_dump(exclude_defaults=True)
        if self.optimizer == "sgd":
            options = {"momentum": self.momentum} | options
        symbols = tuple(rule.symbols.items())
        procedure = self.procedure()
        beside: tuple[Choice, ...] = ()
        if procedure is not None:
            beside = (
                Choice(
                    "method",
                    self.method,
                    _hashable(procedure.model_dump(exclude_defaults=True)),
                    tuple(procedure.symbols.items()),
                    defaults=procedure.model_dump(),
                ),
            )
        return Line(
            (
                Choice(
                    "schedule",
                    self.schedule,
                    _hashable(self.schedule_options),
                    defaults=self._plan.model_dump(),
                ),
                Choice(
                    "optimizer",
                    self.optimizer,
                    _hashable(options),
                    symbols,
                    defaults=rule.model_dump(),
                ),
                *beside,
            )
        )

    def rule(self) -> Optimizer:
        """The optimizer, with its options."""
        momentum = {"momentum": self.momentum} if self.optimizer == "sgd" else {}
        return find(self.optimizer)(**momentum, **self.optimizer_options)

    def procedure(self) -> Method | None:
        """The method, with its options and no state yet; None for plain training."""
        if self.method == "plain":
            return None
        return METHODS[self.method](**self.method_options)

    def rate(self, epoch: int, *, images: int | None = None) -> float:
        """The learning rate of an epoch: the mean over its updates; arguments as of ``stretch``."""
        rates = self.rates(self.stretch(epoch, images=images))
        return rates[0] if len(rates) == 1 else math.fsum(rates) / len(rates)

    def rates(self, stretch: Stretch) -> list[float]:
        """The rate of each update of an epoch in turn; a single one if they are equal."""
        return self._plan.rates(batch_size=self.batch_size, stretch=stretch)

    def warmup(self, stretch: Stretch) -> int:
        """Updates of the warm-up."""
        return self._plan.warmup(stretch)

    @cached_property
    def peak(self) -> float:
        """The highest learning rate of its epochs, warm-up aside."""
        return self._plan.highest_rate(batch_size=self.batch_size, epochs=self.most_epochs)

    def size(self, epoch: int) -> int:
        """The batch size of an epoch, counted from 1."""
        return self._plan.size(batch_size=self.batch_size, epoch=epoch)

    def stretch(self, epoch: int, *, images: int | None = None) -> Stretch:
        """The position of an epoch's updates in training.

        Args:
            epoch: from 1.
            images: in an epoch; by default the training images, or ``train_size`` of them.
        """
        images = images or self.train_size or DATA[self.data].train_size
        most = self.steps if self.epochs is None else None
        before = self._updates(epoch - 1, images, most)
        return Stretch(
            epoch=epoch,
            first=before,
            count=self._updates(epoch, images, most) - before,
            full=images // self.batch_size,
            total=most or self._updates(self.epochs or 0, images, most),
        )

    def _updates(self, epochs: int, images: int, most: int | None) -> int:
        """The number of updates after this many epochs."""
        if not self.grows:
            made = epochs * (images // self.batch_size)
        else:
            made = sum(images // self.size(epoch) for epoch in range(1, epochs + 1))
        return made if most is None else min(made, most)

    @cached_property
    def most_epochs(self) -> int:
        """How many epochs it can take; 1 for a watched training that does not say."""
        if self.steps is None:
            return self.epochs or 1
        images = self.train_size or DATA[self.data].train_size
        if not self.grows:
            return math.ceil(self.steps / (images // self.batch_size or self.steps))
        epochs, made = 0, 0
        while made < self.steps and (updates := images // self.size(epochs + 1)):
            epochs, made = epochs + 1, made + updates
        return max(epochs, 1)

    @property
    def grows(self) -> bool:
        """Whether its batch size changes as it trains."""
        return self._plan.grows

    @property
    def stepped(self) -> bool:
        """Whether its learning rate changes within an epoch."""
        return self._plan.stepped

    @cached_property
    def _plan(self) -> Schedule:
        """The schedule, with its options."""
        return find_schedule(self.schedule)(**self.schedule_options)


def _hashable(options: Options) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (key, tuple(value) if isinstance(value, list) else value) for key, value in options.items()
    )
