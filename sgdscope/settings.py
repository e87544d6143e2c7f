"""Settings as people write them: which are valid, and error messages for those that are not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from sgdscope.errors import RequestError, unknown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Whole = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]  # what tables can hold
Momentum = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Radius = Annotated[float, Field(ge=0)]

AT_MOST_1 = "expected at most 1, since pixels lie in [0, 1]; 8 of 256 levels are 8/255 = 0.0314"


def _within_pixels(eps: float) -> float:
    if eps > 1:
        raise ValueError(AT_MOST_1)
    return eps


Pixels = Annotated[Positive, AfterValidator(_within_pixels)]  # an ℓ∞ radius
Options = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

# Of a model: known keys alone, values of their own types, finite numbers, and no change later.
STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
    internal: ClassVar[frozenset[str]] = frozenset()  # fields that nobody writes by hand

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
        where: the table they are in.
        also_allowed: further keys that are allowed there.
        elsewhere: keys that belong to another table, each with a hint.

    Raises:
        RequestError: a key is none of the model's, or a value is not valid.
    """
    try:
        return model(**settings)
    except ValidationError as error:
        internal: frozenset[str] = getattr(model, "internal", frozenset())
        # A mistyped key says more than that the right one is missing.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        place = [str(part) for part in (where, *first["loc"]) if not isinstance(part, int)]
        key = ".".join(filter(None, place))
        if first["type"] == "extra_forbidden":
            key = str(first["loc"][0])
            known = [name for name in model.model_fields if name not in internal]
            unknown_key = unknown("key", key, [*known, *also_allowed], where=where)
            hint = (elsewhere or {}).get(key)
            raise RequestError(f"{unknown_key}; {hint}" if hint else str(unknown_key)) from None
        message = _expected(first)
        if first["type"] == "missing":
            raise RequestError(f"{key}: required but missing") from None
        if not first["loc"]:
            raise RequestError(f"{where}: {message}" if where else message) from None
        raise RequestError(f"{key} = {shown(first['input'])}: {message}") from None


def shown(value: Any) -> str:
    """A bad value as a study file writes it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a table of options",
    "list_type": "a list",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "too_short": "at least one value",
    "string_too_short": "some text",
}  # by pydantic's name of a mistake, with its parameters


def _expected(error: ErrorDetails) -> str:
    """What should have stood there."""
    if (known := _EXPECTED.get(error["type"])) is not None:
        return f"expected {known.format(**error.get('ctx', {}))}"
    message = error["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
