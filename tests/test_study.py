import math
import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from sgdscope.data import DATA
from sgdscope.errors import RequestError
from sgdscope.measuring.robustness import FgsmAccuracy
from sgdscope.results.folder import StudyFolder
from sgdscope.study.study import Study
from sgdscope.study.studyfile import shipped

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


def test_a_copied_run_with_other_settings_derives_everything_afresh(make_run):
    run = make_run(schedule="fixed", schedule_options={"learning_rate": 0.1})
    assert (run.id, run.peak) == (run.model_copy().id, 0.1)
    other = run.model_copy(update={"schedule_options": {"learning_rate": 0.4}})
    assert other.peak == 0.4
    assert other.id != run.id
    assert other.line != run.line


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


def test_what_is_set_is_what_runs_have(file):
    half = Study.load(file, overrides={"momentum": 0.5})
    assert {run.momentum for run in half.runs} == {0.5}
    fast = Study.load(file, overrides={"schedule.fixed.learning_rate": 0.3})
    assert {run.rate(1) for run in fast.runs if run.schedule == "fixed"} == {0.3}
    steps = Study.load(file, overrides={"steps": 100})
    assert {(run.epochs, run.steps) for run in steps.runs} == {(None, 100)}
    with pytest.raises(RequestError, match="epochs and steps: a training has one length"):
        Study.load(file, overrides={"epochs": 2, "steps": 100})


@pytest.mark.parametrize("value", ["5", "true", "[5]", "{a = 1}"])
@pytest.mark.parametrize("key", ["model", "data"])
def test_names_that_are_no_text_are_refused(tmp_path, key, value):
    names = {"model": '"stdcnn"', "data": '"digits"'} | {key: value}
    file = tmp_path / "study.toml"
    file.write_text(
        f"model = {names['model']}\ndata = {names['data']}\nbatch_size = 32\nepochs = 1\n"
        'measure = ["test_accuracy"]\nschedule.fixed = {learning_rate = 0.1}\n'
    )
    with pytest.raises(RequestError, match=f"{key} = .*: expected text"):
        Study.load(file)


def test_epochs_that_no_run_arrives_at_are_named():
    short = Study.load("paper", overrides={"epochs": 12})
    (line,) = short.unreached()
    assert line.startswith("not taken, since runs end after epoch 12: ")
    assert line.endswith(" at 25, 50")
    assert "top_eigenvalue" in line
    counted = {"steps": 100, "batch_size": [16, 64], "measure": {"train_loss": {"at": [3, 5, 6]}}}
    assert Study.load("quick", overrides=counted).unreached() == [
        "not taken, since runs end after epoch 5: train_loss at 6"
    ]
    assert not Study.load("paper").unreached()
    assert not Study.load("quick").unreached()


@pytest.mark.parametrize("name", shipped())
def test_shipped_studies_are_valid(name):
    study = Study.load(name)
    assert study.runs
    assert {"test_accuracy", "fgsm_accuracy", "top_eigenvalue"} <= {*study.measures}
    assert {"pgd_accuracy", "pgd_margin_accuracy"} & {*study.measures}


PAPER = ["mnist-m1", "mnist-stdcnn", "fashion-m1", "fashion-stdcnn", "cifar10-c1"]
PAPER = [f"paper/{name}" for name in [*PAPER, "cifar10-resnet18"]]


def lines(study):
    return {(run.model, run.data, run.schedule, run.momentum) for run in study.runs}


def test_the_whole_paper_is_34_lines_of_six_batch_sizes():
    whole = Study.load("paper")
    assert len(lines(whole)) == 34
    assert len({run.id for run in whole.runs}) == len(whole.runs) == 204
    assert {run.epochs for run in whole.runs} == {100}
    assert {run.batch_size for run in whole.runs} == {64, 128, 256, 512, 1024, 2048}
    for run in whole.runs:
        rates = {
            "fixed": (0.01, 0.01),
            "constant-ratio": (0.00015625 * run.batch_size,) * 2,
            "step-decay": (0.01, 0.005),
        }[run.schedule]
        assert (run.rate(5), run.rate(6)) == rates
        attack = whole.measures_of(run)["pgd_accuracy"]
        steps, size = (20, 1 / 8) if run.data == "cifar10" else (40, 1 / 15)
        assert (attack.steps, attack.step_size) == (steps, pytest.approx(size))
    parts = [Study.load(name) for name in PAPER]
    assert whole.runs == [run for part in parts for run in part.runs]
    for part in parts:
        assert whole.measures_of(part.runs[0]) == part.measures
    eps = {run.data: whole.measures_of(run)["pgd_accuracy"].eps for run in whole.runs}
    assert {data: (0.3 in radii, 0.02 in radii) for data, radii in eps.items()} == {
        "mnist": (True, False), "fashion_mnist": (True, True), "cifar10": (False, True),
    }  # fmt: skip


def test_fashion_mnist_has_no_lines_of_momentum_but_the_benchmark():
    assert {line[2:] for line in lines(Study.load("paper/fashion-m1"))} == {
        ("fixed", 0.0), ("constant-ratio", 0.0), ("step-decay", 0.9),
    }  # fmt: skip


@pytest.mark.parametrize("name", PAPER)
def test_the_small_budget_keeps_updates_and_learning_rates(name):
    full, small = Study.load(name), Study.load(name, budget="small")
    assert small.name == full.name + "-small"
    assert small.description.startswith("A MINIATURE, 1/")
    assert full.description in small.description

    def progress(study):
        size = study.train_size or DATA[study.data[0]].train_size
        return {
            (run.schedule, run.momentum, run.rate(1), run.rate(60), size // run.batch_size)
            for run in study.runs
        }

    assert progress(small) <= progress(full)
    assert max(small.batch_size) * 16 <= max(full.batch_size)


def test_what_is_said_of_a_shorter_miniature_holds():
    small = Study.load(PAPER[0], budget="small", overrides={"epochs": 5})
    first = small.description.splitlines()[0]
    assert "learning rates and lr·N/B as in the full study" in first
    assert "epochs = 5" in first


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train_size": [100, 200]}, "train_size = [100, 200]: expected one whole number"),
        ({"batch_size": "big"}, "batch_size = big: expected a multiple of the factor 64"),
        ({"schedule": [{"a": 1}]}, "schedule = [{'a': 1}]: expected names"),
    ],
)
def test_a_budget_refuses_what_it_cannot_divide(overrides, message):
    with pytest.raises(RequestError, match=re.escape(message)):
        Study.load("paper/fashion-m1", budget="small", overrides=overrides)


def test_a_studies_parts_take_a_budget_and_overrides_each():
    small = Study.load("paper", budget="small", overrides={"seed": 0, "schedule": "fixed"})
    assert small.name == "paper-small"
    assert len(small.runs) == 2 * 4 + 4 * 4 + 4 + 4 + 2 * 3 + 2 * 3
    assert "resnet18-narrow" in {run.model for run in small.runs}


def test_plugins_of_one_name_are_kept_apart(tmp_path):
    for name, model in (("a", "linear"), ("b", "affine")):
        (tmp_path / name).mkdir()
        grid = GRID.replace("stdcnn", model)
        (tmp_path / name / "study.toml").write_text('plugins = ["parts.py"]\n' + grid)
        (tmp_path / name / "parts.py").write_text(PLUGIN.replace("linear", model))
    (tmp_path / "both.toml").write_text('include = ["a/study.toml", "b/study.toml"]\n')
    folder = StudyFolder(tmp_path / "out")
    with folder.locked():
        folder.prepare(Study.load(tmp_path / "both.toml"), [])
    assert {file.parent.name for file in folder.path.glob("plugins/*/parts.py")} == {"0", "1"}
    assert len(Study.load(folder.study_file).plugins) == 2


def test_plugins_of_an_override_are_looked_for_here(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    study = Study.load("quick", overrides={"plugins": "mine.py"})
    assert study.plugins == [str(tmp_path / "mine.py")]


@pytest.mark.parametrize("key", ["schedule", "momentum"])
def test_a_list_of_schedules_takes_overrides_and_a_budget(tmp_path, key):
    value = {"schedule": "fixed", "momentum": 0.5}[key]
    text = GRID[: GRID.index("[schedule")] + 'schedule = ["fixed"]\nmeasure = ["test_accuracy"]\n'
    (tmp_path / "listed.toml").write_text(text + "[budget.small]\nfactor = 2\n")
    study = Study.load(tmp_path / "listed.toml", overrides={key: value}, budget="small")
    assert {run.schedule for run in study.runs} == {"fixed"}


def test_a_budget_divides_the_sizes_it_is_given_too():
    sizes = {"batch_size": [256, 512], "schedule": "constant-ratio"}
    full = Study.load("paper/mnist-m1", overrides=sizes)
    small = Study.load("paper/mnist-m1", overrides=sizes, budget="small")
    assert small.batch_size == [4, 8]
    assert {run.rate(1) for run in small.runs} == {run.rate(1) for run in full.runs}
    assert "batch_size = [256, 512]" in small.description.splitlines()[0]


@pytest.mark.parametrize("largest", [None, 64, [32, 128]])
def test_a_budget_divides_the_largest_batch_of_a_growth_too(file, largest):
    own = "" if largest is None else f"largest = {largest}\n"
    grows = f"train_size = 1280\n[schedule.batch-growth]\nevery = 1\n{own}"
    file.write_text(GRID[: GRID.index("[schedule")] + grows + "[measure.test_accuracy]\n")
    file.write_text(file.read_text() + "[budget.small]\nfactor = 4\n")
    full, small = (Study.load(file, overrides={"epochs": 5}, budget=b) for b in (None, "small"))
    for run, miniature in zip(full.runs, small.runs, strict=True):
        assert [run.size(e) for e in range(1, 6)] == [4 * miniature.size(e) for e in range(1, 6)]
        assert run.stretch(5) == miniature.stretch(5)


def test_a_budget_divides_the_parts_of_ghost_batch_norm(file):
    file.write_text(
        GRID + "[method.plain]\n[method.ghost-batch-norm]\n[budget.small]\nfactor = 4\n"
    )
    sizes = {"train_size": 640, "schedule": "step-decay"}
    given = {**sizes, "method.ghost-batch-norm.size": [16, 32]}
    assert ghosts(Study.load(file, overrides=sizes, budget="small")) == {8}
    assert ghosts(Study.load(file, overrides=given, budget="small")) == {4, 8}


def ghosts(study):
    return {run.procedure().size for run in study.runs if run.method == "ghost-batch-norm"}


OWN_SCHEDULE = '''
from sgdscope.parts import SCHEDULES, Schedule

@SCHEDULES.add("own")
class Own(Schedule):
    """A higher learning rate for large batches."""

    batch_sizes = ("large",)
    large: int = 64

    def rate(self, *, batch_size, epoch):
        return 0.1 if batch_size >= self.large else 0.01
'''


def test_a_budget_divides_the_batch_sizes_of_a_plugins_part(file):
    (file.parent / "own.py").write_text(OWN_SCHEDULE)
    grid = GRID[: GRID.index("[schedule")] + "train_size = 640\n[schedule.own]\n"
    file.write_text(
        f'plugins = ["own.py"]\n{grid}[measure.test_accuracy]\n[budget.small]\nfactor = 4\n'
    )
    small = Study.load(file, budget="small")
    assert {(run.batch_size, run.peak) for run in small.runs} == {(4, 0.01), (16, 0.1)}


@pytest.mark.parametrize("name", ["constant-ratio", "square-root"])
def test_a_value_in_place_of_a_table_is_named_whatever_is_replaced(file, name):
    schedule = f"[schedule]\n{name} = 3\n"
    file.write_text(
        GRID[: GRID.index("[schedule")]
        + schedule
        + "[measure.test_accuracy]\n[budget.small]\nfactor = 4\n"
    )
    for how in ({}, {"budget": "small"}, {"overrides": {"momentum": 0.5}}):
        with pytest.raises(RequestError, match=f"schedule.{name} = 3: expected a table of options"):
            Study.load(file, **how)


def test_a_study_with_parts_is_read_back_from_its_folder(tmp_path):
    (tmp_path / "a.toml").write_text('plugins = ["parts.py"]\n' + GRID.replace("stdcnn", "linear"))
    (tmp_path / "b.toml").write_text(GRID)
    (tmp_path / "parts.py").write_text(PLUGIN)
    (tmp_path / "both.toml").write_text('include = ["a.toml", "b.toml"]\n')
    study = Study.load(tmp_path / "both.toml")
    assert len(study.runs) == 60
    folder = StudyFolder(tmp_path / "out")
    with folder.locked():
        folder.prepare(study, [])
        folder.prepare(study, [])
    again = Study.load(folder.study_file)
    assert again.runs == study.runs
    assert [part.name for part in again.part] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('include = ["quick", "quick"]', "have a run in common"),
        ('include = ["quick"]\nmodel = "m1"', "model: a study that includes others"),
        ('include = ["nothing"]', "unknown study 'nothing'"),
        ('include = ["both.toml"]', "includes itself"),
        ('include = "quick"', "include = 'quick': expected a list"),
        ('model = "m1"', "data: required but missing"),
    ],
)
def test_what_cannot_be_included_is_named(tmp_path, text, message):
    (tmp_path / "both.toml").write_text(text)
    with pytest.raises(RequestError, match=message):
        Study.load(tmp_path / "both.toml")


@pytest.mark.parametrize(
    ("budget", "table", "message"),
    [
        ("small", "", "the study has no budgets"),
        ("smal", "[budget.small]\nfactor = 2\n", "unknown budget 'smal'; did you mean 'small'"),
        ("small", "[budget.small]\nfactor = 3\n", "batch_size = 16: .*multiple of the factor 3"),
        ("small", "[budget.small]\nfactor = 0\n", "factor = 0: expected a whole number"),
    ],
)
def test_a_budget_that_cannot_be_is_named(file, budget, table, message):
    file.write_text(GRID + table)
    with pytest.raises(RequestError, match=message):
        Study.load(file, budget=budget)


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
        (
            {"schedule.fixed.lr": 1},
            "schedule.fixed: unknown key 'lr'; valid: learning_rate, momentum",
        ),
        ({"schedule.fixed.learning_rate": -1}, "learning_rate = -1: expected more than 0"),
        ({"schedule.fixed.momentum": 1.0}, "schedule.fixed.momentum = 1.0: expected less than 1"),
        ({"momentum": 1.0}, "momentum = 1.0: expected less than 1"),
        ({"batch_size": 0}, "batch_size = 0: expected at least 1"),
        ({"batch_size": 1298}, "batch_size = 1298: expected at most 1297"),
        ({"batch_size": [200], "train_size": 100}, "batch_size = 200: expected at most 100"),
        ({"batch_size": []}, r"batch_size = \[\]: expected at least one value"),
        ({"seed": [1, 1]}, r"seed = \[1, 1\]: 1 is listed twice"),
        ({"seed": -1}, "seed = -1: expected at least 0"),
        ({"epochs": "ten"}, "epochs = 'ten': expected a whole number"),
        ({"epochs": 1.5}, "epochs = 1.5: expected a whole number"),
        ({"train_size": 9999}, "train_size = 9999: expected at most 1297"),
        ({"measure.fgsm_accuracy.eps": [-0.1]}, "eps = -0.1: expected at least 0"),
        ({"measure.fgsm_accuracy.eps": []}, r"eps = \[\]"),
        (
            {"measure.fgsm_accuracy.eps": [math.inf], "measure.fgsm_accuracy.norm": "l2"},
            "eps.* = inf: .*finite",
        ),
        ({"measure.top_eigenvalue.tolerance": math.inf}, "tolerance = inf: .*finite"),
        ({"seed": ["0"]}, "seed = '0': expected a whole number"),
        ({"normalise": 1}, "normalise = 1: expected true or false"),
        ({"batch_size": True}, "batch_size = true: expected a whole number"),
        ({"precision": "fp16"}, "precision = 'fp16': expected 'float32' or 'bf16'"),
        ({"plugins": [3]}, r"plugins = \[3\]: expected Python files"),
        ({"data": "woods"}, "unknown data set 'woods'; valid: .*folder:PATH"),
        ({"data": "foldr:woods"}, "there is no module 'foldr'; expected folder:PATH"),
        ({"data": "hub:"}, "'hub:' names nothing; expected hub:NAME"),
        ({"model": "tim:resnet18"}, "there is no module 'tim'; expected FILE.py:NAME"),
        ({"include_": []}, "unknown key 'include_'; did you mean 'include'"),
        ({"measure.fgsm_accuracy.epsilon": 0.1}, "unknown key 'epsilon'; did you mean 'eps'"),
        ({"schedule.fixed.learning_rate": []}, r"schedule.fixed.learning_rate = \[\]: expected at"),
        (
            {"optimizer.sgd.weight_decay": -1},
            "optimizer.sgd.weight_decay = -1: expected at least 0",
        ),
        ({"schedule": []}, "schedule = {}: expected at least one"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(file, overrides, message):
    with pytest.raises(RequestError, match=message):
        Study.load(file, overrides=overrides)


def test_exactly_one_duration_is_asked_for(file):
    file.write_text(GRID.replace("epochs = 2", ""))
    with pytest.raises(RequestError, match="exactly one of epochs and steps"):
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
from sgdscope.models import MODELS

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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (range(3), [0, 1, 2]),
        ((0, 1), [0, 1]),
        (np.arange(3), [0, 1, 2]),
        (np.int64(2), [2]),
        ([np.int64(2), np.uint8(3)], [2, 3]),
        (torch.tensor([4, 5]), [4, 5]),
        (pd.Series([6, 7]), [6, 7]),
    ],
)
def test_an_axis_takes_whatever_holds_whole_numbers(file, given, meant):
    study = Study.load(file, overrides={"seed": given})
    assert study.seed == meant
    assert {type(seed) for seed in study.seed} == {int}
    assert study == Study.load(file, overrides={"seed": meant})


@pytest.mark.parametrize(
    "given",
    ["1/64", " 1 / 64 ", np.float64(1 / 64), np.float32(1 / 64), Fraction(1, 64), (1 / 64,)],
)
def test_a_number_is_the_same_however_it_is_written(file, given):
    wanted = Study.load(file, overrides={"schedule.fixed.learning_rate": 1 / 64})
    study = Study.load(file, overrides={"schedule.fixed.learning_rate": given})
    assert study.runs == wanted.runs
    assert study.runs[0].schedule_options == {"learning_rate": 0.015625}


def test_a_quotient_is_a_number_in_study_files_and_in_every_part(file, tmp_path):
    file.write_text(f'{GRID}[measure.fgsm_accuracy]\neps = ["8/255", 0.1]\nnorm = "l2"\n')
    measure = Study.load(file).measures["fgsm_accuracy"]
    assert measure == FgsmAccuracy(eps=[8 / 255, 0.1], norm="l2")
    assert measure == FgsmAccuracy(eps=("8/255", np.float64(0.1)), norm="l2")
    StudyFolder(tmp_path / "out").path.mkdir()
    StudyFolder(tmp_path / "out").prepare(Study.load(file), [])
    kept = Study.load(tmp_path / "out" / "study.toml")
    assert kept.measures["fgsm_accuracy"] == measure


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eps = 8/255", 'write a quotient in quotes: "8/255"'),
        ('eps = "8/0"', "eps = '8/0': expected a number"),
        ('eps = ["8/255", "16/510"]', "is listed twice"),
    ],
)
def test_a_wrong_quotient_is_told(file, text, message):
    file.write_text(f"{GRID}[measure.fgsm_accuracy]\n{text}\n")
    with pytest.raises(RequestError, match=message):
        Study.load(file)


def test_names_that_look_like_numbers_stay_names(file):
    assert Study.load(file, overrides={"name": "1/2", "description": "3/4"}).name == "1/2"


@pytest.mark.parametrize("budget", [None, "small"])
@pytest.mark.parametrize("text", ["budget = 3", "[budget]\nsmall = 2"])
def test_a_budget_is_a_table(file, text, budget):
    file.write_text(f"{text}\n{GRID}" if "[" not in text else f"{GRID}{text}")
    with pytest.raises(RequestError, match=r"budget = .*: expected tables, as "):
        Study.load(file, budget=budget)


def test_a_seed_that_no_table_holds_is_refused(file):
    assert Study.load(file, overrides={"seed": 2**64 - 1}).seed == [2**64 - 1]
    with pytest.raises(RequestError, match=f"seed = {2**64}: expected less than"):
        Study.load(file, overrides={"seed": 2**64})


def test_a_study_file_may_begin_with_a_byte_order_mark(file):
    whole = Study.load(file)
    file.write_text("\ufeff" + GRID)
    assert Study.load(file).runs == whole.runs


def test_a_description_says_what_was_replaced(file):
    file.write_text(f'description = "Three seeds."\n{GRID}')
    replaced = Study.load(file, overrides={"seed": [0], "measure": ["train_loss"]})
    assert replaced.description == ("Three seeds. Changed: seed = [0], measure = ['train_loss'].")
    assert Study.load(file).description == "Three seeds."


def test_points_along_the_way_are_no_more_than_those_at_the_end():
    assert (
        FgsmAccuracy(eps=[0.1], examples=200, along_examples=500).during_training().examples == 200
    )
    assert (
        FgsmAccuracy(eps=[0.1], examples=500, along_examples=200).during_training().examples == 200
    )
    assert FgsmAccuracy(eps=[0.1], along_examples=200).during_training().examples == 200
    assert FgsmAccuracy(eps=[0.1]).during_training().examples is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[optimizer.adamw]",
            r"momentum = \[0.0, 0.9\]: is that of optimizer.sgd, which the study",
        ),
        ("[schedule.cosine]\nwarmup_epochs = 3", "its warm-up takes 243 updates at batch size 16"),
        ("[method.swa]\nstart_epoch = 3", "method.swa: begins in epoch 3; expected 1 to 2"),
        ("[method.adversarial-training]\nnatural_epochs = 2", "begins in epoch 3; expected 1 to 2"),
        ("[method.adversarial-training]\neps = 8", "eps = 8: expected at most 1, since pixels"),
        ("[method.absa]\neps = 8", "eps = 8: expected at most 1, since pixels"),
        (
            "[claim.one]\nsays = 'x'\nmeasure = 'test_accuracy'\nfalls_with = 'batch_size'\n"
            "under = {optimizer = 'adamw'}",
            "claim.one.under.optimizer = 'adamw': no run has that; expected one of sgd",
        ),
        (
            "[claim.one]\nsays = 'x'\nmeasure = 'test_accuracy'\nrises_with = 'learning_rate'\n"
            "under = {batch_size = 16}",
            "claims are about all batch sizes together",
        ),
    ],
)
def test_what_could_have_no_effect_is_refused(file, text, message):
    file.write_text(GRID + text)
    with pytest.raises(RequestError, match=message):
        Study.load(file)


def test_steps_must_reach_the_epoch_in_which_a_method_begins(file):
    """Of 1,297 images 100 steps are 1.2 epochs at batch size 16, and 5 at 64."""
    file.write_text(GRID + "[method.swa]\nstart_epoch = 3")
    message = "begins in epoch 3; expected 1 to 2, the epochs of training for 100 steps at batch s"
    with pytest.raises(RequestError, match=message):
        Study.load(file, overrides={"steps": 100})
    assert Study.load(file, overrides={"steps": 100, "batch_size": 64}).runs


def test_a_kept_study_is_not_refused_for_what_has_no_effect(file):
    settings = {
        "name": "old", "model": "stdcnn", "data": "digits", "batch_size": 64, "epochs": 1,
        "schedule": {"fixed": {"warmup_epochs": 2.0}}, "measure": {"test_accuracy": {}},
    }  # fmt: skip
    assert Study.parse(settings, kept=True).runs
    with pytest.raises(RequestError, match="its warm-up takes 40 updates"):
        Study.parse(settings)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            '[optimizer."torch.optim.Adam"]\nbetas = [0.9, 0.99]',
            "betas = 0.9: expected a list, whi",
        ),
        ('[optimizer."torch.optim.Adam"]\neps = nan', "eps = nan: expected a finite number"),
        (
            '[schedule."torch.optim.lr_scheduler.MultiStepLR"]\nmilestones = [4, 6]',
            r"milestones = 4: expected a list, which in a study file has a second pair",
        ),
        (
            '[schedule."torch.optim.lr_scheduler.ExponentialLR"]\ngamma = -1.0',
            "learning rate -0.01 in epoch 2; expected 0 or more",
        ),
    ],
)
def test_options_of_imported_classes_are_checked(file, table, message):
    file.write_text(GRID.replace("momentum = [0.0, 0.9]", "") + table)
    with pytest.raises(RequestError, match=message):
        Study.load(file)
