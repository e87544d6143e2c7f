import pytest

from sgdscope.errors import RequestError
from sgdscope.study import Study
from sgdscope.studyfile import shipped

GRID = """
model = "stdcnn"
data = "digits"
batch_size = [16, 64]
seed = [0, 1, 2]
epochs = 2
[schedule.fixed]
learning_rate = [0.01, 0.1]
momentum = [0.0, 0.9]
[schedule.step-decay]
[measure.test_accuracy]
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(GRID)
    return file


def test_a_grid_is_every_combination(file):
    study = Study.load(file)
    assert study.name == "mine"
    assert len(study.runs) == (2 * 2 + 1) * 2 * 3
    assert len({run.id for run in study.runs}) == len(study.runs)


def test_a_runs_id_follows_from_its_settings_alone(file):
    ids = {run.id for run in Study.load(file).runs}
    fewer = {run.id for run in Study.load(file, overrides={"seed": 1, "batch_size": 64}).runs}
    assert len(fewer) == 5
    assert fewer < ids
    assert not ids & {run.id for run in Study.load(file, overrides={"epochs": 3}).runs}


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ({"schedule": "fixed"}, 24),
        ({"schedule": ["step-decay", "constant-ratio"]}, 12),
        ({"momentum": 0.5}, 3 * 6),
        ({"momentum": [0.0, 0.5]}, 6 * 6),
        ({"schedule.fixed.learning_rate": 0.3}, 3 * 6),
        ({"steps": 100}, 30),
    ],
)
def test_set_takes_the_files_own_keys(file, overrides, count):
    assert len(Study.load(file, overrides=overrides).runs) == count


@pytest.mark.parametrize("name", shipped())
def test_shipped_studies_are_valid(name):
    study = Study.load(name)
    assert study.runs
    assert {"test_accuracy", "fgsm_accuracy", "pgd_accuracy", "top_eigenvalue"} <= {*study.measures}


def test_the_papers_stdcnn_on_mnist_has_seven_lines_of_six_batch_sizes():
    study = Study.load("paper/mnist-stdcnn")
    lines = {(run.schedule, run.momentum) for run in study.runs}
    assert lines == {
        *(("fixed", m) for m in (0.0, 0.2, 0.5, 0.9)),
        *(("constant-ratio", m) for m in (0.0, 0.9)),
        ("step-decay", 0.9),
    }
    assert len(study.runs) == 42
    assert {run.epochs for run in study.runs} == {100}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"batchsize": 3}, "unknown key 'batchsize'; did you mean 'batch_size'"),
        ({"model": "stdcn"}, "unknown model 'stdcn'; did you mean 'stdcnn'"),
        ({"data": "digit"}, "unknown data set 'digit'; did you mean 'digits'"),
        ({"schedule": "fixd"}, "unknown schedule 'fixd'; did you mean 'fixed'"),
        ({"measure": "test_acc"}, "unknown measure 'test_acc'; did you mean 'test_accuracy'"),
        ({"schedule.fixed.lr": 1}, "unknown key 'schedule.fixed.lr'; .*learning_rate"),
        ({"schedule.fixed.learning_rate": -1}, "learning_rate = -1: .*greater than 0"),
        ({"schedule.fixed.momentum": 1.0}, "momentum = 1.0: .*less than 1"),
        ({"momentum": 1.0}, r"momentum.* = 1.0: .*less than 1"),
        ({"batch_size": 0}, r"batch_size.* = 0: .*greater than or equal to 1"),
        ({"batch_size": 1298}, "batch_size = 1298: expected at most 1297"),
        ({"batch_size": [200], "train_size": 100}, "batch_size = 200: expected at most 100"),
        ({"batch_size": []}, r"batch_size = \[\]: expected at least one value"),
        ({"seed": [1, 1]}, r"seed = \[1, 1\]: 1 stands there twice"),
        ({"seed": -1}, "seed.* = -1: .*greater than or equal to 0"),
        ({"epochs": "ten"}, "epochs = 'ten': .*valid integer"),
        ({"epochs": 1.5}, "epochs = 1.5: .*valid integer"),
        ({"train_size": 9999}, "train_size = 9999: expected at most 1297"),
        ({"measure.fgsm_accuracy.eps": [-0.1]}, "eps.* = -0.1: .*greater than or equal to 0"),
        ({"measure.fgsm_accuracy.eps": []}, r"eps = \[\]"),
        ({"schedule": []}, "schedule = {}: .*at least 1"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(file, overrides, message):
    with pytest.raises(RequestError, match=message):
        Study.load(file, overrides=overrides)


def test_exactly_one_duration_is_asked_for(file):
    file.write_text(GRID.replace("epochs = 2", ""))
    with pytest.raises(RequestError, match="either epochs or steps"):
        Study.load(file)


def test_malformed_toml_is_placed(file):
    file.write_text('model = "stdcnn"\nbatch_size = [16,,]\n')
    with pytest.raises(RequestError, match="line 2, column 18"):
        Study.load(file)


def test_an_unknown_study_gets_the_nearest_name():
    with pytest.raises(RequestError, match="unknown study 'quik'; did you mean 'quick'"):
        Study.load("quik")


PLUGIN = '''
from torch import nn
from sgdscope.registry import MODELS

@MODELS.add("linear")
def linear(*, shape, classes):
    """A linear map of the pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
'''


def test_a_plugin_adds_a_part_in_one_file(file):
    (file.parent / "parts.py").write_text(PLUGIN)
    file.write_text('plugins = ["parts.py"]\n' + GRID.replace("stdcnn", "linear"))
    assert {run.model for run in Study.load(file).runs} == {"linear"}


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), ("1 / 0", "ZeroDivisionError")]
)
def test_a_bad_plugin_is_named(file, content, message):
    if content:
        (file.parent / "broken.py").write_text(content)
    file.write_text('plugins = ["broken.py"]\n' + GRID)
    with pytest.raises(RequestError, match=f"broken.py: .*{message}"):
        Study.load(file)
