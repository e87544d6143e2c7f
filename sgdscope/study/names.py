"""Where the names in a study lead: the user's own files, found and registered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdscope import models, references
from sgdscope.data import DATA, KINDS, describe
from sgdscope.errors import RequestError
from sgdscope.models import MODELS
from sgdscope.references import Source
from sgdscope.study.plugins import Plugin

_REGISTRIES: dict[str, Any] = {"model": MODELS, "data": DATA}
_PLACES: dict[str, set[str]] = {"model": {"transformers"}, "data": set(KINDS)}


def references_of(settings: Mapping[str, Any], key: str) -> Iterator[str]:
    """The names under ``model`` or ``data`` that are no registered part's."""
    names = settings.get(key, [])
    for name in names if isinstance(names, list) else [names]:
        if isinstance(name, str) and ":" in name and name not in _REGISTRIES[key]:
            yield name


def located(settings: Mapping[str, Any], *, homes: Sequence[Path]) -> dict[str, Any]:
    """Settings whose Python files are among the plugins, and data by their paths in ``sources``.

    A run depends on a file's code, not on its location: ``../nets/nets.py:Tiny`` becomes
    ``nets.py:Tiny``.

    Args:
        settings: the keys of a study file.
        homes: folders where files are looked for, in this order.

    Raises:
        RequestError: there is no such file or home folder, or two files of one name.
    """
    plugins = [str(file) for file in settings.get("plugins", [])]
    renamed: dict[str, dict[str, str]] = {}
    named: dict[str, Path] = {}
    sources = dict(settings.get("sources", {}))
    for key in _REGISTRIES:
        renamed[key] = {}
        for name in references_of(settings, key):
            kind, _, target = name.partition(":")
            if kind in _PLACES[key]:
                path = _path(name, homes) or sources.get(name, {}).get("path")
                sources[name] = {} if path is None else {"path": str(path)}
                continue
            file = _file(key, name, homes, [Path(plugin) for plugin in plugins])
            if file is None:
                continue
            if str(file) not in plugins:
                plugins.append(str(file))
            own = Plugin.read(file).name
            if (other := named.setdefault(own, file)) != file:
                raise RequestError(
                    f"{file} and {other}: two files with the same name; expected different names"
                )
            renamed[key][name] = f"{own}:{target}"
    changed = {
        key: _replaced(settings[key], names) for key, names in renamed.items() if key in settings
    }
    further = {"plugins": plugins, "sources": sources}
    return {**settings, **changed} | {key: value for key, value in further.items() if value}


def described(settings: Mapping[str, Any]) -> dict[str, Source]:
    """For each of the user's own names, what it refers to at present.

    Raises:
        RequestError: there is nothing, or not what it should be.
    """
    paths = {name: one.get("path") for name, one in settings.get("sources", {}).items()}
    found = {name: describe(name, paths.get(name)) for name in references_of(settings, "data")}
    for name in references_of(settings, "model"):
        if (path := paths.get(name)) is not None:
            content = Path(path, "config.json").read_bytes()
            digest = hashlib.blake2b(content, digest_size=6).hexdigest()
            found[name] = Source(path=path, digest=digest)
    references.settle(found)
    for name in references_of(settings, "model"):
        models.find(name)
    return found


def _path(name: str, homes: Sequence[Path]) -> Path | None:
    """The file or folder that a name leads to, if there is one."""
    given = Path(name.partition(":")[2].partition("?")[0])
    try:
        target = given.expanduser()
    except RuntimeError as error:  # no such user
        raise RequestError(
            f"{name!r}: no home folder {given.parts[0]}; expected a path that leads somewhere"
        ) from error
    return next((p.resolve() for home in homes if (p := home / target).exists()), None)


def _file(key: str, name: str, homes: Sequence[Path], plugins: Sequence[Path]) -> Path | None:
    """The Python file of a reference; None where it leads to an installed module or elsewhere."""
    place = name.partition(":")[0]
    if not place.endswith(".py"):
        path = place.replace(".", "/")
        tried = [home / each for home in homes for each in (f"{path}.py", f"{path}/__init__.py")]
        return next((file.resolve() for file in tried if file.is_file()), None)
    for file in (home / place for home in homes):
        if file.is_file():
            return file.resolve()
    for plugin in plugins:
        if plugin.is_file() and Plugin.read(plugin).name == place:
            return plugin
    where = " or ".join(dict.fromkeys(str(home.resolve()) for home in homes))
    kind = _REGISTRIES[key].kind
    near = sorted({file.name for home in homes for file in home.glob("*.py")})
    hint = f"; there are {', '.join(near[:5])}" if near else ""
    raise RequestError(f"{kind} {name!r}: no file {place} in {where}{hint}")


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [names.get(each, each) if isinstance(each, str) else each for each in value]
    return names.get(value, value) if isinstance(value, str) else value
