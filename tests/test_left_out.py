"""What cannot be compared is not compared, and the verdict says what was left out and why."""

import math
from dataclasses import replace

import pytest
from known import made, results
from test_claims import judged

from sgdscope import claims
from sgdscope.findings import Judged
from sgdscope.methods import METHODS, Method
from sgdscope.optimizers.sgd import Sgd
from sgdscope.report import attention
from sgdscope.results.record import Measurement
from sgdscope.results.tables import Results
from sgdscope.results.view import View, most_informative_eps
from sgdscope.study.hypotheses import Hypothesis

FIXED, RATIO = ("fixed", 0.0), ("constant-ratio", 0.0)
FLAT = {"noise": 0.0005, "seeds": 3, "accuracy": lambda run, loss: 0.9}


def changed(found, what):
    """The results, each measurement as ``what`` makes it."""
    return Results.collect(
        one.model_copy(update={"measurements": [what(one.run, each) for each in one.measurements]})
        for one in found
    )


def test_sameness_is_not_shown_where_a_batch_size_never_reaches_the_loss():
    def loss(run, epoch):
        return 2.3 * (0.99 if run.batch_size == 2048 else 0.6) ** epoch

    found = results(lines=[RATIO], every=1, loss=loss, **FLAT)
    (verdict,) = judged(found, "a-ratio", says="Test accuracy", when="equal training loss")
    assert verdict.verdict == "inconclusive"
    assert "every run of 2048 was left out (3 more never reach that loss)" in verdict.reason
    trends = [trend for finding in Judged(found).findings for trend in finding.trends]
    assert trends
    assert not any(trend.equal_same for trend in trends)


def test_sameness_is_not_shown_where_a_batch_size_has_no_value():
    found = changed(
        made(lines=[RATIO], **FLAT),
        lambda run, one: one.model_copy(
            update={"value": math.nan if run.batch_size == 256 else one.value}
        ),
    )
    (verdict,) = judged(found, "a-ratio", says="Test accuracy")
    assert (verdict.verdict, verdict.left_out) == ("inconclusive", 3)
    assert "every run of 256 was left out (3 more have no finite value)" in verdict.reason


def test_an_attack_that_failed_at_the_end_has_no_value_there_and_not_an_earlier_one():
    def cut(one):
        kept = [m for m in one.measurements if (m.measure, m.epoch) != ("pgd_accuracy", 10)]
        gap = Measurement(epoch=10, measure="pgd_accuracy", value=math.nan, flags=["no memory"])
        return one.model_copy(update={"measurements": [*kept, gap]})

    robust = {"robust": lambda run, loss: 0.6 - loss}
    found = made(lines=[FIXED], seeds=3, noise=0.0005, every=5, **robust)
    table = Results.collect(cut(one) if one.run.batch_size >= 1024 else one for one in found)
    (verdict,) = judged(table, "a-ratio", says="PGD")
    assert (verdict.verdict, verdict.runs, verdict.left_out) == ("inconclusive", 12, 6)


def test_sameness_along_a_knob_is_not_shown_where_one_of_its_values_lost_every_run():
    rates = (0.01, 0.02, 0.04, 0.08)
    found = Results.collect(
        result
        for rate in rates
        for result in made(
            lines=[FIXED],
            sizes=[64],
            options={"fixed": {"learning_rate": rate}},
            status=lambda run: "diverged" if run.peak == rates[-1] else "done",
            **FLAT,
        )
    )
    assert found.axis == "learning_rate"
    assert {finding.kind for finding in Judged(found).findings} == {"unclear"}


@pytest.mark.parametrize("value", [1.0, 0.98, 0.9, 0.75])
def test_equal_values_have_no_effect_not_even_by_rounding(value):
    found = Results.collect(
        result
        for rate in (0.01, 0.1)
        for result in made(
            lines=[FIXED],
            sizes=[64, 256, 1024],
            seeds=3,
            noise=0,
            accuracy=lambda run, loss: value,
            options={"fixed": {"learning_rate": rate}},
        )
    )
    for verdict in judged(found, "e-higher-ratio", says="Test accuracy"):
        assert (verdict.verdict, verdict.detail) == ("inconclusive", "too small to count")
        assert verdict.value == verdict.low == verdict.high == 0


def test_lines_in_which_a_knob_is_off_are_no_part_of_its_family():
    clipped = [
        one.model_copy(update={"run": one.run.model_copy(update={"optimizer_options": options})})
        for norm in (None, 0.5, 1.0)
        for options in [{} if norm is None else {"clip_norm": norm}]
        for one in made(lines=[FIXED], sizes=[64, 256, 1024], seeds=3)
    ]
    claim = Hypothesis(
        name="clip", says="Clipping costs", measure="test_accuracy", falls_with="clip_norm"
    )
    found = replace(Results.collect(clipped), hypotheses=(claim,))
    (verdict, _) = [one for one in claims.judge(found) if one.claim == "clip"]
    assert verdict.runs == 18


def test_a_knob_may_be_called_like_a_column():
    @METHODS.add("clip-value")
    class ClipValue(Method):
        """Clip gradients at a value."""

        value: float = 1.0

    found = Results.collect(
        result.model_copy(update={"run": result.run.model_copy(update=settings)})
        for value in (0.5, 1.0, 2.0)
        for settings in [{"method": "clip-value", "method_options": {"value": value}}]
        for result in made(
            lines=[FIXED], seeds=3, noise=0, accuracy=lambda run, loss, v=value: 0.9 - v / 100
        )
    )
    claim = Hypothesis(name="own", says="It costs", measure="test_accuracy", falls_with="value")
    verdicts = claims.judge(replace(found, hypotheses=(claim,)))
    (verdict,) = [one for one in verdicts if one.claim == "own" and "end" in one.when]
    assert (verdict.verdict, verdict.value) == ("supported", pytest.approx(-1.5))


def test_what_is_lost_is_said_and_not_what_was_not_measured():
    lost = results(lines=[FIXED], every=1, status=lambda run: "collapsed")
    (verdict,) = judged(lost, "a-ratio", says="Test accuracy", when="equal training loss")
    assert verdict.reason.startswith("0 comparable runs at 0 batch sizes")
    each = iter(["diverged", "failed", "collapsed", "done"] * 100)
    mixed = results(lines=[FIXED], status=lambda run: next(each))
    (finding,) = [one for one in Judged(mixed).findings if one.kind == "lost"]
    assert finding.numbers.startswith("9 of 12 lost (3 diverged, 3 failed, 3 collapsed)")


def test_a_verdict_on_two_quantities_counts_the_flags_of_both():
    found = made(lines=[FIXED], seeds=3, curvature=lambda run, loss: run.batch_size,
                 robust=lambda run, loss: run.batch_size / 4000)  # fmt: skip
    flagged = changed(
        found,
        lambda run, one: one.model_copy(
            update={"flags": ["weak"] if one.measure == "top_eigenvalue" else []}
        ),
    )
    for verdict in judged(flagged, "b-curvature"):
        assert verdict.doubtful
        assert "of λ₁ (18 of 18 readings flagged)" in verdict.reason


def test_a_stability_limit_that_is_not_known_is_not_reached():
    found = results(lines=[FIXED])
    found.history["stability_limit"] = math.nan
    (verdict,) = judged(found, "edge-of-stability", says="capped")
    assert verdict.reason == "that limit is not known for this optimizer"
    assert Sgd(momentum=0.5).stability_limit(0.0) == math.inf


def test_eps_zero_is_no_attack():
    found = results(lines=[FIXED], eps=(0.0, 0.1), robust=lambda run, loss: 0.3)
    rows = View(found).at_end("pgd_accuracy")
    rows.loc[rows["eps"] == 0, "value"] = rows["batch_size"] / 4000
    assert most_informative_eps(rows) == 0.1


def test_trainings_of_different_length_are_different_lines():
    found = Results.collect(
        one for epochs in (5, 10) for one in made(lines=[FIXED], epochs=epochs, seeds=2)
    )
    labels = [line.label for line in View(found).lines]
    assert labels == ["fixed, m = 0, epochs = 5", "fixed, m = 0, epochs = 10"]


def test_what_measures_say_under_one_name_is_written_whatever_its_type(tmp_path):
    kinds = iter([True, 3, "seven", 0.5] * 1000)
    found = changed(
        made(lines=[FIXED]),
        lambda run, one: one.model_copy(update={"evidence": {"mixed": next(kinds), "b": True}}),
    )
    file = tmp_path / "results.parquet"
    found.table.to_parquet(file)
    assert set(found.table["mixed"]) == {"True", "3", "seven", "0.5"}


def test_an_unconverged_value_keeps_its_other_flags():
    trace = Measurement(
        epoch=10,
        measure="hessian_trace",
        eps=None,
        value=5.0,
        evidence={"converged": False},
        flags=["The trace did not converge in 100 products.", "products are not symmetric"],
    )
    found = Results.collect(
        one.model_copy(update={"measurements": [*one.measurements, trace]})
        for one in made(lines=[FIXED], sizes=[64, 128])
    )
    shown = attention.warnings(View(found), missing=0)
    first, second = (html for html in shown if "Hessian trace" in html)
    assert "4 values not converged" in first
    assert "nan" not in first
    assert "products are not symmetric" in second
    assert "did not converge in" not in second
