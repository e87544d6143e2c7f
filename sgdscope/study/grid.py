"""The grid of a study: every combination of its networks, data, lines, batch sizes and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sgdscope.errors import RequestError
from sgdscope.methods import METHODS
from sgdscope.optimizers import find
from sgdscope.settings import Options, as_list, checked, shown
from sgdscope.study.code import code_of_run
from sgdscope.study.imported_schedules import find as find_schedule
from sgdscope.study.run import Run

if TYPE_CHECKING:
    from sgdscope.study.study import Study


def axis(value: Any) -> list[Any]:
    """As ``as_list``, at least one."""
    if values := as_list(value):
        return values
    raise ValueError("expected at least one value")


def tables(value: Any) -> dict[str, Any]:
    """Tables of options by name; a plain list of names means default options."""
    if isinstance(value, dict):
        return value
    names = axis(value)
    if any(not isinstance(name, str) for name in names):
        raise ValueError("expected names, or a table for each")
    return {name: {} for name in names}


def named_tables(key: str, value: Any) -> dict[str, Any]:
    """Those of a key of a study file; raises RequestError where they are none."""
    try:
        return tables(value)
    except ValueError as error:
        raise RequestError(f"{key} = {shown(value)}: {error}") from None


def runs(study: Study) -> Iterator[Run]:
    """Every run of a study without parts, in the order declared."""
    shared = study.model_dump(
        include={"train_size", "normalise", "precision", "epochs", "steps", "until_train_loss"}
    )
    every = itertools.product(study.model, study.data, lines(study), study.batch_size, study.seed)
    for model, data, line, batch_size, seed in every:
        yield Run(
            model=model,
            data=data,
            batch_size=batch_size,
            seed=seed,
            code=code_of_run(model, data, line["schedule"], line["optimizer"], line["method"]),
            **line,
            **shared | _code_and_content(study, model, data),
        )


def _code_and_content(study: Study, model: str, data: str) -> Options:
    """What a run's names of network and data refer to, if they are the user's own."""
    digests = [study.sources[name].digest for name in (model, data) if name in study.sources]
    if not any(digests):
        return {}
    size = study.train_size or (study.images(data) if data in study.sources else None)
    return {"content": " ".join(filter(None, digests)), "train_size": size}


def lines(study: Study) -> Iterator[Options]:
    """Schedule, optimizer and method of each line of a figure."""
    for name, table in study.schedule.items():
        where, kind = f"schedule.{name}", find_schedule(name)
        axes = {key: values for key, values in table.items() if key != "momentum"}
        momenta = _combinations({"momentum": table.get("momentum", study.momentum)}, where=where)
        for optimizer in _optimizers(study, name, [one["momentum"] for one in momenta]):
            for options in _combinations(axes, where=where):
                schedule = checked(kind, options, where=where, also_allowed=["momentum"])
                chosen = {"schedule": name, "schedule_options": schedule.options()}
                for method in _methods(study):
                    yield chosen | optimizer | method


def _optimizers(study: Study, schedule: str, momenta: Sequence[Any]) -> Iterator[Options]:
    """The optimizers to use with a schedule, which may set SGD's momentum itself."""
    for name, table in study.optimizer.items():
        where, kind = f"optimizer.{name}", find(name)
        axes = dict(table)
        if name == "sgd":
            beside = "momentum" in study.schedule[schedule] or "momentum" in study.model_fields_set
            if "momentum" in table and beside:
                raise ValueError(
                    f"{where}.momentum: momentum is also set with the schedule; "
                    "expected it in one place"
                )
            axes = {"momentum": list(momenta), **table}
        for options in _combinations(axes, where=where):
            if name == "sgd" and beside:
                momentum = {"momentum": options["momentum"]}
                checked(kind, momentum, where=f"schedule.{schedule}")
            rule = checked(kind, options, where=where)
            chosen = rule.model_dump(exclude_defaults=True)
            heavy = chosen.pop("momentum", 0.0) if name == "sgd" else 0.0
            yield {"optimizer": name, "optimizer_options": chosen, "momentum": heavy}


def _methods(study: Study) -> Iterator[Options]:
    for name, table in study.method.items():
        where, kind = f"method.{name}", METHODS[name]
        for options in _combinations(table, where=where):
            chosen = checked(kind, options, where=where).model_dump(exclude_defaults=True)
            yield {"method": name, "method_options": chosen}


def _combinations(axes: Mapping[str, Any], *, where: str) -> Iterator[Options]:
    """Every combination of options, each with one value or several."""
    choices = []
    for key, values in axes.items():
        try:
            choices.append(axis(values))
        except ValueError as error:
            raise ValueError(f"{where}.{key} = {shown(values)}: {error}") from None
    for values in itertools.product(*choices):
        yield dict(zip(axes, values, strict=True))
