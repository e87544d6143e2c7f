"""Classes of other packages by their import path."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib import import_module
from typing import Any, TypeVar

from sgdscope.errors import RequestError, unknown

Base = TypeVar("Base")


def find_class(
    path: str, base: type[Base], *, kind: str, example: str, others: Iterable[str]
) -> type[Base]:
    """The class at an import path, as ``torch.optim.RMSprop``.

    Args:
        path: module and name.
        base: what the class must derive from.
        kind: what is looked for, in a message.
        example: a path that would do.
        others: names that would do without a path.

    Raises:
        RequestError: the module cannot be imported, or has no such class.
    """
    module, _, name = path.rpartition(".")
    try:
        home = import_module(module)
    except ImportError as error:
        raise RequestError(
            f"{kind}.{path}: {error}; expected the import path of {_article(kind)} {kind} class, "
            f"as {example}, or one of {', '.join(others)}"
        ) from error
    classes = {
        key: value
        for key, value in vars(home).items()
        if inspect.isclass(value) and issubclass(value, base)
    }
    if name not in classes:
        raise unknown(kind, name, classes, where=f"{kind}.{path}")
    return classes[name]


def plain_options(rule: type[Any], *, given: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    """What a class is built from: annotation and default of each argument by name.

    Args:
        rule: the class.
        given: arguments that are handed over anyway.

    Returns:
        Where there is no default, ``...`` in its place.
    """
    return {
        name: (
            parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in inspect.signature(rule).parameters.items()
        if name not in given and parameter.kind is not parameter.VAR_KEYWORD
    }


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
