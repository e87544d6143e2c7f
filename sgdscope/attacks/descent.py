"""FGSM, BIM and PGD: steps along the gradient, each brought back into the ball and into [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sgdscope import streams
from sgdscope.attacks.losses import LOSSES, Loss
from sgdscope.attacks.points import Attacked, Norm, Points, frozen, gradients, logits


def fgsm(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Sequence[float],
    loss: Loss = "cross_entropy",
    norm: Norm = "linf",
    targets: Tensor | None = None,
) -> list[Attacked]:
    """One step of the whole eps along the gradient (Goodfellow et al. 2015).

    Args:
        model: evaluation mode; pixels in [0, 1] to logits.
        inputs: (N, …) in [0, 1].
        labels: (N,) int64.
        eps: radii in pixel units; one result each.
        loss: what to increase.
        norm: of the ball.
        targets: (N,) classes to be taken for; without them any wrong answer will do.
    """
    return _descend(model, inputs, labels, eps=eps, loss=loss, norm=norm, targets=targets)


def pgd(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Sequence[float],
    steps: int = 40,
    step_size: float = 1 / 15,
    random_start: bool = True,
    restarts: int = 1,
    loss: Loss = "cross_entropy",
    norm: Norm = "linf",
    targets: Tensor | None = None,
    seed: int = 0,
) -> list[Attacked]:
    """Many small steps (Madry et al. 2018), on the points that FGSM does not fool.

    A point counts as fooled as soon as one iterate fools the network, and what fools it at one eps
    fools it at every larger one: so PGD is never above FGSM, nor an accuracy above that of a
    smaller eps.

    Args:
        model: evaluation mode; pixels in [0, 1] to logits.
        inputs: (N, …) in [0, 1].
        labels: (N,) int64.
        eps: radii in pixel units; one result each.
        steps: steps from each start.
        step_size: of each step, as a multiple of eps.
        random_start: begin uniformly in the ball rather than at the point itself.
        restarts: random starts, each on what the ones before left.
        loss: what to increase.
        norm: of the ball.
        targets: (N,) classes to be taken for; without them any wrong answer will do.
        seed: of the random starts.
    """
    return _descend(
        model, inputs, labels, eps=eps, steps=steps, step_size=step_size,
        starts=restarts, random_start=random_start, loss=loss, norm=norm, targets=targets,
        seed=seed,
    )  # fmt: skip


def _descend(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Sequence[float],
    loss: Loss,
    norm: Norm,
    targets: Tensor | None,
    steps: int = 1,
    step_size: float = 1.0,
    starts: int = 0,
    random_start: bool = False,
    seed: int = 0,
) -> list[Attacked]:
    """From the smallest eps to the largest: one full step, then ``starts`` walks of ``steps``."""
    points = Points(inputs, labels, torch.arange(len(labels), device=labels.device), targets)
    found: dict[float, Attacked] = {}
    with frozen(model):
        scores, slope = gradients(model, inputs, points, LOSSES[loss])
        clean = scores.argmax(1) == labels
        zero = clean & (slope == 0).flatten(1).all(1)
        best, fooled = inputs.clone(), points.fooled(scores) if targets is not None else ~clean
        for radius in sorted(set(eps)):
            left = (~fooled).nonzero().squeeze(1)
            tries = _step(inputs[left], inputs[left], slope[left], radius, 1.0, norm)
            hit = points[left].fooled(logits(model, tries)) if len(left) else fooled[:0]
            best[left] = tries
            fooled[left[hit]] = True
            for start in range(starts):
                left = (~fooled).nonzero().squeeze(1)
                if not len(left) or radius == 0:
                    break
                some = points[left]
                begin = some.inputs
                if random_start:
                    begin = _random(some, radius, norm, seed, start)
                tries, hit = _walk(model, some, begin, radius, steps, step_size, loss, norm)
                best[left] = tries
                fooled[left[hit]] = True
            found[radius] = Attacked(radius, best.clone(), fooled.clone(), clean, zero)
    return [found[radius] for radius in eps]


def _walk(
    model: nn.Module,
    points: Points,
    begin: Tensor,
    eps: float,
    steps: int,
    step_size: float,
    loss: Loss,
    norm: Norm,
) -> tuple[Tensor, Tensor]:
    """Inputs (N, …) and who was fooled (N,), after up to ``steps`` steps from ``begin``."""
    best = begin.clone()
    fooled = torch.zeros_like(points.labels, dtype=torch.bool)
    active = torch.arange(len(points), device=points.labels.device)
    some, now = points, begin
    for _ in range(steps):
        scores, slope = gradients(model, now, some, LOSSES[loss])
        hit = some.fooled(scores)
        best[active[hit]] = now[hit]
        fooled[active[hit]] = True
        left = ~hit
        active, some, now, slope = active[left], some[left], now[left], slope[left]
        if not len(active):
            return best, fooled
        now = _step(some.inputs, now, slope, eps, step_size, norm)
    best[active] = now
    fooled[active] = some.fooled(logits(model, now))
    return best, fooled


def _step(
    origin: Tensor, now: Tensor, slope: Tensor, eps: float, size: float, norm: Norm
) -> Tensor:
    """One step of ``size``·eps along the gradient, then back into the ball and into [0, 1]."""
    if norm == "linf":
        moved = torch.add(now, slope.sign(), alpha=size * eps)
        return torch.clamp(moved, origin - eps, origin + eps).clamp_(0, 1)
    moved = now + _unit(slope) * (size * eps)
    away = moved - origin
    return (origin + away * (eps / _length(away).clamp_min(eps)).nan_to_num(0)).clamp_(0, 1)


def _length(x: Tensor) -> Tensor:
    """ℓ2 norm of each point, shaped to multiply it."""
    lengths: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return lengths.view(-1, *[1] * (x.dim() - 1))


def _unit(x: Tensor) -> Tensor:
    """Each point scaled to ℓ2 length 1; zero stays zero. Tiny gradients do not underflow."""
    largest = x.flatten(1).abs().amax(1).view(-1, *[1] * (x.dim() - 1))
    x = x / largest.clamp_min(torch.finfo(x.dtype).tiny)
    return x / _length(x).clamp_min(torch.finfo(x.dtype).tiny)


def _random(points: Points, eps: float, norm: Norm, seed: int, start: int) -> Tensor:
    """Uniform in the ball, clipped to [0, 1]; a point's start depends on its index alone."""
    x = points.inputs
    pixel = torch.arange(x[0].numel(), device=x.device)
    key = torch.tensor(streams.key(seed, "attack start", start), device=x.device)
    draw = streams.uniform(key, points.index[:, None], pixel).to(x.dtype).view_as(x)
    if norm == "linf":
        return (x + (2 * draw - 1) * eps).clamp_(0, 1)
    normal = torch.special.ndtri(draw.clamp(1e-7, 1 - 1e-7))
    radius = streams.uniform(key, points.index, torch.tensor(-1, device=x.device)).to(x.dtype)
    reach = radius.pow(1 / pixel.numel()).view(-1, *[1] * (x.dim() - 1))
    return (x + _unit(normal) * reach * eps).clamp_(0, 1)
