"""Named parts that users can add to: one registry per kind."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
        self._origins: dict[str, _Origin] = {}  # of parts from plugins
        self._homes: dict[str, str] = {}  # modules that registered parts without being plugins
        _registries.append(self)

    def add(self, name: str) -> Callable[[Part], Part]:
        """Register the decorated part under ``name``.

        Raises:
            RequestError: another part has that name.
        """

        def register(part: Part) -> Part:
            old = self._origins.get(name)
            if name in self._parts and not (_registering and _registering.replaces(old)):
                raise RequestError(f"{self.kind} {name!r} is registered twice")
            self._parts[name] = part
            if _registering is not None:
                self._origins[name] = _registering
            else:
                self._homes[name] = sys._getframe(1).f_globals["__name__"]
            return part

        return register

    def __getitem__(self, name: str) -> Part:
        if name not in self._parts:
            raise unknown(self.kind, name, self._parts)
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def code(self, name: str) -> str | None:
        """The digest of the plugin that a part comes from; None for sgdscope's own."""
        origin = self._origins.get(name)
        return None if origin is None else origin.digest

    def home(self, name: str) -> str | None:
        """The module that registered a part, where it is neither sgdscope's nor a plugin."""
        home = None if name in self._origins else self._homes.get(name)
        return None if home is None or home.partition(".")[0] == "sgdscope" else home

    def adopt(self, name: str, *, plugin: str, digest: str) -> None:
        """Mark a part as coming from a plugin that has already been executed."""
        self._origins[name] = _Origin(plugin, digest)

    def forget(self, digest: str) -> None:
        """Remove the parts of a plugin."""
        for name in [n for n, origin in self._origins.items() if origin.digest == digest]:
            del self._parts[name], self._origins[name]

    def summary(self, name: str) -> str:
        """The first line of the part's docstring."""
        return (inspect.getdoc(self[name]) or "").split("\n")[0]


@dataclass(frozen=True)
class _Origin:
    """The plugin that a part comes from."""

    plugin: str
    digest: str
    replaced: set[str] = field(default_factory=set, compare=False)

    def replaces(self, old: _Origin | None) -> bool:
        """Whether a part of that origin comes from another version of the same plugin."""
        if old is None or old.plugin != self.plugin or old.digest == self.digest:
            return False
        self.replaced.add(old.digest)
        return True


_registries: list[Registry[Any]] = []
_registering: _Origin | None = None


@contextmanager
def registering(plugin: str, digest: str) -> Iterator[set[str]]:
    """A context in which parts are registered as a plugin's, replacing those of an older version.

    Yields:
        The digests of the versions that lost a part.
    """
    global _registering
    before, _registering = _registering, _Origin(plugin, digest)
    for registry in _registries:
        registry.forget(digest)
    try:
        yield _registering.replaced
    finally:
        _registering = before


def reading_plugin() -> bool:
    """Whether a plugin is being imported for its parts."""
    return _registering is not None


def __getattr__(name: str) -> Any:
    """The registries themselves, which plugins imported from here before ``sgdscope.parts``."""
    if name in ("MODELS", "DATA", "SCHEDULES", "MEASURES", "CLAIMS"):
        return getattr(import_module("sgdscope.parts"), name)
    raise AttributeError(f"module 'sgdscope.registry' has no attribute {name!r}")
