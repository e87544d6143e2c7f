"""The points within eps of an image that are images themselves: stepping, clipping, starting."""

from __future__ import annotations

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.attacks.points import Norm, Points, spread


def direction(slope: Tensor, norm: Norm) -> Tensor:
    """The step of length 1 along which a linear loss grows most, (N, …); 0 where it is flat."""
    return slope.sign() if norm == "linf" else _unit(slope)


def clip(inputs: Tensor, origin: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """Into the ball of radius ``eps`` (N,) about ``origin`` (N, …), and into [0, 1]."""
    radius = spread(_within(eps, origin, norm), origin)
    if norm == "linf":
        return torch.clamp(inputs, origin - radius, origin + radius).clamp_(0, 1)
    away = inputs - origin
    shrink = torch.where((length := _length(away)) > radius, radius / length, 1.0)
    return (origin + away * shrink).clamp_(0, 1)


def step(
    inputs: Tensor, slope: Tensor, size: Tensor, origin: Tensor, eps: Tensor, norm: Norm
) -> Tensor:
    """From ``inputs`` (N, …) by ``size`` (N,) along the gradient, and back into the ball."""
    moved = inputs + direction(slope, norm) * spread(size, inputs)
    return clip(moved, origin, eps, norm)


def gain(slope: Tensor, at: Tensor, origin: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """The most that a linear loss can gain from ``at``, (N,); for ℓ2 as if pixels had no bounds."""
    radius = spread(eps, origin)
    if norm == "linf":
        lowest, highest = (origin - radius).clamp_(min=0), (origin + radius).clamp_(max=1)
        room = torch.where(slope > 0, highest, lowest).sub_(at)
        return (slope * room).flatten(1).sum(1)
    length: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (slope * (origin - at)).flatten(1).sum(1) + eps * length


def start(points: Points, eps: Tensor, norm: Norm, *, seed: int, number: int) -> Tensor:
    """Uniform in the ball, clipped to [0, 1].

    Depends on the point's index, and on its target where it has one, but not on its company.
    """
    x = points.inputs
    pixel = torch.arange(x[0].numel(), device=x.device)
    key = torch.tensor(streams.key(seed, "attack start", number), device=x.device)
    whose = [points.index] if points.targets is None else [points.index, points.targets]
    draw = streams.uniform(key, *(which[:, None] for which in whose), pixel)
    draw = draw.to(x.dtype).view(x.shape)
    if norm == "linf":
        return (x + (2 * draw - 1) * spread(_within(eps, x, norm), x)).clamp_(0, 1)
    normal = torch.special.ndtri(draw.clamp(1e-7, 1 - 1e-7))
    reach = streams.uniform(key, *whose, torch.tensor(len(pixel), device=x.device))
    radius = _within(eps, x, norm) * reach.pow(1 / len(pixel))
    return (x + _unit(normal) * spread(radius, x)).clamp_(0, 1)


def nearer(inputs: Tensor, origin: Tensor, dtype: torch.dtype) -> Tensor:
    """``inputs`` in another precision, rounded towards ``origin``, which it holds; both (N, …)."""
    rounded = inputs.to(dtype)
    beyond = (rounded.to(inputs.dtype) - origin).abs() > (inputs - origin).abs()
    # Numbers that are not negative are in the order of their bits.
    down = torch.where(rounded.to(inputs.dtype) > origin, 1, -1)
    bits = rounded.view(torch.int16)
    return (bits - (down * beyond).to(torch.int16)).view(dtype)


def _within(eps: Tensor, origin: Tensor, norm: Norm) -> Tensor:
    """Radii so much smaller, (N,), that rounding a pixel does not lead out of the ball."""
    slack = torch.finfo(origin.dtype).eps / 2
    if norm == "l2":
        slack *= origin[0].numel() ** 0.5
    return (eps - slack).clamp_min(0)


def _length(x: Tensor) -> Tensor:
    """ℓ2 norm of each point, shaped to divide it."""
    return spread(torch.linalg.vector_norm(x.flatten(1), dim=1), x)


def _unit(x: Tensor) -> Tensor:
    """Each point at ℓ2 length 1, however tiny its entries; zero stays zero."""
    tiny = torch.finfo(x.dtype).tiny
    x = x / spread(x.flatten(1).abs().amax(1), x).clamp_min(tiny)
    return x / _length(x).clamp_min(tiny)
