"""What an operator is: a symmetric matrix known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from sgdscope.errors import RequestError

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, labels) → their mean loss, ()

CHUNK = 200  # examples per pass, where no graph is kept


class Operator(Protocol):
    """A symmetric matrix, (size, size), or a batch of them, known by products with vectors."""

    size: int
    examples: int
    products: int  # with one vector each, since the operator was made
    dtype: torch.dtype
    device: torch.device

    @property
    def batch(self) -> tuple[int, ...]:
        """How many matrices; () for one."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """(…, size, k) to the same shape, with ``batch`` in front."""

    def part(self) -> Operator | None:
        """Nearly the same matrix at less cost, to find a sketch on; None if there is none."""


def require_evaluation_mode(model: nn.Module) -> None:
    """Raise RequestError if any part of the network is in training mode."""
    for name, module in model.named_modules():
        if module.training:
            raise RequestError(
                f"the network is in training mode ({name or 'the whole'}: "
                f"{type(module).__name__}), where its loss is not a function of its parameters "
                "alone; call model.eval() first"
            )


def require_examples(inputs: Tensor, labels: Tensor) -> None:
    """Raise RequestError unless there are as many inputs as labels, and some."""
    if len(inputs) == 0 or len(inputs) != len(labels):
        raise RequestError(
            f"{len(inputs)} inputs and {len(labels)} labels; expected equally many, at least one"
        )


def require_one_matrix(operator: Operator, what: str) -> None:
    """Raise RequestError if the operator is a batch of matrices."""
    if operator.batch:
        raise RequestError(
            f"{what} of a {type(operator).__name__}, which is {operator.batch[0]} matrices; "
            "expected one matrix"
        )


def mean_loss(loss: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """The mean loss, (), of outputs in float64 where the loss takes them.

    A confident network's slopes are differences of nearly equal numbers: in float32 a probability
    of 1 − 1e-7 keeps one digit of the 1e-7, and λ₁ with it.
    """
    if isinstance(outputs, Tensor) and outputs.is_floating_point() and outputs.device.type != "mps":
        try:
            return finite(loss(outputs.double(), labels))
        except RuntimeError:  # it holds weights or targets that must be of the outputs' own dtype
            pass
    return finite(loss(outputs, labels))


def finite(loss: Tensor) -> Tensor:
    """The loss, or RequestError if it is not a finite number."""
    if loss.numel() != 1:
        raise RequestError(
            f"the loss has shape {tuple(loss.shape)}; expected one number, the mean over examples"
        )
    if not loss.isfinite():
        raise RequestError(
            f"the loss is {loss.item()}; expected a finite number: "
            "a network that has diverged has no curvature"
        )
    return loss
