"""Statistics with their intervals: right in the middle, and as wide as they should be."""

import numpy as np
import pytest
from scipy import stats

from sgdscope.claims import answers, statistics

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


def noise(generator, kind, seeds):
    """(seeds, sizes) of nothing but noise, in one of the kinds that docs/claims.md names."""
    centred, count = SIZES - SIZES.mean(), len(SIZES)
    own = generator.normal(size=(seeds, 1)) / np.sqrt(centred @ centred) * centred
    drawn = generator.normal(size=(seeds, count))
    return {
        "equal": lambda: drawn,
        "in proportion": lambda: drawn * 2.0 ** np.arange(count),
        "at the last size": lambda: drawn * (np.arange(count) == count - 1),
        "own slopes": lambda: drawn + own,
        "own slopes, twice": lambda: drawn + 2 * own,
        "own slopes, ten times": lambda: drawn + 10 * own,
    }[kind]()


KINDS = ["equal", "in proportion", "at the last size", "own slopes", "own slopes, twice"]


@pytest.mark.parametrize(
    ("kind", "seeds"),
    [(kind, seeds) for seeds in (1, 2, 3, 5) for kind in KINDS]
    + [("own slopes, ten times", seeds) for seeds in (2, 3, 5)],
)
def test_the_slopes_interval_holds_the_truth_as_often_as_it_says(kind, seeds):
    generator = np.random.default_rng(seeds)
    x, names = grid(seeds)
    found = [
        statistics.slope(x, 1 + 0.3 * x + noise(generator, kind, seeds).ravel(), names)
        for _ in range(400)
    ]
    assert np.mean([covered(one, 0.3) for one in found]) >= 0.927  # 0.95, two errors below
    assert np.mean([one.high < 0.3 for one in found]) <= 0.041  # 0.025, two errors above


@pytest.mark.parametrize("seeds", [2, 3])
def test_of_several_seeds_the_slopes_interval_is_students_over_their_slopes(seeds):
    x, names = grid(seeds)
    y = np.random.default_rng(5).normal(size=len(x))
    own = [np.polyfit(SIZES, y[names == seed], 1)[0] for seed in range(seeds)]
    found = statistics.slope(x, y, names)
    known = stats.ttest_1samp(own, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))


def test_two_seeds_that_agree_are_no_surer_than_their_runs():
    x, names = grid(2)
    y = np.tile(np.random.default_rng(8).normal(size=6), 2)
    known = stats.linregress(x, y)
    found = statistics.slope(x, y, names)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 10) * known.stderr)


def test_of_one_seed_the_slopes_interval_is_students_with_room_for_a_slope_of_its_own():
    x, names = grid(1)
    y = np.random.default_rng(6).normal(size=len(x))
    known = stats.linregress(x, y)
    half = stats.t.ppf(0.975, 4) * known.stderr * np.sqrt(1 + 2.0**2)
    found = statistics.slope(x, y, names)
    assert (found.low, found.high) == pytest.approx((known.slope - half, known.slope + half))


def test_a_seed_that_has_few_of_the_sizes_does_not_count_as_one():
    x, names = grid(2)
    y = np.random.default_rng(7).normal(size=len(x))
    kept = (names < 1) | (x < 7)  # one size of the second seed
    known = stats.linregress(x[kept], y[kept])
    found = statistics.slope(x[kept], y[kept], names[kept])
    half = stats.t.ppf(0.975, 5) * known.stderr * np.sqrt(1 + 2.0**2)
    assert found.high - found.value == pytest.approx(half)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_range_of_the_means_is_hardly_ever_held_for_smaller_than_it_is(kind, seeds):
    generator = np.random.default_rng(seeds)
    x, names = grid(seeds)
    bent = np.abs(np.arange(6) - 2.5)  # a range of 2
    found = [
        statistics.span(x, (bent + noise(generator, kind, seeds)).ravel(), names)
        for _ in range(400)
    ]
    assert np.mean([one.high < 2 for one in found]) <= 0.041
    assert np.mean([one.low > 2 for one in found]) <= 0.041


def test_the_range_of_the_means_is_exact_where_there_is_no_noise():
    x, names = grid(3)
    found = statistics.span(x, np.abs(x - 8), names)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


@pytest.mark.parametrize("shared", [0.0, 3.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_means_interval_holds_the_truth_whatever_seeds_share(seeds, shared):
    generator = np.random.default_rng(seeds)
    names = np.repeat(np.arange(seeds), 6)
    hits = []
    for _ in range(400):
        drawn = generator.normal(size=6 * seeds) + shared * generator.normal(size=seeds)[names]
        hits.append(covered(statistics.mean(2 + drawn, names), 2))
    assert np.mean(hits) >= 0.927


def test_a_share_is_counted_by_what_is_sure():
    sure, not_so = np.array([5.0, 5.1, 4.9]), np.array([-5.0, -5.1, -4.9])
    unsure = np.array([5.0, -4.0, 2.0])
    found = statistics.share([sure, sure, not_so, unsure], 0.0)
    assert (found.value, found.low, found.high) == (0.75, 0.5, 0.75)
    inside = statistics.share([sure, sure, not_so, unsure], 0.0, 6.0)
    assert (inside.value, inside.low, inside.high) == (0.75, 0.5, 0.75)


def test_one_seed_is_sure_of_no_share():
    found = statistics.share([np.array([5.0])] * 6, 0.0)
    assert (found.value, found.low, found.high) == (1, 0, 1)


@pytest.mark.parametrize(
    ("doubts", "count"), [([0.002, 0.004, 0.02], 3), ([0.02, 0.02, 0.02], 0), ([0.001, 0.02], 2)]
)
def test_what_is_sure_is_counted_as_holm_rejects(doubts, count):
    assert statistics.surely(np.array(doubts)) == count


@pytest.mark.parametrize("together", [0.0, 0.6, 0.9])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_at_even_odds_most_cases_hardly_ever_agree_whatever_they_share(seeds, together):
    generator = np.random.default_rng(seeds)
    said = []
    for _ in range(400):
        common, own = generator.normal(size=(seeds, 1)), generator.normal(size=(seeds, 6))
        effects = np.sqrt(together) * common + np.sqrt(1 - together) * own
        said.append(statistics.share(list(effects.T), 0.0).low > 0.5)
    assert np.mean(said) <= 0.041


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_how_much_narrower_seeds_make_an_interval_is_students(seeds):
    values = np.random.default_rng(seeds).normal(size=seeds)
    found = statistics.mean(values, np.arange(seeds))
    known = values.std(ddof=1) / statistics.narrower(seeds)
    assert found.high - found.value == pytest.approx(known)


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_the_range_of_a_curve_is_held_where_seeds_of_other_levels_lost_runs(level):
    """The largest size is a step lower; two of five seeds lose theirs there."""
    generator = np.random.default_rng(11)
    x, names = grid(5)
    kept = ~((names < 2) & (x == x.max()))
    step = np.where(SIZES.max() == SIZES, -5.0, 0.0)
    found = []
    for _ in range(200):
        own = level * generator.normal(size=(5, 1)) + 0.3 * generator.normal(size=(5, 6))
        found.append(statistics.span(x[kept], (step + own).ravel()[kept], names[kept]))
    assert np.mean([covered(one, 5.0) for one in found]) >= 0.94
    assert np.mean([one.low > 5.0 for one in found]) <= 0.04


def test_what_a_seed_adds_to_all_its_runs_is_in_no_range():
    x, names = grid(5)
    levels = np.repeat([50.0, 50.0, 50.0, 33.0, 33.0], len(SIZES))
    kept = ~((names > 2) & (x == x.max()))
    found = statistics.span(x[kept], levels[kept], names[kept])
    assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("scale", [0.8, 1.5])
def test_so_many_seeds_as_are_said_to_settle_a_range_often_do(scale):
    generator = np.random.default_rng(5)

    def drawn(seeds):
        return statistics.span(*grid(seeds)[:1], scale * generator.normal(size=6 * seeds),
                               grid(seeds)[1])  # fmt: skip

    settled = []
    for _ in range(60):
        two = drawn(2)
        assert two.of_runs
        said = answers.seeds_wanted(two, answers.gap(two, 5.0), 2)
        if "about" in said:
            settled.append(drawn(int(said.split()[2])).high < 5.0)
    assert np.mean(settled) >= 0.5


def test_rank_correlation_sees_order_alone():
    x, seeds = grid(3)
    found = statistics.rank_correlation(x, -np.exp(x), seeds)
    assert (found.value, found.low) == pytest.approx((-1, -1))
    assert -1 < found.high < -0.9
    nothing = statistics.rank_correlation(x, np.zeros_like(x), seeds)
    assert nothing.value == 0
    assert nothing.low == pytest.approx(-nothing.high)
    assert nothing.high == pytest.approx(np.tanh(1.959964 / np.sqrt(len(x) - 3)))


def test_runs_in_perfect_order_leave_a_correlation_uncertain():
    x = np.arange(6.0)
    found = statistics.rank_correlation(x, x, np.zeros(6, int))
    assert found.value == found.high == 1
    assert 0.5 < found.low < 0.8


@pytest.mark.parametrize("rho", [0.8, 0.97])
def test_the_interval_of_a_rank_correlation_of_six_runs_holds_it(rho):
    """Of normal quantities it is 6/π arcsin(ρ/2) (Pearson 1907)."""
    true = 6 / np.pi * np.arcsin(rho / 2)
    generator = np.random.default_rng(7)
    hits = []
    for _ in range(100):
        x, own = generator.normal(size=(2, 6))
        y = rho * x + np.sqrt(1 - rho**2) * own
        hits.append(covered(statistics.rank_correlation(x, y, np.zeros(6, int)), true))
    assert np.mean(hits) >= 0.94


def test_rank_correlation_of_nothing_but_noise_has_zero_inside():
    generator = np.random.default_rng(3)
    x, seeds = grid(3)
    hits = [
        covered(statistics.rank_correlation(x, generator.normal(size=len(x)), seeds), 0.0)
        for _ in range(100)
    ]
    assert np.mean(hits) >= 0.88
