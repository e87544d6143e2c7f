"""A user's own parts: Python files that register models, data sets, schedules, measures, claims."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Self

from sgdscope.errors import RequestError


@dataclass(frozen=True)
class Plugin:
    """A Python file that registers parts; its text travels to workers that have no such file."""

    name: str
    source: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file.

        Raises:
            RequestError: there is no such file.
        """
        try:
            return cls(file.name, file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"plugin {file}: {error}") from error

    def load(self) -> None:
        """Carry out the file for what it registers; once, however often it is asked for.

        Raises:
            RequestError: the file raises an exception.
        """
        digest = hashlib.blake2b(self.source.encode(), digest_size=6).hexdigest()
        module = ModuleType(f"sgdscope_plugin_{digest}")
        if module.__name__ in sys.modules:
            return
        sys.modules[module.__name__] = module
        try:
            exec(compile(self.source, self.name, "exec"), vars(module))
        except Exception as error:
            del sys.modules[module.__name__]
            raise RequestError(f"plugin {self.name}: {type(error).__name__}: {error}") from error
