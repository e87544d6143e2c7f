"""The user's own parts: Python files that register models, data sets, measures and so on."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from sgdscope import references
from sgdscope.errors import RequestError, reason
from sgdscope.registry import Registry, registering
from sgdscope.settings import as_list, shown

_loaded: set[str] = set()  # digests of the plugins whose parts are registered


@dataclass(frozen=True)
class Plugin:
    """A Python file that registers parts or contains named ones, and the modules that it imports.

    The modules are those beside it, or beside the package that it is in. Their text is sent to
    workers, which need no such files.
    """

    path: str  # where it was read
    files: tuple[tuple[str, str], ...]  # path from the root, and text; its own first

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file and, from beside it, what it imports.

        Raises:
            RequestError: there is no such file.
        """
        sources: dict[str, str] = {}
        root = _root(file)
        waiting = [file]
        while waiting:
            path = waiting.pop()
            place = path.relative_to(root).as_posix()
            if place in sources:
                continue
            try:
                sources[place] = path.read_text(encoding="utf-8-sig")
            except OSError as error:
                raise RequestError(f"plugin {path}: {error.strerror}") from error
            except UnicodeDecodeError as error:
                raise RequestError(f"plugin {path}: {error}; expected UTF-8") from error
            waiting += [*_beside(root, place, sources[place]), *_packages(root, path)]
        return cls(str(file.resolve()), tuple(sources.items()))

    @property
    def name(self) -> str:
        """Of the file."""
        return self.files[0][0]

    @cached_property
    def digest(self) -> str:
        """Of the code; comments, layout and what it does as a script do not count."""
        code = repr([(place, _normalised(text)) for place, text in sorted(self.files)])
        return hashlib.blake2b(code.encode(), digest_size=6).hexdigest()

    def load(self) -> None:
        """Execute the file for what it registers, only once.

        Raises:
            RequestError: the file raises an exception.
        """
        if self.digest in _loaded and references.code(self.name) in (None, self.digest):
            return
        module = ModuleType(f"sgdscope_plugin_{self.digest}")
        module.__file__ = self.path
        module.__package__ = _module(self.name).rpartition(".")[0]
        sys.modules[module.__name__] = module
        _, source = self.files[0]
        try:
            _make_importable(self)
            with registering(self.name, self.digest) as replaced:
                exec(compile(source, self.path, "exec"), vars(module))
            references.bring(self.name, self.digest, vars(module))
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            raise RequestError(f"plugin {self.name}: {reason(error)}{_of_exit(error)}") from error
        _loaded.difference_update(replaced)
        _loaded.add(self.digest)


def adopt(parts: Iterable[tuple[Registry[Any], str]]) -> list[str]:
    """Turn files that registered parts of a study, without being named by it, into plugins.

    Args:
        parts: those of the study, each by its registry and name.

    Returns:
        The files.

    Raises:
        RequestError: a part was registered by code that is not in a file.
    """
    files: dict[str, None] = {}
    for registry, name in parts:
        if (home := registry.home(name)) is None:
            continue
        module = sys.modules.get(home)
        file = Path(getattr(module, "__file__", None) or "")
        if not file.is_file():
            raise RequestError(
                f"{registry.kind} {name!r}: registered in a notebook or on standard input, "
                "where workers cannot find it; expected it in a file that the study's plugins name"
            )
        if getattr(module, "__package__", None):
            continue  # of an installed package, which workers can import themselves
        plugin = Plugin.read(file)
        registry.adopt(name, plugin=plugin.name, digest=plugin.digest)
        _loaded.add(plugin.digest)
        files[plugin.path] = None
    return list(files)


def _of_exit(error: BaseException) -> str:
    if not isinstance(error, SystemExit):
        return ""
    return "; expected a file that can be imported, with what it does as a script under if __name__"


def _root(file: Path) -> Path:
    """The folder from which a file is imported: above every package that it is in."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def _packages(root: Path, path: Path) -> Iterator[Path]:
    """The files that are executed before one within packages is imported."""
    for folder in path.parents:
        if folder == root:
            return
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"


def _beside(root: Path, place: str, source: str) -> Iterator[Path]:
    """The files under a root that a source imports by name, whole packages among them."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return  # reported when it is executed
    imported = [
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    ]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from (f for f in _relative(root / place, node) if f.is_relative_to(root))
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.append(node.module)
    for name in dict.fromkeys(name.split(".")[0] for name in imported):
        if name in sys.stdlib_module_names or name == "sgdscope":
            continue
        if (root / f"{name}.py").is_file():
            yield root / f"{name}.py"
        elif (root / name).is_dir() and (
            (root / name / "__init__.py").is_file() or not _installed(name)
        ):
            yield from sorted((root / name).rglob("*.py"))


def _relative(file: Path, node: ast.ImportFrom) -> Iterator[Path]:
    """The files that ``from .module import name`` in a file may mean."""
    home = file.parents[node.level - 1]
    path = home.joinpath(*(node.module or "").split("."))
    for each in [path, *(path / alias.name for alias in node.names)]:
        yield from (f for f in (each.with_suffix(".py"), each / "__init__.py") if f.is_file())


def _file(module: str) -> Path | None:
    """The file of a module or package on the path."""
    found = PathFinder.find_spec(module)
    origin = None if found is None else found.origin
    return Path(origin).resolve() if origin and Path(origin).is_file() else None


def _installed(module: str) -> bool:
    """Whether it comes with Python or with a package."""
    if module in sys.stdlib_module_names or module == "sgdscope":
        return True
    file = _file(module)
    homes = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")]
    return file is not None and any(file.is_relative_to(home) for home in homes)


def _normalised(source: str) -> str:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    tree.body = [node for node in tree.body if not _as_script(node)]
    return ast.unparse(tree)


def _as_script(node: ast.stmt) -> bool:
    """Whether it is an ``if __name__ == "__main__"`` block."""
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")
    )


class _Sources(MetaPathFinder, Loader):
    """Imports modules from their text."""

    def __init__(self, digest: str, files: Sequence[tuple[str, str]]) -> None:
        self.digest = digest  # of the plugin
        self.texts = {_module(place): (place, text) for place, text in files}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in self.texts:
            package = self.texts[name][0].endswith("__init__.py")
            return spec_from_loader(name, self, is_package=package)
        if any(other.startswith(f"{name}.") for other in self.texts):
            return ModuleSpec(name, None, is_package=True)  # a folder without __init__.py
        return None

    def exec_module(self, module: ModuleType) -> None:
        place, text = self.texts[module.__name__]
        exec(compile(text, place, "exec"), vars(module))


def _module(place: str) -> str:
    return place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _make_importable(plugin: Plugin) -> None:
    """Make a plugin's modules importable, before any of the same name elsewhere.

    The plugin itself is found too, unless something else has its name.
    """
    own = _module(plugin.name)
    files = plugin.files[_installed(own.partition(".")[0]) :]
    finder = _Sources(plugin.digest, files)
    for name in finder.texts.keys() & sys.modules.keys():
        del sys.modules[name]  # another plugin's, or an older version of it
    if files:
        sys.meta_path.insert(0, finder)


def code_of(module: str) -> str | None:
    """The digest of the plugin that a module belongs to."""
    return next(
        (
            finder.digest
            for finder in sys.meta_path
            if isinstance(finder, _Sources) and module in finder.texts
        ),
        None,
    )


def file_of(module: str) -> Path | None:
    """The file of a module that is the user's own."""
    if "." in module or _installed(module):
        return None
    file = _file(module)
    return None if file is None or file.name == "__init__.py" else file


def make_absolute(settings: dict[str, Any], home: Path) -> None:
    """Make the paths of plugins, given relative to ``home``, absolute."""
    if "plugins" in settings:
        files = as_list(settings["plugins"])
        if any(not isinstance(file, str) for file in files):
            raise RequestError(f"plugins = {shown(settings['plugins'])}: expected Python files")
        settings["plugins"] = [str((home / file).resolve()) for file in files]
