"""Statistics with their intervals: right in the middle, and as wide as they should be."""

import numpy as np
import pytest

from sgdscope.claims import statistics

SIZES = np.log2([64, 128, 256, 512, 1024, 2048])


def grid(seeds):
    return np.tile(SIZES, seeds), np.repeat(np.arange(seeds), len(SIZES))


def covered(estimate, truth):
    return estimate.low <= truth <= estimate.high


def test_an_exact_line_has_its_slope_and_no_width():
    x, seeds = grid(2)
    found = statistics.slope(x, 3.0 - 0.5 * x, seeds)
    assert (found.value, found.low, found.high) == pytest.approx((-0.5, -0.5, -0.5))


def test_an_estimate_is_the_same_every_time_and_whatever_came_before():
    x, seeds = grid(3)
    y = np.random.default_rng(1).normal(size=len(x))
    first = statistics.slope(x, y, seeds)
    statistics.rank_correlation(x, y, seeds)
    assert statistics.slope(x, y, seeds) == first


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_the_slopes_interval_holds_the_truth_as_often_as_it_says(seeds):
    generator = np.random.default_rng(seeds)
    x, names = grid(seeds)
    hits = [
        covered(statistics.slope(x, 1 + 0.3 * x + generator.normal(size=len(x)), names), 0.3)
        for _ in range(200)
    ]
    assert 0.90 <= np.mean(hits) <= 0.995


@pytest.mark.parametrize("seeds", [3, 8])
def test_the_slopes_interval_knows_of_seeds_with_slopes_of_their_own(seeds):
    generator = np.random.default_rng(0)
    x, names = grid(seeds)
    hits = []
    for _ in range(150):
        own = 0.3 + generator.normal(size=seeds)
        hits.append(covered(statistics.slope(x, own[names] * (x - 8.5), names), 0.3))
    assert np.mean(hits) >= 0.91


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_means_interval_holds_the_truth_as_often_as_it_says(seeds):
    generator = np.random.default_rng(seeds)
    names = np.repeat(np.arange(seeds), 6)
    hits = [
        covered(statistics.mean(2 + generator.normal(size=6 * seeds), names), 2) for _ in range(200)
    ]
    assert 0.90 <= np.mean(hits) <= 0.995


@pytest.mark.parametrize(
    ("agreeing", "cases", "low", "high"),
    [(6, 6, 0.5407, 1.0), (0, 6, 0.0, 0.4593), (5, 6, 0.3588, 0.9958), (3, 6, 0.1181, 0.8819)],
)
def test_a_share_has_its_exact_interval(agreeing, cases, low, high):
    found = statistics.share(agreeing, cases)
    assert found.value == agreeing / cases
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_rank_correlation_sees_order_alone():
    x, seeds = grid(3)
    found = statistics.rank_correlation(x, -np.exp(x), seeds)
    assert (found.value, found.low, found.high) == pytest.approx((-1, -1, -1))
    nothing = statistics.rank_correlation(x, np.zeros_like(x), seeds)
    assert nothing.value == nothing.low == nothing.high == 0


def test_rank_correlation_of_nothing_but_noise_has_zero_inside():
    generator = np.random.default_rng(3)
    x, seeds = grid(3)
    hits = [
        covered(statistics.rank_correlation(x, generator.normal(size=len(x)), seeds), 0.0)
        for _ in range(100)
    ]
    assert np.mean(hits) >= 0.88
