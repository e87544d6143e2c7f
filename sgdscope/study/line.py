"""Lines: runs that differ only in batch size and seed, drawn as one line of a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One part that a line is trained with, and its options."""

    kind: str  # "schedule", "optimizer" or "method"; "apart" for folders that differ
    name: str  # empty if its options are enough
    options: tuple[tuple[str, Any], ...]
    symbols: tuple[tuple[str, str], ...] = ()  # of options, as labels write them
    defaults: Mapping[str, Any] = field(default_factory=dict, compare=False)  # of all options

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

    @property
    def knobs(self) -> dict[str, Any]:
        """The settings, and options at their defaults."""
        options = {key: value for one in self.choices for key, value in one.defaults.items()}
        return {"method": "plain"} | options | self.settings

    def matches(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the line has these settings, among others."""
        return all(self.settings.get(key) == value for key, value in wanted.items())

    def without(self, knob: str) -> tuple[Any, ...]:
        """What lines that differ in this knob alone have in common."""
        return tuple(
            (one.kind, one.name, tuple(option for option in one.options if option[0] != knob))
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
        own = {**choice.defaults, **dict(choice.options)}
        chosen = dict.fromkeys(key for one in (choice, *alike) for key, _ in one.options)
        others = [{**one.defaults, **dict(one.options)} for one in alike]
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
