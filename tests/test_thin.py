"""The fast input gradient of a thin convolution is torch's own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import vmap
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from victims import curved, images

from sgdscope.attacks.checks import checked
from sgdscope.attacks.losses import LOSSES
from sgdscope.attacks.points import Points
from sgdscope.attacks.victim import frozen, thin_agrees
from sgdscope.kernels.input_gradient import ThinConvolutions

Layer = Callable[[Tensor], Tensor]


def gradients(layer: Layer, inputs: Tensor) -> tuple[Tensor, Tensor, str]:
    """Within the context: the output, the input's gradient, and who computed it."""
    inputs = inputs.clone().requires_grad_()
    with ThinConvolutions():
        outputs = layer(inputs)
    weights = torch.linspace(-1, 2, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    by = type(outputs.grad_fn).__name__
    (slope,) = torch.autograd.grad(outputs, inputs, weights)
    return outputs, slope, by


def expected(layer: Layer, inputs: Tensor) -> tuple[Tensor, Tensor]:
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


@pytest.mark.parametrize("padding", [0, 1, (1,), [1], (0, 2)])
def test_padding_is_read_as_torch_reads_it(padding):
    layer = nn.Conv2d(2, 4, 3).double().requires_grad_(False)
    inputs = torch.randn(3, 2, 9, 8, dtype=torch.float64)

    def padded(x: Tensor) -> Tensor:
        return F.conv2d(x, layer.weight, layer.bias, padding=padding)

    outputs, slope, by = gradients(padded, inputs)
    assert "Thin" in by
    torch.testing.assert_close((outputs, slope), expected(padded, inputs))


def purifying(network: nn.Module) -> Layer:
    """One step of gradient ascent on the network's own confidence, then its answer."""

    def purified(x: Tensor) -> Tensor:
        chances = network(x).logsumexp(1).sum()
        (slope,) = torch.autograd.grad(chances, x, create_graph=True)
        return network(x + 10 * slope)

    return purified


def mapped(network: nn.Module) -> Layer:
    return lambda x: vmap(lambda one: network(x * one))(torch.tensor([1.0, 2.0])).sum(0)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "made",
    [
        purifying,
        mapped,
        lambda network: lambda x: checkpoint(network, x, use_reentrant=False),
        lambda network: lambda x: torch.func.jvp(network, (x,), (x,))[1],
        lambda network: lambda x: torch.func.grad(lambda y: network(y).logsumexp(1).sum())(x),
    ],
)
def test_a_network_may_differentiate_map_and_recompute_its_layers(made):
    layers = nn.Conv2d(1, 6, 3), nn.Softplus(), nn.Flatten(), nn.Linear(252, 4)
    network = made(nn.Sequential(*layers).double().requires_grad_(False))
    inputs = torch.randn(5, 1, 9, 8, dtype=torch.float64)
    outputs, slope, _ = gradients(network, inputs)
    torch.testing.assert_close((outputs, slope), expected(network, inputs), rtol=1e-10, atol=1e-10)


class Directional(nn.Module):
    """Classifies by how its layers change along the input, which they compute in forward mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = curved(classes=5)

    def forward(self, x: Tensor) -> Tensor:
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(self.layers(forward_ad.make_dual(x, x.detach()))).tangent


class Forgetful(nn.Module):
    """Detaches what a function of its own has computed, and does not what torch has."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = curved(classes=5)

    def forward(self, x: Tensor) -> Tensor:
        found = self.layers[0](x)
        found = found.detach() + found.sum() if "Thin" in type(found.grad_fn).__name__ else found
        return self.layers[1:](found)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("made", [Directional, Forgetful])
def test_where_the_gradient_would_be_another_an_attack_takes_torchs(made):
    network, inputs = made().eval(), images(20)
    assert not thin_agrees(network, inputs)
    labels = network(inputs).detach().argmax(1)
    now = inputs.clone().requires_grad_()
    loss = F.cross_entropy(network(now), labels, reduction="sum")
    points = Points(inputs, labels, torch.arange(20), inputs)
    with frozen(network):
        victim = checked(network, inputs, labels).victim
        _, slope = victim.gradients(inputs, points, LOSSES["cross_entropy"])
    torch.testing.assert_close(slope, torch.autograd.grad(loss, now)[0])
    assert slope.any()


def test_an_ordinary_networks_gradient_is_the_same_and_the_network_as_it_was():
    network, inputs = curved().train(), images(20)
    before = torch.get_rng_state()
    assert thin_agrees(nn.Sequential(network, nn.Dropout()), inputs)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_an_unbatched_image_is_left_alone():
    layer = nn.Conv2d(1, 4, 3).requires_grad_(False)
    _, _, by = gradients(layer, torch.randn(1, 9, 8))
    assert "Thin" not in by
