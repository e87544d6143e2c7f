"""Any knob is an axis: found, drawn and spoken of as batch size is."""

import pytest
from known import _result as result_of
from known import made

from sgdscope import findings
from sgdscope.errors import RequestError
from sgdscope.figures import batches, canvas, drawings
from sgdscope.report import overview, terminal
from sgdscope.report.cards import cards
from sgdscope.results.axis import Axis, choices, chosen, default
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study.hypotheses import check_knob, knobs_of
from sgdscope.study.study import Study

DECAYS = (0.0, 0.001, 0.004, 0.01)


def results(*, decays=DECAYS, sizes=(64,), seeds=3, falls=0.0):
    """Runs at several weight decays, whose accuracies fall by so much over all of them."""
    found = []
    for one in made(lines=[("fixed", 0.9)], sizes=sizes, seeds=seeds):
        for decay in decays:
            options = {"weight_decay": decay} if decay else {}
            own = type(one.run)(**{**one.run.model_dump(), "optimizer_options": options})
            formulas = {
                "test_accuracy": lambda run, loss, decay=decay: 0.9 - falls * decay / 0.01,
                "pgd_accuracy": lambda run, loss, decay=decay: 0.6 - falls * decay / 0.01,
                "top_eigenvalue": lambda run, loss: 10.0,
            }
            loss = {"loss": lambda run, epoch: 2.3 * 0.6**epoch}
            found.append(result_of(own, "done", 0.002, 2, loss["loss"], [0.1], formulas))
    return Results.collect(found)


def test_the_axis_is_batch_size_where_it_varies_and_else_the_knob_with_most_values():
    assert results(sizes=(64, 128)).axis == "batch_size"
    assert results().axis == "weight_decay"
    assert results(decays=(0.0,)).axis == "batch_size"
    momenta = Results.collect(made(lines=[("fixed", m) for m in (0.0, 0.5)], sizes=(64,)))
    assert momenta.axis == "momentum"
    assert default(momenta.lines, [64, 128]) == "batch_size"


def test_a_line_whose_value_is_no_number_has_no_place_on_the_axis():
    rules = [("AdamW", {"eps": 1e-8}), ("AdamW", {"eps": 1e-6}), ("Adafactor", {})]
    found = [
        one.model_copy(update={"run": one.run.model_copy(update=settings)})
        for rule, options in rules
        for settings in [{"optimizer": f"torch.optim.{rule}", "optimizer_options": options}]
        for one in made(lines=[("fixed", 0.0)], sizes=(64,))
    ]
    view = View(Results.collect(found), axis="eps")
    assert view.axis.values == [1e-8, 1e-6]
    assert view.runs["x"].isna().sum() == 2
    knobs = {**knobs_of([one.run for one in found]), **knobs_of([found[-1].run, found[0].run])}
    check_knob("eps", knobs, where="axis")


def test_an_axis_that_no_run_has_a_number_of_yet_waits_for_one_that_has():
    found = results(sizes=(64, 128))
    assert chosen("weight_decay", found.lines, [64, 128]) == "weight_decay"
    assert chosen("beta1", found.lines, [64, 128]) == "batch_size"  # AdamW's, which comes last
    assert chosen("clip_norm", found.lines, [64]) == "weight_decay"  # there, but not set


def test_a_knob_that_two_parts_have_is_that_of_the_part_before_its_name():
    found = [
        one.model_copy(update={"run": one.run.model_copy(update=settings)})
        for options in ({}, {"factor": 4})  # ABSA's, which is 2 otherwise
        for settings in [{"method": "absa", "method_options": options}]
        for one in made(lines=[("step-decay", 0.9)], sizes=(64,))
    ]
    made_of = Results.collect(found)
    assert made_of.axis == "method.factor"
    view = View(made_of)
    assert (view.axis.values, len(view.lines)) == ([2.0, 4.0], 1)
    assert view.lines[0].line.knobs["factor"] == 0.5  # step-decay's
    knobs = knobs_of([one.run for one in found])
    with pytest.raises(RequestError, match="unknown knob 'factor'; did you mean"):
        check_knob("factor", knobs, where="axis")


def test_a_switch_is_an_axis_from_0_to_1():
    found = [
        one.model_copy(update={"run": one.run.model_copy(update={"optimizer_options": options})})
        for options in ({}, {"nesterov": True})
        for one in made(lines=[("fixed", 0.9)], sizes=(64,))
    ]
    view = View(Results.collect(found), axis="nesterov")
    assert (view.axis.values, view.axis.log, len(view.lines)) == ([0.0, 1.0], False, 1)


def test_lines_leave_the_axis_out_and_have_the_batch_size_in_its_place():
    view = View(results(sizes=(64, 128)), axis="weight_decay")
    assert [line.label for line in view.lines] == [
        "fixed, m = 0.9, batch size 64", "fixed, m = 0.9, batch size 128",
    ]  # fmt: skip
    assert view.axis == Axis("weight_decay", list(DECAYS), log=False)
    assert sorted(view.table["x"].unique()) == list(DECAYS)
    (alone,) = View(results()).lines
    assert alone.label == "fixed, m = 0.9"


def test_knobs_to_choose_from_are_those_that_alike_lines_differ_in():
    found = results(sizes=(64, 128))
    assert choices(found.runs, found.lines) == ["batch_size", "weight_decay"]
    alone = results(decays=(0.0,), sizes=(64, 128))
    assert choices(alone.runs, alone.lines) == ["batch_size"]
    rates = Results.collect(made(lines=[("fixed", 0.9), ("step-decay", 0.9)], sizes=(64,)))
    assert choices(rates.runs, rates.lines) == []


def test_values_that_are_geometric_have_a_logarithmic_axis():
    view = View(results(decays=(0.0001, 0.001, 0.01)))
    assert view.axis.log
    with canvas.in_style():
        (ax,) = batches.measure(view, "test_accuracy").axes
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "weight decay")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.0001", "0.001", "0.01"]


def test_a_figure_has_the_knobs_values_at_its_foot():
    view = View(results(falls=0.2))
    with canvas.in_style():
        (ax,) = batches.measure(view, "test_accuracy").axes
    assert ax.get_xscale() == "linear"
    curve = next(line for line in ax.lines if len(line.get_xdata()) == len(DECAYS))
    assert list(curve.get_xdata()) == list(DECAYS)
    expected = [0.9 - 0.2 * decay / 0.01 for decay in DECAYS]
    assert list(curve.get_ydata()) == pytest.approx(expected, abs=0.01)


def test_every_figure_and_card_can_be_drawn_along_another_knob():
    found = results(falls=0.2)
    with canvas.in_style():
        names = [name for name, make in drawings(found) if make()]
    assert {"test_accuracy", "pgd_accuracy-eps0.1"} <= set(names)
    view = View(found)
    plots = [plot for card in cards(view) if card.section == "batch" for plot in card.plots]
    assert {plot["layout"]["xaxis"]["title"]["text"] for plot in plots} == {"weight decay"}
    assert "from weight decay 0 to 0.01" in overview.trends(view)
    table = terminal.table(View(found))
    assert [column.header for column in table.columns][1] == "weight decay"
    assert table.row_count == len(DECAYS)


def test_findings_speak_of_the_knob():
    found = results(falls=0.2)
    told = findings.Judged(found).findings
    (robust,) = [one for one in told if "attack" in one.headline]
    assert "accuracy under attack falls with weight decay" in robust.headline
    assert "points from the smallest to the largest weight decay" in robust.numbers
    assert robust.trends[0].end.value == pytest.approx(-20, abs=1)
    assert not any("batch" in one.headline for one in told)


SETTINGS = {
    "name": "s", "model": "stdcnn", "data": "digits", "batch_size": [32, 64], "epochs": 1,
    "schedule": ["fixed"], "measure": ["test_accuracy"],
}  # fmt: skip


def test_a_study_names_its_axis():
    decays = {"sgd": {"weight_decay": [0.0, 0.01]}}
    assert Study.parse(SETTINGS | {"axis": "weight_decay", "optimizer": decays}).axis
    with pytest.raises(RequestError, match=r"axis: unknown knob .*did you mean 'weight_decay'"):
        Study.parse(SETTINGS | {"axis": "weigth_decay"})
    with pytest.raises(RequestError, match="axis: schedule is not a number"):
        Study.parse(SETTINGS | {"axis": "schedule"})
