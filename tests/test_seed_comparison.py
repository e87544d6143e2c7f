"""Several seeds of each network are compared over seeds, not over points."""

import json
import math

import numpy as np
import pytest
from scipy import stats
from test_comparison import audited, reading

from sgdscope.auditing.networks import _NAMED
from sgdscope.auditing.seeds import compare_seeds, pairs


def seeds(name, accuracies, sharpness):
    return [
        audited(
            f"{name}:{seed}",
            reading("pgd_accuracy", accuracy, eps=0.1),
            reading("top_eigenvalue", value),
        )
        for seed, (accuracy, value) in enumerate(zip(accuracies, sharpness, strict=True))
    ]


SMALL = seeds("small", [0.62, 0.64, 0.60], [10.0, 12.0, 11.0])
LARGE = seeds("large", [0.50, 0.53, 0.51, 0.49], [40.0, 55.0, 48.0, 61.0])


def test_the_difference_of_accuracies_has_welchs_interval():
    accuracy, _ = compare_seeds([*LARGE, *SMALL])
    left, right = np.array([0.62, 0.64, 0.60]), np.array([0.50, 0.53, 0.51, 0.49])
    a, b = left.var(ddof=1) / 3, right.var(ddof=1) / 4
    degrees = (a + b) ** 2 / (a**2 / 2 + b**2 / 3)
    half = stats.t.ppf(0.975, degrees) * math.sqrt(a + b)
    middle = left.mean() - right.mean()
    assert (accuracy.value, accuracy.low, accuracy.high) == pytest.approx(
        (middle, middle - half, middle + half)
    )
    assert accuracy.sentence.startswith(
        "PGD accuracy at eps 0.1 of small is 11.2 points higher than that of large (+"
    )
    assert accuracy.sentence.endswith("over 3 and 4 seeds")


def test_curvatures_are_compared_by_their_ratio():
    _, sharpness = compare_seeds([*LARGE, *SMALL])
    assert sharpness.kind == "ratio"
    assert sharpness.value == pytest.approx(
        stats.gmean([10, 12, 11]) / stats.gmean([40, 55, 48, 61])
    )
    assert sharpness.low < sharpness.value < sharpness.high < 1


def test_seeds_that_differ_more_than_the_networks_tell_nothing():
    other = seeds("other", [0.4, 0.6, 0.5], [50.0, 45.0, 55.0])
    accuracy, _ = compare_seeds([*LARGE, *other])
    assert accuracy.low < 0 < accuracy.high
    assert accuracy.sentence.startswith(
        "PGD accuracy at eps 0.1 does not distinguish other from large: 0.8 points lower (−"
    )


@pytest.mark.parametrize("repeated", [[0.1] * 3, [0.5] * 2])  # 0.1 has a rounded mean
def test_seeds_that_agree_leave_no_interval_and_no_difference(repeated):
    same = [audited(f"same:{i}", reading("test_accuracy", 0.9)) for i in range(2)]
    other = [audited(f"other:{i}", reading("test_accuracy", x)) for i, x in enumerate(repeated)]
    (found,) = compare_seeds([*same, *other])
    assert (found.low, found.high, found.differs) == (None, None, False)
    assert "points lower (no interval: the seeds of neither differ), over" in found.sentence
    json.dumps(found.record(), allow_nan=False)


@pytest.mark.parametrize(("measure", "said"), [
    ("smallest_eigenvalue", "0.75 lower (−1.51 to +0.0106)"),
    ("robustness_area", "75.0 points lower (−151.1 to +1.1)"),  # a share
])  # fmt: skip
def test_values_without_a_ratio_differ_in_points_only_if_they_are_shares(measure, said):
    of = {"a": [0.0, 0.25], "b": [-0.75, -0.5]}
    named = [
        audited(f"{name}:{i}", reading(measure, x))
        for name, values in of.items()
        for i, x in enumerate(values)
    ]
    (found,) = compare_seeds(named)
    span = stats.ttest_ind(of["b"], of["a"]).confidence_interval()  # of equal spreads
    assert (found.low, found.high) == pytest.approx((span.low, span.high))
    assert said in found.sentence


def test_each_network_is_paired_with_the_firsts_of_its_seed():
    def named(networks):
        return [(a.network.name, b.network.name) for a, b in networks]

    assert named(pairs([*SMALL, *LARGE])) == [
        (f"large:{seed}", f"small:{seed}") for seed in range(3)
    ]  # large:3 has nobody of its seed
    alone = audited("alone", reading("top_eigenvalue", 1.0))
    two = [*SMALL[:2], *LARGE[:2]]
    assert named(pairs([*two, alone])) == [
        ("large:0", "small:0"), ("large:1", "small:1"), ("alone", "small:0"),
    ]  # fmt: skip
    assert named(pairs([alone, *two])) == [(one.network.name, "alone") for one in two]
    assert named(pairs([*SMALL, LARGE[0]])) == [
        ("small:1", "small:0"), ("small:2", "small:0"), ("large:0", "small:0"),
    ]  # fmt: skip


def test_one_seed_of_either_is_not_compared_over_seeds():
    assert not compare_seeds([*LARGE, SMALL[0]])
    assert not compare_seeds([audited("a", reading("top_eigenvalue", 1.0)), *LARGE])


def test_a_name_may_have_a_seed():
    assert _NAMED.fullmatch("small:1=net.py:build@net.pt").groups() == (
        "small:1", "net.py:build@net.pt",
    )  # fmt: skip
    assert _NAMED.fullmatch("net.py:build@a=b.pt") is None
