"""K networks of one shape as one: every parameter, buffer and result has K slices."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.errors import RequestError
from sgdscope.models import Dropout, Normalise, Residual
from sgdscope.training.layouts import LAYOUTS, Layout, Variant


class Stack(nn.Module):
    """K networks side by side, from images (K, B, C, H, W) to logits (K, B, classes).

    Parameters and buffers have the names of a single network's and K slices.
    """

    def __init__(self, network: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.network = network
        self.layout = layout

    def forward(self, images: Tensor) -> Tensor:
        """Each network's logits for its own images."""
        scores: Tensor = self.network(self.layout.join(images))
        return scores

    def bind_dropout(self, step: Tensor) -> None:
        """Make the dropout masks follow the step counter; their keys are those of the networks."""
        for layer in self.modules():
            if isinstance(layer, _Dropout):
                layer.step = step


def stack(models: Sequence[nn.Module], *, variant: Variant) -> Stack:
    """Copy networks of one shape into one.

    Args:
        models: K networks that differ in the values of their tensors alone.
        variant: how convolutions are carried out, ``"grouped"`` or ``"im2col"``.

    Raises:
        RequestError: a layer cannot be stacked, or the networks differ in shape.
    """
    for model in models:
        _refuse_what_would_be_lost(model)
    layout = LAYOUTS[variant](len(models))
    return Stack(_stack(models, layout, where="network"), layout).train(models[0].training)


def _refuse_what_would_be_lost(model: nn.Module) -> None:
    """Refuse ties, frozen weights and hooks: layers are stacked one by one, and all trained."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            raise RequestError(
                f"network.{name}: requires no gradient and cannot be stacked; expected weights "
                "that are all trained"
            )
    if len(list(model.named_parameters(remove_duplicate=False))) > len(list(model.parameters())):
        raise RequestError("network: cannot be stacked; expected a tensor for each of its weights")
    for name, owner in (*model.named_modules(), *model.named_parameters()):
        if any(getattr(owner, hooks, None) for hooks in _HOOKS):
            raise RequestError(
                f"network.{name}: cannot be stacked; expected layers and weights without hooks"
            )


@torch.no_grad()
def unstack(stacked: Stack, models: Sequence[nn.Module]) -> None:
    """Copy each slice's parameters and buffers back into its network."""
    slices = stacked.network.state_dict()
    for number, model in enumerate(models):
        for name, tensor in model.state_dict().items():
            tensor.copy_(slices[name][number])


def _stack(modules: Sequence[nn.Module], layout: Layout, *, where: str) -> nn.Module:
    first = modules[0]
    kind = type(first)
    if len({_signature(module) for module in modules}) > 1:
        raise RequestError(f"{where}: networks of different shapes; expected all alike")
    if kind in _CONTAINERS:
        whole = kind.__new__(kind)
        nn.Module.__init__(whole)
        for name in first._modules:  # children() leaves out a layer that is used again
            parts = [getattr(module, name) for module in modules]
            whole.add_module(name, _stack(parts, layout, where=f"{where}.{name}"))
        return whole
    if kind in _ALIKE:
        return copy.deepcopy(first)
    if kind not in _STACKED:
        raise RequestError(
            f"{where} = {first}: cannot be stacked; expected one of "
            + ", ".join(sorted(kind.__name__ for kind in (*_CONTAINERS, *_ALIKE, *_STACKED)))
        )
    try:
        return _STACKED[kind](modules, layout)
    except _UnsupportedError as error:
        raise RequestError(f"{where} = {first}: cannot be stacked; expected {error}") from None


def _signature(module: nn.Module) -> tuple[type[nn.Module], object]:
    """What must be equal in all networks; of a container only its parts' names."""
    return type(module), tuple(module._modules) or repr(module)


class _UnsupportedError(Exception):
    """A layer's settings cannot be stacked; the message says which can."""


class _Layer(nn.Module):
    """A layer whose parameters and buffers are those of K layers, one slice each."""

    def __init__(self, layers: Sequence[nn.Module], layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        for name, parameter in layers[0]._parameters.items():
            joined = None if parameter is None else nn.Parameter(_joined(layers, name))
            self.register_parameter(name, joined)
        for name, _ in layers[0].named_buffers(recurse=False):
            self.register_buffer(name, _joined(layers, name))


def _joined(layers: Sequence[nn.Module], name: str) -> Tensor:
    slices = [getattr(layer, name).detach().contiguous() for layer in layers]
    return torch.stack(slices).contiguous()


class _Conv2d(_Layer):
    weight: Tensor  # (K, O, C, h, w)
    bias: Tensor | None  # (K, O)

    def __init__(self, layers: Sequence[nn.Conv2d], layout: Layout) -> None:
        first = layers[0]
        plain = first.padding_mode == "zeros" and first.groups == 1 and first.dilation == (1, 1)
        if not plain or isinstance(first.padding, str):
            raise _UnsupportedError("zero padding in numbers, no groups, no dilation")
        super().__init__(layers, layout)
        (down, right), (below, beside) = first.stride, first.padding
        self.stride, self.padding = (down, right), (int(below), int(beside))

    def forward(self, x: Tensor) -> Tensor:
        return self.layout.convolve(
            x, self.weight, self.bias, stride=self.stride, padding=self.padding
        )


class _Linear(_Layer):
    weight: Tensor  # (K, O, F)
    bias: Tensor | None  # (K, O)

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, F) to (K, B, O)."""
        weight = self.weight.transpose(1, 2)
        if self.bias is None:
            return torch.bmm(x, weight)
        return torch.baddbmm(self.bias[:, None], x, weight)


class _BatchNorm2d(_Layer):
    weight: Tensor  # all four (K, C)
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor  # (K,)

    def __init__(self, layers: Sequence[nn.BatchNorm2d], layout: Layout) -> None:
        first = layers[0]
        if not (first.affine and first.track_running_stats and first.momentum is not None):
            raise _UnsupportedError("an affine map and running statistics with a momentum")
        super().__init__(layers, layout)
        self.momentum, self.eps = first.momentum, first.eps

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked += 1
        normal = F.batch_norm(
            self.layout.by_channel(x),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.flatten(),
            self.bias.flatten(),
            self.training,
            self.momentum,
            self.eps,
        )
        return normal.view_as(x)


class _Normalise(_Layer):
    mean: Tensor  # (K, 1, C, 1, 1), as std
    std: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.layout.channels(self.mean)) / self.layout.channels(self.std)


class _Flatten(_Layer):
    def __init__(self, layers: Sequence[nn.Flatten], layout: Layout) -> None:
        if (layers[0].start_dim, layers[0].end_dim) != (1, -1):
            raise _UnsupportedError("start_dim=1 and end_dim=-1")
        super().__init__(layers, layout)

    def forward(self, x: Tensor) -> Tensor:
        """To (K, B, C·H·W)."""
        return self.layout.split(x).flatten(2)


class _Dropout(_Layer):
    """The masks are those that each network would draw alone."""

    def __init__(self, layers: Sequence[Dropout], layout: Layout) -> None:
        super().__init__(layers, layout)
        self.p = layers[0].p
        keys = [layer.key for layer in layers if layer.key is not None]
        self.keys = torch.stack(keys) if len(keys) == len(layers) else None  # (K,)
        self.step: Tensor | None = None  # () int64

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.keys is None or self.step is None:
            return F.dropout(x, self.p, self.training)
        images = x if x.dim() == 3 else self.layout.split(x)
        shape = images.shape[1:]
        places = streams.place(self.keys, self.step).view(-1, *[1] * len(shape))
        kept = streams.draw(places, streams.elements(shape, x.device)) >= self.p
        return x * (kept if x.dim() == 3 else self.layout.join(kept)) / (1 - self.p)


_HOOKS = ["_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"]
_HOOKS += ["_post_accumulate_grad_hooks"]  # of weights alone, as backward hooks are of both
_CONTAINERS: set[type[nn.Module]] = {nn.Sequential, Residual}
_ALIKE: set[type[nn.Module]] = {nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Identity}
_STACKED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Conv2d: _Conv2d,
    nn.Linear: _Linear,
    nn.BatchNorm2d: _BatchNorm2d,
    Normalise: _Normalise,
    nn.Flatten: _Flatten,
    Dropout: _Dropout,
}
