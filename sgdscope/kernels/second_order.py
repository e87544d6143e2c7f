"""Layers whose second derivatives are no more expensive than they need to be.

When torch differentiates a convolution's backward pass, it computes the weight's gradient as a
convolution of images with images, which its kernels are slow at, although each term is one of the
passes that they are made for. For a ReLU it carries a gradient of zeros along; for BatchNorm it
allows for batch statistics, which evaluation mode does not use. Without all that, a Hessian-vector
product takes an eighth to a third less time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from sgdscope.kernels.convolution import arguments
from sgdscope.kernels.transforms import transforming

_backward = torch.ops.aten.convolution_backward
_recurrent = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """A context in which graphs can be differentiated twice, faster for common layers.

    Of torch's attention kernels, only the plain one has a second derivative.
    """
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), TwiceDifferentiable():
        yield


class TwiceDifferentiable(TorchFunctionMode):
    """A context in which common layers can be differentiated twice, faster."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace a layer if the replacement covers the case; leave others alone."""
        kwargs = kwargs or {}
        replaceable = not transforming()
        if func is F.conv2d and replaceable:
            inputs, weight, bias, *geometry = arguments(*args, **kwargs)
            if inputs.dim() == 4 and all(isinstance(part, (tuple, list)) for part in geometry[:3]):
                return _convolve(*_cast(inputs, weight, bias), *geometry)
        plain = len(args) == 1 and not kwargs.get("inplace")
        if func in (F.relu, torch.relu) and plain and replaceable:
            return _rectify(args[0])
        if func is F.batch_norm:
            return _normalise(func, *args, **kwargs)
        if func is torch._weight_norm:
            return _weight_norm(*args, **kwargs)
        if func in _recurrent:
            with torch.backends.cudnn.flags(enabled=False):  # which has no second derivative
                return func(*args, **kwargs)
        return func(*args, **kwargs)


def _cast(*tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    """The casts that autocast would apply to a convolution's arguments, before they are saved."""
    device = next(tensor.device.type for tensor in tensors if tensor is not None)
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(tensor if tensor is None else tensor.to(dtype) for tensor in tensors)


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """G v / ‖v‖, whose second derivative in torch is not symmetric."""
    return v * (g / torch.norm_except_dim(v, 2, dim))


def _gradients(
    image: Tensor, inputs: Tensor, weight: Tensor, geometry: tuple[Any, ...], *wanted: bool
) -> tuple[Tensor | None, ...]:
    """Gradients of a convolution in its inputs, weight and bias, as needed."""
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


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        outputs = inputs.relu()
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, image: Tensor) -> Tensor:
        (outputs,) = ctx.saved_tensors
        return _gate(image, outputs.detach())


class _Gate(torch.autograd.Function):
    """Passes values where the outputs are positive; linear, and its own derivative."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, outputs: Tensor) -> Tensor:
        ctx.save_for_backward(outputs)
        gated: Tensor = torch.ops.aten.threshold_backward(image, outputs, 0)
        return gated

    @staticmethod
    def backward(ctx: Any, image: Tensor) -> tuple[Tensor, None]:
        (outputs,) = ctx.saved_tensors
        return _gate(image, outputs), None


def _normalise(
    func: Any,
    inputs: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch normalisation: with running statistics, an affine map of each channel."""
    if training or mean is None or variance is None:
        return func(inputs, mean, variance, weight, bias, training, momentum, eps)
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    shift = shift if bias is None else shift + bias
    shape = (1, -1) + (1,) * (inputs.dim() - 2)
    return inputs * scale.view(shape).to(inputs) + shift.view(shape).to(inputs)


_rectify: Callable[..., Tensor] = _Rectified.apply
_gate: Callable[..., Tensor] = _Gate.apply
_convolve: Callable[..., Tensor] = _Convolution.apply
_differentiable_gradients: Callable[..., tuple[Any, ...]] = _Gradients.apply
