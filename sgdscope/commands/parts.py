"""The command ``sgdscope list``."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sgdscope.commands.terminal import console

if TYPE_CHECKING:
    from sgdscope.measuring import Measure
    from sgdscope.registry import Registry

OPTIONS = (
    "Each also takes every or at: the epochs after which to measure. Options without a "
    "value are unset."
)


class Kind(StrEnum):
    """What can be listed."""

    models = "models"
    data = "data"
    schedules = "schedules"
    optimizers = "optimizers"
    methods = "methods"
    measures = "measures"
    attacks = "attacks"
    claims = "claims"
    studies = "studies"


def list_(kind: Annotated[Kind | None, typer.Argument(help="What to list.")] = None) -> None:
    """List the available models, data sets, schedules, measures, attacks, claims and more."""
    for wanted in [kind] if kind else list(Kind):
        table = Table(title=wanted.value, title_justify="left", box=None, show_header=False)
        for name, summary in _parts(wanted):
            table.add_row(f"[bold]{escape(name)}[/]", escape(summary))
        if wanted is Kind.measures:
            table.caption, table.caption_justify = OPTIONS, "left"
        console.print(table)


def _parts(kind: Kind) -> Iterator[tuple[str, str]]:
    from sgdscope.study import studyfile

    if kind is Kind.studies:
        for name, file in studyfile.shipped().items():
            yield name, studyfile.read(file).get("description", "")
        return
    if kind is Kind.attacks:
        from sgdscope import attacks

        for attack in attacks.ATTACKS:
            yield attack.__name__, _plain((attack.__doc__ or "").split("\n")[0])
        return
    from sgdscope import parts

    registries: dict[Kind, Registry[Any]] = {
        Kind.models: parts.MODELS,
        Kind.data: parts.DATA,
        Kind.schedules: parts.SCHEDULES,
        Kind.optimizers: parts.OPTIMIZERS,
        Kind.methods: parts.METHODS,
        Kind.measures: parts.MEASURES,
        Kind.claims: parts.CLAIMS,
    }
    for name in registries[kind]:
        part, summary = registries[kind][name], _plain(registries[kind].summary(name))
        if kind is Kind.measures:
            yield from _measure(name, part, summary)
            continue
        yield name, summary
        if kind is Kind.methods and part.helps:
            yield "", f"For {part.helps}. Costs {part.cost}."
    yield from _forms(kind)


def _measure(name: str, measure: type[Measure], summary: str) -> Iterator[tuple[str, str]]:
    """Its description and source, then its options and caveat, if it has any."""
    card = measure.card
    yield name, summary + (f" ({card.source})" if card.source else "")
    yield from (("", text) for text in (measure.options(), card.caveat) if text)


def _plain(summary: str) -> str:
    """A docstring's line without its markup."""
    return summary.replace("``", "")


def _forms(kind: Kind) -> Iterator[tuple[str, str]]:
    """The forms that names of a user's own parts can take."""
    from sgdscope.data.named import KINDS, PATHS
    from sgdscope.models.libraries import LIBRARIES

    if kind is Kind.data:
        for name, source in KINDS.items():
            yield f"{name}:{PATHS[name]}", _plain((source.__doc__ or "").split("\n")[0])
    if kind is Kind.models:
        for name in LIBRARIES:
            yield f"{name}:NAME", f"An untrained network from {name}, if it is installed."
    if kind in (Kind.data, Kind.models):
        yield "FILE.py:NAME", "A function or class of your own; in a module, PACKAGE.MODULE:NAME."
