"""Several folders on one page: merged where they are alike, told apart where they differ."""

import json
import shutil
from html import unescape
from pathlib import Path

import pytest
import synthetic
import tomli_w
from typer.testing import CliRunner

from sgdscope import report
from sgdscope.cli import app
from sgdscope.errors import RequestError
from sgdscope.findings import Judged
from sgdscope.results.files import RESULT
from sgdscope.results.folder import StudyFolder
from sgdscope.results.folders import Folders
from sgdscope.results.record import Result
from sgdscope.results.tables import Results
from sgdscope.results.view import View

LINES = [("fixed", 0.0), ("constant-ratio", 0.0)]


def made(path: Path, seeds: list[int], **grid: object) -> StudyFolder:
    """A study's folder with these seeds."""
    count = max(seeds) + 1
    folder = synthetic.study(path, lines=LINES, seeds=count, mishaps=False, **grid)
    for result in folder.results():
        if result.run.seed not in seeds:
            shutil.rmtree(folder.run_file(result.id, RESULT).parent)
    restate(folder, seed=seeds)
    return folder


def restate(folder: StudyFolder, **settings: object) -> None:
    folder.study_file.write_text(tomli_w.dumps(folder.settings() | settings))


def change(folder: StudyFolder, **fields: object) -> None:
    """Change every result, but for its run."""
    for result in folder.results():
        text = Result(**{**dict(result), **fields}).model_dump_json()
        folder.run_file(result.id, RESULT).write_text(text)


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture
def first(tmp_path: Path) -> StudyFolder:
    return made(tmp_path / "first", [0, 1])


def test_other_seeds_are_more_runs_of_the_same_lines(first: StudyFolder, tmp_path: Path) -> None:
    more = made(tmp_path / "more", [2])
    both = Results.load(first.path, more.path)
    assert both.lines == Results.load(first.path).lines
    assert len(both.runs) == len(first.results()) + len(more.results())
    assert set(View(both).seeds) == {3}
    judged = Judged.open(first.path, more.path)
    assert judged.planned == len(both.runs)
    assert judged.notes == ["Runs of first and more together: seeds 0, 1, 2."]


def test_the_order_of_folders_changes_no_number(first: StudyFolder, tmp_path: Path) -> None:
    more = made(tmp_path / "more", [2])
    one, other = Results.load(first.path, more.path), Results.load(more.path, first.path)
    assert one.table.equals(other.table)


def test_a_run_in_two_folders_counts_once(first: StudyFolder, tmp_path: Path) -> None:
    more = made(tmp_path / "more", [1, 2])
    folders = Folders([first.path, more.path])
    runs = [result.id for result in folders.results()]
    assert len(runs) == len(set(runs)) == 3 * len(first.results()) // 2
    assert folders.notes == [
        "6 runs are in more than one folder, counted once: their values are equal."
    ]
    assert Judged.open(first.path, more.path).planned == len(runs)


def test_values_that_differ_are_those_of_the_first_folder_and_said(
    first: StudyFolder, tmp_path: Path
) -> None:
    other = StudyFolder(shutil.copytree(first.path, tmp_path / "other"))
    for result in other.results():
        rows = [m.model_copy(update={"value": m.value * 1.01}) for m in result.measurements]
        text = result.model_copy(update={"measurements": rows}).model_dump_json()
        other.run_file(result.id, RESULT).write_text(text)
    folders = Folders([first.path, other.path])
    assert folders.results() == sorted(first.results(), key=lambda r: r.id)
    (note,) = folders.notes
    assert note.startswith("12 runs are in more than one folder, counted once: in 12 of them")
    assert "by at most 0.99%" in note
    report.write(Judged.open(first.path, other.path), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert note in unescape(page.split('<section id="attention">')[1].split("</section>")[0])


def test_the_fuller_of_two_results_counts(first: StudyFolder, tmp_path: Path) -> None:
    other = StudyFolder(shutil.copytree(first.path, tmp_path / "other"))
    change(first, status="failed", measurements=[], error="Error: no")
    assert {result.status for result in Folders([first.path, other.path]).results()} == {"done"}


def test_lines_are_told_apart_by_the_setting_that_differs(
    first: StudyFolder, tmp_path: Path
) -> None:
    longer = made(tmp_path / "longer", [0, 1], epochs=12)
    both = Results.load(first.path, longer.path)
    labels = [line.label for line in View(both).lines]
    assert labels == [
        "fixed, m = 0, epochs = 6",
        "fixed, m = 0, epochs = 12",
        "constant-ratio, m = 0, epochs = 6",
        "constant-ratio, m = 0, epochs = 12",
    ]
    assert Folders([first.path, longer.path]).notes == [
        "They differ in epochs: first 6; longer 12."
    ]


def test_lines_are_told_apart_by_how_a_measure_was_taken(
    first: StudyFolder, tmp_path: Path
) -> None:
    weaker = made(tmp_path / "weaker", [2, 3])
    change(weaker, measured={"pgd_accuracy": {"eps": [0.1], "steps": 10, "every": 2}})
    labels = {line.label for line in View(Results.load(first.path, weaker.path)).lines}
    assert {"fixed, m = 0, PGD steps = 40", "fixed, m = 0, PGD steps = 10"} <= labels


def test_many_differences_are_named_by_the_folder(first: StudyFolder, tmp_path: Path) -> None:
    other = made(tmp_path / "other", [0, 1], epochs=12)
    options = {"eps": [0.1], "steps": 10, "examples": 50, "step_size": 0.1}
    change(other, measured={"pgd_accuracy": options})
    labels = {line.label for line in View(Results.load(first.path, other.path)).lines}
    assert {"fixed, m = 0, folder = first", "fixed, m = 0, folder = other"} <= labels
    (note,) = Folders([first.path, other.path]).notes
    assert note.startswith("They differ in epochs, PGD ")
    assert note.endswith("; lines that would otherwise share a name are named by their folder.")


def test_other_data_are_panels_of_their_own(first: StudyFolder, tmp_path: Path) -> None:
    other = made(tmp_path / "other", [0, 1], data=["fashion_mnist"], epochs=12)
    view = View(Results.load(first.path, other.path))
    assert view.panels == ["stdcnn on fashion_mnist", "stdcnn on mnist"]
    assert [line.label for line in view.lines] == ["fixed, m = 0", "constant-ratio, m = 0"]


def test_folders_of_nothing_in_common_are_refused(first: StudyFolder, tmp_path: Path) -> None:
    other = made(tmp_path / "other", [0], models=["m1"], data=["cifar10"])
    with pytest.raises(RequestError) as refused:
        Results.load(first.path, other.path)
    assert str(refused.value) == (
        "first and other cannot be compared: stdcnn on mnist and m1 on cifar10; "
        "expected a network or a data set in common"
    )


def test_folders_without_a_common_measure_are_refused(first: StudyFolder, tmp_path: Path) -> None:
    other = made(tmp_path / "other", [2])
    change(other, measured={"train_loss": {}})
    with pytest.raises(RequestError, match=r"one has pgd_accuracy, the other train_loss; expected"):
        Results.load(first.path, other.path)


def test_other_axes_are_refused(first: StudyFolder, tmp_path: Path) -> None:
    other = made(tmp_path / "other", [2])
    restate(first, axis="momentum")
    restate(other, axis="batch_size")
    with pytest.raises(RequestError, match=r"along momentum, the other along batch_size"):
        Results.load(first.path, other.path)


def test_other_code_under_the_same_name_is_refused(first: StudyFolder, tmp_path: Path) -> None:
    other = made(tmp_path / "other", [2])
    for folder, number in ((first, 1), (other, 2)):
        (folder.path / "plugins").mkdir()
        (folder.path / "plugins" / "mine.py").write_text(f"number = {number}\n")
        restate(folder, plugins=["plugins/mine.py"])
    with pytest.raises(RequestError, match=r"compared: mine\.py has different code in each"):
        Results.load(first.path, other.path)


def test_other_images_under_the_same_name_are_refused(first: StudyFolder, tmp_path: Path) -> None:
    other = made(tmp_path / "other", [2])
    for result in other.results():
        run = result.run.model_copy(update={"content": "0123"})
        text = result.model_copy(update={"run": run}).model_dump_json()
        other.run_file(result.id, RESULT).write_text(text)
    message = "stdcnn on mnist has different images or a different file"
    with pytest.raises(RequestError, match=message):
        Results.load(first.path, other.path)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("first", "given twice; expected different folders"),
        ("nowhere", "nowhere: holds no study"),
        ("empty", "empty: holds no results; expected a folder in which a run has finished"),
        ("newer", "newer: 12 results cannot be read"),
    ],
)
def test_folders_that_cannot_be_read_are_one_sentence(second, said, first, tmp_path, invoke):
    made(tmp_path / "empty", [0], finished=False)
    newer = StudyFolder(shutil.copytree(first.path, tmp_path / "newer"))
    for result in newer.results():
        file = newer.run_file(result.id, RESULT)
        file.write_text(json.dumps(json.loads(file.read_text()) | {"of the future": 1}))
    told = invoke("report", "first", second)
    assert told.exit_code == 2
    assert said in told.output
    assert not (tmp_path / "out").exists()


def test_one_page_of_two_folders_leaves_their_own_pages(first, tmp_path, invoke):
    made(tmp_path / "more", [2])
    first.report.write_text("its own")
    told = invoke("report", "first", "more")
    assert told.exit_code == 0, told.output
    assert "Runs of first and more together: seeds 0, 1, 2." in told.output
    assert "page: out/first+more/report.html" in told.output
    page = (tmp_path / "out" / "first+more" / "report.html").read_text()
    assert "first + more" in page
    assert first.report.read_text() == "its own"
    assert not (tmp_path / "more" / "report.html").exists()


def test_out_never_takes_the_place_of_a_studys_own_page(first, tmp_path, invoke):
    made(tmp_path / "more", [2])
    for command in ("report", "claims", "figures"):
        told = invoke(command, "first", "more", "--out", "first")
        assert told.exit_code == 2
        assert "--out first: has a study or an audit with a page of its own" in told.output


def test_claims_of_two_folders_are_printed_and_written_only_where_asked(first, tmp_path, invoke):
    made(tmp_path / "more", [2])
    assert invoke("claims", "first", "more").exit_code == 0
    assert not list(tmp_path.rglob("claims.*"))
    assert invoke("claims", "first", "more", "--out", "both").exit_code == 0
    found = json.loads((tmp_path / "both" / "claims.json").read_text())
    assert max(one["seeds"] for one in found) == 3
    note = "Runs of first and more together: seeds 0, 1, 2."
    assert note in (tmp_path / "both" / "claims.md").read_text()


def test_figures_of_two_folders(first, tmp_path, invoke):
    made(tmp_path / "more", [2])
    told = invoke("figures", "first", "more", "test_accuracy*", "--as", "svg", "--out", "both")
    assert told.exit_code == 0, told.output
    assert list((tmp_path / "both" / "figures").glob("test_accuracy*.svg"))


def test_an_interrupted_report_leaves_the_old_page(first, monkeypatch):
    first.report.write_text("of before")
    before = sorted(first.path.rglob("*"))
    monkeypatch.setattr("sgdscope.files.os.fsync", _stop)
    with pytest.raises(KeyboardInterrupt):
        report.write(Judged.open(first.path), first.path)
    assert first.report.read_text() == "of before"
    assert sorted(first.path.rglob("*")) == before


def _stop(_: int) -> None:
    raise KeyboardInterrupt
