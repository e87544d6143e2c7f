"""Networks are compared on the same points; intervals cover, and hold what a brute force finds."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from sgdscope.auditing.comparison import _score, compare, incomparable, interval, paired
from sgdscope.auditing.requirement import Requirement, exit_code
from sgdscope.errors import RequestError
from sgdscope.results.record import Audited, GivenNetwork, Measurement


def audited(name: str, *readings: Measurement, architecture: str = "") -> Audited:
    network = GivenNetwork(
        name=name, source=name, fingerprint=name, architecture=architecture, parameters=1,
        data="digits",
    )  # fmt: skip
    return Audited(network=network, status="done", measurements=list(readings))


def reading(measure: str, value: float, *, eps: float | None = None, **more) -> Measurement:
    return Measurement(epoch=0, measure=measure, eps=eps, value=value, **more)


class Folder:
    """Keeps the answers to single points, by network."""

    def __init__(self, **right):
        self.right = right

    def arrays(self, network, prefix):
        name = next(one for one, key in self.names.items() if key == network)
        return {"robust": np.asarray(self.right[name])}

    def of(self, *networks):
        self.names = {one.network.name: one.id for one in networks}
        return self


@pytest.mark.parametrize(("mine", "theirs", "count"), [(7, 2, 30), (0, 5, 40), (101, 412, 1000)])
def test_the_score_is_at_the_likeliest_split_for_a_difference(mine, theirs, count):
    for difference in (-0.3, 0.01, 0.25):

        def unlikely(share, difference=difference):
            left = 1 - 2 * share - difference
            terms = ((mine, share + difference), (theirs, share), (count - mine - theirs, left))
            return -sum(n * math.log(max(p, 1e-300)) for n, p in terms if n)

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        found = optimize.minimize_scalar(
            unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        )
        variance = count * (2 * found.x + difference * (1 - difference))
        expected = (mine - theirs - count * difference) / math.sqrt(variance)
        assert _score(mine, theirs, count, difference) == pytest.approx(expected, rel=1e-3)


def test_the_interval_ends_where_the_score_test_begins_to_refuse():
    low, high = interval(412, 101, 1000)
    z = stats.norm.ppf(0.975)
    assert _score(412, 101, 1000, low) == pytest.approx(z, rel=1e-6)
    assert _score(412, 101, 1000, high) == pytest.approx(-z, rel=1e-6)
    turned = interval(101, 412, 1000)
    assert turned == pytest.approx((-high, -low), abs=1e-9)


def test_networks_that_agree_everywhere_still_have_an_interval():
    low, high = interval(0, 0, 1000)
    assert low == pytest.approx(-high, abs=1e-9)
    assert 0.001 < high < 0.01
    assert interval(50, 0, 50)[1] == 1


@pytest.mark.parametrize(("p_mine", "p_theirs"), [(0.1, 0.1), (0.05, 0.02), (0.3, 0.1), (0.01, 0)])
def test_intervals_hold_the_true_difference_in_95_of_100_draws(p_mine, p_theirs):
    count, covered = 60, 0.0
    for mine in range(count + 1):
        for theirs in range(count + 1 - mine):
            chance = stats.multinomial.pmf(
                [mine, theirs, count - mine - theirs],
                count,
                [p_mine, p_theirs, 1 - p_mine - p_theirs],
            )
            if chance > 1e-6:
                low, high = interval(mine, theirs, count)
                covered += chance * (low <= p_mine - p_theirs <= high)
    assert covered > 0.935


def test_a_comparison_counts_the_points_that_only_one_survives():
    rows = np.zeros((4, 1000), dtype=bool)
    rows[0, :600] = True  # A survives 600
    rows[1, 101:911] = True  # B survives 810, of which 499 are common
    left, right = rows[1], rows[0]
    one, other = audited("B"), audited("A")
    found = paired(one, other, reading("pgd_accuracy", 0.81, eps=8 / 255), left, right, [])
    assert (found.only_network, found.only_other) == (311, 101)
    assert found.difference == pytest.approx(0.21)
    assert found.low < 0.21 < found.high
    assert found.p == pytest.approx(stats.binomtest(311, 412).pvalue)
    assert found.sentence.startswith(
        "PGD accuracy at eps 8/255 of B is 21.0 points higher than that of A (+"
    )
    assert found.sentence.endswith("only B is right on 311 of 1,000 points, only A on 101")


def test_what_was_measured_in_different_ways_is_not_compared():
    readings = [reading("pgd_accuracy", 0.5, eps=0.1)]
    first, second = audited("a", *readings), audited("b", *readings)
    folder = Folder(a=[True, False], b=[True, True]).of(first, second)
    assert len(compare([(second, first)], folder)) == 1
    with_more = second.model_copy(update={"measured": {"pgd_accuracy": {"steps": 100}}})
    assert not compare([(with_more, first)], folder)
    short = Folder(a=[True], b=[True, True]).of(first, second)
    assert not compare([(second, first)], short)


def test_a_requirement_is_met_failed_or_cannot_be_told():
    right = np.arange(200) < 100  # 0.5, whose exact interval is 0.429 to 0.571
    one = audited("a", reading("pgd_accuracy", 0.5, eps=8 / 255))
    folder = Folder(a=right).of(one)

    def answer(text, network=one):
        return Requirement.parse(text).judge(network, folder).answer

    assert answer("pgd_accuracy@8/255 >= 0.42") == "met"
    assert answer("pgd_accuracy@8/255>=60%") == "failed"
    assert answer("pgd_accuracy@8/255 >= 0.45") == "cannot tell"
    assert answer("pgd_accuracy@8/255 <= 0.6") == "met"
    assert answer("pgd_accuracy@0.1 >= 0.1") == "cannot tell"
    span = Requirement.parse("pgd_accuracy@8/255 >= 0.42").judge(one, folder).span
    assert span == pytest.approx((0.5, 0.4287, 0.5713), abs=1e-4)


@pytest.mark.parametrize(
    ("count", "bound", "expected"),
    [
        (0, "> 0", "cannot tell"),
        (0, ">= 0", "met"),
        (200, "< 100%", "cannot tell"),
        (200, "<= 1", "met"),
        (0, "< 0", "failed"),
        (200, "> 1", "failed"),
    ],
)
def test_a_bound_itself_does_not_keep_a_strict_requirement(count, bound, expected):
    one = audited("a", reading("pgd_accuracy", count / 200, eps=0.1))
    folder = Folder(a=np.arange(200) < count).of(one)
    assert Requirement.parse(f"pgd_accuracy@0.1 {bound}").judge(one, folder).answer == expected


def test_a_number_whose_error_is_not_known_meets_no_requirement():
    one = audited("a", reading("input_gradient_norm", 9.0, evidence={"standard_error": math.nan}))
    folder = Folder().of(one)
    folder.arrays = lambda *_: {}
    judged = Requirement.parse("input_gradient_norm <= 1").judge(one, folder)
    assert judged.sentence == "cannot tell: a, input_gradient_norm <= 1; its error is not known"


def test_a_flagged_number_never_meets_a_requirement_but_may_fail_it():
    flagged = audited("a", reading("pgd_accuracy", 0.5, eps=0.1, flags=["gradients vanish"]))
    folder = Folder(a=np.arange(200) < 100).of(flagged)
    met = Requirement.parse("pgd_accuracy@0.1 >= 0.1").judge(flagged, folder)
    assert met.answer == "cannot tell"
    assert "gradients vanish" in met.sentence
    assert Requirement.parse("pgd_accuracy@0.1 >= 0.9").judge(flagged, folder).answer == "failed"


def test_a_number_without_an_interval_is_told_without_one():
    one = audited("a", reading("median_eps", 0.1))
    folder = Folder().of(one)
    folder.arrays = lambda *_: {}
    judged = Requirement.parse("median_eps >= 0.05").judge(one, folder)
    assert judged.sentence == "met: a, median_eps >= 0.05: 0.1"


def test_the_error_of_an_eigenvalue_is_its_interval():
    sharp = audited("a", reading("top_eigenvalue", 10.0, evidence={"error": 0.5}))
    folder = Folder().of(sharp)
    folder.arrays = lambda *_: {}
    bounds = {"<= 11": "met", "<= 10.2": "cannot tell", "<= 9": "failed"}
    for bound, expected in bounds.items():
        judged = Requirement.parse(f"top_eigenvalue {bound}").judge(sharp, folder)
        assert judged.answer == expected


def test_the_error_over_images_counts_beside_that_of_each_eigenvalue():
    evidence = {"error": 0.01, "standard_error": 1.0}
    one = audited("a", reading("input_top_eigenvalue", 10.0, evidence=evidence))
    folder = Folder().of(one)
    folder.arrays = lambda *_: {}
    judged = Requirement.parse("input_top_eigenvalue <= 11").judge(one, folder)
    assert judged.answer == "cannot tell"
    assert judged.span == pytest.approx((10, 8.04, 11.96), abs=1e-3)


def test_exit_codes_say_the_gravest_answer():
    folder = Folder().of()
    unclear = Requirement.parse("test_accuracy >= 0.5").judge(audited("a"), folder)
    assert exit_code([]) == 0
    assert exit_code([unclear]) == 3


@pytest.mark.parametrize(
    "text",
    [
        "pgd_accuracy",
        "pgd_accuracy >= 0.3",
        "test_accuracy@0.1 > 1",
        "no_such >= 1",
        "test_accuracy >= 50",
        "pgd_accuracy@0.1 >= -0.5",
        "test_accuracy => 0.3",
        "test_accuracy >= 1e",
    ],
)
def test_a_malformed_requirement_is_refused(text):
    with pytest.raises(RequestError):
        Requirement.parse(text)


def test_curvature_is_mentioned_only_where_it_was_measured():
    accuracies = [audited(name, reading("test_accuracy", 0.9)) for name in "AB"]
    assert list(incomparable(accuracies)) == []
    curved = [audited(name, reading("top_eigenvalue", 9.0)) for name in "AB"]
    (said,) = incomparable(curved)
    assert said.startswith("Rescaling the weights can change λ₁")
