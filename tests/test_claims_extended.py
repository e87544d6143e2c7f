"""The extended paper's claims come out right: both ways, and undecided where they are."""

import pytest
from known import doublings, made
from test_claims import LR, RATIO, judged

from sgdscope.results.tables import Results

RATIOS = [0.000078125, 0.00015625, 0.0003125]
BOTH = [LR, ("fixed", 0.9), RATIO, ("constant-ratio", 0.9)]


def at_ratios(**settings) -> Results:
    """The same lines at three ratios, each a factor of two from the next."""
    found = []
    for ratio in RATIOS:
        options = {"constant-ratio": {"ratio": ratio}}
        found += made(lines=[RATIO], options=options, seeds=3, **settings)
    return Results.collect(found)


def ratio_of(run) -> float:
    return run.schedule_options["ratio"]


@pytest.mark.parametrize(
    ("steepness", "word"),
    [(400, "supported"), (-400, "contradicted"), (0, "too small to count")],
)
def test_e_asks_what_a_higher_ratio_does_at_each_batch_size(steepness, word):
    found = at_ratios(
        accuracy=lambda run, loss: 0.7 + steepness * ratio_of(run) - 0.03 * doublings(run)
    )
    (verdict,) = judged(found, "e-higher-ratio")
    assert verdict.word == word
    assert verdict.statistic == "mean change from smallest to largest ratio"
    assert (verdict.runs, verdict.seeds) == (3 * 6 * 3, 3)
    assert verdict.value == pytest.approx(100 * steepness * (RATIOS[2] - RATIOS[0]), abs=0.6)


def test_f_holds_where_robustness_is_flat_at_every_ratio_and_at_one_that_is_not_fails():
    flat = at_ratios(robust=lambda run, loss: 0.2 + 500 * ratio_of(run), noise=0.001)
    (verdict,) = judged(flat, "f-steady-robustness")
    assert verdict.verdict == "supported"
    assert verdict.reason == "of 3 lines: 3 supported"
    assert (verdict.model, verdict.data, verdict.runs) == ("stdcnn", "mnist", 3 * 6 * 3)
    steep = at_ratios(
        robust=lambda run, loss: 0.6 - 0.04 * doublings(run) * (ratio_of(run) == RATIOS[2]),
        noise=0.001,
    )
    (verdict,) = judged(steep, "f-steady-robustness")
    assert verdict.verdict == "contradicted"
    assert verdict.reason == "of 3 lines: 2 supported, 1 contradicted"
    assert (verdict.low, verdict.high) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_f_says_which_lines_carry_no_information():
    fallen = at_ratios(robust=lambda run, loss: 0.4 * (ratio_of(run) > RATIOS[0]), noise=0.001)
    (verdict,) = judged(fallen, "f-steady-robustness")
    assert verdict.verdict == "supported"
    assert verdict.reason == "of 3 lines: 2 supported, 1 without information"


def gains(fixed: float, scaled: float):
    """Robustness that momentum raises by so much under LR, and by so much under LR/BS."""
    return lambda run, loss: 0.3 + run.momentum * (fixed if run.schedule == "fixed" else scaled)


@pytest.mark.parametrize(
    ("fixed", "scaled", "word"),
    [
        (0.1, 0.0, "supported"),
        (0.2, 0.1, "supported"),
        (0.0, 0.1, "contradicted"),
        (0.1, 0.1, "too small to count"),
    ],
)
def test_g_compares_what_momentum_adds_under_both_schedules(fixed, scaled, word):
    found = Results.collect(made(lines=BOTH, seeds=4, robust=gains(fixed, scaled)))
    (verdict,) = judged(found, "g-momentum-fixed", says="PGD")
    assert verdict.word == word
    assert verdict.value == pytest.approx(90 * (fixed - scaled), abs=0.5)
    assert verdict.reason.startswith("difference between the schedules: ")
    assert verdict.line == "fixed, m = 0, 0.9; constant-ratio, m = 0, 0.9"
    assert verdict.runs == 4 * 6 * 4


def test_g_has_no_answer_where_momentum_lost_every_run_of_a_schedule():
    def status(run):
        return "collapsed" if (run.schedule, run.momentum) == ("constant-ratio", 0.9) else "done"

    found = Results.collect(made(lines=BOTH, seeds=3, status=status))
    (verdict,) = judged(found, "g-momentum-fixed", says="PGD")
    assert (verdict.verdict, verdict.value) == ("inconclusive", None)
    assert "momentum is 0 to 0.9 under fixed, m = 0, 0.9 and 0 to 0 under" in verdict.reason
    assert verdict.left_out == 3 * 6
