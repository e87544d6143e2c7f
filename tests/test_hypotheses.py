"""Claims of a study file are judged right, and know whether they stood there first."""

import json
from dataclasses import replace

import pytest
from known import _result as result_of
from known import made
from typer.testing import CliRunner

from sgdscope import claims, run
from sgdscope.claims.verdicts import BENT, SMALL
from sgdscope.cli import app
from sgdscope.errors import RequestError
from sgdscope.results.axis import geometric
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.study.hypotheses import Hypothesis
from sgdscope.study.study import Study

BY_DECAY = {"name": "h", "says": "Decay flattens", "measure": "top_eigenvalue"}


def results(*, curvature, decays=(0.0, 0.001, 0.01), seeds=3, sizes=(64, 256)):
    """Runs of SGD at several weight decays; λ₁ by a formula of the decay and a little noise."""
    found = []
    for one in made(lines=[("fixed", 0.9)], sizes=sizes, seeds=seeds):
        for decay in decays:
            options = {"weight_decay": decay} if decay else {}
            own = one.run.model_copy(update={"optimizer_options": options})
            own = type(own)(**own.model_dump())
            formulas = {"top_eigenvalue": lambda run, loss, decay=decay: curvature(decay)}
            found.append(result_of(own, "done", 0.002, None, lambda run, epoch: 0.1, [], formulas))
    return Results.collect(found)


def judged(found, **settings):
    stated = Hypothesis(**BY_DECAY | settings)
    verdicts = claims.judge(replace(found, hypotheses=(stated,)))
    return [one for one in verdicts if one.claim == "h" and one.when == "end of training"]


@pytest.mark.parametrize(
    ("curvature", "settings", "answer"),
    [
        (lambda decay: 10 - 500 * decay, {"falls_with": "weight_decay"}, "supported"),
        (lambda decay: 10 - 500 * decay, {"rises_with": "weight_decay"}, "contradicted"),
        (lambda decay: 10 - 500 * decay, {"unmoved_by": "weight_decay"}, "contradicted"),
        (lambda decay: 10.0, {"unmoved_by": "weight_decay"}, "supported"),
        (lambda decay: 10.0, {"falls_with": "weight_decay"}, "inconclusive"),
        (lambda decay: 9.5 if decay else 10, {"unmoved_by": "weight_decay"}, "supported"),
        (
            lambda decay: 9.5 if decay else 10,
            {"unmoved_by": "weight_decay", "margin": 0.01},
            "contradicted",
        ),
    ],
)
def test_the_effect_of_a_knob_is_judged(curvature, settings, answer):
    (verdict,) = judged(results(curvature=curvature), **settings)
    assert verdict.verdict == answer
    assert verdict.line == "fixed, m = 0.9, wd = 0, 0.001, 0.01"
    assert verdict.statistic == "mean change from smallest to largest weight_decay"
    assert "added later" in verdict.statement


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("curvature", "course", "answer", "detail"),
    [
        (lambda decay: 16.0, "unmoved_by", "supported", ""),
        (lambda decay: 32.0 if decay == 0.001 else 16, "unmoved_by", "contradicted", BENT),
        (lambda decay: 17.5 if decay == 0.001 else 16, "unmoved_by", "supported", ""),
        (lambda decay: 16.0, "falls_with", "inconclusive", SMALL),
        (lambda decay: 32.0 if decay == 0.001 else 16, "falls_with", "inconclusive", BENT),
        (lambda decay: 32.0 * (2 if decay == 0.001 else 1) / decay, "falls_with", "supported", ""),
    ],
)
def test_a_knob_that_matters_between_its_ends_is_not_without_effect(
    curvature, course, answer, detail, seeds
):
    found = results(curvature=curvature, decays=(0.0001, 0.001, 0.01), seeds=seeds)
    (verdict,) = judged(found, **{course: "weight_decay"})
    assert (verdict.verdict, verdict.detail) == (answer, detail)
    assert ("but its means span 1 doublings" in verdict.reason) == (detail == BENT)


def test_an_effect_is_the_change_from_the_smallest_to_the_largest_value():
    found = results(curvature=lambda decay: 16.0 / 2 ** (100 * decay), decays=(0.0, 0.005, 0.01))
    (verdict,) = judged(found, falls_with="weight_decay")
    assert verdict.value == pytest.approx(-1.0, abs=0.05)  # one doubling less
    assert verdict.low <= -1.0 <= verdict.high
    assert verdict.unit == "doublings"


def test_geometric_values_are_compared_by_their_logarithms():
    found = results(curvature=lambda decay: decay**-0.5, decays=(0.0001, 0.001, 0.01))
    (verdict,) = judged(found, falls_with="weight_decay")
    assert verdict.value == pytest.approx(-0.5 * 6.644, abs=0.05)  # log2(100) doublings


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([64, 128, 256], True),
        ([0.0, 0.5, 0.9], False),
        ([0.2, 0.5, 0.9], False),
        ([1e-4, 1e-2], True),
        ([0.5, 0.9], False),
        ([1, 2, 3, 4], False),
    ],
)
def test_a_scale_follows_from_the_values(values, answer):
    assert geometric(values) is answer


def test_a_trend_over_batch_sizes_is_judged_by_its_slope():
    found = Results.collect(
        made(lines=[("fixed", 0.9)], curvature=lambda run, loss: run.batch_size**0.5)
    )
    (verdict,) = judged(found, rises_with="batch_size")
    assert verdict.verdict == "supported"
    assert verdict.value == pytest.approx(0.5, abs=0.02)


def test_under_chooses_lines_panels_and_values_at_their_defaults():
    found = results(curvature=lambda decay: 10.0)
    assert len(judged(found, unmoved_by="batch_size")) == 3
    for under in ({"weight_decay": 0.0}, {"weight_decay": 0.01}, {"nesterov": False}):
        assert (
            len(judged(found, unmoved_by="batch_size", under=under))
            == 2 * ("nesterov" in under) + 1
        )
    assert not judged(found, unmoved_by="batch_size", under={"model": "m1"})
    assert not judged(found, unmoved_by="batch_size", under={"optimizer": "adamw"})


def test_under_names_a_network_of_ones_own_as_the_study_does():
    panels = [("nets.py:Tiny", "mnist"), ("stdcnn", "mnist")]
    found = Results.collect(made(lines=[("fixed", 0.9)], panels=panels))
    (verdict,) = judged(found, unmoved_by="batch_size", under={"model": "nets.py:Tiny"})
    assert verdict.model == "Tiny"


SETTINGS = {
    "name": "s", "model": "stdcnn", "data": "digits", "batch_size": [32, 64], "epochs": 1,
    "train_size": 320, "schedule": {"fixed": {"learning_rate": 0.05}},
    "optimizer": {"sgd": {"weight_decay": [0.0, 0.01]}},
    "measure": {"test_accuracy": {}, "pgd_accuracy": {"eps": [0.1], "steps": 1}},
}  # fmt: skip
CLAIM = {"says": "Decay helps", "measure": "test_accuracy", "rises_with": "weight_decay"}


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"measure": "test_acuracy"}, "claim.mine.measure: unknown measure .*'test_accuracy'"),
        ({"rises_with": "weigth_decay"}, "claim.mine: unknown knob .*did you mean 'weight_decay'"),
        ({"rises_with": "optimizer"}, "claim.mine: optimizer is not a number"),
        ({"falls_with": "batch_size"}, "claim.mine: expected one of falls_with"),
        ({"rises_wiht": "batch_size"}, "unknown key 'rises_wiht'; did you mean 'rises_with'"),
        ({"eps": 0.1}, "claim.mine.eps = 0.1: expected an eps .*it has none"),
        ({"measure": "pgd_accuracy", "eps": 0.2}, "pgd_accuracy is measured: 0.1"),
        ({"under": {"optimiser": "sgd"}}, "unknown knob 'optimiser'; did you mean 'optimizer'"),
        ({"says": ""}, "claim.mine.says"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused(claim, message):
    with pytest.raises(RequestError, match=message):
        Study.parse(SETTINGS | {"claim": {"mine": CLAIM | claim}})


def stated(out):
    return {one.name: one.stated_first for one in StudyFolder(out).hypotheses()}


def test_a_claim_knows_whether_it_stood_there_before_the_first_result(tmp_path):
    def carry_out(**tables):
        study = Study.parse(SETTINGS | {"batch_size": 32, "claim": tables})
        run(study, out=tmp_path, engine="inline", device="cpu")

    carry_out(first=CLAIM)
    assert stated(tmp_path) == {"first": True}
    changed = CLAIM | {"margin": 5.0}
    carry_out(first=CLAIM, later=CLAIM, forged=CLAIM | {"stated_first": True})
    assert stated(tmp_path) == {"first": True, "later": False, "forged": False}
    carry_out(first=changed, later=CLAIM)
    assert stated(tmp_path) == {"first": False, "later": False}
    answer = CliRunner().invoke(app, ["claims", str(tmp_path), "--json"])
    assert answer.exit_code == 0
    own = [one for one in json.loads(answer.output) if one["claim"] in ("first", "later")]
    assert own
    assert all(one["statement"].startswith("Decay helps (added later): ") for one in own)
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    assert "Decay helps (added later)" in (tmp_path / "report.html").read_text()
