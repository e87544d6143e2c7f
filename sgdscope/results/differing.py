"""How the runs of several folders differ, and whether they can still be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, Self

from pydantic import ValidationError

from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES, card_of
from sgdscope.results.record import Result
from sgdscope.study.line import Choice

# Settings shared by all runs of a study's panel, which are not part of lines.
SHARED = ("train_size", "normalise", "precision", "epochs", "steps", "until_train_loss")
WHEN_AND_WHERE = ("every", "at", "eps")  # options of measures that do not change values
FEW = 2  # settings that a label may name; more are named by the folder
Found = Mapping[str, Sequence[Result]]  # by the name of the folder
Panel = tuple[str, str]  # network and data


@dataclass(frozen=True)
class Difference:
    """A setting that differs between runs of the same network on the same data."""

    name: str  # of the setting, or measure.option
    values: dict[str, list[Any]]  # by the name of the folder

    @property
    def sentence(self) -> str:
        """In print."""
        said = [f"{folder} {_printed(own)}" for folder, own in self.values.items() if own]
        return f"They differ in {in_print(self.name)}: {'; '.join(said)}."


def check(found: Found) -> None:
    """Raise RequestError if folders cannot be compared."""
    for one, other in combinations(found, 2):
        refused = f"{one} and {other} cannot be compared: "
        mine, theirs = (_Asked.of(found[name]) for name in (one, other))
        if not (mine.models & theirs.models or mine.data & theirs.data):
            raise RequestError(
                f"{refused}{mine} and {theirs}; expected a network or a data set in common"
            )
        if mine.measures and theirs.measures and not mine.measures & theirs.measures:
            raise RequestError(
                f"{refused}one has {_listed(mine.measures)}, the other "
                f"{_listed(theirs.measures)}; expected a measure in common"
            )
        for (model, data), content in mine.contents.items():
            if theirs.contents.get((model, data), content) != content:
                raise RequestError(
                    f"{refused}{model} on {data} has different images or a different file in "
                    "each; expected the same"
                )


@dataclass(frozen=True)
class _Asked:
    """The networks, data and measures of a folder's runs."""

    models: set[str]
    data: set[str]
    measures: set[str]
    contents: dict[Panel, str | None]  # digests of the user's own data and files

    @classmethod
    def of(cls, results: Sequence[Result]) -> Self:
        runs = [result.run for result in results]
        return cls(
            {run.model for run in runs},
            {run.data for run in runs},
            {name for result in results for name in result.measured},
            {(run.model, run.data): run.content for run in runs},
        )

    def __str__(self) -> str:
        return f"{_listed(self.models)} on {_listed(self.data)}"


def differences(found: Found) -> list[Difference]:
    """The settings that differ between runs of one network on the same data."""
    values: dict[str, dict[tuple[str, Panel], set[str]]] = {}  # as JSON
    for folder, results in found.items():
        for result in results:
            place = folder, (result.run.model, result.run.data)
            for name, value in shared(result).items():
                values.setdefault(name, {}).setdefault(place, set()).add(json.dumps(value))
    return [
        Difference(name, {folder: _of(own, folder) for folder in found})
        for name, own in values.items()
        if _several(own)
    ]


def sentences(differences: Sequence[Difference]) -> list[str]:
    """One sentence each, with its values; one for all if there are many."""
    if len(differences) <= FEW:
        return [one.sentence for one in differences]
    listed = ", ".join(in_print(one.name) for one in differences)
    return [
        f"They differ in {listed}; lines that would otherwise share a name are named by their "
        "folder."
    ]


def _several(values: Mapping[tuple[str, Panel], set[str]]) -> bool:
    by_panel: dict[Panel, set[str]] = {}
    for (_, panel), own in values.items():
        by_panel.setdefault(panel, set()).update(own)
    return any(len(own) > 1 for own in by_panel.values())


def _of(values: Mapping[tuple[str, Panel], set[str]], folder: str) -> list[Any]:
    own = {text for (name, _), texts in values.items() if name == folder for text in texts}
    return [json.loads(text) for text in sorted(own)]


def choice(
    result: Result, differences: Sequence[Difference], *, folder: str | None = None
) -> Choice:
    """What distinguishes a run's line: the settings that differ; the folder if they are many."""
    own = shared(result)
    told = {one.name: own[one.name] for one in differences if own.get(one.name) is not None}
    if folder is not None and len(differences) > FEW:
        told = {"folder": folder}
    options = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in told.items())
    return Choice("apart", "", options, tuple((name, in_print(name)) for name in told))


def shared(result: Result) -> dict[str, Any]:
    """The settings that a run shares with others of its panel, and how measures were taken."""
    settings = {name: getattr(result.run, name) for name in SHARED}
    taken = {
        f"{name}.{key}": value
        for name, options in result.measured.items()
        for key, value in counting_options(name, json.dumps(options)).items()
    }
    return settings | taken


@cache
def counting_options(measure: str, taken: str) -> dict[str, Any]:
    """A measure's options that change its values, as JSON; options added since at defaults."""
    options = json.loads(taken)
    code = {"code": options.pop("code")} if "code" in options else {}
    with suppress(ValidationError, RequestError):  # of another version, or a missing plugin
        options = MEASURES[measure](**options).model_dump(mode="json")
    return {k: v for k, v in options.items() if k not in WHEN_AND_WHERE} | code


def in_print(name: str) -> str:
    """A setting, or a measure with one of its options."""
    measure, dot, option = name.partition(".")
    words = (option or measure).replace("_", " ")
    return f"{card_of(measure).short} {words}" if dot else words


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _printed(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_printed, value))
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
