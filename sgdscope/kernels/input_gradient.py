"""Input gradients of convolutions with few input channels, such as a network's first.

On a CPU torch's kernels work on blocks of 16 channels, so that a gradient in one or three of them
is mostly padding. As one matrix product and a sum of shifted planes it takes a half to an eighth of
the time, which is a sixth to a third of an attack's step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

from sgdscope.kernels.convolution import arguments
from sgdscope.kernels.transforms import hooked, transforming

THIN = 4  # channels, at most


class ThinConvolutions(TorchFunctionMode):
    """A context in which frozen convolutions of few channels compute input gradients faster."""

    used = False  # a convolution was replaced

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace a convolution that is thin; leave others alone."""
        kwargs = kwargs or {}
        if func is F.conv2d and not transforming() and not hooked():
            inputs, weight, bias, stride, padding, dilation, groups = arguments(*args, **kwargs)
            dense = tuple(stride) == tuple(dilation) == (1, 1) and groups == 1
            if dense and not isinstance(padding, str) and _is_thin(inputs, weight, bias):
                self.used = True
                return _convolve(inputs, weight, bias, padding)
        return func(*args, **kwargs)


def _is_thin(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    frozen = not weight.requires_grad and (bias is None or not bias.requires_grad)
    on_cpu = inputs.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return frozen and on_cpu and inputs.dim() == 4 and inputs.shape[1] <= THIN


class _ThinConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.padding = inputs.shape, padding
        return F.conv2d(inputs, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        """The gradient (N, C, H, W): the share of each kernel position, shifted and added.

        Where it will be differentiated itself, it is torch's own.
        """
        (weight,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable(ctx.shape, weight, slope, padding=ctx.padding), None, None, None
        count, channels, height, width = ctx.shape
        kernels, _, down, across = weight.shape
        above, aside = ctx.padding
        rows, columns = slope.shape[2:]
        places = weight.permute(1, 2, 3, 0).reshape(-1, kernels)
        planes = places @ slope.permute(0, 2, 3, 1).reshape(-1, kernels).T
        planes = planes.view(channels, down, across, count, rows, columns)
        whole = slope.new_zeros(channels, count, height + 2 * above, width + 2 * aside)
        for y in range(down):
            for x in range(across):
                whole[:, :, y : y + rows, x : x + columns] += planes[:, y, x]
        inner = whole[:, :, above : above + height, aside : aside + width].transpose(0, 1)
        return inner.contiguous(memory_format=torch.channels_last), None, None, None


_convolve: Any = _ThinConvolution.apply
_differentiable: Any = conv2d_input
