"""Settings as people write them: what models of them allow, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sgdscope.errors import RequestError, unknown
from sgdscope.registry import SCHEDULES

Whole = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Radius = Annotated[float, Field(ge=0)]
Options = dict[str, Any]

# Of a model: known keys alone, values of their own types, finite numbers, and no change later.
STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

Model = TypeVar("Model", bound=BaseModel)


def several(value: Any) -> list[Any]:
    """One value or a list of different ones, as a list.

    Raises:
        ValueError: one of them stands there twice.
    """
    values = value if isinstance(value, list) else [value]
    if repeated := [v for i, v in enumerate(values) if v in values[:i]]:
        raise ValueError(f"{repeated[0]!r} stands there twice")
    return values


Several = BeforeValidator(several)


def checked(
    model: type[Model], settings: Mapping[str, Any], *, where: str, beside: Sequence[str] = ()
) -> Model:
    """Build a model; its first complaint becomes one clear message.

    Args:
        model: the class.
        settings: its fields.
        where: the table they stand in.
        beside: keys that may stand there too.

    Raises:
        RequestError: a key is none of the model's, or a value is not valid.
    """
    try:
        return model(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (where, *first["loc"]) if str(part))
        if first["type"] == "extra_forbidden":
            raise _unknown_key(
                str(first["loc"][0]), where, [*model.model_fields, *beside]
            ) from None
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if first["type"] == "missing":
            raise RequestError(f"{key}: required, but not there") from None
        if not first["loc"]:
            raise RequestError(f"{where}: {message}" if where else message) from None
        raise RequestError(f"{key} = {first['input']!r}: {message}") from None


def _unknown_key(key: str, where: str, known: Sequence[str]) -> RequestError:
    """An error for a key that is none, with what it may have been meant to be."""
    error = unknown("key", key, known, where=where)
    owners = [] if where else [name for name in SCHEDULES if key in SCHEDULES[name].model_fields]
    if not owners:
        return error
    return RequestError(f"{error}; it is one of a schedule: schedule.{owners[0]}.{key}")
