"""What is wrong with a study's parts, found before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

from sgdscope import data, models, optimizers, references
from sgdscope.data import Dataset
from sgdscope.study.study import Study
from sgdscope.training.loop import initialise


def check_parts(study: Study) -> dict[str, Dataset]:
    """Load all data, by name, and try each network, method and optimizer.

    Done before the workers start, so that a mistake is reported once and the data are decoded once.

    Raises:
        RequestError: data cannot be used; a network cannot be built or does not fit them, or has no
            layers that a method applies to; an optimizer cannot train a network, or cannot resume
            from its state.
    """
    references.settle(study.every_source)
    networks: dict[str, dict[str, None]] = {}
    for run in study.runs:
        networks.setdefault(run.data, {})[run.model] = None
    loaded = {name: data.load(name) for name in networks}
    for name, images in loaded.items():
        for model in networks[name]:
            models.check(model, shape=images.shape, classes=images.classes)
    _check_methods(study, loaded)
    _check_optimizers(study, loaded)
    return loaded


def _check_methods(study: Study, loaded: Mapping[str, Dataset]) -> None:
    cases = {(run.model, run.data, run.method): run for run in study.runs}
    for run in cases.values():
        if (method := run.procedure()) is not None:
            method.prepare(initialise(run, loaded[run.data]))


def _check_optimizers(study: Study, loaded: Mapping[str, Dataset]) -> None:
    chosen = {(run.model, run.data, run.optimizer, str(run.optimizer_options)): run
              for run in study.runs if run.optimizer != "sgd"}  # fmt: skip
    for run in chosen.values():
        network = initialise(run, loaded[run.data])
        optimizers.check(run.rule(), network, name=run.optimizer)
