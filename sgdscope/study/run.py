"""Runs: each is one network trained once."""

import hashlib
import json
from functools import cached_property
from typing import Literal

from pydantic import BaseModel

from sgdscope.optimizers import Optimizer, find
from sgdscope.settings import STRICT, Momentum, Options, Positive, Seed, Whole
from sgdscope.study.line import Choice, Line
from sgdscope.study.schedules import SCHEDULES

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
    code: str | None = None  # digests of the plugins that its parts come from
    content: str | None = None  # digests of the user's own data, and of files of the network's

    @cached_property
    def id(self) -> str:
        """A short hash of the canonical settings."""
        # What came after the first release counts where it is not the default: old ids stay valid.
        later = {"precision", "optimizer", "optimizer_options", "code", "content"}
        later = {
            name for name in later if getattr(self, name) == type(self).model_fields[name].default
        }
        canonical = json.dumps(self.model_dump(exclude=later), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @cached_property
    def line(self) -> Line:
        """What the run shares with those of other batch sizes and seeds that are drawn with it."""
        rule = self.rule()
        options = rule.model_dump(exclude_defaults=True)
        if self.optimizer == "sgd":
            options = {"momentum": self.momentum} | options
        symbols = tuple(rule.symbols.items())
        return Line(
            (
                Choice("schedule", self.schedule, tuple(self.schedule_options.items())),
                Choice("optimizer", self.optimizer, tuple(options.items()), symbols),
            )
        )

    def rule(self) -> Optimizer:
        """The optimizer, with its options."""
        momentum = {"momentum": self.momentum} if self.optimizer == "sgd" else {}
        return find(self.optimizer)(**momentum, **self.optimizer_options)

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1."""
        schedule = SCHEDULES[self.schedule](**self.schedule_options)
        return schedule.rate(batch_size=self.batch_size, epoch=epoch)
