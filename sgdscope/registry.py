"""The named parts that a user may add to: one registry a kind, which stands beside its kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Generic, TypeVar

from sgdscope.errors import RequestError, unknown

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """Parts of one kind by name.

    >>> colours = Registry[int]("colour")
    >>> _ = colours.add("red")(0xFF0000)
    >>> colours["red"], list(colours)
    (16711680, ['red'])
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Part] = {}

    def add(self, name: str) -> Callable[[Part], Part]:
        """Register the decorated part under ``name``.

        Raises:
            RequestError: another part has that name.
        """

        def register(part: Part) -> Part:
            if name in self._parts:
                raise RequestError(f"{self.kind} {name!r} is registered twice")
            self._parts[name] = part
            return part

        return register

    def __getitem__(self, name: str) -> Part:
        if name not in self._parts:
            raise unknown(self.kind, name, self._parts)
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def summary(self, name: str) -> str:
        """The first line of what the part says of itself."""
        return (inspect.getdoc(self[name]) or "").split("\n")[0]


def __getattr__(name: str) -> Any:
    """The registries themselves, which plugins imported from here before ``sgdscope.parts``."""
    if name in ("MODELS", "DATA", "SCHEDULES", "MEASURES", "CLAIMS"):
        return getattr(import_module("sgdscope.parts"), name)
    raise AttributeError(f"module 'sgdscope.registry' has no attribute {name!r}")
