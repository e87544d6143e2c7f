"""Study files: where they are found, how they are read, and how single keys are replaced."""

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from sgdscope.errors import RequestError, unknown

_QUOTIENT = re.compile(r"[=\[,]\s*(\d+\s*/\s*\d+)")
TABLES = ("schedule", "optimizer", "method", "measure")  # named parts with options


def shipped() -> dict[str, Path]:
    """The built-in studies, by name."""
    root = Path(str(resources.files("sgdscope"))) / "studies"
    return {
        str(file.relative_to(root).with_suffix("")): file for file in sorted(root.rglob("*.toml"))
    }


def find(source: str | Path) -> Path:
    """The file of a built-in study by name, or of any study by path.

    Raises:
        RequestError: there is neither.
    """
    if (found := shipped().get(str(source))) is not None:
        return found
    if Path(source).is_file():
        return Path(source)
    if str(source).endswith(".toml"):
        raise RequestError(f"study file {source}: no such file")
    raise unknown("study", str(source), shipped())


def read(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        RequestError: it cannot be read, or is malformed (the message has line and column).
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RequestError(f"{file}: not valid UTF-8: {error}") from error
    except tomllib.TOMLDecodeError as error:
        bare = _QUOTIENT.search(text)
        hint = f'; write a quotient in quotes: "{bare[1]}"' if bare else ""
        raise RequestError(f"{file}: not valid TOML: {error}{hint}") from error
    except OSError as error:
        raise RequestError(f"{file}: {error.strerror}") from error


def override(settings: dict[str, Any], key: str, value: Any) -> None:
    """Replace one key, dotted for a table within a table.

    Names for ``schedule``, ``optimizer``, ``method`` and ``measure`` choose among the study's own;
    ``momentum`` replaces that of every schedule; ``epochs`` and ``steps`` replace each other.

    Raises:
        RequestError: a value was given for a table, or the reverse.
    """
    if key in TABLES and not isinstance(value, dict):
        names = value if isinstance(value, list) else [value]
        if any(not isinstance(name, str) for name in names):
            raise RequestError(f"--set {key} = {value}: expected names")
        tables = settings.get(key, {})
        tables = tables if isinstance(tables, dict) else {}
        value = {name: tables.get(name, {}) for name in names}
    if key in ("epochs", "steps"):
        for duration in ("epochs", "steps"):
            settings.pop(duration, None)
    if key == "momentum":
        for table in settings.get("schedule", {}).values():
            if isinstance(table, dict):  # else it is refused with the study
                table.pop("momentum", None)
    *path, last = key.split(".")
    table = settings
    for step in path:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise RequestError(f"--set {key}: {step!r} is a value, not a table")
    table[last] = value
