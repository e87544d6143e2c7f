"""The fast input gradient of a thin convolution is torch's own."""

import pytest
import torch
from torch import nn

from sgdscope.kernels.input_gradient import ThinConvolutions


def gradients(layer: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Within the context: the output, the input's gradient, and who computed it."""
    inputs = inputs.clone().requires_grad_()
    with ThinConvolutions():
        outputs = layer(inputs)
    weights = torch.linspace(-1, 2, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    by = type(outputs.grad_fn).__name__
    (slope,) = torch.autograd.grad(outputs, inputs, weights)
    return outputs, slope, by


def expected(layer: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = inputs.clone().requires_grad_()
    outputs = layer(inputs)
    weights = torch.linspace(-1, 2, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return outputs, torch.autograd.grad(outputs, inputs, weights)[0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 0), (3, 1), (5, 2), ((3, 5), (2, 1))])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_gradient(channels, kernel, padding, bias, layout):
    layer = (
        nn.Conv2d(channels, 7, kernel, padding=padding, bias=bias).double().requires_grad_(False)
    )
    inputs = torch.randn(5, channels, 9, 8, dtype=torch.float64).to(memory_format=layout)
    outputs, slope, by = gradients(layer, inputs)
    assert "Thin" in by
    torch.testing.assert_close((outputs, slope), expected(layer, inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 4, 3).double(),  # its weights want a gradient
        nn.Conv2d(5, 4, 3).double().requires_grad_(False),
        nn.Conv2d(2, 4, 3, stride=2).double().requires_grad_(False),
        nn.Conv2d(2, 4, 3, dilation=2).double().requires_grad_(False),
        nn.Conv2d(2, 4, 3, groups=2).double().requires_grad_(False),
        nn.Conv2d(2, 4, 3, padding="same").double().requires_grad_(False),
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular").double().requires_grad_(False),
    ],
)
def test_other_convolutions_are_left_alone_or_right_all_the_same(layer):
    inputs = torch.randn(3, layer.in_channels, 9, 8, dtype=torch.float64)
    outputs, slope, by = gradients(layer, inputs)
    torch.testing.assert_close((outputs, slope), expected(layer, inputs))
    assert ("Thin" in by) == (layer.padding_mode == "circular")


def test_an_unbatched_image_is_left_alone():
    layer = nn.Conv2d(1, 4, 3).requires_grad_(False)
    _, _, by = gradients(layer, torch.randn(1, 9, 8))
    assert "Thin" not in by
