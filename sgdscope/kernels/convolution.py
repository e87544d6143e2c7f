"""The arguments of torch's convolutions, for code that replaces their arithmetic."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def arguments(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, ...]:
    """The arguments of ``conv2d`` in order, single numbers as pairs; padding may be a word."""
    return input, weight, bias, _pair(stride), _pair(padding), _pair(dilation), groups


def _pair(part: Any) -> Any:
    """One number for both directions, alone or in a tuple or list, as a pair."""
    if isinstance(part, int):
        return part, part
    return (part[0], part[0]) if isinstance(part, (tuple, list)) and len(part) == 1 else part
