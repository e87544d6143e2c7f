"""Whether a study's settings, each valid, fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgdscope.models import MODELS
from sgdscope.study import growth, hypotheses

if TYPE_CHECKING:
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
            MODELS[name]
    for data in study.data:
        _check_sizes(study, data)
    for run in study.runs:
        growth.check(run, images=study.train_size or study.images(run.data))
    _ = study.measures
    _check_axis(study)


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
