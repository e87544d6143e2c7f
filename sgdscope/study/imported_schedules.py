"""Any of torch's learning-rate schedulers by its import path."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cache
from itertools import islice
from typing import ClassVar, Self, cast

import torch
from pydantic import create_model, model_validator
from torch.optim.lr_scheduler import LRScheduler

from sgdscope.errors import RequestError
from sgdscope.references import find_class, is_path, option_fields, plain_options
from sgdscope.settings import Positive
from sgdscope.study.schedules import SCHEDULES, Schedule

EXAMPLE = "torch.optim.lr_scheduler.ExponentialLR"
CYCLES = "cycle_momentum"  # an option of some: off, since a schedule is of the learning rate alone


def find(name: str) -> type[Schedule]:
    """A registered schedule, or one that follows the scheduler at an import path.

    Raises:
        RequestError: there is neither, or the class needs more than options and an epoch count.
    """
    if not is_path(name):
        return SCHEDULES[name]
    rule = find_class(name, LRScheduler, kind="schedule", example=EXAMPLE, others=SCHEDULES)
    return _imported(name, cast(Hashable, rule))


class _Stepped(Schedule):
    """Learning rate of a torch scheduler that is stepped once per epoch."""

    own: ClassVar[frozenset[str]] = frozenset()  # options of the scheduler itself
    learning_rate: Positive = 0.01  # what the scheduler starts from

    @property
    def linear_warmup(self) -> dict[str, float]:
        """Those options that are not the scheduler's own, which has its own warm-up then."""
        return {key: value for key, value in super().linear_warmup.items() if key not in self.own}

    def _scheduler(self, optimizer: torch.optim.Optimizer) -> LRScheduler:
        raise NotImplementedError

    @model_validator(mode="after")
    def _buildable(self) -> Self:
        try:
            self.rate(batch_size=1, epoch=1)
        except (TypeError, ValueError) as error:
            raise ValueError(str(error)) from error
        return self

    def rate(self, *, batch_size: int, epoch: int) -> float:
        """The scheduler's rate after ``epoch − 1`` steps."""
        return next(islice(self._rates(), epoch - 1, None))

    def highest_rate(self, *, batch_size: int, epochs: int) -> float:
        """The highest of the scheduler's rates."""
        return _highest(type(self), self.model_dump_json(exclude_unset=True), epochs)

    def _rates(self) -> Iterator[float]:
        """The scheduler's rate in each epoch, from the first."""
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=self.learning_rate, momentum=0.9)
        scheduler = self._scheduler(optimizer)
        while True:
            yield float(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()


@cache  # runs that differ in batch size or seed share it
def _highest(kind: type[_Stepped], options: str, epochs: int) -> float:
    highest = max(islice(kind.model_validate_json(options)._rates(), epochs))
    return float(f"{highest:.12g}")  # of a rise to 0.1 in steps, not 0.10000000000000003


@cache
def _imported(path: str, rule: type[LRScheduler]) -> type[Schedule]:
    options = plain_options(rule, given=("optimizer", "last_epoch"))
    where = f"schedule.{path}"
    if "metrics" in rule.step.__code__.co_varnames[: rule.step.__code__.co_argcount]:
        raise RequestError(
            f"{where}: its rate depends on how training goes; expected a scheduler that is "
            "stepped once an epoch and takes no arguments"
        )
    for option, (annotation, default) in options.items():
        if default is ... and ("Callable" in str(annotation) or "LRScheduler" in str(annotation)):
            raise RequestError(
                f"{where}: needs {option!r}, which a study file cannot give; expected a scheduler "
                "that is made from plain options"
            )
    build = cast(Callable[..., LRScheduler], rule)

    def scheduler(self: _Stepped, optimizer: torch.optim.Optimizer) -> LRScheduler:
        chosen = self.model_fields_set & options.keys()
        return build(optimizer, **{name: getattr(self, name) for name in chosen})

    fields = option_fields(rule, given=("optimizer", "last_epoch"))
    if CYCLES in fields:
        fields[CYCLES] = (fields[CYCLES][0], False)
    made = create_model(
        rule.__name__, __base__=_Stepped, __doc__=f"{rule.__name__} of torch.", **fields
    )
    namespace = {"_scheduler": scheduler, "own": frozenset(options)}
    return cast(type[Schedule], type(rule.__name__, (made,), namespace))
