"""What a study found, written by rules from its trends at both moments."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import synthetic
from known import doublings, results
from scipy import stats

from sgdscope import claims
from sgdscope.claims.quantities import CURVATURE, TEST_ACCURACY, Quantity
from sgdscope.claims.statistics import Estimate
from sgdscope.findings import Judged, find
from sgdscope.findings.finding import Trend
from sgdscope.findings.pooled import pooled
from sgdscope.report import first_screen
from sgdscope.results.tables import Results
from sgdscope.results.view import View

RESULTS = Path(__file__).parent.parent / "results"
KEPT = RESULTS / "fashion-stdcnn"


@pytest.fixture(scope="module")
def kept():
    return find(claims.moments(Results.load(KEPT)))


def test_the_control_of_equal_progress_comes_first(kept):
    first, second, *_ = kept
    assert (first.kind, first.trends[0].quantity) == ("progress", TEST_ACCURACY)
    assert first.headline == (
        "At a fixed learning rate, test accuracy falls with batch size, only because large "
        "batches trained less."
    )
    assert "−2.7 points per doubling of the batch size (−4.2 to −1.2)" in first.numbers
    assert second.kind == "open"  # one seed: at equal loss the interval is wider than the margin
    assert "PGD accuracy at eps 0.05 +8.9 points per doubling" in second.numbers
    assert [one.weight for one in kept] == sorted((one.weight for one in kept), reverse=True)


def test_the_first_screen_says_what_its_symbols_stand_for(kept):
    said = first_screen._glossary(kept)
    assert "λ₁: top Hessian eigenvalue" in said
    assert "B: batch size" in said
    assert first_screen._glossary([one for one in kept if "λ₁" not in one.headline]) == ""


def test_a_quantity_is_told_of_once_for_each_schedule(kept):
    told = [(one.trends[0].schedule, one.trends[0].quantity.measure) for one in kept]
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    ("end", "equal", "kind"),
    [
        ((-3.0, -4.0, -2.0), (0.0, -0.3, 0.3), "progress"),
        ((-3.0, -4.0, -2.0), (-0.2, -1.5, 1.1), "fades"),
        ((-3.0, -4.0, -2.0), (-1.0, -2.5, 0.5), "open"),
        ((-3.0, -4.0, -2.0), (-2.0, -2.5, -1.5), "kept"),
        ((-3.0, -4.0, -2.0), (2.0, 1.5, 2.5), "reversed"),
        ((-3.0, -4.0, -2.0), None, "open"),
        ((0.1, -0.3, 0.4), (2.0, 1.5, 2.5), "flat"),
        ((1.0, -3.0, 5.0), None, "unclear"),
    ],
)
def test_what_the_control_makes_of_a_trend(end, equal, kind):
    assert trend(end, equal, same=within(end), equal_same=within(equal)).kind == kind


def test_a_slope_within_the_margin_is_no_sameness_where_the_curve_bends():
    assert trend((0.1, -0.3, 0.4), None, same=False).kind == "unclear"
    assert trend((0.3, 0.2, 0.4), None, same=False).kind == "unclear"
    assert trend((-3.0, -4.0, -2.0), (0.0, -0.3, 0.3), same=False, equal_same=False).kind == "fades"


def networks(*cases):
    """A trend of each network's name, estimate at the end, and at equal training loss."""
    return [replace(trend(end, equal, same=False), panel=panel) for panel, end, equal in cases]


def test_a_mean_over_networks_is_one_value_a_network_with_students_interval():
    unsure = [("a", 1.0), ("a", 3.0), ("b", 3.0), ("c", 1.0), ("d", 4.0)]  # a has two lines
    mean = pooled(networks(*((name, (at, at - 9, at + 9), None) for name, at in unsure)))
    means = [2.0, 3.0, 1.0, 4.0]
    low, high = stats.t.interval(0.95, 3, np.mean(means), stats.sem(means))
    assert (mean.end.value, mean.end.low, mean.end.high) == pytest.approx((2.5, low, high))
    assert mean.sample.margin == TEST_ACCURACY.margin
    assert (mean.kind, mean.equal) == ("open", None)


def test_networks_that_surely_disagree_are_not_averaged_and_three_are_too_few():
    sure = [(name, (2.0, 1.0, 3.0), (2.0, 1.0, 3.0)) for name in "abcd"]
    assert pooled(networks(*sure)).kind == "kept"
    assert pooled(networks(*sure, ("e", (-2.0, -3.0, -1.0), None))) is None
    assert pooled(networks(*sure[:3])) is None


def test_a_mean_at_equal_loss_is_of_the_same_lines_or_there_is_none():
    falls, level = (-6.0, -6.1, -5.9), (0.0, -0.1, 0.1)
    each = [(name, *both) for name in "abcd" for both in ((falls, None), (level, level))]
    found = networks(*each)
    untold = [replace(one, why_not="no run reaches it") if not one.equal else one for one in found]
    mean = pooled(untold)
    assert (mean.kind, mean.equal, mean.why_not) == ("open", None, "no run reaches it")


def test_what_no_network_says_alone_leads_where_all_say_it_together():
    first, second, *others = find(claims.moments(Results.load(RESULTS / "paper-small")))
    assert first.headline == (
        "At a fixed learning rate, λ₁ rises with batch size on average over 6 networks, at equal "
        "training loss too."
    )
    assert first.numbers.startswith("Mean over 6 networks: λ₁ ∝ B^")
    assert first.numbers.endswith("It rises in all 12 lines of 6 networks, significantly in 3.")
    assert "decays in steps, λ₁ rises" in second.headline
    assert any("each at its own eps" in one.numbers for one in others)


def trend(end, equal, *, same, equal_same=False):
    sample = SimpleNamespace(margin=TEST_ACCURACY.margin)
    return Trend(
        quantity=TEST_ACCURACY, panel="", line="", label="", schedule="fixed", why_not="",
        end=Estimate(*end), equal=None if equal is None else Estimate(*equal), sample=sample,
        same=same, equal_same=equal_same,
    )  # fmt: skip


def within(estimate):
    return estimate is not None and max(map(abs, estimate)) <= TEST_ACCURACY.margin


def test_lines_that_do_not_train_are_told(tmp_path):
    folder = synthetic.study(tmp_path, mishaps=False)
    results = Results.load(folder.path)
    lost = results.runs["schedule"] == "step-decay"
    results.runs.loc[lost, "status"] = "collapsed"
    results.table.loc[results.table["schedule"] == "step-decay", "status"] = "collapsed"
    (found,) = (one for one in find(claims.moments(results)) if one.kind == "lost")
    assert "step-decay" in found.headline
    assert "6 of 6 collapsed" in found.numbers


def test_a_study_of_which_nothing_is_measured_has_none(tmp_path):
    folder = synthetic.study(tmp_path, finished=False)
    assert find(claims.moments(Results.load(folder.path))) == []


def test_what_was_not_tracked_is_said_in_a_sentence(tmp_path):
    folder = synthetic.study(tmp_path, mishaps=False)
    found = find(claims.moments(Results.load(folder.path)))
    told = [one.numbers for one in found if "Not testable" in one.numbers]
    assert any("Not testable at equal training loss: measured only at" in one for one in told)
    open_ones = [one for one in found if one.kind == "open"]
    assert all(
        one.headline.endswith("at equal training loss it is not testable.") for one in open_ones
    )
    assert open_ones
    assert not any("told: was" in one for one in told)


@pytest.mark.parametrize("measure", ["strong_accuracy", "robustness_area"])
def test_the_first_picture_shows_shares_of_zero(measure):
    found = results(lines=[("fixed", 0.0)], robust=lambda run, loss: max(0, 0.3 - doublings(run)))
    view = View(replace(found, table=found.table.replace("pgd_accuracy", measure)))
    told = SimpleNamespace(panel=view.panels[0], line=view.lines[0].key)
    html = first_screen._by_size(view, told, Quantity(measure), "At the end of training")
    (points,) = re.findall('points="(.*?)"', html)
    heights = [point.split(",")[1] for point in points.split()]
    assert len(heights) == 6
    assert len(set(heights[1:])) == 1  # the accuracies of larger batches: all 0


@pytest.mark.parametrize(("settings", "measure", "said"), [
    ({"status": lambda run: "collapsed"}, "pgd_accuracy", "No run trained: all diverged"),
    ({}, "own_width", "Findings are about main measures and those of robustness"),
    ({"sizes": [64, 128]}, "pgd_accuracy", "A trend needs runs that trained at three batch sizes"),
    ({"sizes": [64, 128, 256], "seeds": 1}, "pgd_accuracy", "A trend needs five runs of one line"),
    ({"robust": lambda run, loss: 0.0}, "pgd_accuracy", "No trend can be seen in the values"),
])  # fmt: skip
def test_the_title_says_why_there_is_no_trend(settings, measure, said):
    found = results(lines=[("fixed", 0.0)], **settings)
    table = found.table[found.table["measure"] == "pgd_accuracy"].assign(measure=measure)
    found = replace(found, table=table)
    assert not any(one.trends for one in find(claims.moments(found)))
    assert first_screen._nothing(View(found)).startswith(said)


def test_powers_are_raised_on_the_page():
    html = first_screen._emphasised("λ₁ ∝ B^−0.41 (−0.68 to −0.14); ∝ B^0.44.")
    assert "B<sup>−0.41</sup> <span" in html
    assert html.endswith("B<sup>0.44</sup>.")


def test_the_first_picture_compares_lines_of_one_method():
    judged = Judged.open(RESULTS / "remedies-digits")
    top = next(one for one in judged.findings if one.trends)
    html = first_screen._by_size(judged.view, top.trends[0], CURVATURE, "λ₁")
    labels = re.findall(r"</i>(.*?)</span>", html)
    method = next(one.line.knobs["method"] for one in judged.view.lines if one.label == labels[0])
    assert len(labels) == 3
    assert all(label.endswith(f", {method}") for label in labels)
    assert "line: runs that differ only in batch size and seed" in first_screen._glossary([top])
