import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic

from sgdscope.report import gallery as module
from sgdscope.report.audit_examples import _example
from sgdscope.report.gallery import gallery
from sgdscope.results.files import ARRAYS
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.results.view import View


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return synthetic.study(tmp_path_factory.mktemp("study"), mishaps=False)


@pytest.fixture(scope="module")
def view(folder: StudyFolder) -> View:
    return View(Results.load(folder.path))


def test_every_attack_and_eps_of_which_there_are_examples(view: View) -> None:
    (choices,) = gallery(view)["panels"].values()
    assert sorted(choice["name"] for choice in choices) == ["PGD, eps 0.1", "PGD, eps 0.3"]


def test_each_line_at_its_smallest_and_largest_batch_size(view: View) -> None:
    choice = gallery(view)["panels"]["stdcnn on mnist"][0]
    shown = [(run["line"], run["batch_size"], run["seed"]) for run in choice["runs"]]
    assert shown == [(line.key, size, 0) for line in view.lines for size in (64, 1024)]


def test_image_and_perturbation_give_the_adversarial_example(view: View) -> None:
    found = gallery(view)
    for choice in found["panels"]["stdcnn on mnist"]:
        eps = float(choice["name"].split()[-1])
        assert choice["peak"] == pytest.approx(eps / 2, abs=1e-6)
        assert choice["shape"] == [1, 4, 4]
        for run in choice["runs"]:
            for example in run["examples"]:
                original = np.frombuffer(b64decode(found["images"][example["image"]]), np.uint8)
                change = np.frombuffer(b64decode(example["change"]), np.uint8)
                assert (original == 100 + example["label"]).all()
                assert (change == 255).all()
                assert (example["confidence"], example["answer"]) == (0.9, 9)
                assert example["answer_confidence"] == 0.75


@pytest.mark.parametrize(("answer", "confidence"), [(-1, 0.0), (0, np.nan)])
def test_an_example_without_an_answer_says_so_and_is_a_number(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, answer: int, confidence: float
) -> None:
    """Earlier folders hold class 0 and NaN where the network gave no answer."""
    own = View(Results.load(folder.path))
    silent = {"answer": np.full(8, answer), "answer_confidence": np.full(8, confidence),
              "confidence": np.full(8, confidence)}  # fmt: skip
    kept = own.arrays

    def arrays(*args: Any, **options: Any) -> dict[str, Any]:
        there = kept(*args, **options)
        return there | silent if "shown" in there else there

    monkeypatch.setattr(own, "arrays", arrays)
    found = gallery(own)
    assert json.dumps(found, allow_nan=False)
    shown = [one for choice in found["panels"]["stdcnn on mnist"] for run in choice["runs"]
             for one in run["examples"]]  # fmt: skip
    assert {(one["answer"], one["answer_confidence"]) for one in shown} == {(-1, 0.0)}


@pytest.mark.parametrize(
    ("answer", "confidence", "said"),
    [(9, 0.75, "3 → 9 (75%)"), (-1, 0.0, "3 → no answer"), (0, np.nan, "3 → no answer")],
)
def test_an_audits_example_says_what_was_answered(
    answer: int, confidence: float, said: str
) -> None:
    kept = {"original": np.zeros((1, 1, 4, 4), np.uint8), "adversarial": np.zeros((1, 1, 4, 4)),
            "label": np.array([3]), "shown": np.array([7]), "answer": np.array([answer]),
            "answer_confidence": np.array([confidence])}  # fmt: skip
    assert f"point 7: {said}</b>" in _example(kept, 0, [])


def test_originals_are_there_once(view: View) -> None:
    found = gallery(view)
    assert len(found["images"]) == len(set(found["images"])) <= 8


def test_common_points_come_first(tmp_path: Path) -> None:
    """Seeds are shifted by one point: of two lines, one trained with each, seven are common."""
    lines = [("fixed", 0.0), ("fixed", 0.9)]
    synthetic.study(tmp_path, lines=lines, batch_sizes=[64], mishaps=False)
    results = Results.load(tmp_path)
    lost = results.runs[(results.runs["momentum"] == 0.9) & (results.runs["seed"] == 0)]["run"]
    table = results.table[~results.table["run"].isin(lost)]
    view = View(replace(results, table=table))
    for choice in gallery(view)["panels"]["stdcnn on mnist"]:
        assert [run["seed"] for run in choice["runs"]] == [0, 1]
        places = [[one["place"] for one in run["examples"]] for run in choice["runs"]]
        assert places == [[1, 2, 3, 4]] * 2


def test_the_budget_is_kept(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET", 200)  # two choices take 192 each
    (choices,) = gallery(view)["panels"].values()
    assert len(choices) == 2
    monkeypatch.setattr(module, "BUDGET", 150)
    (choices,) = gallery(view)["panels"].values()
    assert [len(run["examples"]) for run in choices[0]["runs"]] == [1] * 8
    assert len(choices) == 1


def test_a_study_without_examples_has_no_gallery(folder: StudyFolder, tmp_path: Path) -> None:
    results = Results.load(folder.path)
    assert gallery(View(replace(results, folder=None))) == {}


def test_damaged_arrays_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = synthetic.study(tmp_path, lines=[("fixed", 0.0)], batch_sizes=[64, 128], seeds=1)
    results = Results.load(tmp_path)
    run = results.runs["run"].iloc[0]
    folder.run_file(run, ARRAYS).write_bytes(b"nonsense")
    for choice in gallery(View(results))["panels"]["stdcnn on mnist"]:
        assert [one["run"] for one in choice["runs"]] == [results.runs["run"].iloc[1]]
    assert "damaged" in caplog.text
