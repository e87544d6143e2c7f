import math

import pandas as pd
import pytest
from scipy import stats

from sgdscope.results import intervals


def frame(values: list[float], **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"value": values, "status": "done", "size": 64}).assign(**columns)


def test_one_seed_has_no_band() -> None:
    row = intervals.over_seeds(frame([0.5]), ["size"]).iloc[0]
    assert (row["middle"], row["low"], row["high"], row["seeds"]) == (0.5, 0.5, 0.5, 1)


def test_few_seeds_span_their_extremes() -> None:
    row = intervals.over_seeds(frame([0.2, 0.5, 0.8, 0.7]), ["size"]).iloc[0]
    assert (row["middle"], row["low"], row["high"]) == (pytest.approx(0.55), 0.2, 0.8)


def test_five_seeds_have_a_t_interval() -> None:
    values = [0.2, 0.5, 0.8, 0.7, 0.4]
    row = intervals.over_seeds(frame(values), ["size"]).iloc[0]
    error = stats.sem(values)
    low, high = stats.t.interval(0.95, 4, loc=sum(values) / 5, scale=error)
    assert row["low"] == pytest.approx(low)
    assert row["high"] == pytest.approx(high)


def test_logarithms_give_a_geometric_mean_and_stay_positive() -> None:
    values = [1.0, 10.0, 100.0, 1000.0, 10000.0]
    row = intervals.over_seeds(frame(values), ["size"], log=True).iloc[0]
    assert row["middle"] == pytest.approx(100)
    assert 0 < row["low"] < 100 < row["high"]
    assert row["low"] * row["high"] == pytest.approx(100**2)


def test_only_proper_runs_count() -> None:
    rows = frame([0.9, 0.1, math.nan, 0.7], status=["done", "collapsed", "done", "done"])
    row = intervals.over_seeds(rows, ["size"]).iloc[0]
    assert (row["middle"], row["seeds"]) == (pytest.approx(0.8), 2)


def test_words() -> None:
    assert intervals.describe(pd.Series([1, 1])) == "one seed"
    assert intervals.describe(pd.Series([2, 3])) == "band: min–max, 2–3 seeds"
    assert intervals.describe(pd.Series([5, 5])) == "band: 95% t-interval of the mean, 5 seeds"
    assert intervals.describe(pd.Series([6, 6]), pd.Series([2])) == (
        "band: 95% t-interval of the mean in panels with 5 seeds, else min–max, 2–6 seeds"
    )
