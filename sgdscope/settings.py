"""Settings as people write them: which are valid, and error messages for those that are not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from sgdscope.errors import RequestError, unknown

Whole = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]  # what tables can hold
Momentum = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Radius = Annotated[float, Field(ge=0)]
Options = dict[str, Any]

# Of a model: known keys alone, values of their own types, finite numbers, and no change later.
STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

Model = TypeVar("Model", bound=BaseModel)


def plain(value: Any) -> Any:
    """A value as TOML would give it, whatever its Python type.

    Tuples, ranges and arrays become lists, numpy numbers and fractions Python numbers, paths text,
    and a quotient of two numbers, such as ``"8/255"``, its value.
    """
    if isinstance(value, str):
        return float(Fraction(value.replace(" ", ""))) if _QUOTIENT.fullmatch(value) else value
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple | range):
        return [plain(each) for each in value]
    if isinstance(value, Rational | Decimal) and not isinstance(value, int):
        return float(value)
    return str(value) if isinstance(value, PurePath) else value


_QUOTIENT = re.compile(r"\s*\d+\s*/\s*0*[1-9]\d*\s*")


def written(eps: float) -> str:
    """A radius as people write it: a quotient of 255 if it is a whole number of levels."""
    levels, short = round(eps * 255), f"{eps:g}"
    whole = abs(eps * 255 - levels) < 1e-6
    return f"{levels}/255" if whole and len(short) > len("0.25") else short


class Settings(BaseModel):
    """Settings as people write them; they are converted by ``plain`` before they are checked."""

    model_config = STRICT

    words: ClassVar[frozenset[str]] = frozenset()  # fields of names and texts, never of numbers

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return cls.plain(given) if isinstance(given, Mapping) else given

    @classmethod
    def plain(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Fields, or parts of them by dotted keys, converted by ``plain``."""
        return {
            key: value if key in cls.words and isinstance(value, str) else plain(value)
            for key, value in given.items()
        }


def as_list(value: Any) -> list[Any]:
    """One value or a list of different ones, as a list.

    Raises:
        ValueError: one of them is listed twice.
    """
    values = value if isinstance(value, list) else [value]
    if repeated := [v for i, v in enumerate(values) if v in values[:i]]:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return values


AsList = BeforeValidator(as_list)


def checked(
    model: type[Model],
    settings: Mapping[str, Any],
    *,
    where: str,
    also_allowed: Sequence[str] = (),
    elsewhere: Mapping[str, str] | None = None,
) -> Model:
    """Build a model; its first validation error becomes one clear message.

    Args:
        model: the class.
        settings: its fields.
        where: the table they stand in.
        also_allowed: keys that may stand there too.
        elsewhere: keys that belong to another table, each with a hint.

    Raises:
        RequestError: a key is none of the model's, or a value is not valid.
    """
    try:
        return model(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (where, *first["loc"]) if str(part))
        if first["type"] == "extra_forbidden":
            key = str(first["loc"][0])
            unknown_key = unknown("key", key, [*model.model_fields, *also_allowed], where=where)
            hint = (elsewhere or {}).get(key)
            raise RequestError(f"{unknown_key}; {hint}" if hint else str(unknown_key)) from None
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if first["type"] == "missing":
            raise RequestError(f"{key}: required but missing") from None
        if not first["loc"]:
            raise RequestError(f"{where}: {message}" if where else message) from None
        raise RequestError(f"{key} = {first['input']!r}: {message}") from None
