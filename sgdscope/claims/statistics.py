"""The statistics behind claims: each an estimate with a 95% interval.

Seeds are the unit. From two on, nothing is assumed about what a seed does to its runs: a statistic
is computed without each seed in turn, and Student's t has one degree of freedom fewer than there
are seeds (the cluster jackknife: Bell and McCaffrey 2002; of balanced runs, the t-interval over the
seeds' own statistics). With one seed there is only the scatter of its runs about their line, and
``OWN`` says how far seeds may scatter beyond that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtr, stdtrit

from sgdscope import streams

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DRAWS = 2_000
TAIL = 0.025
OWN = 2.0  # how far seeds' slopes may scatter, in standard errors from single runs: an assumption


@dataclass(frozen=True)
class Estimate:
    """A statistic, and an interval that holds its true value in 95 of 100 studies like this one."""

    value: float
    low: float
    high: float
    of_runs: bool = False  # the interval follows from the scatter of runs, not from that of seeds


def slope(x: FloatArray, y: FloatArray, seeds: IntArray) -> Estimate:
    """Least-squares slope of y on x, from one seed or several.

    Args:
        x: (N,) at least two different values.
        y: (N,) with N > 2.
        seeds: (N,) which seed each point belongs to.
    """
    value = float(_slopes(x, y, np.ones((1, len(x))))[0])
    without = _slopes(x, y, _all_but_one(seeds))
    # A seed that has fewer than half of the values of x says little about a slope.
    whole = sum(2 * len(set(x[seeds == seed])) >= max(len(set(x)), 4) for seed in set(seeds))
    by_runs = _quantile(len(x) - 2) * _scatter(x, y) / np.sqrt(((x - x.mean()) ** 2).sum())
    of_runs = whole < 2 or not np.isfinite(without).all()
    if of_runs:
        half = by_runs * np.sqrt(1 + OWN**2)
    else:
        half = _quantile(whole - 1) * _jackknife(without, value)
    if whole == 2 and by_runs > half:  # two seeds agree by chance too often to be trusted alone
        half, of_runs = by_runs, True
    return Estimate(value, value - half, value + half, of_runs)


def span(x: FloatArray, y: FloatArray, seeds: IntArray) -> Estimate:
    """Largest difference between the means of y at two values of x.

    It is below the upper end if every difference is below its own (intersection-union: Berger
    1982); the lower end is corrected for the number of differences (Bonferroni).

    Args:
        x: (N,) at least two different values.
        y: (N,) with N > 2.
        seeds: (N,) which seed each point belongs to.
    """
    table = _by_seed(x, y, seeds)
    first, second = np.triu_indices(table.shape[1], 1)
    means, counts = np.nanmean(table, axis=0), np.isfinite(table).sum(0)
    apart = means[first] - means[second]
    by_runs = _scatter(x, y) * np.sqrt((1 + OWN**2) * (1 / counts[first] + 1 / counts[second]))
    differences = table[:, first] - table[:, second]
    shared = np.isfinite(differences).sum(0)
    several = shared > 2  # two differences alone are hardly ever near enough to show sameness
    error = np.zeros(len(first))
    apart[several] = np.nanmean(differences[:, several], axis=0)  # of the seeds that err by error
    apart = np.abs(apart)
    error[several] = np.nanstd(differences[:, several], axis=0, ddof=1) / np.sqrt(shared[several])

    def halves(tail: float) -> FloatArray:
        own = stdtrit(np.maximum(shared - 1, 1), 1 - tail) * error
        return np.asarray(np.where(several, own, _quantile(len(x) - 2, tail) * by_runs))

    low = max(float((apart - halves(TAIL / len(first))).max()), 0.0)
    upper = apart + halves(TAIL)
    of_runs = not several[upper.argmax()]
    return Estimate(float(apart.max()), low, float(upper.max()), of_runs)


def mean(values: FloatArray, seeds: IntArray) -> Estimate:
    """Mean of values that several seeds have, at least two.

    Args:
        values: (N,) one for each case and seed.
        seeds: (N,) which seed each belongs to.
    """
    value, half = float(values.mean()), _half(values, seeds)
    return Estimate(value, value - half, value + half)


def greatest(differences: Sequence[tuple[FloatArray, IntArray]]) -> Estimate:
    """The greatest of several mean differences, whatever their signs; its ends are as of ``span``.

    Args:
        differences: of each pair, (N,) one for each case and seed, and (N,) the seeds.
    """
    means = np.array([abs(values.mean()) if len(values) else 0.0 for values, _ in differences])
    halves = np.array([_half(*each) for each in differences])
    corrected = np.array([_half(*each, TAIL / len(differences)) for each in differences])
    low, high = (means - corrected).max(), (means + halves).max()
    return Estimate(float(means.max()), max(float(low), 0.0), float(high))


def _half(values: FloatArray, seeds: IntArray, tail: float = TAIL) -> float:
    """Half the interval of a mean; infinite where fewer than two seeds have values."""
    weights = _all_but_one(seeds)
    if len(weights) < 2:
        return np.inf
    error = _jackknife(weights @ values / weights.sum(1), float(values.mean()))
    return _quantile(len(weights) - 1, tail) * error


def share(cases: Sequence[FloatArray], above: float, below: float = np.inf) -> Estimate:
    """Share of cases whose mean lies between two borders, counting certain ones.

    The seeds of a case show whether it certainly does, or certainly does not; Holm's method (1979)
    counts them, so that both ends hold however the cases depend on each other.

    Args:
        cases: (S,) values of each, one per seed.
        above: the lower border.
        below: the upper one.
    """
    inside = [above < float(values.mean()) < below for values in cases]
    doubts = [[_doubt(values - above) for values in cases]]
    if below < np.inf:
        doubts.append([_doubt(below - values) for values in cases])
    within = np.max(doubts, axis=0)  # both, or else one of either
    outside = np.minimum(1, len(doubts) * (1 - np.array(doubts)).min(0))
    low, high = surely(within), len(cases) - surely(outside)
    return Estimate(sum(inside) / len(cases), low / len(cases), high / len(cases))


def surely(doubts: FloatArray) -> int:
    """A lower bound, valid in 97.5 of 100 studies, on how many hypotheses hold (Holm 1979).

    Args:
        doubts: (N,) p-values, in any dependence.
    """
    ordered = np.sort(doubts)
    held = ordered * np.arange(len(ordered), 0, -1) <= TAIL
    return len(ordered) if held.all() else int(np.argmin(held))


def _doubt(values: FloatArray) -> float:
    """p-value of a mean not above zero, by Student's t; one half with a single seed."""
    if len(values) < 2:
        return 0.5
    if np.ptp(values) == 0:
        return float(0.5 * (1 - np.sign(values[0])))
    middle, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    return float(stdtr(len(values) - 1, -middle / error))


def narrower(seeds: int) -> float:
    """How much narrower than one seed's standard deviation the half-interval of a mean is."""
    return float(np.sqrt(seeds)) / _quantile(seeds - 1)


def rank_correlation(x: FloatArray, y: FloatArray, seeds: IntArray) -> Estimate:
    """Spearman's ρ across runs.

    Its interval is the widest of three: the normal one of arctanh ρ (Bonett and Wright 2000), and
    those from resampling runs and seeds. Resampling alone is too narrow for a few runs, and of no
    width at all where all of them are in order.

    Args:
        x: (N,) with N > 3.
        y: (N,)
        seeds: (N,) which seed each run belongs to.
    """
    names, place = np.unique(seeds, return_inverse=True)
    runs, whole = _resampled(len(x), len(names))
    drawn = [runs]
    if len(names) > 2 and len(set(np.bincount(place))) == 1:
        drawn.append(whole[:, place])
    value = float(_spearman(x, y, np.ones((1, len(x)), dtype=np.int64))[0])
    tails = TAIL, 1 - TAIL
    intervals = [np.quantile(_spearman(x, y, times), tails) for times in drawn]
    intervals.append(_by_normal(value, len(x)))
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    return Estimate(value, float(low), float(high))


def _by_normal(rho: float, runs: int) -> FloatArray:
    """The interval of Spearman's ρ under which arctanh ρ is normal: its lower and upper end."""
    largest = 1 - 6 / (runs * (runs**2 - 1))  # half a step below 1, whose arctanh is infinite
    inside = min(max(rho, -largest), largest)
    error = np.sqrt((1 + inside**2 / 2) / (runs - 3))
    return np.asarray(np.tanh(np.arctanh(inside) + ndtri([TAIL, 1 - TAIL]) * error))


@lru_cache(maxsize=4)  # the quantities of a line have as many runs
def _resampled(runs: int, seeds: int) -> tuple[IntArray, IntArray]:
    """How often each run, and each seed, is in a resample: (draws, runs) and (draws, seeds)."""
    generator = np.random.default_rng(streams.key(0, "bootstrap"))  # the same for every estimate
    return _counts(generator, runs), _counts(generator, seeds)


def _counts(generator: np.random.Generator, among: int) -> IntArray:
    drawn = generator.integers(among, size=(DRAWS, among)) + among * np.arange(DRAWS)[:, None]
    return np.bincount(drawn.ravel(), minlength=DRAWS * among).reshape(DRAWS, among)


def _spearman(x: FloatArray, y: FloatArray, times: IntArray) -> FloatArray:
    """Rank correlation of runs, each counted (draws, N) times; 0 where x or y does not vary."""
    first, second = _ranks(x, times), _ranks(y, times)
    weighted = times * first
    norm = np.sqrt((weighted * first).sum(1) * (times * second**2).sum(1).astype(np.float64))
    product = (weighted * second).sum(1)
    return np.asarray(np.divide(product, norm, out=np.zeros_like(norm), where=norm > 0))


def _ranks(values: FloatArray, times: IntArray) -> IntArray:
    """(draws, N): twice the distance of each value's mean rank from the middle one.

    No draw is sorted: the ranks of its values follow from how many of them are smaller.
    """
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    last = np.flatnonzero(np.diff(group[order], append=-1))
    up_to = np.cumsum(times[:, order], axis=1)[:, last]
    below = np.pad(up_to[:, :-1], ((0, 0), (1, 0)))
    return np.asarray((below + up_to - up_to[:, -1:])[:, group])


def _slopes(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """(draws,): least-squares slopes under weights (draws, N); NaN where x does not vary."""
    total = weights.sum(1)
    centred = x - (weights @ x / np.maximum(total, 1))[:, None]
    spread = (weights * centred**2).sum(1)
    product = (weights * centred) @ y
    return np.asarray(np.divide(product, spread, out=np.full(len(total), np.nan), where=spread > 0))


def _scatter(x: FloatArray, y: FloatArray) -> float:
    """Standard deviation of y about its line, including any curvature."""
    centred = x - x.mean()
    residuals = y - y.mean() - centred * (centred @ y / (centred @ centred))
    return float(np.sqrt(residuals @ residuals / (len(x) - 2)))


def _by_seed(x: FloatArray, y: FloatArray, seeds: IntArray) -> FloatArray:
    """(seeds, values of x): the mean of y, NaN where a seed has none."""
    names, row = np.unique(seeds, return_inverse=True)
    places, column = np.unique(x, return_inverse=True)
    total, count = np.zeros((2, len(names), len(places)))
    np.add.at(total, (row, column), y)
    np.add.at(count, (row, column), 1)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))


def _all_but_one(seeds: IntArray) -> FloatArray:
    """(seeds, N): one where a point does not belong to a seed."""
    return np.asarray(seeds[None] != np.unique(seeds)[:, None], dtype=np.float64)


def _jackknife(without: FloatArray, value: float) -> float:
    """Standard error of a statistic from its values without each seed."""
    count = len(without)
    return float(np.sqrt((count - 1) / count * ((without - value) ** 2).sum()))


def _quantile(free: int, tail: float = TAIL) -> float:
    """The value of Student's t with this share of draws above it."""
    return float(stdtrit(free, 1 - tail))
