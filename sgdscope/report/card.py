"""A card of the page: a figure with its title, note, controls and plots."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sgdscope.results import intervals
from sgdscope.results.view import View


@dataclass(frozen=True)
class Control:
    """A choice between variants of a card."""

    choices: list[str]
    first: str  # what is shown at first


@dataclass(frozen=True)
class Card:
    """A figure with its variants; a plot is shown if its ``choice`` is selected."""

    id: str
    section: str
    title: str
    note: str = ""
    controls: dict[str, Control] = field(default_factory=dict)
    axis: str = "positive"  # "accuracy" (0 to 1, …), "positive" (log or linear), "": no choice
    scale: str = "log"  # which of these at first
    plots: list[dict[str, Any]] = field(default_factory=list)


def offered(card: Card) -> Card:
    """The card with those choices alone that some plot has, and one of its plots shown at first."""
    choices = [plot["choice"] for plot in card.plots]
    there = {name: {choice[name] for choice in choices} for name in card.controls}
    wanted = {name: control.first for name, control in card.controls.items()}
    first = max(choices, key=lambda one: sum(one[name] == wanted[name] for name in wanted))
    return replace(
        card,
        controls={
            name: Control([c for c in control.choices if c in there[name]], first[name])
            for name, control in card.controls.items()
        },
    )


def means(view: View, *, log: bool | None = None) -> str:
    """A note on what lines and bands are; without ``log``, for axes of both kinds."""
    middle = (
        "mean (geometric on a log axis)" if log is None else "geometric mean" if log else "mean"
    )
    if len(view.seeds) and view.seeds.max() == 1:
        return "One seed."
    return f"Line: {middle} over seeds; {intervals.describe(view.seeds)}."
