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
    pairs = [
        (part, part) if isinstance(part, int) else part for part in (stride, padding, dilation)
    ]
    return input, weight, bias, *pairs, groups
