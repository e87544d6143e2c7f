"""A user's own measure is drawn, ordered, judged and explained as its card says."""

import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from known import made
from torch import nn
from torch.nn.utils import parameters_to_vector
from typer.testing import CliRunner

from sgdscope import claims
from sgdscope.cli import app
from sgdscope.errors import RequestError
from sgdscope.figures import batches, drawings
from sgdscope.findings import find
from sgdscope.measuring import MEASURES, card_of
from sgdscope.measuring.robustness import PgdAccuracy
from sgdscope.parts import AttackAccuracy, Card, Measure
from sgdscope.registry import registering
from sgdscope.report.cards import cards
from sgdscope.report.tables import tables
from sgdscope.results import style
from sgdscope.results.record import Measurement
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study.hypotheses import Hypothesis

WIDTH = Card(
    label="Width of the valley, to the wall", short="Width", unit="mm", log=True, order=45,
    caveat="Deep valleys only.", source="Somebody 2020",
)  # fmt: skip


class Own(Measure):
    """The width of a valley."""

    probes: int = 4
    rho: float = 0.05
    batch: int | None = None

    def read(self, subject):
        raise NotImplementedError


@contextmanager
def registered(card=WIDTH, *, name="own_width", base=Own):
    """A measure with that card, as from a plugin, until the end of the block."""
    with registering("own.py", "digest"):
        MEASURES.add(name)(type("Registered", (base,), {"card": card}))
    try:
        yield name
    finally:
        MEASURES.forget("digest")


def results(value, *, name="own_width", eps=None, **settings):
    """Runs at a fixed rate that were measured twice, with a value by the batch size."""
    found = []
    for one in made(lines=[("fixed", 0.0)], every=5, seeds=3, **settings):
        rows = [
            Measurement(
                epoch=row.epoch, measure=name, eps=eps,
                value=value(one.run.batch_size / 64) * (1 + one.run.seed / 1000),
            )
            for row in one.measurements if row.measure == "test_accuracy"
        ]  # fmt: skip
        found.append(one.model_copy(update={"measurements": [*one.measurements, *rows]}))
    return Results.collect(found)


def judged(found, **settings):
    stated = Hypothesis(name="h", says="It grows", measure="own_width", **settings)
    verdicts = claims.judge(replace(found, hypotheses=(stated,)))
    (verdict,) = [v for v in verdicts if v.claim == "h" and v.when == "end of training"]
    return verdict


def test_a_measure_is_drawn_by_its_card():
    with registered() as name:
        found = results(lambda size: 0.1 * size**0.25)
        view = View(found)
        assert dict(drawings(found)).keys() >= {name}
        figure = batches.measure(view, name)
        (ax,) = figure.axes
        assert figure.get_suptitle() == "Width of the valley, to the wall"
        assert (ax.get_ylabel(), ax.get_yscale()) == ("mm", "log")
        (card,) = [one for one in cards(view) if one.id == name]
        assert (card.title, card.scale) == ("Width of the valley, to the wall", "log")
        assert card.note.endswith("Deep valleys only. Source: Somebody 2020.")
        assert {plot["layout"]["yaxis"]["title"]["text"] for plot in card.plots} == {"mm"}


@pytest.mark.parametrize(("order", "name"), [(45, "own_width"), (None, "others-positive")])
def test_the_eps_of_a_measure_are_no_seeds(order, name):
    """A loss under attack, say: each eps has curves, figures, verdicts and findings of its own."""
    found = results(lambda size: size, eps=0.1)
    wide = found.table[found.table["measure"] == "own_width"]
    wide = wide.assign(eps=0.5, value=100 * wide["value"])
    found = replace(found, table=pd.concat([found.table, wide], ignore_index=True))
    with registered(replace(WIDTH, order=order)):
        view = View(found)
        (card,) = [one for one in cards(view) if one.id == name]
        smallest = []
        for plot in card.plots:
            (mean,) = [trace for trace in plot["data"] if trace.get("meta") == "mean"]
            assert {point[2] for point in mean["customdata"]} == {3}
            smallest.append(mean["y"][0])
        assert smallest == pytest.approx([1, 100], rel=0.01)
        assert {"own_width-eps0.1", "own_width-eps0.5"} <= (drawn := dict(drawings(found))).keys()
        assert drawn["own_width-eps0.5"]().get_suptitle().endswith("to the wall, eps = 0.5")
        stated = Hypothesis(name="h", says="It grows", measure="own_width", rises_with="batch_size")
        verdicts = claims.judge(replace(found, hypotheses=(stated,)))
        own = {v.eps: v.verdict for v in verdicts if v.claim == "h" and v.when == "end of training"}
        assert own == {0.1: "supported", 0.5: "supported"}
        told = [one for one in find(claims.moments(found)) if "width" in one.headline]
        assert len(told) == (order is not None)
        shown = {measure: eps for measure, eps, _ in view.headline(*view.panels)}
        assert shown.get("own_width") == (order and 0.5)  # where the runs differ most


def test_a_measure_is_ordered_by_its_card():
    found = results(lambda size: size)
    with registered() as name:
        view = View(found)
        assert view.measures == ["test_accuracy", "pgd_accuracy", name, "top_eigenvalue"]
        (row,) = [one for one in tables(view)["measures"] if one["name"] == name]
        assert (row["short"], row["main"]) == ("Width", True)
        assert name in dict.fromkeys(measure for measure, _, _ in view.headline(*view.panels))
    with registered(replace(WIDTH, order=None)) as name:
        assert View(found).measures[-1] == name
        assert name not in View(found).main


@pytest.mark.parametrize(
    ("margin", "answer"), [(None, "contradicted"), (0.2, "contradicted"), (0.3, "supported")]
)
def test_a_trend_counts_from_the_margin_of_the_card(margin, answer):
    with registered(replace(WIDTH, margin=margin)):
        verdict = judged(results(lambda size: 0.1 * size**0.25), unmoved_by="batch_size")
    assert (verdict.verdict, verdict.unit) == (answer, "power of the batch size")
    assert verdict.value == pytest.approx(0.25)


def test_a_signed_measure_is_judged_in_its_own_unit():
    with registered(replace(WIDTH, kind="signed", log=None, margin=0.5)):
        found = results(lambda size: -3.0 + size / 8)  # straight in the size, bent in its logarithm
        verdict = judged(found, rises_with="batch_size")
        (finding,) = [one for one in find(claims.moments(found)) if "width" in one.headline]
    assert (verdict.verdict, verdict.unit) == ("supported", "mm per doubling")
    assert verdict.value == pytest.approx(0.7, abs=0.2)  # by least squares over five doublings
    assert "mm per doubling" in finding.numbers


def test_a_main_measure_has_findings_and_a_control_at_equal_loss():
    found = results(lambda size: 0.1 * size**0.25)
    with registered() as name:
        (finding,) = [one for one in find(claims.moments(found)) if "width" in one.headline]
        assert name in View(found).followed(*View(found).panels)
    assert "width of the valley rises with batch size" in finding.headline
    assert "Width of the valley ∝ B^0.25" in finding.numbers


def test_the_most_trusted_attack_is_what_findings_rest_on():
    found = results(lambda size: 0.5, name="own_attack", eps=0.1)
    for trust, attack in ((0, "pgd_accuracy"), (90, "own_attack")):
        card = Card(kind="accuracy", order=35, trust=trust)
        with registered(card, name="own_attack", base=AttackAccuracy):
            trends = [t for one in find(claims.moments(found)) for t in one.trends]
        assert attack in {trend.quantity.measure for trend in trends}


def test_values_near_the_floor_of_a_card_are_not_judged():
    with registered(replace(WIDTH, floor=0.05)):
        verdict = judged(results(lambda size: 0.001 * size), rises_with="batch_size")
    assert "18 of 18 runs are at the floor (0), ± 0.05" in verdict.reason


def test_a_name_that_nobody_registered_has_the_defaults():
    card = card_of("gone_measure")
    assert (card.label, card.short, card.kind) == ("Gone measure", "Gone measure", "positive")
    assert card_of("gone_accuracy").kind == "accuracy"
    assert style.short("gone_accuracy") == "Gone"
    assert View(results(lambda size: size)).measures[-1] == "own_width"


def test_readings_of_other_names_have_cards_of_their_own():
    with registered() as name:
        MEASURES[name].other_cards = {"own_depth": Card(label="Depth", unit="m")}
        assert (card_of("own_depth").label, card_of("own_depth").unit) == ("Depth", "m")
        assert card_of(name).label == WIDTH.label
    assert card_of("own_depth").label == "Own depth"


def test_a_subclass_inherits_the_card_but_for_what_names_it():
    with registering("own.py", "digest"):
        MEASURES.add("own_pgd_accuracy")(type("OwnPgd", (PgdAccuracy,), {}))
    try:
        card = card_of("own_pgd_accuracy")
    finally:
        MEASURES.forget("digest")
    assert card.label == "Own pgd accuracy"
    assert (card.kind, card.trust) == ("accuracy", PgdAccuracy.card.trust)
    assert card.order is None


def test_a_signed_measure_needs_a_margin():
    with pytest.raises(RequestError, match=r"'Shift': kind 'signed' needs a margin"):
        Card(label="Shift", kind="signed")


def test_no_two_measures_have_the_same_label():
    labels = [style.label(name) for name in MEASURES]
    assert len(set(labels)) == len(labels)


def test_list_shows_options_with_defaults_and_the_card(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with registered():
        lines = CliRunner().invoke(app, ["list", "measures"]).output.splitlines()
    place = next(i for i, line in enumerate(lines) if "own_width" in line)
    assert [line.strip() for line in lines[place + 1 : place + 3]] == [
        "probes=4, rho=0.05, batch", "Deep valleys only.",
    ]  # fmt: skip
    assert lines[place].rstrip().endswith("(Somebody 2020)")
    assert max(map(len, lines)) <= 100


def test_the_measure_that_the_documents_show_can_be_taken():
    text = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    (block,) = [one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Card" in one]
    model = nn.Linear(3, 2).double()
    with registering("norm.py", "digest"):
        exec(block, {})
    try:
        assert card_of("weight_norm").label == "Norm of the weights"
        read = MEASURES["weight_norm"].read.__wrapped__
        (reading,) = read(MEASURES["weight_norm"](), SimpleNamespace(model=model))
    finally:
        MEASURES.forget("digest")
    assert reading.value == pytest.approx(parameters_to_vector(model.parameters()).norm().item())
