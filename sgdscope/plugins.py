"""A user's own parts: Python files that register models, data sets, schedules or measures."""

import hashlib
import importlib.util
import sys
from pathlib import Path

from sgdscope.errors import RequestError


def load(file: Path) -> None:
    """Import a file for what it registers; once, however often and from wherever it is asked for.

    Raises:
        RequestError: there is no such file, or importing it fails.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        raise RequestError(f"plugin {file}: {error.strerror}") from error
    name = f"sgdscope_plugin_{hashlib.blake2b(source, digest_size=6).hexdigest()}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RequestError(f"plugin {file}: expected a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RequestError(f"plugin {file}: {type(error).__name__}: {error}") from error
