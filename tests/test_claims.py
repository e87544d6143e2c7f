"""Claims on results with a known answer come out right: both ways, and undecided where they are."""

import io
import json
import re
from dataclasses import replace

import pytest
from known import ALL_LINES, doublings, made, results
from rich.console import Console
from typer.testing import CliRunner

from sgdscope import claims, figures
from sgdscope.claims import CLAIMS, record
from sgdscope.claims.markdown import markdown
from sgdscope.cli import app
from sgdscope.files import write_text
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results

LR, RATIO, BENCHMARK = ("fixed", 0.0), ("constant-ratio", 0.0), ("step-decay", 0.9)
THREE = [LR, RATIO, BENCHMARK]


def judged(found: Results, claim: str, *, says: str = "", when="end of training", **options):
    """Verdicts of one claim whose statement has some words in it; there are some."""
    evidence = claims.Evidence(found, when, **options)
    verdicts = [
        replace(verdict, claim=claim)
        for verdict in CLAIMS[claim](evidence)
        if says in verdict.statement
    ]
    assert verdicts
    return verdicts


def answers(*arguments, **options) -> set[str]:
    return {verdict.verdict for verdict in judged(*arguments, **options)}


def less_accurate(run, loss):
    return 0.98 if run.schedule == "constant-ratio" else 0.98 - 0.01 * doublings(run)


def falling(run, loss):
    return 0.6 if run.schedule == "constant-ratio" else 0.6 - 0.03 * doublings(run)


# (a)


def test_a_is_supported_where_only_lr_over_bs_is_flat():
    found = results(lines=THREE, robust=falling, accuracy=less_accurate)
    assert answers(found, "a-ratio") == {"supported"}
    (slope,) = judged(found, "a-ratio", says="PGD accuracy at eps 0.1 falls with batch size: "
                      "stdcnn on mnist under fixed")  # fmt: skip
    assert slope.value == pytest.approx(-3.0, abs=0.2)
    assert slope.low < slope.value < slope.high
    assert (slope.unit, slope.runs, slope.seeds) == ("points per doubling", 12, 2)
    assert slope.figure == "pgd_accuracy-eps0.1"


def test_every_figure_that_a_verdict_names_is_drawn():
    found = results(lines=ALL_LINES, robust=falling, eps=(0.1, 0.3), every=2)
    named = {verdict.figure for verdict in claims.judge(found) if verdict.figure}
    assert {"pgd_accuracy-eps0.1-by-top_eigenvalue", "pgd_accuracy-eps0.3"} <= named
    assert "progress-by-training_loss-stdcnn-mnist" in named
    assert named <= {name for name, _ in figures.drawings(found)}


def test_a_is_contradicted_where_it_is_the_other_way_round():
    found = results(
        lines=THREE,
        robust=lambda run, loss: 0.9 - falling(run, loss),
        accuracy=lambda run, loss: 0.98 - 0.02 * doublings(run),
        curvature=lambda run, loss: 5 * 1.4 ** doublings(run),
    )
    assert answers(found, "a-ratio", says="PGD accuracy at eps 0.1 falls") == {"contradicted"}
    assert answers(found, "a-ratio", says="Test accuracy barely") == {"contradicted"}
    assert answers(found, "a-ratio", says="λ₁ barely") == {"contradicted"}


def test_a_flat_benchmark_is_too_small_to_count_and_no_contradiction():
    found = results(lines=[BENCHMARK], noise=0.001)
    (verdict,) = judged(found, "a-ratio", says="PGD accuracy at eps 0.1 falls")
    assert (verdict.verdict, verdict.word, verdict.sign) == (
        "inconclusive", "too small to count", "≈"
    )  # fmt: skip
    assert verdict.reason.endswith("; too small to count, up or down")


def v_shaped(run, loss):
    return 0.4 + 0.04 * abs(doublings(run) - 2.5)


def test_a_curve_that_bends_is_no_sameness_whatever_its_slope():
    sure = results(lines=[RATIO, BENCHMARK], robust=v_shaped, seeds=5, noise=0.0001)
    (same,) = judged(sure, "a-ratio", says="PGD accuracy at eps 0.1 barely")
    assert (same.verdict, same.detail) == ("contradicted", "not along a line")
    assert max(abs(same.low), abs(same.high)) < same.margin
    assert "means span 8 points" in same.reason
    assert "a margin of 5" in same.reason
    (falls,) = judged(sure, "a-ratio", says="PGD accuracy at eps 0.1 falls")
    assert (falls.word, falls.marks) == ("inconclusive", "~")
    unsure = results(lines=[RATIO], robust=v_shaped, seeds=2)
    (same,) = judged(unsure, "a-ratio", says="PGD accuracy at eps 0.1 barely")
    assert same.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        ({"sizes": [64, 128]}, "at least 5 runs at 3 batch sizes"),
        ({"sizes": [64, 128, 256], "seeds": 1}, "at least 5 runs at 3 batch sizes"),
        ({"noise": 0.25, "robust": lambda run, loss: 0.5}, "seeds would"),
    ],
)
def test_too_few_runs_or_too_much_noise_are_inconclusive_and_say_what_is_needed(grid, reason):
    for verdict in judged(
        results(**({"lines": THREE, "robust": falling} | grid)), "a-ratio", says="PGD"
    ):
        assert verdict.verdict == "inconclusive"
        assert reason in verdict.reason


# (b)


PANELS = [("stdcnn", "fashion_mnist"), ("m1", "mnist")]


def rising_on_fashion(run, loss):
    return 0.2 + (0.02 if run.data == "fashion_mnist" else -0.02) * doublings(run)


def sharper(run, loss):
    return 5 * 1.3 ** doublings(run)


def test_b_is_supported_by_one_panel_where_both_rise():
    found = results(lines=[LR], panels=PANELS, robust=rising_on_fashion, curvature=sharper)
    own = judged(found, "b-curvature", says="under fixed")
    assert {verdict.data: verdict.verdict for verdict in own} == {
        "fashion_mnist": "supported",
        "mnist": "contradicted",
    }
    (somewhere,) = judged(found, "b-curvature", says="somewhere")
    assert somewhere.verdict == "supported"
    assert "1 of 2 panels: stdcnn on fashion_mnist" in somewhere.reason


def test_b_is_contradicted_where_robustness_falls_everywhere():
    found = results(
        lines=[LR], panels=PANELS, curvature=sharper,
        robust=lambda run, loss: 0.5 - 0.02 * doublings(run),
    )  # fmt: skip
    assert answers(found, "b-curvature") == {"contradicted"}


def test_b_is_inconclusive_where_noise_hides_it():
    found = results(lines=[LR], panels=PANELS, noise=0.2, curvature=sharper,
                    robust=lambda run, loss: 0.5)  # fmt: skip
    assert answers(found, "b-curvature", says="somewhere") == {"inconclusive"}


# (c) and (d)


def test_c_and_d_are_supported_where_momentum_does_what_the_paper_says():
    found = results(
        lines=ALL_LINES, curvature=lambda run, loss: 10 * (1 - run.momentum / 2),
        robust=lambda run, loss: 0.4 + 0.1 * run.momentum * (run.schedule == "fixed"),
        accuracy=lambda run, loss: 0.9 + 0.05 * run.momentum, panels=PANELS, seeds=4,
    )  # fmt: skip
    assert answers(found, "c-momentum-curvature") == {"supported"}
    assert answers(found, "d-momentum-robustness") == {"supported"}
    (overall,) = judged(found, "c-momentum-curvature", says="in most cases")
    assert overall.value == 1
    assert "24 of 24 cases" in overall.reason


def test_c_and_d_are_contradicted_the_other_way():
    found = results(
        lines=ALL_LINES, curvature=lambda run, loss: 10 * (1 + run.momentum),
        robust=lambda run, loss: 0.6 - 0.1 * run.momentum, seeds=4,
    )  # fmt: skip
    assert answers(found, "c-momentum-curvature") == {"contradicted"}
    assert answers(found, "d-momentum-robustness", says="PGD") == {"contradicted"}
    (flat,) = judged(found, "d-momentum-robustness", says="raises Test")
    assert flat.word == "too small to count"


MOMENTA = [("fixed", 0.0), ("fixed", 0.9)]


@pytest.mark.parametrize(("effect", "word"), [(1, "too small to count"), (-1, "contradicted")])
def test_an_effect_of_momentum_too_small_to_count_does_not_contradict_its_own_sign(effect, word):
    found = results(lines=MOMENTA, robust=lambda run, loss: 0.4 + 0.01 * effect * run.momentum,
                    noise=0.0005, seeds=4)  # fmt: skip
    (verdict,) = judged(found, "d-momentum-robustness", says="raises PGD")
    assert verdict.word == word
    assert "by more than 2 points, in 0 of 6 cases" in verdict.reason


def test_one_seed_decides_nothing_of_most_cases():
    found = results(lines=ALL_LINES, curvature=lambda run, loss: 10 * (1 - run.momentum / 2),
                    seeds=1)  # fmt: skip
    for verdict in judged(found, "c-momentum-curvature"):
        assert verdict.verdict == "inconclusive"
        assert "in 6 of 6 cases" in verdict.reason or "in 12 of 12 cases" in verdict.reason
        assert "two are needed" in verdict.reason


def test_one_seed_has_no_interval_for_the_effect_of_momentum_in_the_mean():
    found = results(lines=[RATIO, ("constant-ratio", 0.9)], seeds=1)
    (verdict,) = judged(found, "d-momentum-robustness", says="does not change PGD")
    assert (verdict.verdict, verdict.value) == ("inconclusive", None)
    assert "one seed cannot show how far another would shift" in verdict.reason


def test_a_schedule_that_lost_its_momenta_is_no_case():
    def status(run):
        ratio = run.schedule == "constant-ratio"
        return "collapsed" if ratio and run.momentum else "done"

    found = results(lines=[*MOMENTA, RATIO, ("constant-ratio", 0.9)], panels=PANELS, status=status,
                    seeds=4, curvature=lambda run, loss: 10 * (1 - run.momentum / 2))  # fmt: skip
    (overall,) = judged(found, "c-momentum-curvature", says="in most cases")
    assert overall.verdict == "supported"
    assert "constant-ratio" not in overall.line
    assert "12 of 12 cases" in overall.reason


def test_that_momentum_plays_no_part_is_not_shown_where_it_lost_every_run_of_a_batch_size():
    lines = [RATIO, ("constant-ratio", 0.9)]
    whole = results(lines=lines, noise=0.0005, seeds=3)
    (kept,) = judged(whole, "d-momentum-robustness", says="does not change PGD")
    assert kept.verdict == "supported"

    def status(run):
        return "collapsed" if (run.momentum, run.batch_size) == (0.9, 2048) else "done"

    part = results(lines=lines, noise=0.0005, status=status, seeds=3)
    (gone,) = judged(part, "d-momentum-robustness", says="does not change PGD")
    assert gone.verdict == "inconclusive"
    assert "every run of 2048 at m = 0.9 was left out" in gone.reason


def test_each_learning_rate_has_a_verdict_of_its_own():
    slow = made(lines=MOMENTA, seeds=4, curvature=lambda run, loss: 10 * (1 - run.momentum / 2))
    fast = [
        one.model_copy(update={"run": one.run.model_copy(
            update={"schedule_options": {"learning_rate": 0.1}})})
        for one in made(lines=MOMENTA, seeds=4, curvature=lambda run, loss: 10 * (1 + run.momentum))
    ]  # fmt: skip
    found = judged(Results.collect([*slow, *fast]), "c-momentum-curvature", says="at most")
    assert {verdict.line: verdict.verdict for verdict in found} == {
        "fixed, learning_rate=0.01, m = 0, 0.9": "supported",
        "fixed, learning_rate=0.1, m = 0, 0.9": "contradicted",
    }


def test_c_and_d_are_inconclusive_at_two_batch_sizes():
    found = results(lines=ALL_LINES, sizes=[64, 128], noise=0.05)
    assert answers(found, "c-momentum-curvature", says="at most batch sizes") == {"inconclusive"}
    assert answers(found, "d-momentum-robustness", says="at most") == {"inconclusive"}
    assert answers(found, "d-momentum-robustness", says="does not change") == {"inconclusive"}


# Those set beside them


def test_yao_is_supported_where_curvature_rises_and_robustness_falls():
    found = results(lines=[BENCHMARK], robust=falling, curvature=sharper)
    assert answers(found, "yao-2018") == {"supported"}
    assert judged(found, "yao-2018", says="lower where")[0].value < -0.9


def test_yao_is_contradicted_where_both_rise():
    found = results(lines=[LR], robust=lambda run, loss: 0.3 + 0.02 * doublings(run),
                    curvature=sharper)  # fmt: skip
    assert answers(found, "yao-2018", says="λ₁ rises") == {"supported"}
    assert answers(found, "yao-2018", says="falls") == {"contradicted"}
    assert answers(found, "yao-2018", says="lower where") == {"contradicted"}


def test_yao_is_inconclusive_on_noise():
    found = results(lines=[BENCHMARK], noise=0.1)
    assert answers(found, "yao-2018") == {"inconclusive"}


def test_kaur_wants_curvature_to_move_and_accuracy_not_to():
    moving = {"lines": [RATIO], "curvature": lambda run, loss: 200 / 2 ** doublings(run)}
    assert answers(results(**moving), "kaur-2022") == {"supported"}
    assert answers(results(lines=[RATIO]), "kaur-2022") == {"contradicted"}
    worse = results(accuracy=lambda run, loss: 0.98 - 0.03 * doublings(run), **moving)
    assert answers(worse, "kaur-2022") == {"contradicted"}
    assert answers(results(**moving, noise=0.1), "kaur-2022") == {"inconclusive"}


def test_the_edge_of_stability_caps_curvature():
    def at_edge(run, loss):
        return 0.9 * 2 * (1 + run.momentum) / run.rate(1)

    lines = [RATIO, ("constant-ratio", 0.9)]
    near = results(lines=lines, curvature=at_edge, seeds=4)
    assert answers(near, "edge-of-stability") == {"supported"}
    above = results(lines=lines, curvature=lambda run, loss: 5000.0, seeds=4)
    assert answers(above, "edge-of-stability", says="capped") == {"contradicted"}
    far = results(lines=lines, curvature=lambda run, loss: 0.01, noise=0.05)
    for verdict in judged(far, "edge-of-stability", says="capped"):
        assert verdict.verdict == "inconclusive"
        assert "too far from the limit" in verdict.reason


@pytest.mark.parametrize(
    ("stopped", "verdict", "reason"),
    [
        (64, "supported", "20 of 20 runs are at 0.5"),
        (None, "inconclusive", "there is no such limit at a learning rate of 0"),
    ],
)
def test_where_the_learning_rate_is_zero_there_is_no_edge(stopped, verdict, reason):
    def at_edge(run, loss):
        return 0.9 * 2 / run.rate(1)

    found = made(lines=[RATIO], curvature=at_edge, seeds=4)
    for number, one in enumerate(found):
        if stopped in (None, one.run.batch_size):
            last = one.history[-1].model_copy(update={"learning_rate": 0.0})
            found[number] = one.model_copy(update={"history": [*one.history[:-1], last]})
    (capped,) = judged(Results.collect(found), "edge-of-stability", says="capped")
    assert capped.verdict == verdict
    assert reason in capped.reason


def test_one_run_near_its_limit_does_not_show_a_cap():
    def mostly_far(run, loss):
        limit = 2 * (1 + run.momentum) / run.rate(1)
        return (0.8 if (run.batch_size, run.seed) == (64, 0) else 0.2) * limit

    found = results(lines=[RATIO], curvature=mostly_far, noise=0.0)
    (verdict,) = judged(found, "edge-of-stability", says="capped")
    assert verdict.verdict == "inconclusive"
    assert "1 of 12 runs are at 0.5 to 1.1 times the limit and 0 above" in verdict.reason


# Traps


@pytest.mark.parametrize(("value", "reason"), [(0.0, "at the floor"), (0.1, "at chance level")])
def test_values_at_a_floor_carry_no_information(value, reason):
    found = results(lines=THREE, eps=(0.1, 0.3), noise=0.0, robust=lambda run, loss: value)
    for verdict in judged(found, "a-ratio", says="PGD"):
        assert verdict.verdict == "inconclusive"
        assert not verdict.informative
        assert reason in verdict.reason


def test_a_floor_that_most_runs_sit_at_hides_a_trend():
    def steep(run, loss):
        return {64: 0.3, 128: 0.1}.get(run.batch_size, 0.0)

    (verdict,) = judged(results(lines=[BENCHMARK], robust=steep), "a-ratio", says="PGD")
    assert not verdict.informative
    assert "8 of 12 runs are at the floor (0%), ± 1%" in verdict.reason


def test_an_accuracy_that_falls_through_chance_to_the_floor_tells():
    def steep(run, loss):
        return {64: 0.3, 128: 0.2, 256: 0.1, 512: 0.1}.get(run.batch_size, 0.0)

    (verdict,) = judged(results(lines=[BENCHMARK], robust=steep), "a-ratio", says="PGD")
    assert verdict.verdict == "supported"


def test_a_value_on_no_logarithmic_scale_leaves_no_trend():
    def curvature(run, loss):
        return 0.0 if (run.batch_size, run.seed) == (2048, 1) else 5 * 1.4 ** doublings(run)

    found = results(lines=[BENCHMARK], curvature=curvature, noise=0.0)
    (verdict,) = judged(found, "yao-2018", says="λ₁ rises")
    assert not verdict.informative
    assert "1 of 12 values are 0 or infinite, on no logarithmic scale" in verdict.reason


def test_lost_runs_are_left_out_of_trends_unless_asked_for():
    def status(run):
        return {1024: "collapsed", 2048: "diverged"}.get(run.batch_size, "done")

    found = results(
        lines=[BENCHMARK], status=status, accuracy=lambda run, loss: 0.9,
        robust=lambda run, loss: 0.1 if run.batch_size == 1024 else 0.2 - 0.02 * doublings(run),
    )  # fmt: skip
    (without,) = judged(found, "a-ratio", says="PGD")
    assert (without.runs, without.left_out) == (8, 4)
    assert without.value == pytest.approx(-2.0, abs=0.2)
    assert "4 more diverged, collapsed or failed" in without.reason
    (with_them,) = judged(found, "a-ratio", says="PGD", include_collapsed=True)
    assert (with_them.runs, with_them.left_out) == (10, 2)
    assert with_them.value < -2.1


def test_sameness_is_not_shown_where_every_run_of_a_batch_size_is_lost():
    def status(run):
        return "collapsed" if run.batch_size == 2048 else "done"

    flat = {"lines": [RATIO], "accuracy": lambda run, loss: 0.9, "noise": 0.0005}
    whole, part = results(**flat), results(**flat, status=status)
    (kept,) = judged(whole, "a-ratio", says="Test accuracy")
    (gone,) = judged(part, "a-ratio", says="Test accuracy")
    assert kept.verdict == "supported"
    assert gone.verdict == "inconclusive"
    assert "every run of 2048 was left out" in gone.reason


def test_flagged_readings_are_counted_and_said():
    found = results(lines=[BENCHMARK], robust=falling)
    attacked = found.table["measure"] == "pgd_accuracy"
    (before,) = judged(found, "a-ratio", says="PGD")
    assert (before.flagged, before.doubtful) == (0, False)
    found.table.loc[attacked & (found.table["batch_size"] < 1024), "flags"] = "weak"
    (after,) = judged(found, "a-ratio", says="PGD")
    assert (after.flagged, after.runs, after.doubtful) == (8, 12, True)
    assert after.value == before.value
    assert "8 of 12 readings flagged" in after.reason
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(record.table([after]))
    assert f"{after.verdict} !" in console.export_text()


# Equal progress


def slower(run, epoch):
    """Every doubling of the batch size slows training down; it stays at the same path."""
    return 2.3 * 0.6 ** (epoch / (1 + 0.2 * doublings(run)))


def by_progress(run, loss):
    """Robustness that follows from the training loss alone."""
    return 0.2 + 0.2 * min(loss, 2.3) / 2.3


def test_what_follows_from_progress_alone_vanishes_at_equal_loss():
    found = results(lines=[BENCHMARK], loss=slower, robust=by_progress, every=1, noise=0.0005,
                    epochs=12)  # fmt: skip
    assert answers(found, "a-ratio", says="PGD") == {"contradicted"}  # it rises with batch size
    (equal,) = judged(found, "a-ratio", says="PGD", when="equal training loss")
    assert equal.runs == 12
    assert equal.value == pytest.approx(0.0, abs=0.05)
    assert judged(found, "a-ratio", says="PGD")[0].low > 0.05


LASTING = {
    "a-ratio": {
        "lines": THREE,
        "robust": falling,
        "accuracy": less_accurate,
        "curvature": lambda run, loss: 10.0,
    },
    "b-curvature": {"lines": [LR], "robust": lambda run, loss: 0.3 + 0.02 * doublings(run)},
    "c-momentum-curvature": {"curvature": lambda run, loss: 10 * (1 - run.momentum / 2)},
    "d-momentum-robustness": {
        "robust": lambda run, loss: 0.4 + 0.1 * run.momentum * (run.schedule == "fixed"),
        "accuracy": lambda run, loss: 0.9 + 0.05 * run.momentum,
    },
    "yao-2018": {"lines": [BENCHMARK], "robust": falling},
    "kaur-2022": {"lines": [RATIO], "curvature": lambda run, loss: 200 / 2 ** doublings(run)},
}


@pytest.mark.parametrize("claim", LASTING)
def test_what_does_not_follow_from_progress_stands_at_equal_loss_too(claim):
    settings = {"lines": ALL_LINES, "curvature": sharper, "loss": slower, "every": 1, "epochs": 12,
                "seeds": 3}  # fmt: skip
    found = results(**(settings | LASTING[claim]), noise=0.0005)
    for when in ("end of training", "equal training loss"):
        assert answers(found, claim, when=when) == {"supported"}


def test_b_may_hold_at_the_end_and_not_at_equal_loss():
    found = results(
        lines=[LR], loss=slower, robust=by_progress, every=1, noise=0.0005, epochs=12, seeds=3,
        curvature=lambda run, loss: 5 + 20 * loss,
    )  # fmt: skip
    assert answers(found, "b-curvature") == {"supported"}
    for verdict in judged(found, "b-curvature", when="equal training loss"):
        assert verdict.word == "too small to count"


def test_without_measurements_along_training_equal_loss_says_what_to_ask_for():
    (verdict,) = judged(
        results(lines=[BENCHMARK]), "a-ratio", says="PGD", when="equal training loss"
    )
    assert verdict.verdict == "inconclusive"
    assert "set every = N or at = [N, …] under [measure.pgd_accuracy]" in verdict.reason


@pytest.mark.parametrize("claim", ["a-ratio", "c-momentum-curvature"])  # of lines, of families
def test_negative_losses_are_no_equal_loss(claim):
    def likelihood(run, epoch):
        return slower(run, epoch) - 1.0 * (run.batch_size == 64)

    found = results(lines=ALL_LINES, loss=likelihood, robust=by_progress, every=1, epochs=12)
    verdicts = judged(found, claim, says=" under ", when="equal training loss")
    said = "the training loss of "
    assert {verdict.verdict for verdict in verdicts} == {"inconclusive"}
    assert all(said in v.reason and "falls below 0, and" in v.reason for v in verdicts)
    assert {verdict.figure for verdict in verdicts} == {None}


def test_batch_sizes_that_share_no_loss_with_the_rest_are_not_compared():
    def stuck(run, epoch):
        return 2.3 if run.batch_size == 2048 else slower(run, epoch)

    found = results(lines=[BENCHMARK], loss=stuck, robust=by_progress, every=1, epochs=12)
    (verdict,) = judged(found, "a-ratio", says="PGD", when="equal training loss")
    assert (verdict.runs, verdict.left_out) == (10, 2)
    assert "2 more never reach that loss" in verdict.reason


def test_a_value_along_training_on_a_subset_is_compared_with_that_on_the_same_at_the_end():
    found = results(lines=[BENCHMARK], loss=slower, robust=by_progress, every=1, noise=0.0005)
    table = found.table
    last = (table["measure"] == "pgd_accuracy") & (table["epoch"] == 10)
    shifted = table.assign(along_value=table["value"].where(last))
    shifted.loc[last, "value"] += 0.3
    moved = replace(found, table=shifted)
    equal = [
        judged(one, "a-ratio", says="PGD", when="equal training loss")[0] for one in (found, moved)
    ]
    assert equal[0].value == equal[1].value
    assert judged(found, "a-ratio", says="PGD")[0].value == pytest.approx(
        judged(moved, "a-ratio", says="PGD")[0].value
    )


# For a reader


def test_the_table_fits_and_shows_the_largest_eps_that_tells_something():
    found = results(lines=ALL_LINES, eps=(0.1, 0.3), every=2, robust=falling)
    table = found.table
    table.loc[table["eps"] == 0.3, "value"] = 0.0
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    verdicts = claims.judge(found)
    console.print(record.table(verdicts))
    console.file.close()
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert all(verdict.claim in text for verdict in verdicts)
    assert "eps 0.1" in text
    assert "eps 0.3" not in text


def test_the_page_of_verdicts_has_a_row_for_each_line_and_both_moments():
    found = results(lines=THREE, eps=(0.1, 0.3), every=1, robust=falling)
    found.table.loc[found.table["eps"] == 0.3, "value"] = 0.0
    page = markdown(claims.judge(found), title="made up", note="A miniature.")
    assert page.startswith("# made up: verdicts\n\nA miniature.\n\n✓ supported")
    tables = {part.split("\n")[0]: part for part in page.split("\n## ")}
    table = [row for row in tables[CLAIMS.summary("a-ratio")].split("\n") if row.startswith("|")]
    said, benchmark = (row.split(" | ") for row in table if "… falls" in row or "step-decay" in row)
    column = table[0].split(" | ").index("PGD accuracy")
    assert said[column] == "*points per doubling*"
    assert re.fullmatch(
        r"(✓ −(2\.9|3|3\.1) \(−\S+ to −\S+\)<br>){2}eps 0\.1", benchmark[column].rstrip(" |")
    )


def test_what_could_not_be_tested_is_counted_on_the_page_of_verdicts():
    page = markdown(claims.judge(results(lines=[LR], sizes=[64, 128])), title="made up")
    assert "1 statement could not be tested." in page
    assert "|" not in page


MINE = '''
from sgdscope.claims import judging
from sgdscope.claims.quantities import TEST_ACCURACY
from sgdscope.files import write_text
from sgdscope.results.folder import StudyFolder
from sgdscope.claims import CLAIMS


@CLAIMS.add("mine")
def mine(evidence):
    """Test accuracy falls with batch size under LR."""
    for sample in evidence.samples([TEST_ACCURACY], schedule="fixed"):
        yield sample.verdict("test accuracy falls", judging.changes(sample, "falls"))
'''


def test_claims_from_the_command_line_with_one_of_the_users_own(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    folder = StudyFolder(tmp_path)
    write_text(
        folder.study_file,
        'name = "made up"\nplugins = ["mine.py"]\nmodel = "stdcnn"\ndata = "mnist"\nepochs = 1\n'
        'batch_size = [64, 128]\nschedule = ["fixed"]\nmeasure = ["test_accuracy"]\n',
    )
    for result in made(lines=[LR], sizes=[64, 128]):
        write_text(folder.run_file(result.run.id, "result.json"), result.model_dump_json())
    out = str(tmp_path)
    invoke = CliRunner().invoke
    shown = invoke(app, ["claims", out])
    assert shown.exit_code == 0, shown.output
    assert "test accuracy falls" in " ".join(shown.output.split())
    assert "mine" in invoke(app, ["list", "claims"]).output
    printed = json.loads(invoke(app, ["claims", out, "--json"]).output)
    assert printed == json.loads(folder.claims.read_text())
    assert "Test accuracy falls with batch size under LR." in folder.verdicts.read_text()
    (verdict,) = [one for one in printed if one["claim"] == "mine" and "end" in one["when"]]
    assert verdict["verdict"] == "inconclusive"


def test_claims_of_a_folder_without_a_study_is_a_wrong_request(tmp_path):
    done = CliRunner().invoke(app, ["claims", str(tmp_path / "nowhere")])
    assert done.exit_code == 2
    assert "holds no study" in done.output
