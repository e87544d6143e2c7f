import gzip
import json
import math
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
import synthetic
import tomli_w
from known import made
from torch import nn
from typer.testing import CliRunner

import sgdscope
from sgdscope import claims, figures, report
from sgdscope.cli import app
from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.findings import Judged
from sgdscope.findings import judged as judged_of
from sgdscope.report import attention, markup, overview
from sgdscope.report.cards import cards
from sgdscope.report.tables import plain
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study.study import Study


def write(folder: StudyFolder) -> Path:
    return report.write(Judged.open(folder.path), folder.path)


class Page(HTMLParser):
    """Ids, references that load or link something, and text outside scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._skip = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("script", "style"):
            self._skip = tag
        if identity := found.get("id"):
            self.ids.append(identity)
        for name in ("src", "srcset", "data", "poster"):
            if name in found:
                self.loads.append(str(found[name]))
        if "href" in found:
            (self.links if tag == "a" else self.loads).append(str(found["href"]))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._skip:
            self._skip = ""

    def handle_data(self, data: str) -> None:
        if not self._skip:
            self.text += data


def given(page: str | Path) -> dict[str, Any]:
    """What the page's script is given."""
    html = page if isinstance(page, str) else page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/gzip" id="payload">(.*?)</script>', html)
    assert found
    text = gzip.decompress(b64decode(found[1]))
    made: dict[str, Any] = json.loads(text, parse_constant=no_json)
    return made


def no_json(constant: str) -> None:
    raise ValueError(f"{constant}: not JSON, and no browser reads it")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study's folder with its page."""
    folder = synthetic.study(tmp_path_factory.mktemp("study"))
    write(folder)
    return folder


@pytest.fixture(scope="module")
def html(folder: StudyFolder) -> str:
    return folder.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    """With the long sections, which the page's script puts in their places."""
    return Page(html + "".join(given(html)["parts"].values()))


@pytest.fixture(scope="module")
def payload(html: str) -> dict[str, Any]:
    return given(html)


def test_sections_stand_in_their_order(page: Page) -> None:
    wanted = ["overview", "trends", "claims", "attention", "batch", "relation", "eps"]
    wanted += ["examples", "learning", "along", "study", "runs", "failures", "files", "versions"]
    assert [identity for identity in page.ids if identity in wanted] == wanted


def test_nothing_is_loaded_from_anywhere(page: Page, html: str) -> None:
    assert page.loads == ["data:,"]
    assert not [link for link in page.links if "//" in link]
    style = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_to_files_and_places_on_the_page(page: Page) -> None:
    assert {link for link in page.links if link[0] != "#"} == {"results.csv", "study.toml"}
    assert {link[1:] for link in page.links if link[0] == "#"} <= {*page.ids}
    assert {"#card-top_eigenvalue", "#card-pgd_accuracy", "#progress"} <= {*page.links}


def test_a_page_written_elsewhere_says_where_its_study_is(
    folder: StudyFolder, tmp_path: Path
) -> None:
    found = Page(report.write(Judged.open(folder.path), tmp_path).read_text(encoding="utf-8"))
    assert {link for link in found.links if link[0] != "#"} == {"results.csv"}
    assert str(folder.study_file) in found.text


def test_the_papers_figures_say_what_they_lack(page: Page) -> None:
    text = re.sub(r"\s+", " ", page.text)
    assert "13 λ₁: M1 on MNIST and StdCNN on MNIST; LR m=0, LR m=0.2, LR m=0.5, LR m=0.9" in text
    assert "StdCNN on MNIST, λ₁: LR m=0.2; StdCNN on MNIST, λ₁: LR m=0.5" in text
    assert "more, for which this study has no data" in text
    assert "Missing: C1 on CIFAR-10, λ₁: every line" in text


def test_what_a_study_says_is_escaped(page: Page, html: str) -> None:
    assert "made-up <b>study</b>" in page.text
    assert "<b>study</b>" not in html
    assert "out of <memory> & luck" in page.text
    assert "A <fast> CPU" in page.text


def test_a_flag_is_text_wherever_it_stands(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path, batch_sizes=[64], seeds=1, mishaps=False)
    file = next(tmp_path.glob("runs/*/result.json"))
    text = file.read_text()
    told = json.loads(text)
    told["measurements"][0]["flags"] = ["</script><script>alert(1)</script>"]
    file.write_text(json.dumps(told))
    html = write(folder).read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "<script>alert" not in "".join(given(html)["parts"].values())


def test_plotly_knows_every_option_that_is_drawn_with(payload: dict[str, Any]) -> None:
    for card in payload["cards"]:
        for plot in card["plots"]:
            go.Figure(plot["data"], plot["layout"])
    go.layout.Template(payload["template"])


def test_warnings_say_what_a_flag_means_what_to_do_and_where_to_read_more(page: Page) -> None:
    said = "The number is an estimate whose known error exceeds the tolerance"
    assert said in page.text
    assert "Do: Raise max_products" in page.text
    for title in ("Not converged", "Runs that failed, diverged or collapsed"):
        assert f"More: docs/flags.md, “{title}”" in page.text


def test_warnings_name_every_mishap(page: Page) -> None:
    for said in (
        "1 run failed",
        "1 run diverged",
        "1 run collapsed",
        "λ₁, top Hessian eigenvalue: 6 values not converged",
        "PGD accuracy: 3 of 66 values flagged",
        "the input gradient is exactly zero at 512 of 10,000 points",
    ):
        assert said in page.text


def test_every_run_and_reading_is_given_once(payload: dict[str, Any], folder: StudyFolder) -> None:
    tables = payload["tables"]
    results = Results.load(folder.path)
    assert len(tables["runs"]) == len(results.runs) == 24
    ends = [row for row in tables["readings"] if row != 0]
    # 22 runs were measured: test accuracy, two attacks at three eps, λ₁
    assert len(ends) == 22 * (1 + 2 * 3 + 1)
    run, measure, eps, value, _, *evidence = ends[0]
    row = results.table.iloc[tables["readings"].index(ends[0])]
    assert tables["runs"][run][0] == row["run"]
    assert tables["measures"][measure]["name"] == row["measure"] == "test_accuracy"
    assert eps is None
    assert value == pytest.approx(row["value"], rel=1e-5)
    names = tables["measures"][measure]["evidence"]
    assert dict(zip(names, evidence, strict=True))["margin"] == 8.1


def test_points_lead_to_their_run(payload: dict[str, Any]) -> None:
    tables = payload["tables"]
    column = {name: i for i, name in enumerate(tables["columns"])}
    points = 0
    for card in payload["cards"]:
        for plot in card["plots"]:
            for trace in plot["data"]:
                if trace.get("meta") != "runs" or card["section"] != "batch":
                    continue
                knob = plot["choice"]["along"].replace(" ", "_")
                for x, place in zip(trace["x"], trace["customdata"], strict=True):
                    run = -1 - place if place < 0 else tables["readings"][place][0]
                    assert tables["runs"][run][column[knob]] == x
                    points += knob == "batch_size"
    assert points == 24 * 8 - 8  # every run in every plot, but for the one that failed


def test_lost_runs_are_in_no_mean(payload: dict[str, Any]) -> None:
    card = next(card for card in payload["cards"] if card["id"] == "test_accuracy")
    traces = card["plots"][0]["data"]
    symbols = {str(trace.get("marker", {}).get("symbol")) for trace in traces}
    assert {"x-thin-open", "triangle-down-open"} <= symbols
    means = [trace for trace in traces if trace.get("meta") == "mean"]
    seeds = sum(point[2] or 0 for trace in means for point in trace["customdata"])
    assert seeds == 24 - 3


def test_a_line_has_a_gap_where_no_run_is_left(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path, seeds=1)  # of fixed, m = 0.9 the smallest batch diverged
    card = next(card for card in given(write(folder))["cards"] if card["id"] == "test_accuracy")
    means = [trace for trace in card["plots"][0]["data"] if trace.get("meta") == "mean"]
    gaps = [[y is None for y in trace["y"]] for trace in means]
    assert gaps == [[False] * 3, [True, False, False], [False, False, True], [False] * 3]


def test_each_control_has_plots_for_what_is_shown_first(payload: dict[str, Any]) -> None:
    for card in payload["cards"]:
        first = {name: control["first"] for name, control in card["controls"].items()}
        assert any(plot["choice"] == first for plot in card["plots"]), card["id"]
        for plot in card["plots"]:
            for name, choice in plot["choice"].items():
                assert choice in card["controls"][name]["choices"]


def test_a_control_offers_only_what_is_drawn() -> None:
    """Along the learning rate, a line whose rate follows from the batch size has no place."""
    found = made(lines=[("fixed", 0.0), ("constant-ratio", 0.0)], sizes=[64, 128], every=5)
    judged = Judged(replace(Results.collect(found), axis="learning_rate"))
    made_up = {card.id: card for card in cards(judged.view, beside=judged.views[1:])}
    for name in ("along-test_accuracy", "learning-train_loss", "progress"):
        shown = made_up[name].controls["show"].choices
        assert any("fixed" in one for one in shown)
        assert not any("ratio" in one for one in shown)
    for card in made_up.values():
        for name, control in card.controls.items():
            for choice in control.choices:
                plots = [plot for plot in card.plots if plot["choice"][name] == choice]
                assert any(trace["x"] for plot in plots for trace in plot["data"])


def test_chance_is_drawn_on_every_accuracy_axis(payload: dict[str, Any]) -> None:
    for card in payload["cards"]:
        for plot in card["plots"]:
            levels = [shape["y0"] for shape in plot["layout"].get("shapes", [])]
            assert levels == ([0.1] if card["axis"] == "accuracy" else [])


def test_the_page_counts_the_runs_of_every_optimizer(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path)
    planned = Judged.open(tmp_path).planned
    knobs = {"sgd": {"weight_decay": [0.0, 0.01, 0.1]}}
    folder.study_file.write_text(tomli_w.dumps(folder.settings() | {"optimizer": knobs}))
    assert Judged.open(tmp_path).planned == 3 * planned


def test_nothing_finished(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path, finished=False)
    page = Page(write(folder).read_text(encoding="utf-8"))
    assert "No run has finished yet." in page.text
    assert "0 / 24" in page.text
    assert not folder.figures.exists()


def test_only_failures(tmp_path: Path) -> None:
    settings = {"batch_sizes": [64, 128], "seeds": 1, "lines": [("fixed", 0.0)]}
    folder = synthetic.study(tmp_path, fail=True, **settings)
    page = Page(write(folder).read_text(encoding="utf-8"))
    assert "2 runs failed" in page.text
    assert "MemoryError" in page.text


def test_no_study(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no study"):
        write(StudyFolder(tmp_path))


def test_missing_runs_are_counted(tmp_path: Path) -> None:
    synthetic.study(tmp_path, mishaps=False)
    next(tmp_path.glob("runs/*/result.json")).unlink()
    judged = Judged.open(tmp_path)
    missing = judged.planned - len(judged.results.runs)
    assert missing == 1
    assert "1 run missing" in "".join(attention.warnings(judged.view, missing=missing))


def test_a_run_whose_loss_rose_again_is_named(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path, mishaps=False)
    result = folder.results()[0]
    last = result.history[-1]
    settled = max(1e-3, min(epoch.train_loss for epoch in result.history))
    high = last.model_copy(update={"train_loss": 2.1 * settled})
    assert not len(attention.risen(Judged.open(tmp_path).view))

    there = folder.run_file(result.run.id, "result.json")
    rising = result.model_copy(update={"history": [*result.history, high]})
    there.write_text(rising.model_dump_json(), encoding="utf-8")
    view = Judged.open(tmp_path).view
    assert list(attention.risen(view)["run"]) == [result.run.id]
    said = "".join(attention.warnings(view, missing=0))
    assert "1 run ended at more than twice its lowest training loss" in said
    assert f"({result.run.id}): from {settled:.2g} to {2.1 * settled:.2g}" in said
    page = Page(write(folder).read_text(encoding="utf-8"))
    assert "1 of 24 runs that ended at more than twice their lowest training loss" in page.text


@pytest.mark.parametrize(("by", "compared"), [(0.0, True), (5.0, False)])
def test_losses_below_zero_rank_no_progress(tmp_path: Path, by: float, compared: bool) -> None:
    """A likelihood of densities is negative, and has no ratio to another."""
    folder = synthetic.study(tmp_path, lines=[("fixed", 0.0)], seeds=3, mishaps=False)
    for result in folder.results():
        history = [
            epoch.model_copy(update={"train_loss": epoch.train_loss - by})
            for epoch in result.history
        ]
        (test,) = (row for row in result.measurements if row.measure == "test_accuracy")
        rows = [
            test.model_copy(update={"epoch": one.epoch, "value": one.validation_accuracy})
            for one in history
        ]
        lowered = result.model_copy(update={"history": history, "measurements": rows})
        there = folder.run_file(result.run.id, "result.json")
        there.write_text(lowered.model_dump_json(), encoding="utf-8")
    judged = Judged.open(tmp_path)
    assert not len(attention.risen(judged.view))
    numbers = judged.findings[0].numbers
    said = "Not testable at equal training loss: the training loss of 9 of 9 runs falls below"
    assert (said in numbers) is not compared
    html = write(folder).read_text(encoding="utf-8")
    assert ("<b>At equal training loss</b>" in html) is compared
    (card,) = (card for card in given(html)["cards"] if card["id"] == "progress")
    assert ("training loss" in card["controls"]["against"]["choices"]) is compared
    names = {name for name, _ in figures.drawings(judged.results)}
    assert ("progress-by-training_loss-stdcnn-mnist" in names) is compared
    assert "progress-by-lr-steps-stdcnn-mnist" in names


def test_same_page_twice(folder: StudyFolder, html: str) -> None:
    assert write(folder).read_text(encoding="utf-8") == html


def test_a_study_with_parts_says_what_each_asked(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path, mishaps=False)
    parts = [
        folder.settings() | {"name": name, "seed": [i]} for i, name in enumerate(["one", "other"])
    ]
    runs = Judged.open(folder.path).planned // 2
    folder.study_file.write_text(tomli_w.dumps({"name": "both", "part": parts}))
    page = Page(write(folder).read_text(encoding="utf-8"))
    assert f"{2 * runs} / {2 * runs}" in page.text
    assert all(f"{part['name']} {runs} runs" in page.text for part in parts)


def test_evidence_that_a_diverged_run_lacks_is_a_gap() -> None:
    assert [plain(value) for value in (pd.NA, None, float("nan"), True, 2.0)] == [
        None, None, None, True, 2.0,
    ]  # fmt: skip


def test_each_panel_is_followed_at_its_own_eps(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path, data=["mnist", "cifar10"], mishaps=False)
    results = Results.load(folder.path)
    results.table.loc[results.table["data"] == "cifar10", "eps"] /= 16
    tables = overview.trends(View(results)).split("</table>")[:2]
    shown = [{float(eps) for eps in re.findall(r"eps ([\d.e-]+)", table)} for table in tables]
    measured = [
        set(results.table.query(f"data == '{name}'")["eps"]) for name in ("cifar10", "mnist")
    ]
    assert all(few and few <= many for few, many in zip(shown, measured, strict=True))
    assert "–" not in "".join(tables)


def test_a_report_reads_the_folder_and_judges_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = synthetic.study(tmp_path, lines=[("fixed", 0.0)], seeds=1, mishaps=False)
    counts: Counter[str] = Counter()

    def count(home: Any, name: str) -> None:
        made = getattr(home, name)

        def counted(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return made(*args, **options)

        monkeypatch.setattr(home, name, counted)

    for home, name in (
        (StudyFolder, "result"), (Study, "parse"), (Results, "collect"), (View, "__init__"),
        (claims, "moments"), (claims, "verdicts"), (judged_of, "find"),
    ):  # fmt: skip
        count(home, name)
    done = CliRunner().invoke(app, ["report", str(folder.path)])
    assert done.exit_code == 0
    assert counts.pop("result") == len(list(tmp_path.glob("runs/*"))) == 3
    wanted = ["parse", "collect", "__init__", "moments", "verdicts", "find"]
    assert counts == dict.fromkeys(wanted, 1)


SMALL = {"train_loss": {}, "top_eigenvalue": {"examples": 20, "every": 1}}


def watched_until_a_rate_of_zero(data: Dataset, out: Path) -> None:
    for size in (32, 64):
        settings = {"batch_size": size, "learning_rate": 0.1}
        watch = sgdscope.Watch(out=out, data=data, measures=SMALL, settings=settings, budget=None)
        network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        for epoch, rate in ((1, 0.1), (2, 0.0)):
            watch(network, epoch=epoch, train_loss=1 / epoch, learning_rate=rate)


FLAT = """
from torch import nn

def flat(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))
"""


def trained_until_a_rate_of_zero(scheduler: str, out: Path, **options: int) -> None:
    (out.parent / "nets.py").write_text(FLAT)
    table = {f"torch.optim.lr_scheduler.{scheduler}": {"learning_rate": 0.1, **options}}
    study = Study.parse(
        {
            "name": "zero", "model": f"{out.parent}/nets.py:flat", "data": "digits", "epochs": 3,
            "batch_size": [32, 64], "schedule": table, "measure": SMALL,
        }
    )  # fmt: skip
    sgdscope.run(study, out=out, engine="inline")


@pytest.mark.parametrize(
    "trained",
    [
        watched_until_a_rate_of_zero,
        lambda _, out: trained_until_a_rate_of_zero("CosineAnnealingLR", out, T_max=2),
        lambda _, out: trained_until_a_rate_of_zero("PolynomialLR", out, total_iters=2),
    ],
    ids=["watch", "cosine", "polynomial"],
)
def test_a_learning_rate_of_zero_has_tables_claims_and_a_page(
    small: Dataset, tmp_path: Path, trained: Callable[[Dataset, Path], None]
) -> None:
    out = tmp_path / "out"
    trained(small, out)
    history = Results.load(out).history
    at_zero = history[history["learning_rate"] == 0]
    assert len(at_zero) == 2
    assert set(at_zero["stability_limit"]) == {math.inf}
    for command in ("report", "claims"):
        answer = CliRunner().invoke(app, [command, str(out)])
        assert answer.exit_code == 0, answer.output
    (card,) = [
        one for one in given(out / "report.html")["cards"] if one["id"] == "along-top_eigenvalue"
    ]
    traces = [trace for plot in card["plots"] for trace in plot["data"]]
    limits = [one for one in traces if "stability limit" in one["hovertemplate"]]
    before = history["epoch"].nunique() - 1
    assert limits
    assert {len(one["y"]) for one in limits} == {before}
    json.loads((out / "claims.json").read_text(), parse_constant=no_json)


def test_an_axis_of_few_epochs_has_whole_epochs_alone(payload: dict[str, Any]) -> None:
    axes = [plot["layout"]["xaxis"] for card in payload["cards"] for plot in card["plots"]]
    along = [axis for axis in axes if axis["title"]["text"] == "epoch"]
    assert along
    assert {axis["dtick"] for axis in along} == {1}


def test_options_of_measures_are_said_in_words() -> None:
    options = {"eps": [0.1, 8 / 255], "at": [1, 3], "examples": 2000, "along_examples": 500}
    said = overview._measure("pgd_accuracy", options)
    assert said.endswith("at epochs 1, 3; 2000 examples; 500 examples during training)")


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.99, "0.990"), (130.2, "130"), (26.0, "26.0"), (0.0, "0"), (1234.5, "1,234")],
)
def test_numbers_have_three_digits(value: float, said: str) -> None:
    assert markup.number(value) == said


def test_an_eps_of_whole_levels_is_a_quotient(tmp_path: Path) -> None:
    folder = synthetic.study(tmp_path / "made", lines=[("fixed", 0.0)], mishaps=False)
    results = Results.load(folder.path)
    table = results.table.replace({"eps": {0.1: 8 / 255}})
    view = View(replace(results, table=table, folder=None))
    shown = [card for card in cards(view) if "eps" in card.controls]
    assert shown
    assert all("8/255" in card.controls["eps"].choices for card in shown)
