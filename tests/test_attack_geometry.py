"""Distances and places that can be computed exactly: the ball, the cube, and linear networks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from sgdscope.attacks import apgd, ball, pgd, smallest_eps
from sgdscope.attacks.points import Norm

BISECTIONS = 100


def linear(classes: int, dtype: torch.dtype = torch.float64) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, classes, dtype=dtype)).eval()


def images(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Many of their pixels are black or white, which can move one way only."""
    return (torch.rand(count, 1, 6, 6, dtype=dtype) * 2 - 0.5).clamp(0, 1)


def answers(network: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return network(inputs).argmax(1)


def farness(slope: Tensor, gap: Tensor, x: Tensor, norm: Norm) -> Tensor:
    """(N,): how far from x (N, D) a linear loss has gained ``gap`` in the cube, by bisection."""
    low, high = torch.zeros_like(gap), torch.full_like(gap, 1e4)
    way = slope.sign() if norm == "linf" else slope

    def moved(factor: Tensor) -> Tensor:
        return torch.clamp(way * factor[:, None], -x, 1 - x)

    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = (slope * moved(middle)).sum(1) >= gap
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    distance = moved(high).norm(math.inf if norm == "linf" else 2, dim=1)
    return torch.where((slope * moved(high)).sum(1) >= gap - 1e-9, distance, torch.inf)


def distances(network: nn.Module, inputs: Tensor, norm: Norm) -> Tensor:
    """(N,): of a linear network's nearest boundary within the cube."""
    with torch.no_grad():
        weight, logits = network[1].weight, network(inputs)
        top = logits.argmax(1)
        found = torch.full_like(logits, torch.inf)
        for other in range(logits.shape[1]):
            slope, gap = weight[other] - weight[top], logits.amax(1) - logits[:, other]
            found[:, other] = farness(slope, gap, inputs.flatten(1), norm)
        return found.scatter(1, top[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_clipping_in_l2_is_the_nearest_place_in_both_the_ball_and_the_cube(dtype):
    origin = images(100, dtype)
    outside = origin + torch.randn_like(origin) * torch.rand(100, 1, 1, 1, dtype=dtype) * 2
    eps = torch.rand(100, dtype=dtype) * 3
    found = ball.clip(outside, origin, eps, "l2")
    length = (found - origin).flatten(1).norm(dim=1)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert (length <= eps + 1e-6).all()
    in_cube = outside.clamp(0, 1)
    far = (in_cube - origin).flatten(1).norm(dim=1) > eps
    assert 20 < far.sum() < 90
    assert torch.allclose(length[far], eps[far], rtol=tolerance, atol=1e-6)
    assert torch.allclose(found[~far], in_cube[~far], atol=tolerance)
    # nearest: from there no way to another place in the set leads towards ``outside``
    for _ in range(20):
        elsewhere = torch.rand_like(origin)
        away = elsewhere - origin
        shrink = (eps / away.flatten(1).norm(dim=1)).clamp_max(1)
        elsewhere = origin + away * shrink.view(-1, 1, 1, 1)
        towards = ((outside - found) * (elsewhere - found)).flatten(1).sum(1)
        assert (towards <= 10 * tolerance).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_crossing_is_the_nearest_place_where_a_linear_loss_has_gained_enough(norm):
    inputs = images(200)
    slope = torch.randn_like(inputs)
    most = (slope * torch.where(slope > 0, 1 - inputs, -inputs)).flatten(1).sum(1)
    share = torch.linspace(0.01, 1.2, 200, dtype=torch.float64)
    place, distance = ball.crossing(slope, share * most, inputs, norm)
    exact = farness(slope.flatten(1), share * most, inputs.flatten(1), norm)
    assert torch.equal(distance.isinf(), exact.isinf())
    assert torch.equal(distance.isinf(), share > 1)
    near = share <= 1
    assert torch.allclose(distance[near], exact[near], rtol=1e-4)
    gained = (slope * (place - inputs)).flatten(1).sum(1)
    assert torch.allclose(gained[near], (share * most)[near], rtol=1e-5)
    assert torch.allclose(ball.length(place - inputs, norm)[near], distance[near])


@pytest.mark.parametrize("attack", [pgd, apgd])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_linear_network_falls_at_its_distance_though_pixels_stop(norm, attack):
    network, inputs = linear(2), images(200)
    labels = answers(network, inputs)
    exact = distances(network, inputs, norm)
    radii = (exact.sort().values[30::60] * 1.002).tolist()
    for result in attack(network, inputs, labels, eps=radii, norm=norm, steps=100):
        clear = (exact / result.eps - 1).abs() > 1e-3
        assert torch.equal(result.fooled[clear], (exact <= result.eps)[clear])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_smallest_eps_of_a_linear_network_lies_in_its_bracket(norm, classes, dtype):
    network, inputs = linear(classes, dtype), images(80, dtype)
    labels = answers(network, inputs)
    exact = distances(network.double(), inputs.double(), norm)
    network.to(dtype)
    found = smallest_eps(network, inputs, labels, norm=norm)
    assert exact.isfinite().sum() > 70
    assert torch.equal(found.fools.isinf(), exact.isinf())
    near = exact.isfinite()
    assert (found.holds[near] <= exact[near]).all()
    rounding = 1e-6 if dtype == torch.float64 else 1e-4
    assert (exact[near] <= found.fools[near] * (1 + rounding)).all()
    assert (found.fools[near] <= 1.01 * exact[near]).all()
    assert (found.holds[near] >= 0.98 * found.fools[near]).all()
    alone = smallest_eps(network, inputs, labels, norm=norm, median_only=True)
    middle = exact.quantile(0.5, interpolation="higher").item()
    for brackets in (found, alone):
        assert brackets.median_holds <= middle <= brackets.median * (1 + rounding)
        assert brackets.median <= 1.01 * middle
