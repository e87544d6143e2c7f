"""Budgets: smaller versions of a study that ask the same question.

A faithful miniature divides the training set and the batch sizes by one factor and keeps epochs and
learning rates. Then the number of updates, lr·steps and the noise scale lr·N/B of every line stay
what they are in full; fewer epochs or one learning rate would change all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sgdscope.data import DATA
from sgdscope.errors import RequestError, unknown
from sgdscope.methods import METHODS, Method
from sgdscope.settings import Options
from sgdscope.study import studyfile
from sgdscope.study.imported_schedules import find as find_schedule
from sgdscope.study.plugins import Plugin
from sgdscope.study.schedules import Schedule


def apply(settings: dict[str, Any], name: str | None, overrides: Mapping[str, Any]) -> None:
    """Replace keys of a study's settings, and reduce them to one of its budgets if one is named.

    ``[budget.NAME]`` in a study file has ``factor``, and any other key with what replaces it. Sizes
    in ``overrides`` are those of the whole study, and are divided like its own.

    Args:
        settings: the keys of a study file; ``budget`` is taken out.
        name: of the budget.
        overrides: values by key; they take precedence over the budget's.

    Raises:
        RequestError: the study has no such budget, its numbers cannot be divided, or a plugin of it
            cannot be loaded.
    """
    budgets = settings.pop("budget", {})
    if not isinstance(budgets, dict) or not all(isinstance(t, dict) for t in budgets.values()):
        raise RequestError(f"budget = {budgets!r}: expected tables, as [budget.small]")
    cuts = {} if name is None else _named(name, budgets)
    factor = cuts.pop("factor", 1)
    if not isinstance(factor, int) or factor < 1:
        raise RequestError(f"budget.{name}.factor = {factor!r}: expected a whole number from 1")
    if {"epochs", "steps"} <= overrides.keys():
        raise RequestError("epochs and steps: a training has one length; expected one of them")
    for key, value in {**cuts, **overrides}.items():
        studyfile.override(settings, key, value)
    if name is None:
        return
    for file in settings.get("plugins", []):  # parts whose options are divided may be theirs
        Plugin.read(Path(file)).load()
    _divide(settings, factor)
    settings["name"] = f"{settings['name']}-{name}"
    settings["description"] = "\n".join(
        (_miniature(factor, cuts, overrides), settings.get("description", ""))
    )


def _miniature(factor: int, cuts: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """What was divided and reduced, in one line."""
    shorter = {"epochs", "steps"} & {*cuts, *overrides}
    kept = "learning rates" if shorter else "updates, learning rates, lr·steps"
    sampled = [key for key in cuts if key.startswith("measure.")]
    named = {key: value for key, value in cuts.items() if key not in sampled}
    further = [f"; {key} = {value}" for key, value in {**named, **overrides}.items()]
    if sampled:
        further.append("; measured on fewer points")
        further.append(" and less often" * any(key.endswith(".at") for key in sampled))
    return (
        f"A MINIATURE, 1/{factor}: training images and batch sizes divided by {factor}; "
        f"{kept} and lr·N/B as in the full study{''.join(further)}."
    )


def _named(name: str, budgets: Mapping[str, Options]) -> Options:
    if not budgets:
        raise RequestError(f"--budget {name}: the study has no budgets")
    if name not in budgets:
        raise unknown("budget", name, budgets, where="--budget")
    return dict(budgets[name])


def _divide(settings: dict[str, Any], factor: int) -> None:
    """Divide training set and batch sizes; factors of a batch size grow accordingly."""
    sizes = _listed(settings.get("batch_size", []))
    settings["batch_size"] = [_divided(size, factor, "batch_size") for size in sizes]
    settings["train_size"] = _train_size(settings) // factor
    for name, table in _tables(settings, "schedule"):
        kind = find_schedule(name)
        for option in kind.per_batch:
            ratios = _listed(table.get(option, kind.model_fields[option].default))
            table[option] = [ratio * factor for ratio in ratios]
        _divide_sizes(table, kind, factor, f"schedule.{name}")
    for name, table in _tables(settings, "method"):
        _divide_sizes(table, METHODS[name], factor, f"method.{name}")


def _tables(settings: Mapping[str, Any], key: str) -> Iterator[tuple[str, Options]]:
    """The tables of options under a key; a value in place of one is refused with the study."""
    for name, table in settings.get(key, {}).items():
        if isinstance(table, dict):
            yield name, table


def _divide_sizes(
    table: Options, kind: type[Schedule] | type[Method], factor: int, where: str
) -> None:
    """Divide the options of a part that are batch sizes, as given or by default."""
    for option in kind.batch_sizes:
        given = table.get(option, kind.model_fields[option].default)
        if given is not None:  # no size at all, such as a growth without limit
            sizes = [_divided(size, factor, f"{where}.{option}") for size in _listed(given)]
            table[option] = sizes


def _divided(size: Any, factor: int, where: str) -> int:
    if not isinstance(size, int) or size % factor:
        raise RequestError(f"{where} = {size}: expected a multiple of the factor {factor}")
    return size // factor


def _train_size(settings: dict[str, Any]) -> int:
    if "train_size" in settings:
        if not isinstance(size := settings["train_size"], int):
            raise RequestError(
                f"train_size = {size}: expected one whole number, so that it can be divided"
            )
        return size
    if own := [name for name in _listed(settings.get("data", [])) if name not in DATA]:
        raise RequestError(
            f"train_size: required with data such as {own[0]}, so that it can be divided"
        )
    available = {DATA[name].train_size for name in _listed(settings.get("data", []))}
    if len(available) != 1:
        raise RequestError("train_size: required where data sets of different sizes are divided")
    return available.pop()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
