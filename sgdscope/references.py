"""What a study names from outside sgdscope: an object in a file, a class, images in a folder."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from sgdscope.errors import RequestError, reason, unknown

Base = TypeVar("Base")


class Source(BaseModel):
    """Where a name leads, and what is there."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: str | None = None  # of a file or folder; None if the name is enough
    digest: str | None = None  # of the content
    train_size: int | None = None  # of data: training images after the split


_sources: dict[str, Source] = {}  # by name


def settle(sources: Mapping[str, Source]) -> None:
    """From now on, names lead where a study says."""
    _sources.update(sources)


def source(name: str) -> Source:
    """Where a name leads; a path relative to the working directory, if no study settled it."""
    return _sources.get(name) or Source(path=name.partition(":")[2].partition("?")[0])


_brought: dict[str, tuple[str, Mapping[str, Any]]] = {}  # by file: digest of the code, its names


def bring(file: str, digest: str, names: Mapping[str, Any]) -> None:
    """Register what a file defines under the file's name, replacing an older version."""
    _brought[file] = digest, names


def forget() -> None:
    """Forget everything that was registered or settled."""
    _brought.clear()
    _sources.clear()


def code(name: str) -> str | None:
    """The digest of the code that a reference leads to, if it is a file of the user's."""
    brought = _brought.get(name.partition(":")[0])
    return None if brought is None else brought[0]


def resolve(kind: str, name: str, *, forms: str) -> Any:
    """The object that ``file.py:name`` or ``package.module:name`` refers to.

    Args:
        kind: what it should be, for error messages.
        name: the reference; a file must have been registered before.
        forms: how such names are written.

    Raises:
        RequestError: there is no such file, module or object.
    """
    place, _, attribute = name.partition(":")
    if place in _brought:
        names = _brought[place][1]
    elif place.endswith(".py"):
        raise RequestError(
            f"{kind} {name!r}: no file {place}; expected one that belongs to the study"
        )
    else:
        names = _of_module(kind, name, place, forms)
    if attribute not in names:
        home = names.get("__name__")
        own = [k for k, v in names.items() if callable(v) and k[0] != "_" and _home(v) == home]
        raise unknown(kind, attribute, own, where=name)
    return names[attribute]


def _home(value: object) -> str | None:
    return getattr(value, "__module__", None)


def _of_module(kind: str, name: str, place: str, forms: str) -> Mapping[str, Any]:
    try:
        return vars(import_module(place))
    except (Exception, SystemExit) as error:  # whatever a module does as it is imported
        said = f"{place} cannot be imported: {reason(error)}"
        if not place or (isinstance(error, ModuleNotFoundError) and error.name == place):
            said = f"there is no module {place!r}; expected {forms}"
        raise RequestError(f"{kind} {name!r}: {said}") from error


def is_path(name: str) -> bool:
    """Whether a name is meant as an import path, not as that of a registered class."""
    return "." in name or ":" in name


def find_class(
    path: str, base: type[Base], *, kind: str, example: str, others: Iterable[str]
) -> type[Base]:
    """The class at an import path, such as ``torch.optim.RMSprop``.

    Args:
        path: module and name.
        base: what the class must derive from.
        kind: what is looked for, for error messages.
        example: a valid path.
        others: names that are valid without a path.

    Raises:
        RequestError: the module cannot be imported, or has no such class.
    """
    if ":" in path:
        dotted = path.replace(".py:", ":").replace(":", ".")
        raise RequestError(f"{kind}.{path}: a colon; expected dots alone, as {dotted}")
    module, _, name = path.rpartition(".")
    try:
        home = import_module(module)
    except (Exception, SystemExit) as error:  # whatever a module does as it is imported
        raise RequestError(
            f"{kind}.{path}: {reason(error)}; expected the import path of {_article(kind)} "
            f"{kind} class, as {example}, or one of {', '.join(others)}"
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
    """The arguments that a class is built from, by name: annotation and default.

    Args:
        rule: the class.
        given: arguments that are passed anyway.

    Returns:
        The default is ``...`` where there is none.
    """
    return {
        name: (
            parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in inspect.signature(rule).parameters.items()
        if name not in given and parameter.kind is not parameter.VAR_KEYWORD
    }


def option_fields(rule: type[Any], *, given: Iterable[str]) -> dict[str, Any]:
    """The options of a class as fields of a model, where a list has to be one and numbers finite.

    Args:
        rule: the class.
        given: as for its plain options.
    """
    return {
        name: (
            Annotated[Any, AfterValidator(_fits_list if _is_listed(*one) else _fits)],
            one[1],
        )
        for name, one in plain_options(rule, given=given).items()
    }


def _is_listed(annotation: Any, default: Any) -> bool:
    """Whether an option is several values at once."""
    said = str(annotation).removeprefix("typing.").removeprefix("collections.abc.").lower()
    return isinstance(default, tuple | list) or said.startswith(
        ("iterable[", "sequence[", "list[", "tuple[")
    )


def _fits(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


def _fits_list(value: Any) -> Any:
    if not isinstance(value, tuple | list):
        raise ValueError(
            "expected a list, which in a study file has a second pair of brackets: [[…]]"
        )
    return [_fits(one) for one in value]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def labels(names: Iterable[str], *, taken: Iterable[str] = ()) -> dict[str, str]:
    """Short names for display: the last part of a reference, unless two would be the same.

    Args:
        names: of networks or data sets.
        taken: names that mean something else already.

    >>> labels(["nets.py:Tiny", "timm:resnet18", "m1"])
    {'nets.py:Tiny': 'Tiny', 'timm:resnet18': 'resnet18', 'm1': 'm1'}
    >>> labels(["a.py:Net", "b.py:Net"])
    {'a.py:Net': 'a.py:Net', 'b.py:Net': 'b.py:Net'}
    """
    short = {name: _short(name) for name in dict.fromkeys(names)}
    count = Counter(short.values())
    count.update(set(taken) - short.keys())
    return {name: label if count[label] == 1 else name for name, label in short.items()}


def _short(name: str) -> str:
    place, colon, target = name.partition(":")
    target, query, options = target.partition("?")
    return (PurePosixPath(target).name or target) + query + options if colon else place
