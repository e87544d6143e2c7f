"""The ``--set`` option: new values for keys of a study file."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sgdscope.errors import RequestError


def read(settings: Iterable[str]) -> dict[str, Any]:
    """Values by key, from texts such as ``seed=0,1``.

    Raises:
        RequestError: a text is not such a pair, or a key is given twice.
    """
    found: dict[str, Any] = {}
    for text in settings:
        key, value = _assignment(text)
        if key in found:
            raise RequestError(
                f"--set {key}: given twice; for several values, write --set {key}=V,V"
            )
        found[key] = value
    return found


_BRIEF = re.compile(r"[+-]?(\d+\.|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # ".5" and "5."


def folder(study: str, overrides: Mapping[str, Any], *, budget: str | None) -> Path:
    """The default folder for results: one for each combination of study, budget and overrides."""
    name = re.sub(r"[^\w-]+", "-", study.removesuffix(".toml")).strip("-")
    name += f"-{budget}" if budget else ""
    if overrides:
        text = json.dumps(overrides, sort_keys=True).encode()
        name += "-" + hashlib.blake2b(text, digest_size=3).hexdigest()
    return Path("out") / name


def _assignment(text: str) -> tuple[str, Any]:
    """Read ``key=value`` or ``key=value,value``; values as in TOML, or bare words.

    Raises:
        RequestError: there is no ``=``, or one side of it is empty.
    """
    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise RequestError(f"--set {text}: expected KEY=VALUE or KEY=VALUE,VALUE")
    if values.lstrip().startswith("["):
        return key.strip(), _value(values)
    items = [_value(item.strip()) for item in values.split(",")]
    return key.strip(), items if len(items) > 1 else items[0]


def _value(text: str) -> Any:
    """A TOML value, or a Python literal, or the text itself."""
    text = {"True": "true", "False": "false"}.get(text, text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return float(text) if _BRIEF.fullmatch(text) else text


def describe(settings: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """Say after a description which keys were replaced, since it does not mention them."""
    replaced = [f"{k} = {v}" for k, v in overrides.items() if k not in ("name", "plugins")]
    if replaced and settings.get("description"):
        said = settings["description"].rstrip(" .")
        settings["description"] = f"{said}. Changed: {', '.join(replaced)}."
