"""Second derivatives of convolutions at the speed of first ones.

Differentiating a convolution's backward pass, torch obtains the weight's gradient as a convolution
of images by images, which its kernels are slow at. Each term is itself one of the passes that the
kernels are made for; written as such, a Hessian-vector product takes a third less time.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_backward = torch.ops.aten.convolution_backward


class FastConvolutions(TorchFunctionMode):
    """Within this context, two-dimensional convolutions can be differentiated twice at speed."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace ``conv2d`` where the replacement covers the case; leave the rest alone."""
        if func is F.conv2d:
            inputs, weight, bias, *geometry = _arguments(*args, **(kwargs or {}))
            if inputs.dim() == 4 and all(isinstance(part, (tuple, list)) for part in geometry[:3]):
                return _convolve(inputs, weight, bias, *geometry)
        return func(*args, **(kwargs or {}))


def _arguments(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, ...]:
    """The arguments of ``conv2d`` in order."""
    pairs = [
        (part, part) if isinstance(part, int) else part for part in (stride, padding, dilation)
    ]
    return input, weight, bias, *pairs, groups


def _gradients(
    image: Tensor, inputs: Tensor, weight: Tensor, geometry: tuple[Any, ...], *wanted: bool
) -> tuple[Tensor | None, ...]:
    """Gradients of a convolution in its inputs, weight and bias, those that are wanted."""
    stride, padding, dilation, groups = geometry
    sizes = [weight.shape[0]]
    result: tuple[Tensor | None, ...] = _backward(
        image, inputs, weight, sizes, stride, padding, dilation, False, [0, 0], groups, wanted
    )
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.geometry, ctx.biased = geometry, bias is not None
        return F.conv2d(inputs, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, image: Tensor) -> Any:
        inputs, weight = ctx.saved_tensors
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.biased)
        found = _differentiable_gradients(image, inputs, weight, ctx.geometry, wanted)
        return *found, None, None, None, None


class _Gradients(torch.autograd.Function):
    """The three gradients of a convolution; bilinear in each pair of its tensor arguments."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        inputs: Tensor,
        weight: Tensor,
        geometry: tuple[Any, ...],
        wanted: tuple[bool, ...],
    ) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(image, inputs, weight)
        ctx.geometry = geometry
        return _gradients(image, inputs, weight, geometry, *wanted)

    @staticmethod
    def backward(
        ctx: Any, inputs_dot: Tensor | None, weight_dot: Tensor | None, bias_dot: Tensor | None
    ) -> Any:
        image, inputs, weight = ctx.saved_tensors
        image_grad = inputs_grad = weight_grad = None
        if inputs_dot is not None:
            image_grad = F.conv2d(inputs_dot, weight, bias_dot, *ctx.geometry)
            bias_dot = None
            if ctx.needs_input_grad[2]:
                weight_grad = _gradients(
                    image, inputs_dot, weight, ctx.geometry, False, True, False
                )[1]
        if weight_dot is not None:
            moved = F.conv2d(inputs, weight_dot, bias_dot, *ctx.geometry)
            bias_dot = None
            image_grad = moved if image_grad is None else image_grad + moved
            if ctx.needs_input_grad[1]:
                inputs_grad = _gradients(
                    image, inputs, weight_dot, ctx.geometry, True, False, False
                )[0]
        if bias_dot is not None:
            image_grad = bias_dot.view(1, -1, 1, 1).expand_as(image)
        return image_grad, inputs_grad, weight_grad, None, None


_convolve: Callable[..., Tensor] = _Convolution.apply
_differentiable_gradients: Callable[..., tuple[Any, ...]] = _Gradients.apply
