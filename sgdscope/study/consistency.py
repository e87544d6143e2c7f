"""Whether a study's settings, each valid, fit together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sgdscope import models
from sgdscope.errors import RequestError, reason
from sgdscope.references import is_path
from sgdscope.settings import Options, as_list, shown
from sgdscope.study import growth, hypotheses
from sgdscope.study.imported_schedules import CYCLES

if TYPE_CHECKING:
    from sgdscope.study.hypotheses import Hypothesis
    from sgdscope.study.run import Run
    from sgdscope.study.study import Study

AXES = ("model", "data", "batch_size", "schedule", "measure")  # that a study has, or its parts


def check(study: Study) -> None:
    """Check all of it.

    Raises:
        ValueError: something does not fit, or is missing.
        RequestError: a claim, a measure or an option is not valid.
    """
    axes = [name for name in AXES if name in study.model_fields_set]
    if study.part:
        if axes:
            raise ValueError(f"{axes[0]}: a study that includes others has no axes of its own")
        if len({run.id for run in study.runs}) < len(study.runs):
            raise ValueError("include: two of the studies have a run in common")
        _check_axis(study)
        return
    for name in AXES:
        if name not in axes:
            raise ValueError(f"{name}: required but missing")
    if (study.epochs is None) == (study.steps is None):
        raise ValueError("expected exactly one of epochs and steps")
    for name in study.model:
        if ":" not in name:
            models.find(name)
    for data in study.data:
        _check_sizes(study, data)
    for run in study.runs:
        growth.check(run, images=study.train_size or study.images(run.data))
    _ = study.measures
    _check_axis(study)


def check_effects(study: Study) -> None:
    """Check that all that is asked for can come into effect.

    A study that is kept in a folder has passed, or is older than the check.

    Raises:
        RequestError: something cannot.
    """
    _check_momentum(study)
    for part in study.part or [study]:
        of_lines = {(run.data, run.batch_size, run.line): run for run in part.runs}
        for run in of_lines.values():
            _check_warmup(run)
            _check_rates(run, part.schedule[run.schedule])
            _check_method(run)
        for measure in part.measures.values():
            measure.check(batch_size=max(part.batch_size))
    of_each = [{"model": run.model, "data": run.data} | run.line.knobs for run in study.runs]
    for one in study.hypotheses:
        _check_under(one, of_each)


def _check_momentum(study: Study) -> None:
    """Momentum beside schedules is SGD's alone."""
    if study.part or "sgd" in study.optimizer:
        return
    given = {
        f"schedule.{name}.momentum": t.get("momentum", 0) for name, t in study.schedule.items()
    }
    if "momentum" in study.model_fields_set:
        given["momentum"] = study.momentum
    for where, values in given.items():
        if any(as_list(values)):
            raise RequestError(
                f"{where} = {values}: is that of optimizer.sgd, which the study does not have; "
                f"expected none, or an option of {', '.join(study.optimizer)}"
            )


def _check_warmup(run: Run) -> None:
    """The learning rate shown in tables and figures is one that training reaches."""
    stretch = run.stretch(1)
    if (updates := run.warmup(stretch)) > stretch.total:
        raise RequestError(
            f"schedule.{run.schedule}: its warm-up takes {updates} updates at batch size "
            f"{run.batch_size}; expected at most {stretch.total}, those of the training"
        )


def _check_rates(run: Run, given: Options) -> None:
    """Every epoch has a learning rate, and it follows from the options given."""
    where, options = f"schedule.{run.schedule}", run.schedule_options
    rates = _rates(run, where)
    if not is_path(run.schedule):
        return
    if "learning_rate" in given:
        smaller = {**options, "learning_rate": options["learning_rate"] / 2}
        if _rates(run.model_copy(update={"schedule_options": smaller}), where) == rates:
            raise RequestError(
                f"{where}.learning_rate = {options['learning_rate']:g}: has no effect, since the "
                "scheduler sets its own; expected its options alone"
            )
    if options.get(CYCLES):
        raise RequestError(
            f"{where}.{CYCLES} = true: a schedule is of the learning rate alone, and "
            "momentum stays as it is; expected false"
        )


def _rates(run: Run, where: str) -> list[float]:
    """The learning rates of the first two epochs and the last."""
    rates = []
    for epoch in sorted({1, min(2, run.most_epochs), run.most_epochs}):
        try:
            rates.append(run.rate(epoch))
        except Exception as error:  # whatever somebody else's code says
            raise RequestError(f"{where}: in epoch {epoch}: {reason(error)}") from error
        if not 0 <= rates[-1] < math.inf:
            raise RequestError(
                f"{where}: learning rate {rates[-1]:g} in epoch {epoch}; expected 0 or more"
            )
    return rates


def _check_method(run: Run) -> None:
    procedure = run.procedure()
    if procedure is not None and procedure.first_epoch > run.most_epochs:
        steps = (
            "" if run.steps is None else f" for {run.steps} steps at batch size {run.batch_size}"
        )
        raise RequestError(
            f"method.{run.method}: begins in epoch {procedure.first_epoch}; expected 1 to "
            f"{run.most_epochs}, the epochs of training{steps}"
        )


def _check_under(claim: Hypothesis, of_each: Sequence[Mapping[str, Any]]) -> None:
    """Some runs have what a claim is restricted to.

    Args:
        claim: the claim.
        of_each: model, data and knobs of every run.
    """
    for name, value in claim.under.items():
        if name == "batch_size":
            raise RequestError(
                f"claim.{claim.name}.under.{name} = {shown(value)}: claims are about all batch "
                "sizes together; expected another knob, model or data"
            )
        there = list(dict.fromkeys(str(one[name]) for one in of_each if name in one))
        if all(one.get(name) != value for one in of_each):
            raise RequestError(
                f"claim.{claim.name}.under.{name} = {shown(value)}: no run has that; "
                f"expected one of {', '.join(there)}"
            )


def _check_axis(study: Study) -> None:
    _ = study.hypotheses
    if study.axis is not None:
        hypotheses.check_knob(study.axis, hypotheses.knobs_of(study.runs), where="axis")


def _check_sizes(study: Study, data: str) -> None:
    available = study.images(data)
    if study.train_size is not None and study.train_size > available:
        raise ValueError(
            f"train_size = {study.train_size}: expected at most {available}, "
            f"the training images of {data}"
        )
    size = study.train_size or available
    if max(study.batch_size) > size:
        raise ValueError(
            f"batch_size = {max(study.batch_size)}: expected at most {size}, "
            f"the training images of {data}"
        )
