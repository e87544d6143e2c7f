"""The interface of optimizers: options in, updates of a network's parameters out."""

from __future__ import annotations

import io
import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sgdscope.errors import RequestError
from sgdscope.registry import Registry
from sgdscope.settings import Settings


class Optimizer(Settings, ABC):
    """How an update follows from gradients; the fields are its options in a study file."""

    symbols: ClassVar[Mapping[str, str]] = {}  # of options, as labels write them

    @abstractmethod
    def bind(self, parameters: Sequence[nn.Parameter]) -> Updates:
        """A new sequence of updates of these parameters."""

    @classmethod
    def stack(cls, members: Sequence[Updates]) -> StackedUpdates | None:
        """Updates of several networks as one; None if there is no stacked rule."""
        return None

    def noise_factor(self) -> float:
        """The factor that turns lr·N/B into SGD's noise scale; NaN if unknown."""
        return math.nan

    def stability_limit(self, learning_rate: float) -> float:
        """The largest λ₁ at which full-batch updates are stable; NaN if unknown."""
        return math.nan


OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer")


class Updates:
    """Updates of a network's parameters by a ``torch.optim`` optimizer."""

    def __init__(self, rule: torch.optim.Optimizer) -> None:
        self.rule = rule
        self.parameters = [p for group in rule.param_groups for p in group["params"]]
        self._options = [dict(group) for group in rule.state_dict()["param_groups"]]

    def set_learning_rate(self, value: float) -> None:
        """Set the learning rate of the next updates."""
        for group in self.rule.param_groups:
            group["lr"] = value

    def switch(self, *, training: bool) -> None:
        """Switch the parameters between those to train and those to measure, if the rule has both.

        Schedule-free optimizers take gradients at one point and return another.
        """
        turn = getattr(self.rule, "train" if training else "eval", None)
        if turn is not None:
            turn()

    def zero_gradients(self) -> None:
        """Clear the gradients of the last update."""
        self.rule.zero_grad()

    def step(self) -> None:
        """One update from the parameters' gradients."""
        self.rule.step()

    def state(self) -> dict[str, Tensor]:
        """All that updates need to resume, by name; numbers are zero-dimensional tensors."""
        kept = self.rule.state_dict()
        if not _is_flat(kept["state"]):
            return {WHOLE: _as_bytes(kept)}
        values = {
            f"{n}.{key}" if isinstance(v, Tensor) else f"{NUMBER}{n}.{key}": v
            for n, own in kept["state"].items()
            for key, v in own.items()
        }
        for n, (group, before) in enumerate(zip(kept["param_groups"], self._options, strict=True)):
            changed = {key: v for key, v in group.items() if key != "lr" and v != before.get(key)}
            values |= {f"group{n}.{key}": value for key, value in changed.items()}
        return {k: _as_tensor(v) for k, v in values.items() if isinstance(v, SIMPLE)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Resume from a state; all that follows is bit-identical to an uninterrupted training."""
        if WHOLE in state:
            self._load(_from_bytes(state[WHOLE]))
            return
        kept = self.rule.state_dict()
        for key, value in state.items():
            place, name = key.split(".", 1)
            if place.startswith("group"):
                group = kept["param_groups"][int(place.removeprefix("group"))]
                group[name] = value.item() if value.ndim == 0 else value
                continue
            if place.startswith(NUMBER):
                number = int(place.removeprefix(NUMBER))
                kept["state"].setdefault(number, {})[name] = value.item()
                continue
            like = self.parameters[int(place)]
            if value.shape == like.shape:  # in its memory format too, which fused updates expect
                value = torch.empty_like(like, requires_grad=False).copy_(value)
            kept["state"].setdefault(int(place), {})[name] = value
        self._load(kept)

    def _load(self, kept: dict[str, Any]) -> None:
        self.rule.load_state_dict(kept)
        # Torch casts a parameter's state to the parameter's type.
        of_parameters = {n: own for n, own in kept["state"].items() if isinstance(n, int)}
        for n, own in of_parameters.items():
            for name, value in own.items():
                if isinstance(value, Tensor):
                    loaded = self.rule.state[self.parameters[n]]
                    loaded[name] = value.to(loaded[name].device)


NUMBER = "number"  # begins the name of a parameter's number, which comes back as one
WHOLE = "pickled"  # the key of a state with more than tensors and numbers for each parameter
SIMPLE = Tensor | int | float


def _is_flat(state: Mapping[Any, Any]) -> bool:
    return all(
        isinstance(n, int)
        and isinstance(own, dict)
        and all(isinstance(value, SIMPLE) for value in own.values())
        for n, own in state.items()
    )


def _as_bytes(kept: Any) -> Tensor:
    file = io.BytesIO()
    torch.save(kept, file)
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def _from_bytes(content: Tensor) -> Any:
    try:
        return torch.load(io.BytesIO(content.cpu().numpy().tobytes()), weights_only=True)
    except pickle.UnpicklingError as error:
        raise RequestError(
            "its state has objects of other kinds; expected tensors, numbers and lists"
        ) from error


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)


class StackedUpdates(ABC):
    """Updates of K networks at once, each with its own options and learning rate."""

    state: Sequence[Tensor]  # every tensor that an update changes, in place

    @abstractmethod
    def step(self, weights: Tensor, gradients: Tensor, *, rates: Tensor) -> None:
        """One update in place.

        Args:
            weights: (K, P), every parameter of each network in a row.
            gradients: (K, P).
            rates: (K, 1), learning rates.
        """

    @abstractmethod
    def hand_back(self) -> None:
        """Update every member's own state."""
