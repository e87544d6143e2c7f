"""A training that is watched ends with the same bits, and leaves a folder as a study does."""

import copy
import itertools
import math
import random
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from typer.testing import CliRunner

import sgdscope
from sgdscope.cli import app
from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES, Subject
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study.study import Study
from sgdscope.watching import budget as budgets
from sgdscope.watching.budget import Budget

MEASURED = {
    "test_accuracy": {},
    "train_loss": {},
    "pgd_accuracy": {"eps": [0.1], "examples": 20, "steps": 3},
    "top_eigenvalue": {"examples": 40},
    "hessian_trace": {"examples": 40, "max_products": 28},
}
SETTINGS = {"batch_size": 32, "learning_rate": 0.05, "momentum": 0.9}


class Noisy(nn.Module):
    """Dropout, batch normalisation and draws of three generators; one layer is kept fixed."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(784, 12)
        self.norm = nn.BatchNorm1d(12)
        self.last = nn.Linear(12, 10)
        self.first.bias.requires_grad_(False)

    def forward(self, x):
        x = x.flatten(1)
        if self.training:
            x = x + 0.01 * (random.random() + np.random.rand())
        return self.last(F.dropout(F.relu(self.norm(self.first(x))), 0.2, self.training))


def train(data: Dataset, watch=None, *, epochs: int = 3, batch_size: int = 32, seed: int = 0):
    """A loop such as people write: the network, its optimizer, and the loss of every epoch."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    model = Noisy()
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.05, momentum=0.9
    )
    inputs, labels = data.train.inputs(), data.train.labels
    for epoch in range(1, epochs + 1):
        model.train()
        losses = []
        for part in torch.randperm(len(labels)).split(batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs[part]), labels[part])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if watch is not None:
            watch(model, epoch=epoch, train_loss=sum(losses) / len(losses))
    return model, optimizer


def test_measuring_changes_no_bit_of_the_training(small, tmp_path):
    watch = sgdscope.Watch(
        out=tmp_path, data=small, measures=MEASURED, settings=SETTINGS, budget=None
    )
    alone, watched = train(small), train(small, watch)
    drawn = [(torch.rand(()), random.random(), np.random.rand()) for _ in "x"]
    train(small)
    assert drawn == [(torch.rand(()), random.random(), np.random.rand()) for _ in "x"]
    for (name, mine), theirs in zip(
        alone[0].state_dict().items(), watched[0].state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs), name
    for mine, theirs in zip(alone[0].parameters(), watched[0].parameters(), strict=True):
        assert mine.requires_grad == theirs.requires_grad
        assert (mine.grad is None and theirs.grad is None) or torch.equal(mine.grad, theirs.grad)
    for mine, theirs in zip(
        alone[1].state_dict()["state"].values(), watched[1].state_dict()["state"].values(),
        strict=True,
    ):  # fmt: skip
        assert torch.equal(mine["momentum_buffer"], theirs["momentum_buffer"])
    assert watched[0].training


def test_what_is_watched_equals_what_is_measured_afresh(small, tmp_path):
    seen = []

    class Watching(sgdscope.Watch):
        def __call__(self, model, **more):
            values = super().__call__(model, **more)
            seen.append((copy.deepcopy(model).eval(), values))
            return values

    watch = Watching(out=tmp_path, data=small, measures=MEASURED, settings=SETTINGS, budget=None)
    train(small, watch)
    for model, values in seen:
        subject = Subject(model, small, seed=0, batch_size=32)
        (fresh,) = MEASURES["top_eigenvalue"](examples=40).read(subject)
        assert values["top_eigenvalue"] == fresh.value
        assert fresh.evidence["converged"]
        (attacked,) = MEASURES["pgd_accuracy"](eps=[0.1], examples=20, steps=3).read(subject)
        assert values["pgd_accuracy@0.1"] == attacked.value


def test_an_eigenvalue_that_is_followed_equals_one_measured_afresh(small, tmp_path):
    measures = {"top_eigenvalue": {"examples": 40, "afresh": 3}}
    watch = sgdscope.Watch(
        out=tmp_path, data=small, measures=measures, settings=SETTINGS, budget=None
    )
    fresh = []

    def watching(model, **more):
        watch(model, **more)
        subject = Subject(copy.deepcopy(model).eval(), small, seed=0)
        fresh.extend(MEASURES["top_eigenvalue"](examples=40).read(subject))

    train(small, watching, epochs=6)
    (result,) = watch.folder.results()
    assert [m.evidence.get("followed", 0) for m in result.measurements] == [0, 1, 2, 0, 1, 2]
    for mine, theirs in zip(result.measurements, fresh, strict=True):
        assert mine.value == pytest.approx(theirs.value, rel=1e-3)
        assert not mine.flags
        if "followed" in mine.evidence:
            assert mine.evidence["products"] < theirs.evidence["products"]


def test_several_watched_trainings_are_drawn_as_a_study(small, tmp_path):
    for batch_size in (32, 64):
        settings = SETTINGS | {"batch_size": batch_size, "epochs": 2}
        watch = sgdscope.Watch(
            out=tmp_path / "out", data=small, measures=MEASURED, settings=settings, budget=None
        )
        train(small, watch, epochs=2, batch_size=batch_size)
    results = Results.load(tmp_path / "out")
    assert list(results.runs["batch_size"]) == [32, 64]
    assert set(results.runs["status"]) == {"done"}
    assert set(results.table["epoch"]) == {1, 2}
    assert list(results.history["steps"]) == [6, 12, 3, 6]
    assert results.history["stability_limit"].iloc[0] == pytest.approx(2 * 1.9 / 0.05)
    for command in ("report", "figures"):
        answer = CliRunner().invoke(app, [command, str(tmp_path / "out")])
        assert answer.exit_code == 0, answer.output
    page = (tmp_path / "out" / "report.html").read_text()
    assert "2 of 2 runs" in page
    assert (tmp_path / "out" / "figures" / "top_eigenvalue-by-epoch-Noisy-data.svg").is_file()
    with pytest.raises(RequestError, match="belongs to study"):
        sgdscope.run(Study.load("quick"), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("sizes", "labels"),
    [
        ([32], ["fixed, m = 0.9"]),
        ([32, 64], ["fixed, m = 0.9, epochs = 1", "fixed, m = 0.9, epochs = 2"]),
    ],
)
def test_trainings_of_two_lengths_are_not_seeds_of_one_point(small, tmp_path, sizes, labels):
    for batch_size, epochs, seed in itertools.product(sizes, (1, 2), (0, 1)):
        watch = watching(small, tmp_path, batch_size=batch_size, epochs=epochs, seed=seed)
        for epoch in range(1, epochs + 1):
            watch(Noisy(), epoch=epoch, train_loss=1.0)
    view = View(Results.load(tmp_path))
    assert [line.label for line in view.lines] == labels
    places = view.runs.groupby(["line", "x"])["seed"]
    assert set(places.size()) == set(places.nunique()) == {2}


def test_a_training_that_goes_on_from_an_earlier_epoch_replaces_what_came_later(small, tmp_path):
    given = {"data": small, "measures": {"test_accuracy": {}}, "settings": SETTINGS}

    def fresh():
        return sgdscope.Watch(out=tmp_path, budget=None, **given)

    model, _ = train(small, fresh(), epochs=3)
    fresh()(model, epoch=3, train_loss=0.5)
    results = Results.load(tmp_path)
    assert list(results.history["epoch"]) == [1, 2, 3]
    assert list(results.table["epoch"]) == [1, 2, 3]
    assert results.history["train_loss"].iloc[-1] == 0.5


ATTACKED = {"pgd_accuracy": {"eps": [0.1], "examples": 20, "steps": 3}}


def test_arrays_survive_a_stop_while_an_epoch_is_saved(small, tmp_path, monkeypatch):
    def stopped(*_):  # once the earlier arrays have moved
        raise KeyboardInterrupt

    watching(small, tmp_path, measures=ATTACKED)(Noisy(), epoch=1, train_loss=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, "_write", stopped)
        with pytest.raises(KeyboardInterrupt):
            watching(small, tmp_path, measures=ATTACKED)(Noisy(), epoch=2, train_loss=1.0)
    watching(small, tmp_path, measures=ATTACKED)(Noisy(), epoch=2, train_loss=1.0)
    (run,) = Results.load(tmp_path).runs["run"]
    kept = StudyFolder(tmp_path).arrays(run, "pgd_accuracy/0.1/")
    assert {name.partition("/")[0] for name in kept} == {"1", "2"}


def test_damaged_arrays_cost_no_numbers(small, tmp_path, caplog):
    watching(small, tmp_path, measures=ATTACKED)(Noisy(), epoch=1, train_loss=1.0)
    (file,) = tmp_path.glob("runs/*/arrays.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    watching(small, tmp_path, measures=ATTACKED)(Noisy(), epoch=2, train_loss=1.0)
    assert "arrays.safetensors is lost or damaged; the numbers beside it are kept" in caplog.text
    assert list(Results.load(tmp_path).table["epoch"]) == [1, 2]


@pytest.mark.parametrize(
    ("changed", "epochs"),
    [
        ({"examples": 30}, [2]),
        ({"every": 2}, [1, 2]),
        ({"eps": [0.1, 0.2]}, [1, 2, 2]),
        ({}, [1, 2]),
    ],
)
def test_a_measure_resumed_with_other_options_drops_what_they_would_change(
    small, tmp_path, changed, epochs
):
    also = {"test_accuracy": {}}
    watching(small, tmp_path, measures=ATTACKED | also)(Noisy(), epoch=1, train_loss=1.0)
    measures = {"pgd_accuracy": ATTACKED["pgd_accuracy"] | changed} | also
    watching(small, tmp_path, measures=measures)(Noisy(), epoch=2, train_loss=1.0)
    (result,) = StudyFolder(tmp_path).results()
    read = {name: [m.epoch for m in result.measurements if m.measure == name] for name in measures}
    assert read == {"pgd_accuracy": epochs, "test_accuracy": [1, 2]}
    assert result.measured["pgd_accuracy"].items() >= measures["pgd_accuracy"].items()


def test_measures_are_taken_when_they_are_due(small, tmp_path):
    watch = sgdscope.Watch(
        out=tmp_path, data=small, settings=SETTINGS, budget=None,
        measures={"test_accuracy": {"every": 2}, "train_loss": {"at": [1]}},
    )  # fmt: skip
    train(small, watch, epochs=4)
    taken = Results.load(tmp_path).table
    assert [(m, e) for m, e in zip(taken["measure"], taken["epoch"], strict=True)] == [
        ("train_loss", 1), ("test_accuracy", 2), ("test_accuracy", 4),
    ]  # fmt: skip


def test_a_loss_that_is_not_finite_is_a_training_that_diverged(small, tmp_path):
    watch = sgdscope.Watch(out=tmp_path, data=small, measures=MEASURED, settings=SETTINGS)
    model, _ = train(small, epochs=1)
    assert watch(model, epoch=1, train_loss=float("nan")) == {}
    assert Results.load(tmp_path).runs["status"].item() == "diverged"


class Clock:
    """Moves when it is told to."""

    now = 0.0

    def perf_counter(self):
        return self.now


def test_a_budget_is_kept_once_a_cost_is_known(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budgets, "time", clock)
    budget = Budget(0.1)
    taken = []
    for epoch in range(1, 101):
        clock.now += 10  # of training
        budget.arrive()
        if budget.allows("slow", epoch=epoch):
            taken.append(epoch)
            with budget.paying("slow"):
                clock.now += 3
        budget.depart()
        if epoch > 2:
            assert budget.measuring <= 0.1 * budget.training
    assert taken == [1, *range(6, 101, 3)]
    assert len(budget.left_out["slow"]) == 100 - len(taken)
    assert "9.9% of the training time" in str(budget)


def test_what_was_left_out_is_told(small, tmp_path):
    watch = sgdscope.Watch(
        out=tmp_path, data=small, measures={"test_accuracy": {}}, settings=SETTINGS, budget=1e-12
    )
    train(small, watch, epochs=3)
    assert "left out: test_accuracy at" in str(watch.budget)
    (result,) = watch.folder.results()
    assert "left out: test_accuracy at" in result.method
    assert len(result.history) == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"settings": {"batch_size": 32}}, "learning_rate: required"),
        ({"settings": SETTINGS | {"rate": 1}}, "settings rate: expected"),
        ({"settings": SETTINGS | {"batch_size": 0}}, r"settings\.batch_size = 0"),
        ({"measures": {"no_such": {}}}, "unknown measure"),
        ({"measures": {"pgd_accuracy": {}}}, r"measures pgd_accuracy\.eps: required"),
        ({"budget": 0}, "budget = 0"),
        ({"budget": "10%"}, "budget = '10%'; expected a number"),
        ({"settings": [1]}, "settings = .1.: expected values by name"),
        (
            {"settings": SETTINGS | {"learning_rate": -1}},
            "learning_rate = -1: expected more than 0",
        ),
        ({"settings": SETTINGS | {"batch_size": 10**6}}, "batch_size = 1000000: expected at most"),
        (
            {"settings": SETTINGS | {"weight_decay": 0.1}},
            "weight_decay: expected it in optimizer_opt",
        ),
        (
            {"settings": SETTINGS | {"optimizer": "adamw"}},
            "momentum = 0.9: is SGD's; expected none",
        ),
        ({"settings": SETTINGS | {"schedule": "cosine"}}, "schedule cosine depends on how long"),
        ({"settings": SETTINGS | {"schedule": "constant-ratio"}}, "constant-ratio has none"),
        ({"settings": SETTINGS | {"optimizer_options": {"beta": 1}}}, "unknown key 'beta'"),
        ({"measures": ["test_accuracy"]}, "expected options by name, such as {'test_accuracy'"),
        ({"measures": {"test_accuracy": None}}, "measures test_accuracy = None: expected options"),
        (
            {"measures": {"batch_sharpness": {"examples": 31}}},
            "examples = 31: expected at least 32",
        ),
        ({"data": None}, "data is of type NoneType; expected the name of a data set"),
    ],
)
def test_a_wrong_request_is_one_clear_message(small, tmp_path, changed, said):
    given = {"data": small, "measures": MEASURED, "settings": SETTINGS} | changed
    with pytest.raises(RequestError, match=said):
        sgdscope.Watch(out=tmp_path, **given)


def watching(small, tmp_path, *, measures=MappingProxyType({"test_accuracy": {}}), **settings):
    settings = SETTINGS | settings
    return sgdscope.Watch(
        out=tmp_path, data=small, measures=measures, settings=settings, budget=None
    )


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"epoch": True}, "epoch = True; expected a whole number from 1"),
        ({"train_loss": None}, "train_loss = None; expected a number"),
        ({"train_loss": torch.ones(2)}, "train_loss = tensor.*; expected a number"),
        ({"steps": 1.5}, "steps = 1.5; expected a whole number from 0"),
        ({"learning_rate": "low"}, "learning_rate = 'low'; expected a number"),
    ],
)
def test_a_wrong_number_of_an_epoch_is_one_clear_message(small, tmp_path, told, said):
    watch = watching(small, tmp_path)
    with pytest.raises(RequestError, match=said):
        watch(Noisy(), **{"epoch": 1, "train_loss": 1.0} | told)


def test_numbers_of_any_type_are_taken(small, tmp_path):
    watch = watching(small, tmp_path, learning_rate=torch.tensor(0.5))
    loss = torch.tensor(1.5, requires_grad=True)
    watch(Noisy(), epoch=np.int64(1), train_loss=loss, steps=torch.tensor(7))
    (result,) = watch.folder.results()
    epoch = result.history[0]
    assert (epoch.train_loss, epoch.steps, epoch.learning_rate) == (1.5, 7, 0.5)


def test_the_learning_rate_is_that_of_the_schedule_named(small, tmp_path):
    watch = watching(small, tmp_path, learning_rate=0.2, schedule="cosine", epochs=4)
    watch(Noisy(), epoch=1, train_loss=1.0)
    assert set(Results.load(tmp_path).runs["learning_rate"]) == {0.2}


@pytest.mark.parametrize(
    ("settings", "steps", "rates"),
    [
        (  # 120 images: 3 batches of 32, then 1 of 64 and 0 of 128
            {"schedule": "batch-growth", "schedule_options": {"every": 1}}, [3, 4], [0.1, 0.1],
        ),
        ({"steps": 5}, [3, 5], [0.1, 0.1]),
        (
            {"steps": 5, "schedule": "cosine"}, [3, 5],
            [sum(0.05 * (1 + math.cos(math.pi * n / 5)) / len(part) for n in part)
             for part in (range(3), range(3, 5))],
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("data", [{}, {"data": "digits"}])  # of another size than the data passed
def test_updates_and_rates_that_are_not_told_are_the_schedules(
    small, tmp_path, data, settings, steps, rates
):
    settings = settings | data | {"learning_rate": 0.1}
    part = replace(small, train=small.train[:120])
    watch = watching(part, tmp_path, batch_size=32, **settings)
    for epoch in (1, 2):
        watch(Noisy(), epoch=epoch, train_loss=1.0)
    with pytest.raises(RequestError, match=r"epoch = 3: (settings steps = 5|its batch size, 128)"):
        watch(Noisy(), epoch=3, train_loss=1.0)
    watch(Noisy(), epoch=3, train_loss=1.0, steps=7, learning_rate=0.2)
    history = watch.folder.results()[0].history
    assert [epoch.steps for epoch in history] == [*steps, 7]
    assert [epoch.learning_rate for epoch in history] == pytest.approx([*rates, 0.2])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (None, "model is of type NoneType; expected an nn.Module"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(784, 7)),
            r"shape \(2, 7\); expected a row for each",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 10)), "the network fails on 2 inputs"),
    ],
)
def test_a_network_that_does_not_fit_the_data_is_refused_at_once(small, tmp_path, model, said):
    watch = watching(small, tmp_path)
    with pytest.raises(RequestError, match=said):
        watch(model, epoch=1, train_loss=1.0)
    assert not watch.folder.results()
    watch(Noisy(), epoch=1, train_loss=1.0)
    assert len(watch.folder.results()) == 1


@pytest.mark.parametrize("count", range(4))
def test_a_first_epoch_that_was_cut_off_can_be_watched_again(small, tmp_path, monkeypatch, count):
    """After any number of files; one was half written."""
    replace, written = Path.replace, []

    def full(self, target):
        if len(written) == count:
            raise OSError(28, "No space left on device")
        written.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises((RequestError, OSError), match="No space left on device"):
            watching(small, tmp_path)(Noisy(), epoch=1, train_loss=1.0)
    (tmp_path / ".study.toml.1.tmp").touch()
    watch = watching(small, tmp_path)
    watch(Noisy(), epoch=1, train_loss=1.0)
    assert [len(result.history) for result in watch.folder.results()] == [1]


def test_other_peoples_files_and_studies_are_left_alone(small, tmp_path):
    given = {"data": small, "measures": MEASURED, "settings": SETTINGS}
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds other files"):
        sgdscope.Watch(out=tmp_path, **given)
    with pytest.raises(RequestError, match=r"note\.txt: a file; expected a folder"):
        sgdscope.Watch(out=tmp_path / "note.txt", **given)
    (tmp_path / "study.toml").write_text('name = "mine"')
    with pytest.raises(RequestError, match="holds a study"):
        sgdscope.Watch(out=tmp_path, **given)


def test_measuring_within_autocast_is_in_full_precision(small, tmp_path):
    watch = sgdscope.Watch(
        out=tmp_path, data=small, measures={"train_loss": {}}, settings=SETTINGS, budget=None
    )
    model, _ = train(small, epochs=1)
    plain = watch(model, epoch=1, train_loss=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert watch(model, epoch=1, train_loss=1.0) == plain


def test_time_is_counted_from_call_to_call():
    budget = Budget(None)
    time.sleep(0.001)
    seconds = budget.arrive()
    budget.depart()
    assert seconds == budget.training > 0
    assert budget.measuring >= 0
