"""Operators: symmetric matrices known only by their products with vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from sgdscope.errors import RequestError, out_of_memory, reason
from sgdscope.network import Network, Preflight, preflight
from sgdscope.network.calling import unhooked, usable
from sgdscope.network.requirements import of_labels

Loss = Callable[[Any, Tensor], Tensor]  # (outputs, labels) → the loss of these examples, ()

CHUNK = 200  # examples per pass, where no graph is kept
NO_FUNCTION = {"random", "batch", "memory"}  # findings that leave no well-defined matrix

Answer = TypeVar("Answer", bound=Any)


class Operator(Protocol):
    """A symmetric matrix, (size, size), or a batch of them, known by products with vectors.

    It may have ``flags``, reasons not to trust it, and ``noise``, the share of a product that is
    not known: a product computed in bfloat16, or one that is not symmetric.
    """

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


class Examples:
    """A network and examples, checked so that their matrix exists.

    Args:
        model: a network in evaluation mode.
        inputs: (N, …).
        labels: (N, …).
        ignored: the label that the loss leaves out, if it is cross-entropy: of logits and, where
            labels are whole, of classes.
        looked: what an earlier look at the same network and examples found.

    Raises:
        RequestError: the network is in training mode or cannot be asked, or there are no examples.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        *,
        ignored: int | None,
        looked: Preflight | None = None,
    ) -> None:
        require_examples(inputs, labels)
        named = ignored is not None and not labels.is_floating_point() and labels.dim() == 1
        self.looked = looked or preflight(model, inputs, pixels=False, logits=named)
        for found in self.looked.findings:
            if found.level == "refuse" and found.name != "finite":  # the loss will say so
                raise RequestError(str(found))
        self.network, self.inputs, self.labels = Network(model), usable(inputs), usable(labels)
        if named:
            self.labels = self.labels.to(torch.int64)
            told = self.labels[self.labels != ignored]
            if len(told) and self.looked.classes is not None:
                for found in of_labels("labels", told, len(told), classes=self.looked.classes):
                    raise RequestError(str(found))
        self.noise = _noise(model, self.inputs, self.looked)
        self.flags = list(self.looked.flags)
        if torch.finfo(torch.float32).eps < self.noise < torch.inf:
            self.flags.append(
                f"the network computes in {precision(model, self.inputs)}, in which products are "
                f"accurate to {self.noise:.1%}; expected float32"
            )


def precision(model: nn.Module, inputs: Tensor) -> torch.dtype:
    """The coarsest floating-point type that the network computes in."""
    dtypes = [p.dtype for p in model.parameters() if p.is_floating_point()]
    if inputs.is_floating_point():
        dtypes.append(inputs.dtype)
    if torch.is_autocast_enabled(inputs.device.type):
        dtypes.append(torch.get_autocast_dtype(inputs.device.type))
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float32)


def _noise(model: nn.Module, inputs: Tensor, looked: Preflight) -> float:
    """The share of a product that rounding leaves unknown."""
    if looked.names() & NO_FUNCTION:
        return torch.inf
    eps: float = torch.finfo(precision(model, inputs)).eps
    return 4 * eps if eps > torch.finfo(torch.float32).eps else 0.0


def trusted(answer: Answer, operator: Operator, tolerance: float) -> Answer:
    """An answer with its operator's flags, converged only if products are exact enough."""
    converged = answer.converged and noise_of(operator) <= tolerance
    flags = tuple(getattr(operator, "flags", ()))
    return replace(answer, converged=converged, flags=flags)


def noise_of(operator: Operator) -> float:
    """The share of its products lost to rounding."""
    return float(getattr(operator, "noise", 0.0))


@contextmanager
def differentiating(parameters: Iterable[Tensor] = ()) -> Iterator[None]:
    """A context in which a layer that lacks a needed derivative is reported in one sentence.

    Args:
        parameters: that are differentiated by; their hooks are not called.
    """
    try:
        with unhooked(parameters):
            yield
    except (RuntimeError, NotImplementedError) as error:
        if out_of_memory(error):
            raise
        raise RequestError(
            f"the network cannot be differentiated as often as curvature needs: {reason(error)}; "
            "expected layers that autograd can differentiate twice"
        ) from error


def refuse_severed(gradients: Any) -> None:
    """Raise RequestError if a layer allows one derivative and silently cuts off the second.

    Args:
        gradients: tensors with a graph, in lists and tuples.
    """
    tensors, nodes, seen = [gradients], [], set()
    while tensors:
        one = tensors.pop()
        if isinstance(one, Tensor):
            nodes.append(one.grad_fn)
        elif isinstance(one, (list, tuple)):
            tensors += one
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        if node.name() == "torch::autograd::Error":
            raise RequestError(
                "a layer of the network is marked once_differentiable; expected layers that "
                "autograd can differentiate as often as curvature needs"
            )
        seen.add(node)
        nodes += [following for following, _ in node.next_functions]


def require_examples(inputs: Tensor, labels: Tensor) -> None:
    """Raise RequestError unless there are as many inputs as labels, and at least one."""
    for name, tensor in (("inputs", inputs), ("labels", labels)):
        if not isinstance(tensor, Tensor):
            raise RequestError(f"{name} are {type(tensor).__name__}; expected a torch.Tensor")
    if inputs.device != labels.device:
        raise RequestError(
            f"inputs are on {inputs.device}, labels on {labels.device}; expected one device"
        )
    if len(inputs) == 0 or len(inputs) != len(labels):
        raise RequestError(
            f"{len(inputs)} inputs and {len(labels)} labels; expected as many labels as inputs, "
            "at least one"
        )


def require_one_matrix(operator: Operator, what: str) -> None:
    """Raise RequestError if the operator is a batch of matrices."""
    if operator.batch:
        raise RequestError(
            f"{what} of a {type(operator).__name__}, which is {operator.batch[0]} matrices; "
            "expected one matrix"
        )
