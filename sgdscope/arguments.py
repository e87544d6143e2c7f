"""Numbers given to functions of the library, checked before anything is computed."""

from __future__ import annotations

import math
import operator
from typing import Any

from torch import Tensor

from sgdscope.errors import RequestError
from sgdscope.settings import plain


def whole(name: str, given: Any, *, lowest: int = 1) -> int:
    """A count, of whatever type.

    Args:
        name: of the argument.
        given: its value.
        lowest: that it may have.

    Raises:
        RequestError: it is none, or below the lowest.
    """
    try:
        count = operator.index(given)
    except TypeError:
        count = lowest - 1
    if count < lowest or isinstance(given, bool):
        raise RequestError(f"{name} = {_said(given)}; expected a whole number from {lowest}")
    return count


def number(name: str, given: Any, *, unit: str = "") -> float:
    """A number, of whatever type, or a quotient as text; a tensor is detached.

    Args:
        name: of the argument.
        given: its value.
        unit: what it is a number of, with an example.

    Raises:
        RequestError: it is none.
    """
    try:
        if isinstance(given, bool):
            raise TypeError
        return float(given.detach() if isinstance(given, Tensor) else plain(given))
    except (TypeError, ValueError, RuntimeError):
        of = f" of {unit}" if unit else ""
        raise RequestError(f"{name} = {_said(given)}; expected a number{of}") from None


def positive(name: str, given: Any, *, unit: str = "") -> float:
    """A finite number above 0; otherwise as :func:`number`."""
    found = number(name, given, unit=unit)
    if not (math.isfinite(found) and found > 0):
        raise RequestError(f"{name} = {found:g}; expected a finite number above 0")
    return found


def _said(value: Any) -> str:
    return (repr(value).splitlines() or [""])[0][:80]
