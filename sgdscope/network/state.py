"""The state that calling a network may change: restored afterwards, or copied with it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def copied(network: nn.Module) -> nn.Module:
    """A deep copy, also of a network that keeps what it has computed, detached in the copy.

    Torch copies no tensor that has a graph: activations kept for later, ``weight_norm``'s weight.
    """
    with _Detaching():
        return copy.deepcopy(network)


class _Detaching(TorchFunctionMode):
    def __torch_function__(
        self, called: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if called is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            return memo.setdefault(id(tensor), tensor.detach().clone())
        return called(*args, **(kwargs or {}))


@dataclass
class Touched:
    """What had changed, filled in when :func:`untouched` ends."""

    tensors: list[str] = field(default_factory=list)  # names of parameters and buffers
    modes: list[str] = field(default_factory=list)  # names of modules
    randomness: bool = False  # numbers were drawn from a global stream, or it was seeded


@contextmanager
def untouched(model: nn.Module) -> Iterator[Touched]:
    """Restore a network and the global random streams afterwards, and report what had changed."""
    touched = Touched()
    modes = {name: module.training for name, module in model.named_modules()}
    kept = [_Kept(*place) for place in _places(model)]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    streams = _streams(model)
    try:
        yield touched
    finally:
        for name, module in model.named_modules():
            if name in modes and module.training != modes[name]:
                touched.modes.append(name or "the whole")
                module.training = modes[name]
        touched.tensors = [one.name for one in kept if one.restore()]
        for parameter, gradient in gradients:
            parameter.grad = gradient
        touched.randomness = not _alike(
            [state for _, state in streams], [state for _, state in _streams(model)]
        )
        for put_back, state in streams:
            put_back(state)


def _places(model: nn.Module) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Where parameters and buffers are kept: full name, container, key in it."""
    for name, module in model.named_modules():
        for holder in (module._parameters, module._buffers):
            # A scripted module's tensors stay where they are, and its holders are no dictionaries.
            kept = holder if isinstance(holder, dict) else dict(holder.items())
            for key, tensor in kept.items():
                if tensor is not None:
                    yield f"{name}.{key}".lstrip("."), kept, key


class _Kept:
    """A parameter or buffer as it was."""

    def __init__(self, name: str, holder: dict[str, Any], key: str) -> None:
        self.name, self._holder, self._key = name, holder, key
        self._tensor: Tensor = holder[key]
        self._value = self._tensor.detach().clone()

    def restore(self) -> bool:
        """Restore it; whether that changed anything."""
        now = self._holder.get(self._key)
        if isinstance(now, Tensor) and _same(now, self._value):
            return False
        with torch.no_grad():
            if self._tensor.shape == self._value.shape:
                self._tensor.copy_(self._value)
            else:
                self._tensor.set_(self._value)
        self._holder[self._key] = self._tensor
        return True


def _same(left: Tensor, right: Tensor) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return bool(((left == right) | ((left != left) & (right != right))).all())


Stream = tuple[Callable[[Any], object], Any]  # the function that restores a state, and the state


def _streams(model: nn.Module) -> list[Stream]:
    """The states of the global random generators, and of those that modules hold."""
    found: list[Stream] = [
        (torch.set_rng_state, torch.get_rng_state()),
        (np.random.set_state, np.random.get_state()),
        (random.setstate, random.getstate()),
    ]
    if torch.cuda.is_available():
        found.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    for module in model.modules():
        for value in vars(module).values():
            found += _stream(value)
    return found


def _stream(value: object) -> list[Stream]:
    if isinstance(value, torch.Generator):
        return [(value.set_state, value.get_state())]
    if isinstance(value, random.Random):
        return [(value.setstate, value.getstate())]
    if isinstance(value, np.random.RandomState):
        return [(value.set_state, value.get_state())]
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return [(lambda state: setattr(bits, "state", state), bits.state)]
    return []


def _alike(left: Any, right: Any) -> bool:
    """Whether two states are equal, whatever they are made of."""
    if isinstance(left, dict):
        return all(_alike(left[key], right.get(key)) for key in left)
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(map(_alike, left, right))
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    return bool(left == right)
