"""The statistics that claims rest on: each an estimate with a 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from sgdscope import streams

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DRAWS = 2_000
TAILS = (0.025, 0.975)
SEVERAL = 3  # seeds from which resampling them says something; two allow three different draws


@dataclass(frozen=True)
class Estimate:
    """A statistic and the interval that holds its true value in 95 of 100 studies like this one."""

    value: float
    low: float
    high: float


def slope(x: FloatArray, y: FloatArray, seeds: IntArray) -> Estimate:
    """Least-squares slope of y on x: the wider of a bootstrap over runs and one over seeds.

    Over runs, the residuals are resampled; over seeds (from ``SEVERAL`` on), all runs of a seed
    together, so that what a seed does to every run of it counts once.

    Args:
        x: (N,) at least two different values.
        y: (N,) with N > 2.
        seeds: (N,) which seed each point belongs to.
    """
    centred = x - x.mean()
    spread = centred @ centred
    value = float(centred @ y / spread)
    residuals = y - y.mean() - value * centred
    free = len(x) - 2
    drawn = _generator().choice(residuals * np.sqrt(len(x) / free), size=(DRAWS, len(x)))
    low, high = _interval(drawn @ centred / spread) * _widening(free)
    by_seed = _slope_by_seed(x, y, seeds) - value
    if by_seed.size:
        lower, higher = _interval(by_seed) * _widening(len(np.unique(seeds)) - 1)
        low, high = min(low, lower), max(high, higher)
    return Estimate(value, value + low, value + high)


def _slope_by_seed(x: FloatArray, y: FloatArray, seeds: IntArray) -> FloatArray:
    """Slopes of studies whose seeds were drawn from this one's; none where there are too few."""
    weights = _seed_weights(seeds)
    if not weights.size:
        return np.empty(0)
    total = weights.sum(1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    covariance = weights @ (x * y) / total - mean_x * mean_y
    variance = weights @ (x * x) / total - mean_x**2
    drawn = covariance[variance > 0] / variance[variance > 0]
    count = len(np.unique(seeds))
    middle = drawn.mean()
    return np.asarray(middle + (drawn - middle) * np.sqrt(count / (count - 1)))


def mean(values: FloatArray, seeds: IntArray) -> Estimate:
    """Mean of N > 1 values, one for each case and seed: the wider of the two bootstraps."""
    value = float(values.mean())
    free = len(values) - 1
    centred = (values - value) * np.sqrt(len(values) / free)
    drawn = _generator().choice(centred, size=(DRAWS, len(values))).mean(1)
    low, high = _interval(drawn) * _widening(free)
    weights = _seed_weights(seeds)
    if weights.size:
        count = len(np.unique(seeds))
        by_seed = (weights @ values / weights.sum(1) - value) * np.sqrt(count / (count - 1))
        lower, higher = _interval(by_seed) * _widening(count - 1)
        low, high = min(low, lower), max(high, higher)
    return Estimate(value, value + low, value + high)


def share(agreeing: int, cases: int) -> Estimate:
    """Share of cases of one sign, with its exact binomial interval (Clopper and Pearson 1934).

    A bootstrap would call six agreeing cases of six certain; they are not.
    """
    low = stats.beta.ppf(TAILS[0], agreeing, cases - agreeing + 1) if agreeing else 0.0
    high = stats.beta.ppf(TAILS[1], agreeing + 1, cases - agreeing) if agreeing < cases else 1.0
    return Estimate(agreeing / cases, float(low), float(high))


def rank_correlation(x: FloatArray, y: FloatArray, seeds: IntArray) -> Estimate:
    """Spearman's ρ across runs: the wider of resampling runs and resampling seeds."""
    count = len(x)
    generator = _generator()
    drawn = [generator.integers(count, size=(DRAWS, count))]
    names, place = np.unique(seeds, return_inverse=True)
    if len(names) >= SEVERAL and len(set(np.bincount(place))) == 1:
        members = np.argsort(place, kind="stable").reshape(len(names), -1)  # (seeds, runs of each)
        chosen = generator.integers(len(names), size=(DRAWS, len(names)))
        drawn.append(members[chosen].reshape(DRAWS, count))
    value = float(_spearman(x[None], y[None])[0])
    intervals = [_interval(_spearman(x[index], y[index])) for index in drawn]
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    return Estimate(value, float(low), float(high))


def _spearman(x: FloatArray, y: FloatArray) -> FloatArray:
    """Rank correlation along the last axis; 0 where one of the two does not vary."""
    first, second = (stats.rankdata(values, axis=1) for values in (x, y))
    first, second = (ranks - ranks.mean(1, keepdims=True) for ranks in (first, second))
    norm = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    product = (first * second).sum(1)
    return np.asarray(np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0))


def _seed_weights(seeds: IntArray) -> FloatArray:
    """(draws, N): how often each point counts where seeds are drawn; empty with too few seeds."""
    names, place = np.unique(seeds, return_inverse=True)
    if len(names) < SEVERAL:
        return np.empty((0, 0))
    share_each = np.full(len(names), 1 / len(names))
    counts = _generator().multinomial(len(names), share_each, size=DRAWS)
    return counts[:, place].astype(np.float64)


def _interval(draws: FloatArray) -> FloatArray:
    """Low and high, (2,)."""
    return np.asarray(np.quantile(draws, TAILS), dtype=np.float64)


def _widening(free: int) -> float:
    """Student's t over the normal quantile: what few degrees of freedom cost."""
    return float(stats.t.ppf(TAILS[1], free) / stats.norm.ppf(TAILS[1]))


def _generator() -> np.random.Generator:
    """The same draws for every estimate, so that a verdict does not depend on what came before."""
    return np.random.default_rng(streams.key(0, "bootstrap"))
