"""How a network is called, the same way for every measure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from sgdscope.errors import RequestError, out_of_memory, reason
from sgdscope.network.outputs import logits_of


class Network:
    """A network that gets a copy of its inputs, in the memory layout of its own weights.

    So a network that changes its input in place changes nothing else, and one whose layer does
    ``x.view(…)`` finds strides as plain torch makes them, whatever layout the data are kept in.
    Compiled parts run uncompiled: compiling again for every number of points costs more than it
    gains, and compiled gradients cannot be differentiated. Parts that are trained by several
    processes do not wait for the others, which may not be measuring.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layout = _layout(model)
        self._shared = [m for m in model.modules() if isinstance(m, DistributedDataParallel)]

    def __call__(self, inputs: Tensor, weights: Mapping[str, Tensor] | None = None) -> Any:
        """Its output for (N, …), with other weights if these are given by name.

        Raises:
            RequestError: it fails, other than by running out of memory.
        """
        try:
            with uncompiled(), _alone(self._shared):
                if weights is None:
                    return self.model(self.prepared(inputs))
                return functional_call(self.model, dict(weights), self.prepared(inputs))
        except (Exception, SystemExit) as error:
            if out_of_memory(error):
                raise
            raise RequestError(
                f"the network fails on {len(inputs)} inputs of shape {tuple(inputs.shape[1:])}, "
                f"{inputs.dtype}: {reason(error)}; expected it to take (N, …)"
            ) from error

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, classes), if its output is or contains them."""
        return logits_of(self(inputs))

    def prepared(self, inputs: Tensor) -> Tensor:
        """A copy of the inputs, as the network gets them."""
        layout = self.layout if inputs.dim() == 4 else torch.contiguous_format
        return inputs.clone(memory_format=layout)


def _layout(model: nn.Module) -> torch.memory_format:
    """Channels last where a weight of four dimensions is."""
    last = torch.channels_last
    for weight in model.parameters():
        if weight.dim() == 4 and not weight.is_contiguous():
            return last if weight.is_contiguous(memory_format=last) else torch.contiguous_format
    return torch.contiguous_format


@contextmanager
def _alone(shared: Iterable[DistributedDataParallel]) -> Iterator[None]:
    """A context in which what is wrapped is called instead of the wrapper, which synchronises."""
    for wrapper in shared:
        vars(wrapper)["forward"] = wrapper.module.__call__
    try:
        yield
    finally:
        for wrapper in shared:
            del vars(wrapper)["forward"]


def uncompiled() -> AbstractContextManager[Any]:
    """A context in which code compiled with ``torch.compile`` runs uncompiled."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and the import takes seconds
        return nullcontext()
    eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return eager


@contextmanager
def outside_inference() -> Iterator[None]:
    """A context in which gradients can be taken, even under the caller's ``torch.no_grad()``."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def unhooked(parameters: Iterable[Tensor]) -> Iterator[None]:
    """A context in which hooks on gradients of parameters are not called.

    They clip, mask or log what an optimizer gets; a derivative of the loss has nothing of that.
    """
    kept = [(parameter, parameter._backward_hooks) for parameter in parameters]
    kept = [(parameter, hooks) for parameter, hooks in kept if hooks]
    try:
        for parameter, _ in kept:
            parameter._backward_hooks = None
        yield
    finally:
        for parameter, hooks in kept:
            parameter._backward_hooks = hooks


def usable(tensor: Tensor) -> Tensor:
    """The tensor without its graph, usable by autograd even if it was made in inference mode."""
    tensor = tensor.detach()
    return tensor.clone() if tensor.is_inference() else tensor
