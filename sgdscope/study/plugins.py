"""A user's own parts: Python files that register models, data sets, schedules, measures, claims."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Self

from sgdscope.errors import RequestError
from sgdscope.registry import registering

_loaded: set[str] = set()  # digests of the plugins whose parts are registered


@dataclass(frozen=True)
class Plugin:
    """A Python file that registers parts, and the modules beside it that it imports.

    Their text travels to workers that have no such files.
    """

    name: str
    files: tuple[tuple[str, str], ...]  # path from the plugin's folder, and text; its own first

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file and, from beside it, what it imports.

        Raises:
            RequestError: there is no such file.
        """
        sources: dict[str, str] = {}
        waiting = [file]
        while waiting:
            path = waiting.pop()
            place = path.relative_to(file.parent).as_posix()
            if place in sources:
                continue
            try:
                sources[place] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise RequestError(f"plugin {path}: {error}") from error
            waiting += _beside(file.parent, sources[place])
        return cls(file.name, tuple(sources.items()))

    @cached_property
    def digest(self) -> str:
        """Of the code; comments and layout do not count."""
        code = repr([(place, _normalised(text)) for place, text in sorted(self.files)])
        return hashlib.blake2b(code.encode(), digest_size=6).hexdigest()

    def load(self) -> None:
        """Carry out the file for what it registers; once, however often it is asked for.

        Raises:
            RequestError: the file raises an exception.
        """
        if self.digest in _loaded:
            return
        module = ModuleType(f"sgdscope_plugin_{self.digest}")
        sys.modules[module.__name__] = module
        _, source = self.files[0]
        try:
            _make_importable(self.files[1:])
            with registering(self.name, self.digest) as replaced:
                exec(compile(source, self.name, "exec"), vars(module))
        except Exception as error:
            del sys.modules[module.__name__]
            raise RequestError(f"plugin {self.name}: {type(error).__name__}: {error}") from error
        _loaded.difference_update(replaced)
        _loaded.add(self.digest)


def _beside(home: Path, source: str) -> Iterator[Path]:
    """The files in a folder that a source imports by name, whole packages among them."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return  # told when it is carried out
    imported = [
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    ]
    imported += [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    for name in dict.fromkeys(name.split(".")[0] for name in imported):
        if name in sys.stdlib_module_names or name == "sgdscope":
            continue
        if (home / f"{name}.py").is_file():
            yield home / f"{name}.py"
        elif (home / name / "__init__.py").is_file():
            yield from sorted((home / name).rglob("*.py"))


def _normalised(source: str) -> str:
    try:
        return ast.unparse(ast.parse(source))
    except SyntaxError:
        return source


class _Sources(MetaPathFinder, Loader):
    """Imports modules from their text."""

    def __init__(self, files: Sequence[tuple[str, str]]) -> None:
        self.texts = {_module(place): (place, text) for place, text in files}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.texts:
            return None
        package = self.texts[name][0].endswith("__init__.py")
        return spec_from_loader(name, self, is_package=package)

    def exec_module(self, module: ModuleType) -> None:
        place, text = self.texts[module.__name__]
        exec(compile(text, place, "exec"), vars(module))


def _module(place: str) -> str:
    return place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _make_importable(files: Sequence[tuple[str, str]]) -> None:
    """Have these modules found from now on, before any of the same name elsewhere."""
    finder = _Sources(files)
    for name in finder.texts.keys() & sys.modules.keys():
        del sys.modules[name]  # another plugin's, or an older state of it
    if files:
        sys.meta_path.insert(0, finder)
