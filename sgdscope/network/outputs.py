"""A network's outputs: logits, or something that contains them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sgdscope.errors import RequestError


def logits_of(outputs: Any) -> Tensor:
    """The logits among a network's outputs.

    A tensor counts as logits itself. Otherwise they are what is named ``logits``, the first entry
    of a tuple or list, or the only tensor.

    Raises:
        RequestError: none of these is there.
    """
    if isinstance(outputs, Tensor):
        return outputs
    parts = _parts(outputs) or {}
    named = parts.get("logits", getattr(outputs, "logits", None))
    if isinstance(named, Tensor):
        return named
    tensors = [part for part in parts.values() if isinstance(part, Tensor)]
    if isinstance(outputs, (tuple, list)) and outputs and isinstance(outputs[0], Tensor):
        return outputs[0]
    if len(tensors) == 1:
        return tensors[0]
    names = ", ".join(map(str, parts)) or "no parts"
    raise RequestError(
        f"the network's output is {type(outputs).__name__} ({names}); expected logits of shape "
        "(N, classes): a tensor, or one named logits"
    )


def answers(logits: Tensor) -> Tensor:
    """The class of the largest logit, (N,) int64; −1 where that logit is not finite."""
    best = logits.max(1)
    return torch.where(best.values.isfinite(), best.indices, -1)


def leaves(outputs: Any) -> list[Tensor]:
    """The floating-point tensors in a network's outputs, in order: what can be differentiated."""
    return [tensor for tensor in _tensors(outputs) if tensor.is_floating_point()]


def rebuilt(outputs: Any, tensors: Iterator[Tensor]) -> Any:
    """The same outputs with other tensors for their :func:`leaves`."""
    return _mapped(outputs, lambda old: next(tensors) if old.is_floating_point() else old)


def picked(outputs: Any, index: Tensor, *, examples: int) -> Any:
    """The outputs for some of the examples: every tensor with a row for each, indexed."""
    return _mapped(outputs, lambda old: old[index] if _rows(old) == examples else old)


def joined(parts: Sequence[Any], *, sizes: Sequence[int]) -> Any:
    """The outputs for all examples from those for parts of them.

    Args:
        parts: of one structure.
        sizes: the examples in each part; tensors with a row for each are joined, others are the
            first part's.
    """
    columns = zip(*map(_tensors, parts), strict=True)
    whole = (
        torch.cat(column) if [_rows(tensor) for tensor in column] == list(sizes) else column[0]
        for column in columns
    )
    return _mapped(parts[0], lambda _: next(whole))


def _rows(tensor: Tensor) -> int | None:
    return len(tensor) if tensor.dim() else None


def _tensors(outputs: Any) -> list[Tensor]:
    """The tensors in a network's outputs, in order."""
    if isinstance(outputs, Tensor):
        return [outputs]
    return [tensor for part in (_parts(outputs) or {}).values() for tensor in _tensors(part)]


def _mapped(outputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same outputs with every tensor changed, in order."""
    if isinstance(outputs, Tensor):
        return change(outputs)
    parts = _parts(outputs)
    if parts is None:
        return outputs
    changed = {name: _mapped(part, change) for name, part in parts.items()}
    if isinstance(outputs, (tuple, list)):
        values = list(changed.values())
        return type(outputs)(*values) if hasattr(outputs, "_fields") else type(outputs)(values)
    whole = copy.copy(outputs)
    for name, part in changed.items():
        if isinstance(outputs, Mapping):
            whole[name] = part
        else:
            object.__setattr__(whole, name, part)
    return whole


def _parts(outputs: Any) -> dict[Any, Any] | None:
    """The parts of outputs, by name or place; None for what cannot be taken apart."""
    if isinstance(outputs, (tuple, list)):
        names = getattr(outputs, "_fields", range(len(outputs)))
        return dict(zip(names, outputs, strict=True))
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if dataclasses.is_dataclass(outputs):
        return {f.name: getattr(outputs, f.name) for f in dataclasses.fields(outputs)}
    if isinstance(outputs, (str, bytes, int, float)) or not hasattr(outputs, "__dict__"):
        return None
    return dict(vars(outputs))
