"""Ways to hide a gradient without making it zero, put on a trained network: none adds robustness.

Each takes a trained network, a sequence of layers, and pixels (N, 1, 28, 28) to logits.
``HELD_OUT`` had no part in choosing what is flagged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Mask = Callable[[Any, Tensor], Tensor]


class Masked(nn.Module):
    """A network behind a mask."""

    def __init__(self, network: nn.Module, mask: Mask) -> None:
        super().__init__()
        self.network, self.mask = network, mask

    def forward(self, x: Tensor) -> Tensor:
        """(N, 10)."""
        return self.mask(self.network, x)


class _Backward(torch.autograd.Function):
    """The identity, but the gradient is changed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.change = change
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return ctx.change(slope), None


backward: Any = _Backward.apply


def leak(x: Tensor, seed: int = 0) -> Tensor:
    """Ten sums of pixels that have nothing to do with the classes."""
    weights = torch.randn(10, x[0].numel(), generator=torch.Generator().manual_seed(seed)) / 28
    return x.flatten(1) @ weights.T


def normal(shape: torch.Size, seed: int) -> Tensor:
    """Fixed random numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def instead(value: Tensor, slope: Tensor) -> Tensor:
    """The value of one with the gradient of the other."""
    return value.detach() + slope - slope.detach()


def hidden(network: Any, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The network with every activation changed."""
    for layer in network:
        x = change(layer(x)) if isinstance(layer, nn.ReLU) else layer(x)
    return x


def energy(x: Tensor) -> Tensor:
    """(N, 1): how much of the image is fine detail."""
    return (x - F.avg_pool2d(x, 3, 1, 1)).abs().mean((1, 2, 3))[:, None]


def winners(a: Tensor) -> Tensor:
    """The largest 15% of activations (Xiao, Zhong and Zheng 2020)."""
    least = a.flatten(1).topk(int(0.15 * a[0].numel()), 1).values[:, -1]
    return a * (a >= least.view(-1, *[1] * (a.dim() - 1)))


def rounded_blocks(x: Tensor, to: float = 0.15, size: int = 4) -> Tensor:
    """As in JPEG: cosine transforms of blocks, rounded."""
    k = torch.arange(size)
    basis = torch.cos(math.pi * (2 * k + 1) * k[:, None] / 2 / size) * (2 / size) ** 0.5
    basis[0] /= 2**0.5
    count = x.shape[2] // size
    blocks = x.view(-1, count, size, count, size).permute(0, 1, 3, 2, 4)
    kept = (basis @ blocks @ basis.T / to).round() * to
    return (basis.T @ kept @ basis).permute(0, 1, 3, 2, 4).reshape(x.shape)


def median(x: Tensor) -> Tensor:
    """Of 3×3 pixels."""
    around = F.unfold(F.pad(x, (1,) * 4, mode="replicate"), 3)
    return around.view(len(x), 9, *x.shape[2:]).median(1).values[:, None]


def blocks_of_means(x: Tensor) -> Tensor:
    """Each 4×4 block at its mean."""
    return F.interpolate(F.avg_pool2d(x, 4), scale_factor=4)


def one_hot(net: Any, x: Tensor) -> Tensor:
    """The answer alone."""
    return F.one_hot(net(x).argmax(1), 10).to(x.dtype)


def hashed(net: Any, x: Tensor) -> Tensor:
    """One bit of the image decides whether the gradient is the network's."""
    bits = ((x * 4096).round().long().flatten(1) * torch.arange(1, 785)).sum(1) % 9973 % 2
    logits = net(x)
    return torch.where(bits[:, None] == 0, logits, logits.detach() + 5 * leak(x))


def detected(net: Any, x: Tensor) -> Tensor:
    """Fine detail is smoothed away, with the gradient."""
    smooth = net(F.avg_pool2d(x, 3, 1, 1).detach()) + 1e-3 * leak(x)
    return torch.where(energy(x) > 0.05, smooth, net(x))


def unsure_only(net: Any, x: Tensor) -> Tensor:
    """A gradient only where two classes are close."""
    logits = net(x)
    first, second = logits.topk(2, 1).values.T
    return torch.where((first - second < 1.5)[:, None], logits, logits.detach() + 1e-3 * leak(x))


def three_levels(net: Any, x: Tensor) -> Tensor:
    """The answer, with one of three confidences."""
    sure = net(x).softmax(1).amax(1, keepdim=True)
    return one_hot(net, x) * (2 + 2 * (sure * 3).round()).detach() + 1e-4 * leak(x, 4)


def top_detached(net: Any, x: Tensor) -> Tensor:
    """No gradient of the answer's own logit."""
    logits = net(x)
    return torch.where(logits == logits.amax(1, keepdim=True), logits.detach(), logits)


def fraction(x: Tensor) -> Tensor:
    return x - x.floor()


TUNED_ON: dict[str, Mask] = {
    "upper half detached": lambda net, x: net(torch.cat([x[:, :, :14].detach(), x[:, :, 14:]], 2)),
    "input detached, pixels leak": lambda net, x: net(x.detach()) + 1e-3 * x.flatten(1)[:, 300:310],
    "logits rounded, they leak": lambda net, x: net(x).round() + 1e-3 * net(x),
    "one-hot, minus logits": lambda net, x: 5 * one_hot(net, x) - 1e-3 * net(x),
    "one-hot, plus linear": lambda net, x: 5 * one_hot(net, x) + 1e-3 * leak(x),
    "steep sigmoid of pixels": lambda net, x: net(torch.sigmoid(60 * (x - 0.5))),
    "3 bits a pixel, linear leak": lambda net, x: (
        net((x * 7).round().detach() / 7) + 1e-3 * leak(x)
    ),
    "thermometer, mirrored backward": lambda net, x: net(
        backward(instead((x * 8).round() / 8, x), lambda g: g.flip(3))
    ),
    "JPEG-like, backward of means": lambda net, x: net(
        instead(rounded_blocks(x), blocks_of_means(x))
    ),
    "median filter": lambda net, x: net(median(x)),
    "logits × 100": lambda net, x: 100 * net(x),
    "tanh of logits": lambda net, x: 6 * torch.tanh(net(x) / 4),
    "clipped logits, linear leak": lambda net, x: (
        net(x).clamp(-6, 6) + 1e-2 * net(x).detach() + 1e-3 * leak(x)
    ),
    "backward: half the signs": lambda net, x: net(
        backward(x, lambda g: g * normal(g.shape[1:], 0).sign())
    ),
    "backward: noise": lambda net, x: net(
        backward(x, lambda g: g + 3 * g.std() * normal(g.shape, int(g.abs().sum() * 1e6) % 9999))
    ),
    "backward: 4 of 5 pixels zero": lambda net, x: net(
        backward(x, lambda g: g * (normal(g.shape[1:], 1) > 0.84))
    ),
    "backward: shuffled": lambda net, x: net(
        backward(x, lambda g: g.flatten(1)[:, normal(torch.Size([784]), 3).argsort()].view_as(g))
    ),
    "ripple of pixels": lambda net, x: net(x + 0.02 * torch.sin(200 * x)),
    "long ripple of pixels": lambda net, x: net(x + 0.03 * torch.sin(90 * x)),
    "ripple of logits": lambda net, x: net(x) + 0.5 * torch.sin(300 * leak(x)),
    "k winners": lambda net, x: hidden(net, x, winners),
    "noise": lambda net, x: net(x + 0.05 * torch.randn_like(x)),
    "random shift": lambda net, x: net(torch.roll(x, torch.randint(-2, 3, (2,)).tolist(), (2, 3))),
    "ripple away from the data": lambda net, x: (
        net(x) + 3 * torch.relu(energy(x) - 0.04) * torch.sin(3e3 * leak(x))
    ),
    "staircase": lambda net, x: net(
        (x * 8).floor() / 8 + 0.0025 * fraction(x * 8) * normal(x.shape[1:], 5).sign()
    ),
    "floor, linear leak": lambda net, x: net((x * 6).floor().detach() / 6) + 1e-3 * leak(x),
    "hashed": hashed,
    "detected": detected,
    "log of floored softmax": lambda net, x: (10 * net(x)).softmax(1).add(1e-6).log(),
    "probabilities × 10": lambda net, x: 10 * (4 * net(x)).softmax(1),
    "logits × 30": lambda net, x: 30 * net(x),
    "backward of another network": lambda net, x: instead(net(x), 3 * leak(x, 7)),
    "step activations, ripple leak": lambda net, x: hidden(
        net, x, lambda a: (a > 0.5).to(a.dtype) + 1e-3 * torch.sin(50 * a)
    ),
    "faint pixels removed": lambda net, x: net(x * (x > 0.12)),
    "steep activations": lambda net, x: hidden(net, x, lambda a: torch.tanh(30 * (a - 0.4))),
    "gradient only where unsure": unsure_only,
    "6 levels a pixel, ripple leak": lambda net, x: net(
        (x * 5).round().detach() / 5 + 1e-2 * torch.sin(80 * x)
    ),
    "logits in steps of 2, linear leak": lambda net, x: (
        (net(x) / 2).round().detach() * 2 + 0.05 * leak(x, 9)
    ),
    "one pixel in ten dropped": lambda net, x: net(F.dropout(x, 0.1, True) * 0.9),
    "backward: border alone": lambda net, x: net(
        backward(x, lambda g: g * (1 - F.pad(torch.ones(22, 22), (3,) * 4)))
    ),
    "backward: half the hidden signs": lambda net, x: hidden(
        net, x, lambda a: backward(a, lambda g: g * normal(g.shape[1:], 2).sign())
    ),
    "one-hot of three confidences": three_levels,
    "ripple of activations": lambda net, x: hidden(net, x, lambda a: a + 0.1 * torch.sin(60 * a)),
    "high bits, low ones leak": lambda net, x: (
        net((x * 8).floor().detach() / 8) + 0.02 * fraction(x * 8).flatten(1)[:, 300:310]
    ),
    "quarter of the pixels detached": lambda net, x: net(
        torch.where(normal(x.shape[1:], 11) < -0.67, x.detach(), x)
    ),
}
HELD_OUT: dict[str, Mask] = {
    "backward: flipped in bright images": lambda net, x: net(
        backward(x, lambda g: torch.where(x.detach().mean((1, 2, 3), True) > 0.3, -g, g))
    ),
    "backward of the mirrored image": lambda net, x: instead(net(x), net(x.flip(3))),
    "backward of other classes": lambda net, x: instead(net(x), net(x).roll(3, 1)),
    "backward: mid-grey pixels alone": lambda net, x: net(
        backward(x, lambda g: g * ((x.detach() - 0.5).abs() < 0.2))
    ),
    "ripple of each logit": lambda net, x: net(x) + 0.8 * torch.sin(25 * net(x)),
    "largest logit detached": top_detached,
    "squashed exponentials": lambda net, x: 1 - (-3 * net(x).relu()).exp() + 1e-4 * net(x),
}
MASKS = TUNED_ON | HELD_OUT
