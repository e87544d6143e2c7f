"""Users' own data by name: ``folder:PATH``, ``npz:FILE``, ``hub:NAME``, a function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import Any

from sgdscope import references, streams
from sgdscope.data.archives import Npz, returned
from sgdscope.data.folders import Folder
from sgdscope.data.hub import Hub
from sgdscope.data.images import Dataset
from sgdscope.errors import RequestError, reason
from sgdscope.references import Source
from sgdscope.settings import checked

KINDS: dict[str, type[Folder | Npz | Hub]] = {"folder": Folder, "npz": Npz, "hub": Hub}
PATHS = {"folder": "PATH", "npz": "FILE", "hub": "NAME"}  # what follows each prefix
FORMS = ", ".join(
    [*(f"{kind}:{what}" for kind, what in PATHS.items()), "FILE.py:NAME, PACKAGE.MODULE:NAME"]
)


def load(name: str) -> Dataset:
    """A data set by a name with a colon in it, with options behind a question mark.

    Raises:
        RequestError: it is not available, not valid, or has changed since.
    """
    found = _read(name)
    wanted = references.source(name).digest
    if wanted is not None and fingerprint(found) != wanted:
        raise RequestError(
            f"data set {name!r}: its images or labels have changed since the study was loaded, or "
            "are not the same each time they are read"
        )
    return found


def describe(name: str, path: str | None) -> Source:
    """The present content of a data set given by a path.

    Raises:
        RequestError: it is not available, or not valid.
    """
    references.settle({name: Source(path=path)})
    found = _read(name)
    source = Source(path=path, digest=fingerprint(found), train_size=len(found.train))
    references.settle({name: source})
    return source


def fingerprint(data: Dataset) -> str:
    """A digest of all images and labels, and of which part each belongs to."""
    digest = hashlib.blake2b(f"{data.classes}".encode(), digest_size=6)
    for part in (data.train, data.validation, data.test):
        for tensor in (part.pixels, part.labels):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _read(name: str) -> Dataset:
    try:
        with streams.seeded(0, "data"):
            return _reader(name)()
    except RequestError as error:
        said = str(error).removeprefix("data set: ")
        raise RequestError(said if name in said else f"data set {name!r}: {said}") from error
    except (Exception, SystemExit) as error:  # whatever a user's own function or a library says
        raise RequestError(f"data set {name!r}: {reason(error)}") from error


def _reader(name: str) -> Callable[[], Dataset]:
    kind, _, target = name.partition(":")
    target, asked, query = target.partition("?")
    if kind in KINDS and not target:
        raise RequestError(f"{name!r} names nothing; expected {kind}:{PATHS[kind]}")
    if kind in KINDS:
        options = _options(query, words=KINDS[kind].words)
        loader = checked(KINDS[kind], options, where=f"data set {name!r}")
        path = references.source(name).path
        return lambda: loader.load(path or target)
    make = references.resolve("data set", name.partition("?")[0], forms=FORMS)
    if asked:
        raise RequestError(f"{name}: a function takes no options; expected {kind}:NAME")
    if not callable(make):
        raise RequestError(f"{name}: is of type {type(make).__name__}; expected a function")
    return lambda: returned(make())


def _options(query: str, *, words: Collection[str]) -> dict[str, Any]:
    """The values in ``resize=32&channels=3`` by key, numbers converted but where words stand."""
    found: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not (key and equals and value) or key in found:
            raise RequestError(f"?{query}: expected ?KEY=VALUE&KEY=VALUE, each key once")
        found[key] = int(value) if value.isdecimal() and key not in words else value
    return found
