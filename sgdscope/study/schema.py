"""The JSON schema of study files, for editors that complete and check TOML."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from sgdscope.data import DATA
from sgdscope.measuring import MEASURES
from sgdscope.methods import METHODS
from sgdscope.models import MODELS
from sgdscope.optimizers import OPTIMIZERS
from sgdscope.registry import Registry
from sgdscope.study import studyfile
from sgdscope.study.hypotheses import Hypothesis
from sgdscope.study.schedules import SCHEDULES
from sgdscope.study.study import Axis, Study

_TABLES: dict[str, Registry[Any]] = {
    "schedule": SCHEDULES, "optimizer": OPTIMIZERS, "method": METHODS, "measure": MEASURES,
}  # fmt: skip
_QUOTIENT = {"type": "string", "pattern": r"^\s*\d+\s*/\s*0*[1-9]\d*\s*$"}
_OURS = ("part", "sources")  # written to a study's folder, never by users


def schema() -> dict[str, Any]:
    """The schema of a study file, with the names of parts and their options."""
    whole = Study.model_json_schema()
    root: dict[str, Any] = whole["$defs"]["Study"]
    keys = {key: value for key, value in root["properties"].items() if key not in _OURS}
    for key, field in Study.model_fields.items():
        if Axis in field.metadata:
            keys[key] = _one_or_more(keys[key]["items"])
    for key, names in (("model", MODELS), ("data", DATA)):
        named = {"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": ":"}]}
        keys[key] = _one_or_more(named if key in keys else {})
    for key in studyfile.TABLES:
        keys[key] = _parts(_TABLES[key], axes=key != "measure", with_momentum=key == "schedule")
    keys["claim"] = {"type": "object", "additionalProperties": _claim()}
    keys["include"] = {"type": "array", "items": {"type": "string"}}
    keys["budget"] = {"type": "object", "additionalProperties": {"type": "object"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sgdscope study",
        "type": "object",
        "properties": keys,
        "additionalProperties": False,
    }


def _claim() -> dict[str, Any]:
    """A hypothesis, without the fields that sgdscope adds."""
    given = _options(Hypothesis, axes=False, with_momentum=False)
    for ours in ("name", "stated_first"):
        del given["properties"][ours]
    return given


def _one_or_more(one: dict[str, Any]) -> dict[str, Any]:
    one = _with_quotients(one)
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


def _parts(registry: Registry[Any], *, axes: bool, with_momentum: bool) -> dict[str, Any]:
    """Names of parts, or a table of options for each."""
    tables = {
        name: _options(registry[name], axes=axes, with_momentum=with_momentum) for name in registry
    }
    return {
        "anyOf": [
            _one_or_more({"type": "string"}),
            {"type": "object", "properties": tables, "additionalProperties": {"type": "object"}},
        ]
    }


def _options(part: type[BaseModel], *, axes: bool, with_momentum: bool) -> dict[str, Any]:
    found = part.model_json_schema()
    options = found.get("properties", {})
    if axes:
        options = {name: _one_or_more(option) for name, option in options.items()}
    if with_momentum:
        momentum = OPTIMIZERS["sgd"].model_json_schema()["properties"]["momentum"]
        options["momentum"] = _one_or_more(momentum)
    return {
        "type": "object",
        "description": found.get("description", ""),
        "properties": _with_quotients(options),
        "additionalProperties": False,
    } | ({"$defs": found["$defs"]} if "$defs" in found else {})


def _with_quotients(value: Any) -> Any:
    """Allow a number to be written as a quotient: ``"8/255"``."""
    if isinstance(value, list):
        return [_with_quotients(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "number":
        return {"anyOf": [value, _QUOTIENT]}
    if _QUOTIENT in value.get("anyOf", []):
        return value
    return {key: _with_quotients(each) for key, each in value.items()}
