"""Lines: runs that differ only in batch size and seed, drawn as one line of a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One part that a line is trained with, and its options."""

    kind: str  # "schedule", "optimizer" or "method"; "apart" for folders that differ
    name: str  # empty if its options are enough
    options: tuple[tuple[str, Any], ...]
    symbols: tuple[tuple[str, str], ...] = ()  # of options, as labels write them
    defaults: Mapping[str, Any] = field(default_factory=dict, compare=False)  # of all options

    @property
    def values(self) -> dict[str, Any]:
        """Every option, those at their defaults included."""
        return {**self.defaults, **dict(self.options)}

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.options)})"

    def described(self, shown: Mapping[str, Any]) -> list[str]:
        """Its label, with these of its options."""
        symbols = dict(self.symbols)
        return [_option(symbols.get(key), key, value) for key, value in shown.items()]


@dataclass(frozen=True)
class Line:
    """The settings that all runs of a line share, apart from network, data and duration."""

    choices: tuple[Choice, ...]  # the schedule first

    @property
    def name(self) -> str:
        """A name that no other line has."""
        return " ".join(map(str, self.choices))

    @property
    def settings(self) -> dict[str, Any]:
        """Every choice by its kind, and every option by its own name."""
        chosen = {choice.kind: choice.name for choice in self.choices}
        return chosen | {key: value for one in self.choices for key, value in one.options}

    @cached_property
    def knobs(self) -> dict[str, Any]:
        """The settings, and options at their defaults, by the names of :meth:`knob`."""
        chosen = {choice.kind: choice.name for choice in self.choices}
        options = {self.knob(one, key): v for one in self.choices for key, v in one.values.items()}
        return {"method": "plain"} | chosen | options

    def knob(self, choice: Choice, option: str) -> str:
        """The name of an option among all: with the kind of its part if another has one like it."""
        return f"{choice.kind}.{option}" if option in self._ambiguous else option

    @cached_property
    def _ambiguous(self) -> set[str]:
        counts = Counter(key for choice in self.choices for key in choice.values)
        return {key for key, count in counts.items() if count > 1}

    def matches(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the line has these settings, among others."""
        return all(
            self.settings.get(key) == (tuple(value) if isinstance(value, list) else value)
            for key, value in wanted.items()
        )

    def without(self, knob: str) -> tuple[Any, ...]:
        """What lines that differ in this knob alone have in common."""
        return tuple(
            (
                one.kind,
                one.name,
                tuple(own for own in one.options if self.knob(one, own[0]) != knob),
            )
            for one in self.choices
        )


def labels(lines: Sequence[Line]) -> list[str]:
    """For each line the name of its schedule, and the options that distinguish it."""
    return [", ".join(_told(line, lines)) for line in lines]


def _told(line: Line, lines: Sequence[Line]) -> list[str]:
    told: list[str] = []
    for choice in line.choices:
        alike = [
            one
            for other in lines
            for one in other.choices
            if (one.kind, one.name) == (choice.kind, choice.name)
        ]
        own = choice.values
        chosen = dict.fromkeys(key for one in (choice, *alike) for key, _ in one.options)
        others = [one.values for one in alike]
        varying = {
            key: own[key]
            for key in chosen
            if key in own
            and (
                (choice.name == "sgd" and key == "momentum")
                or any(other.get(key) != own[key] for other in others)
            )
        }
        told += [] if choice.name in ("sgd", "") else [choice.name]
        told += choice.described(varying)
    return told


def _option(symbol: str | None, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else f"no {key}"
    said = f"{value:g}" if isinstance(value, float) and symbol else str(value)
    return f"{symbol} = {said}" if symbol else f"{key}={said}"
