"""A plan counts what is known and probes what is not."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from sgdscope import data
from sgdscope.cli import app
from sgdscope.errors import RequestError
from sgdscope.execution import plan as planning
from sgdscope.execution import probes
from sgdscope.execution.local import default_workers
from sgdscope.measuring import MEASURES
from sgdscope.results import style
from sgdscope.study.study import Study
from sgdscope.training.autotune import probe


@pytest.fixture(scope="module")
def made():
    overrides = {"measure": ["test_accuracy", "fgsm_accuracy", "top_eigenvalue"], "seed": [0, 1, 2]}
    overrides |= {"batch_size": [32, 64]}
    return planning.plan(Study.load("quick", overrides=overrides), device="cpu", workers=2)


def test_what_is_known_is_counted(made):
    first, second = made.costs
    assert (first.model, first.data, first.batch_size) == ("stdcnn", "digits", 32)
    assert (first.runs, first.lines, first.epochs, first.parameters) == (6, 2, 20, 23_010)
    assert (first.steps, second.steps) == (20 * (1297 // 32), 20 * (1297 // 64))


def test_flops_are_those_of_forward_and_backward(made):
    convolutions = [(26, 1, 10), (24, 10, 10), (10, 10, 20), (8, 20, 20)]
    forward = [2 * size**2 * into * 9 * out for size, into, out in convolutions]
    forward += [2 * 320 * 50, 2 * 50 * 10]
    an_image = 3 * sum(forward) - forward[0]  # no gradient in the images
    cost = made.costs[0]
    assert cost.flops == pytest.approx(an_image * 32 * cost.steps, rel=1e-6)


def test_times_add_up(made):
    assert all(cost.training > 0 and cost.measuring > 0 for cost in made.costs)
    assert made.busy == min(2, default_workers("cpu"))
    at_work = sum(cost.seconds for cost in made.costs) / made.busy
    assert made.seconds == pytest.approx(planning.START + at_work)


def test_updates_cost_what_lines_through_the_probes_say():
    line = probes.Line((2.0, 8.0, 32.0), (1.0, 4.0, 10.0))
    assert [line(size) for size in (2, 5, 32, 80)] == [1.0, 2.5, 10.0, 22.0]
    assert probes.Line((10.0,), (3.0,))(5) == 1.5


def test_a_measure_is_probed_twice_however_often_and_by_whom_it_is_taken(monkeypatch):
    looked, read = [], MEASURES["fgsm_accuracy"].read

    def count(self, subject):
        looked.append(sum(parameter.numel() for parameter in subject.model.parameters()))
        return read(self, subject)

    monkeypatch.setattr(MEASURES["fgsm_accuracy"], "read", count)
    overrides = {
        "model": ["resnet18-narrow", "stdcnn"], "batch_size": [32, 64], "seed": [0, 1],
        "measure": {"fgsm_accuracy": {"eps": [0.1], "at": [1, 5], "along_examples": 50}},
    }  # fmt: skip
    costs = planning.plan(Study.load("quick", overrides=overrides), device="cpu").costs
    assert looked == [23_010, 23_010]  # and on the quick network alone
    assert [cost.measuring > costs[-1].measuring for cost in costs] == [True, True, False, False]


def test_a_growing_batch_is_counted_as_it_grows(make_run):
    growing = {"schedule": "batch-growth", "schedule_options": {"learning_rate": 0.1, "every": 2}}
    run = make_run(batch_size=32, epochs=4, **growing)
    found = list(planning._epochs(run, 256))
    assert [size for _, size in found] == [run.size(epoch) for epoch in range(1, 5)]
    assert all(count == 256 // size for count, size in found)
    assert list(planning._epochs(make_run(batch_size=32, steps=20), 256)) == [
        (8, 32), (8, 32), (4, 32),
    ]  # fmt: skip


GROWING = {
    "batch-growth": {"schedule": {"batch-growth": {"every": 1}}},
    "absa": {"schedule": "fixed", "method": {"absa": {"patience": 1, "largest": 2}}},
}


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_is_timed_at_one_batch_size(name):
    """Of 600 images a batch of 512 cannot grow, and the study's 1,297 let it."""
    overrides = {"measure": ["test_accuracy"], "batch_size": 512, "epochs": 2, **GROWING[name]}
    study = Study.load("quick", overrides=overrides)
    (cost,) = planning.plan(study, device="cpu", workers=1).costs
    assert cost.training > 0
    images = data.load("digits")
    images = replace(images, train=images.train[:600])
    assert probe(study.runs[:1], images).rates["one by one"] > 0


def test_the_plan_is_printed_within_a_page(made):
    console = Console(width=100, file=io.StringIO())
    console.print(planning.table(made))
    text = console.file.getvalue()
    assert "stdcnn digits" in text
    assert "…" not in text
    assert any("12 runs" in line for line in planning.summary(made))


def test_a_plan_says_which_runs_may_stop_early(made):
    stopping = Study.load("quick", overrides={"until_train_loss": 0.1})
    early = "runs that reach until_train_loss before their last epoch take less"
    assert early not in "\n".join(planning.summary(made))
    assert early in "\n".join(planning.summary(replace(made, left=list(stopping.runs))))


def test_plan_on_the_command_line_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["run", "quick", "--plan", "--set", "batch_size=64", "--set", "measure=test_accuracy"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "about" in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", list(MEASURES))
def test_every_measure_can_be_planned_for(name):
    options = {"eps": [0.1]} if "eps" in MEASURES[name].model_fields else {}
    few = {"steps": 2, "queries": 20, "max_products": 28}
    options |= {key: few[key] for key in few.keys() & MEASURES[name].model_fields.keys()}
    overrides = {"measure": {name: options}, "batch_size": 32, "seed": 0}
    overrides["schedule"] = {"fixed": {"learning_rate": 0.05}}
    (cost,) = planning.plan(Study.load("quick", overrides=overrides), device="cpu").costs
    assert cost.measuring > 0


def test_runs_that_lack_measures_alone_are_said_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invoke = CliRunner().invoke
    words = ["run", "quick", "--out", "there", "--set", "batch_size=64", "--set", "epochs=1"]
    words += ["--set", "schedule=fixed", "--set", "train_size=64"]
    assert invoke(app, [*words, "--set", "measure=test_accuracy"]).exit_code == 0
    more = [*words, "--set", "measure=test_accuracy,train_loss", "--plan"]
    assert "3 of them lack only measurements" in invoke(app, more).output


def test_finished_runs_are_not_counted_and_durations_are_kept_apart(tmp_path):
    text = 'model = "stdcnn"\ndata = "digits"\nbatch_size = 64\n'
    text += 'measure = ["test_accuracy"]\nschedule = ["fixed"]\n'
    for epochs in (1, 3):
        (tmp_path / f"{epochs}.toml").write_text(f"epochs = {epochs}\n" + text)
    (tmp_path / "both.toml").write_text('include = ["1.toml", "3.toml"]\n')
    study = Study.load(tmp_path / "both.toml")
    short, long = planning.plan(study, device="cpu").costs
    assert 3 * short.steps == long.steps
    made = planning.plan(study, device="cpu", finished={study.runs[0].id})
    assert [cost.epochs for cost in made.costs] == [3]
    said = "\n".join(planning.summary(made))
    assert "1 of 2 runs are finished" in said
    assert "GB, as in this probe" in said
    nothing = planning.plan(study, device="cpu", finished={run.id for run in study.runs})
    assert nothing.seconds == 0


def test_a_cluster_is_not_planned_for():
    done = CliRunner().invoke(app, ["run", "quick", "--plan", "--engine", "ray"])
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.23, "1.2 s"), (200, "3.3 min"), (7200, "2.0 h"), (400_000, "4.6 d")],
)
def test_durations_have_their_unit(seconds, text):
    assert style.duration(seconds) == text


def test_a_study_of_few_images_can_be_planned(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8), np.arange(9) % 2
    np.savez(tmp_path / "few.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    overrides = {"data": f"npz:{tmp_path}/few.npz", "batch_size": 2, "seed": 0}
    overrides |= {"measure": ["test_accuracy", "top_eigenvalue"]}
    made = planning.plan(Study.load("quick", overrides=overrides), device="cpu", workers=1)
    assert made.costs[0].steps == 20 * 4


def test_an_optimizer_that_cannot_train_the_network_is_refused_before_it_is_timed():
    overrides = {"optimizer": {"torch.optim.SparseAdam": {}}}
    message = r"optimizer\.torch\.optim\.SparseAdam: RuntimeError: .* dense gradients"
    with pytest.raises(RequestError, match=message):
        planning.plan(Study.load("quick", overrides=overrides), device="cpu")


DEMANDING = """
from torch import nn

class Net(nn.Sequential):
    def forward(self, inputs):
        if self.training and len(inputs) < 4:
            raise ValueError("too few")
        return super().forward(inputs)

def net():
    return Net(nn.Flatten(), nn.Linear(784, 10))
"""


def test_a_network_need_only_train_on_batches_of_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demanding.py").write_text(DEMANDING)
    overrides = {"model": ["demanding.py:net"], "data": ["digits"], "batch_size": [16, 64]}
    made = planning.plan(Study.load("quick", overrides=overrides), device="cpu")
    assert [cost.flops / cost.steps / cost.batch_size for cost in made.costs] == [
        pytest.approx(4 * 7840)  # the outputs, and the gradient of the weights
    ] * 2
    overrides["batch_size"] = [3, 64]
    message = "demanding.py:net on digits, batch size 3: ValueError: too few"
    with pytest.raises(RequestError, match=message):
        planning.plan(Study.load("quick", overrides=overrides), device="cpu")
