"""A first study file is written for the question, and editors know what it may hold."""

import doctest
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

from sgdscope import Study, data, references
from sgdscope.cli import app
from sgdscope.study import draft, studyfile
from sgdscope.study.schema import schema


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


@pytest.mark.parametrize("module", [draft, references])
def test_what_docstrings_show_is_so(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


FLAT = """
from torch import nn
def flat(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))
"""


def test_a_new_study_has_the_network_the_data_and_says_how_long_it_takes(invoke, tmp_path):
    (tmp_path / "nets.py").write_text(FLAT)
    words = ["--model", "nets.py:flat", "--data", "digits", "--out", "sub/first.toml"]
    done = invoke("new", *words, "--question", "batch size and robustness")
    assert done.exit_code == 0, done.output
    assert "sub/first.toml: 9 runs" in done.output
    assert "about " in done.output
    study = Study.load(tmp_path / "sub" / "first.toml")
    assert (study.model, study.data, study.batch_size) == (
        ["nets.py:flat"],
        ["digits"],
        [8, 32, 128],
    )
    assert list(study.measures) == ["train_loss", "test_accuracy", "pgd_accuracy"]
    again = invoke("new", *words, "--question", "momentum")
    assert again.exit_code == 2
    assert "the file exists already" in again.output


@pytest.mark.parametrize("place", ["", "sub"])
def test_a_new_studys_network_and_data_are_next_to_it_or_here(invoke, tmp_path, place):
    home = tmp_path / place
    (tmp_path / "sub").mkdir()
    (home / "nets.py").write_text(FLAT)
    digits = data.load("digits").train
    arrays = {"x_train": digits.pixels[:80], "y_train": digits.labels[:80]}
    arrays |= {"x_test": digits.pixels[:80], "y_test": digits.labels[:80]}
    np.savez(home / "woods🌲.npz", **{name: values.numpy() for name, values in arrays.items()})
    words = ["--model", "nets.py:flat", "--data", "npz:woods🌲.npz", "--out", "sub/first.toml"]
    done = invoke("new", *words, "--question", "momentum")
    assert done.exit_code == 0, done.output
    study = Study.load(tmp_path / "sub" / "first.toml")
    assert (study.model, study.data) == (["nets.py:flat"], ["npz:woods🌲.npz"])
    (plugin,) = study.plugins
    assert plugin == str(home / "nets.py")


KNOBS = {
    "learning rate and curvature": lambda study: [r.rate(1) for r in study.runs[::3]],
    "momentum and generalisation": lambda study: [r.momentum for r in study.runs[::3]],
    "weight-decay and sharpness": lambda study: [
        r.rule().weight_decay for r in study.runs[::3]
    ],
}  # fmt: skip


@pytest.mark.parametrize("question", KNOBS)
def test_the_question_chooses_the_knob_and_the_measures(question, tmp_path):
    content = draft.text(model="stdcnn", data="digits", asked=question, home=tmp_path)
    study = Study.parse(tomllib.loads(content) | {"name": "new"})
    values = KNOBS[question](study)
    assert len(study.runs) == 9
    assert values == sorted(set(values))
    assert ("top_eigenvalue" in study.measures) == ("generalisation" not in question)
    knob = question.split(" and ")[0].replace(" ", "_").replace("-", "_")
    (expected,) = study.hypotheses
    assert (study.axis, expected.knob) == (knob, knob)
    assert expected.measure in study.measures


def test_every_question_has_an_expectation_for_all_that_it_may_be_about(tmp_path):
    for knob in draft.KNOBS:
        asked = f"{knob} and robustness, curvature, generalisation"
        content = draft.text(model="stdcnn", data="digits", asked=asked, home=tmp_path)
        study = Study.parse(tomllib.loads(content) | {"name": "new"})
        assert [one.measure for one in study.hypotheses] == list(draft.MEASURES.values())
        assert [one.course for one in study.hypotheses] == list(draft.EXPECTED[knob].values())


def test_what_a_new_study_expects_is_judged_as_stated_before_the_first_result(invoke, tmp_path):
    words = [
        "--model",
        "stdcnn",
        "--data",
        "digits",
        "--question",
        "weight decay",
        "--out",
        "a.toml",
    ]
    assert invoke("new", *words).exit_code == 0
    quick = ["--set", "epochs=1", "--set", "train_size=64", "--set", "seed=0,1", "--workers", "1"]
    assert invoke("run", "a.toml", *quick, "--engine", "inline", "--out", "out").exit_code == 0
    assert invoke("claims", "out").exit_code == 0
    said = (tmp_path / "out" / "claims.md").read_text()
    assert "Test accuracy rises with weight decay (stated before the first result)" in said


CANNOT_BE = {
    "--model stdcnn": "--data: required where there is no terminal to ask on",
    "--model stdcnn --data digits --question width --out a.toml": "names no knob",
    "--model m2 --data digits --question momentum --out a.toml": "did you mean 'm1'?",
    "--model m1 --data folder:no --question momentum --out a.toml": "no folder no; expected",
}


@pytest.mark.parametrize("words", CANNOT_BE)
def test_a_new_study_that_cannot_be_is_one_sentence_and_no_file(invoke, tmp_path, words):
    done = invoke("new", *words.split())
    assert done.exit_code == 2
    assert CANNOT_BE[words] in done.output.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_asked_at_a_terminal(invoke, monkeypatch, tmp_path):
    answers = {"Network": "stdcnn", "Data": "digits", "Question": "momentum", "Study": "asked.toml"}
    monkeypatch.setattr("sgdscope.commands.new._at_terminal", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda what, default: answers[what.split()[0]])
    done = invoke("new")
    assert done.exit_code == 0, done.output
    assert "momentum = [0.0, 0.5, 0.9]" in (tmp_path / "asked.toml").read_text()


def test_every_shipped_study_fits_the_schema_of_study_files():
    validate = pytest.importorskip("jsonschema").Draft202012Validator(schema()).validate
    for file in studyfile.shipped().values():
        validate(studyfile.read(file))
    validate({"model": ["m1", "nets.py:Tiny"], "measure": {"pgd_accuracy": {"eps": ["8/255"]}}})


def test_the_schema_names_every_part_and_refuses_what_a_study_refuses():
    keys = schema()["properties"]
    schedules = keys["schedule"]["anyOf"][1]["properties"]
    assert schedules["step-decay"]["properties"].keys() == {
        "learning_rate", "factor", "every", "momentum", "warmup_epochs", "warmup_steps",
    }  # fmt: skip
    assert "digits" in keys["data"]["anyOf"][0]["anyOf"][0]["enum"]
    assert schema()["additionalProperties"] is False
    assert not {"part", "sources"} & keys.keys()
    for file in studyfile.shipped().values():
        assert studyfile.read(file).keys() <= keys.keys()
