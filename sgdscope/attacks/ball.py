"""The points within eps of an image that are images themselves: stepping, clipping, starting."""

from __future__ import annotations

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.attacks.points import Norm, Points, spread

NEWTON = 30  # steps at most; each stops some more pixels at 0 or 1, and ten are hardly ever needed
PRECISION = 1e-6  # relative


def length(away: Tensor, norm: Norm) -> Tensor:
    """(N,), of ``away`` (N, …)."""
    found: Tensor = torch.linalg.vector_norm(
        away.flatten(1), torch.inf if norm == "linf" else 2, dim=1
    )
    return found


def steepest(slope: Tensor, norm: Norm) -> Tensor:
    """How much a linear loss of this slope (N, …) can gain in a ball of radius 1, (N,)."""
    found: Tensor = torch.linalg.vector_norm(slope.flatten(1), 1 if norm == "linf" else 2, dim=1)
    return found


def direction(slope: Tensor, norm: Norm) -> Tensor:
    """The step of length 1 along which a linear loss grows most, (N, …); 0 where it is flat."""
    return slope.sign() if norm == "linf" else _unit(slope)


def clip(inputs: Tensor, origin: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """The nearest place within ``eps`` (N,) of ``origin`` (N, …) and in [0, 1]."""
    radius = _within(eps, origin, norm)
    if norm == "linf":
        radius = spread(radius, origin)
        return torch.clamp(inputs, origin - radius, origin + radius).clamp_(0, 1)
    return (origin + _shortened(inputs - origin, origin, radius)).clamp_(0, 1)


def _shortened(away: Tensor, origin: Tensor, eps: Tensor) -> Tensor:
    """``away`` (N, …) times the largest factor ≤ 1 that keeps it within ``eps`` once clipped.

    This is the point of both the ball and the cube that is nearest to origin + away. Shortening
    ``away`` first and clipping to [0, 1] afterwards stops short of the radius. The squared length
    is a concave, piecewise linear function of the squared factor, so that Newton's steps never
    leave the ball.
    """
    lowest, highest, squares = -origin, 1 - origin, away.square()
    tiny = torch.finfo(away.dtype).tiny
    factor = (eps / length(away, "l2").clamp_min(tiny)).clamp_max(1)
    moved = torch.clamp(away * spread(factor, away), lowest, highest)
    for _ in range(NEWTON):
        room = eps.square() - moved.square().flatten(1).sum(1)
        free = (squares * ((moved > lowest) & (moved < highest))).flatten(1).sum(1)
        open_ = (factor < 1) & (free > 0) & (room > PRECISION * eps.square())
        if not bool(open_.any()):
            break
        longer = (factor.square() + room / free.clamp_min(tiny)).sqrt().clamp_max(1)
        factor = torch.where(open_, longer, factor)
        moved = torch.clamp(away * spread(factor, away), lowest, highest)
    beyond = length(moved, "l2") / eps.clamp_min(tiny)  # 1, but for rounding
    return moved / spread(beyond.clamp_min(1), moved)


def crossing(slope: Tensor, gap: Tensor, origin: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """The nearest place in [0, 1] where a linear loss has gained ``gap`` (N,), and its distance.

    Pixels move along the direction of steepest ascent until they stop at 0 or 1. The gain is a
    concave, piecewise linear function of how far they move; Newton's steps come from below.

    Returns:
        (N, …), and (N,): infinite where the cube is too small.
    """
    lowest, highest, way = -origin, 1 - origin, direction(slope, norm)
    tiny = torch.finfo(slope.dtype).tiny
    factor = gap / (slope * way).flatten(1).sum(1).clamp_min(tiny)
    moved = torch.clamp(way * spread(factor, way), lowest, highest)
    for _ in range(NEWTON):
        lack = gap - (slope * moved).flatten(1).sum(1)
        free = (slope * way * ((moved > lowest) & (moved < highest))).flatten(1).sum(1)
        open_ = (free > 0) & (lack > PRECISION * gap)
        if not bool(open_.any()):
            break
        factor = torch.where(open_, factor + lack / free.clamp_min(tiny), factor)
        moved = torch.clamp(way * spread(factor, way), lowest, highest)
    gained = (slope * moved).flatten(1).sum(1)
    enough = gained >= (1 - 2 * PRECISION) * gap  # not so where a gradient of zero leads nowhere
    distance = torch.where(enough, length(moved, norm), torch.inf)
    return (origin + moved).clamp_(0, 1), distance


def step(
    inputs: Tensor, slope: Tensor, size: Tensor, origin: Tensor, eps: Tensor, norm: Norm
) -> Tensor:
    """From ``inputs`` (N, …) by ``size`` (N,) along the gradient, and back into the ball."""
    moved = inputs + direction(slope, norm) * spread(size, inputs)
    return clip(moved, origin, eps, norm)


def feasible_slope(slope: Tensor, at: Tensor) -> Tensor:
    """The slope (N, …) without the components that push pixels at 0 or 1 out of the cube."""
    return torch.where(((at <= 0) & (slope < 0)) | ((at >= 1) & (slope > 0)), 0, slope)


def gain(slope: Tensor, at: Tensor, origin: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """The most that a linear loss can gain from ``at``, (N,); for ℓ2 as if pixels had no bounds."""
    radius = spread(eps, origin)
    if norm == "linf":
        lowest, highest = (origin - radius).clamp_(min=0), (origin + radius).clamp_(max=1)
        room = torch.where(slope > 0, highest, lowest).sub_(at)
        return (slope * room).flatten(1).sum(1)
    return (slope * (origin - at)).flatten(1).sum(1) + eps * steepest(slope, norm)


def start(points: Points, eps: Tensor, norm: Norm, *, seed: int, number: int) -> Tensor:
    """Uniform in the ball, clipped to [0, 1].

    Depends on the point's index, and on its target if it has one, but not on the rest of the batch.
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


def _unit(x: Tensor) -> Tensor:
    """Each point at ℓ2 length 1, however tiny its entries; zero stays zero."""
    tiny = torch.finfo(x.dtype).tiny
    x = x / spread(x.flatten(1).abs().amax(1), x).clamp_min(tiny)
    return x / spread(length(x, "l2"), x).clamp_min(tiny)
