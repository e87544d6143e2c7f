"""The named parts that a user may add to: one registry a kind, one decorator for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar

from sgdscope.errors import RequestError, unknown

if TYPE_CHECKING:
    from sgdscope.claims import Claim
    from sgdscope.data import DataSource
    from sgdscope.measuring import Measure
    from sgdscope.models import ModelBuilder
    from sgdscope.schedules import Schedule

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """Parts of one kind by name.

    ``home`` is the module that registers the built-in parts. It is imported at the first look-up,
    so that whoever only needs to know that a kind exists does not pay for what its parts import.

    >>> colours = Registry[int]("colour", home="sgdscope.registry")
    >>> _ = colours.add("red")(0xFF0000)
    >>> colours["red"], list(colours)
    (16711680, ['red'])
    """

    def __init__(self, kind: str, *, home: str) -> None:
        self.kind = kind
        self.home = home
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
        import_module(self.home)
        if name not in self._parts:
            raise unknown(self.kind, name, self._parts)
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        import_module(self.home)
        return iter(self._parts)

    def summary(self, name: str) -> str:
        """The first line of what the part says of itself."""
        return (inspect.getdoc(self[name]) or "").split("\n")[0]


MODELS: Registry[ModelBuilder] = Registry("model", home="sgdscope.models")
DATA: Registry[type[DataSource]] = Registry("data set", home="sgdscope.data")
SCHEDULES: Registry[type[Schedule]] = Registry("schedule", home="sgdscope.schedules")
MEASURES: Registry[type[Measure]] = Registry("measure", home="sgdscope.measuring")
CLAIMS: Registry[Claim] = Registry("claim", home="sgdscope.claims")
