"""What one run becomes: measured, diverged, collapsed or failed, and never an exception."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load
from torch import nn

from sgdscope import data
from sgdscope.data import Images
from sgdscope.execution.messages import Task
from sgdscope.execution.recorder import collapsed
from sgdscope.execution.worker import execute
from sgdscope.measuring import MEASURES, Measure, Reading, Subject
from sgdscope.results.record import Checkpoint, Measurement, Result
from sgdscope.results.tables import Results


class Broken(Measure):
    """Raises."""

    def read(self, subject):
        raise ZeroDivisionError("a broken measure")


class Fragile(Measure):
    """Raises on the way, not at the end."""

    early: bool = False

    def during_training(self):
        return self.model_copy(update={"early": True})

    def read(self, subject):
        if self.early:
            raise ZeroDivisionError("too early")
        return [Reading("fragile", 1.0)]


class Constant(Measure):
    """Answers 42, with an array beside it."""

    def read(self, subject):
        return [Reading("constant", 42.0, eps=0.1, arrays={"ones": torch.ones(3)})]


def measures(*names, **options):
    return {name: MEASURES[name](**options) for name in names}


def carry_out(task, measures, load_data=data.load):
    """The outcome, and the names of the events on the way."""
    heard = []
    outcome = execute(task, measures, load_data, tell=heard.append, checkpoint_every=1e9)
    return outcome, [event.what for event in heard]


def test_a_run_becomes_a_result_with_weights(make_run):
    run = make_run(train_size=200)
    outcome, heard = carry_out(Task(run), measures("test_accuracy", "train_loss"))
    result = outcome.result
    assert (result.run, result.status, result.error) == (run, "done", None)
    assert [m.measure for m in result.measurements] == ["test_accuracy", "train_loss"]
    assert heard == ["epoch", "epoch", "test_accuracy", "train_loss"]
    assert set(result.seconds) == {"train", "test_accuracy", "train_loss"}
    assert result.steps == 2 * (200 // 32)
    assert result.lr_steps == pytest.approx(0.05 * result.steps)
    assert sum(tensor.numel() for tensor in load(outcome.weights).values()) == 23_010 + 2


def test_a_measure_taken_along_training_is_dated(make_run):
    outcome, _ = carry_out(Task(make_run(epochs=5, train_size=64)), measures("train_loss", every=2))
    assert [m.epoch for m in outcome.result.measurements] == [2, 4, 5]
    repeated, _ = carry_out(
        Task(make_run(epochs=4, train_size=64)), measures("train_loss", every=2)
    )
    assert [m.epoch for m in repeated.result.measurements] == [2, 4]


def test_a_measure_can_name_its_epochs(make_run):
    outcome, _ = carry_out(
        Task(make_run(epochs=5, train_size=64)), measures("train_loss", at=[1, 4])
    )
    assert [m.epoch for m in outcome.result.measurements] == [1, 4, 5]


@pytest.mark.parametrize("name", ["fgsm_accuracy", "robustness_area"])
def test_a_subset_on_the_way_is_compared_with_itself_at_the_end(make_run, name):
    run = make_run(train_size=64)
    options = {"eps": [0.1], "at": [1, 2], "along_examples": 37}
    outcome, _ = carry_out(Task(run), measures(name, **options))
    way, end = outcome.result.measurements
    assert (way.epoch, end.epoch) == (1, 2)
    subset, _ = carry_out(Task(run), measures(name, eps=[0.1], examples=37))
    assert end.evidence["along_value"] == subset.result.measurements[0].value != end.value


def test_measures_along_the_way_do_not_change_the_run(make_run):
    plain, _ = carry_out(Task(make_run(train_size=64)), {})
    along = measures("train_loss", every=1) | measures("top_eigenvalue", every=1, examples=32)
    watched, _ = carry_out(Task(make_run(train_size=64)), along)
    assert watched.weights == plain.weights


def test_a_diverged_run_is_a_result_with_its_measures_unknown(make_run):
    run = make_run(schedule_options={"learning_rate": 1e6}, epochs=30, train_size=320)
    outcome, _ = carry_out(Task(run), measures("test_accuracy"))
    assert outcome.result.status == "diverged"
    (missing,) = outcome.result.measurements
    assert math.isnan(missing.value)


def test_a_run_that_answers_one_class_is_collapsed(make_run):
    run = make_run(schedule_options={"learning_rate": 1e-6}, steps=1)
    outcome, _ = carry_out(Task(run), measures("test_accuracy"))
    assert outcome.result.status == "collapsed"
    assert outcome.result.measurements[0].evidence["most_predicted"] == 1


@pytest.mark.parametrize(("answered", "status"), [(0, "done"), (296, "done"), (297, "collapsed")])
def test_no_answer_is_not_one_class(make_run, monkeypatch, answered, status):
    given = torch.full((300, 10), torch.nan)
    given[:answered] = torch.arange(10.0)
    monkeypatch.setattr("sgdscope.execution.recorder.logits", lambda *_: given)
    outcome, _ = carry_out(Task(make_run(steps=1)), {"constant": Constant()})
    assert outcome.result.status == status


@pytest.mark.parametrize(("others", "status"), [(3, "collapsed"), (4, "done")])
def test_a_few_other_answers_in_300_save_no_run(make_run, monkeypatch, others, status):
    answers = torch.zeros(300, 10)
    answers[:others, 1] = 1.0
    monkeypatch.setattr("sgdscope.execution.recorder.logits", lambda *_: answers)
    outcome, _ = carry_out(Task(make_run(steps=1)), {"constant": Constant()})
    assert outcome.result.status == status


@pytest.mark.parametrize(("found", "constant"), [(0, True), (1, False), (2, False)])
def test_a_network_that_tells_a_rare_class_apart_is_not_collapsed(digits, found, constant):
    """Two of 300 test images are of class 1; the network sees ``found`` of them."""
    labels = torch.zeros(300, dtype=torch.int64)
    labels[[7, 90]] = 1
    pixels = torch.zeros(300, 1, 28, 28, dtype=torch.uint8)
    pixels[[7, 90][:found]] = 255
    rare = replace(digits, test=Images(pixels, labels))
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model[1].bias.copy_(torch.tensor([1.0, 0.0]))
    assert collapsed(Subject(model.eval(), rare, 0)) == constant


def test_a_failing_measure_spares_the_others_and_is_redone(make_run):
    run = make_run(batch_size=16, schedule_options={"learning_rate": 0.1})
    first, _ = carry_out(Task(run), {"broken": Broken(), "constant": Constant()})
    assert first.result.status == "done"
    assert "a broken measure" in first.result.error
    assert "a broken measure" in first.result.reason
    assert "\n" not in first.result.reason
    gap, constant = first.result.measurements
    assert (gap.measure, constant.measure) == ("broken", "constant")
    assert math.isnan(gap.value)
    assert "a broken measure" in gap.flags[0]
    mended, heard = carry_out(
        Task(run, prior=first.result, weights=first.weights),
        measures("train_loss") | {"constant": Constant()},
    )
    assert mended.result.status == "done"
    assert heard == ["epoch", "epoch", "train_loss", "constant"]
    assert mended.weights == first.weights
    assert mended.result.history == first.result.history
    straight, _ = carry_out(Task(run), measures("train_loss"))
    assert mended.result.measurements[-1] == straight.result.measurements[0]


def test_a_measure_that_fails_on_the_way_leaves_a_gap(make_run):
    run = make_run(train_size=640, batch_size=16, schedule_options={"learning_rate": 0.1})
    outcome, _ = carry_out(Task(run), {"fragile": Fragile(at=[1]), "constant": Constant()})
    gap, end, _ = outcome.result.measurements
    assert (gap.epoch, end.epoch) == (1, 2)
    assert math.isnan(gap.value)
    assert gap.flags == ["could not be measured: ZeroDivisionError: too early"]
    assert outcome.result.status == "done"
    assert end.value == 1


def test_a_measure_that_failed_before_an_interruption_leaves_no_gap(make_run, monkeypatch):
    task, heard = Task(make_run(train_size=64)), []
    wanted = {"fragile": Fragile(at=[1]), "constant": Constant()}
    with monkeypatch.context() as patch:
        patch.setattr(Fragile, "read", Broken.read)
        execute(task, wanted, data.load, tell=heard.append, checkpoint_every=0)
    states = [message.state for message in heard if isinstance(message, Checkpoint)]
    outcome, _ = carry_out(Task(task.run, checkpoint=states[-1]), wanted)
    assert [(m.measure, m.epoch, m.value) for m in outcome.result.measurements] == [
        ("fragile", 1, pytest.approx(math.nan, nan_ok=True)),  # on the way, and not taken again
        ("constant", 2, 42), ("fragile", 2, 1),
    ]  # fmt: skip
    assert outcome.result.error is None


def test_arrays_are_filed_by_measure_eps_and_epoch(make_run):
    outcome, _ = carry_out(Task(make_run(train_size=64)), {"constant": Constant()})
    assert load(outcome.arrays)["constant/0.1/2/ones"].tolist() == [1, 1, 1]


def test_a_run_that_cannot_start_is_a_failed_result(make_run):
    outcome, _ = carry_out(Task(make_run(model="nothing")), {})
    assert outcome.result.status == "failed"
    assert "unknown model 'nothing'" in outcome.result.error


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("model", ["stdcnn", "c1"])
def test_every_checkpoint_leads_to_the_same_bits(make_run, small, model, momentum):
    run = make_run(model=model, momentum=momentum, epochs=4, train_size=64)
    along = measures("train_loss", every=1) | {"constant": Constant(every=2)}
    heard = []
    whole = execute(Task(run), along, lambda _: small, tell=heard.append, checkpoint_every=0)
    checkpoints = [message.state for message in heard if isinstance(message, Checkpoint)]
    assert len(checkpoints) == 4 + len(along)
    for state in checkpoints:
        resumed, _ = carry_out(Task(run, checkpoint=state), along, lambda _: small)
        assert (resumed.weights, resumed.arrays) == (whole.weights, whole.arrays)
        assert resumed.result.measurements == whole.result.measurements
        losses = [[e.train_loss for e in r.result.history] for r in (resumed, whole)]
        assert losses[0] == losses[1]


def test_a_checkpoint_does_not_count_where_other_epochs_are_asked_for(make_run):
    run = make_run(epochs=4, train_size=64)
    before = measures("train_loss", every=3) | {"constant": Constant()}
    heard = []
    execute(Task(run), before, data.load, tell=heard.append, checkpoint_every=0)
    states = [message.state for message in heard if isinstance(message, Checkpoint)]
    asked = measures("train_loss", every=1) | {"constant": Constant()}
    whole, _ = carry_out(Task(run), asked)
    resumed, _ = carry_out(Task(run, checkpoint=states[1]), asked)
    assert resumed.result.measurements == whole.result.measurements
    fewer = measures("train_loss", every=3)
    last, _ = carry_out(Task(run, checkpoint=states[-1]), fewer)
    assert [m.measure for m in last.result.measurements] == ["train_loss"] * 2
    assert last.arrays is None


def test_options_of_an_earlier_version_are_the_same_at_their_defaults():
    measure = Fragile(at=[2])
    assert measure.taken_with({"at": [2]}, "fragile")
    assert not measure.taken_with({"at": [2], "early": True}, "fragile")
    assert not measure.taken_with({"at": [2], "gone": 1}, "fragile")
    assert not measure.taken_with(None, "fragile")


def test_a_diverged_runs_end_is_not_what_was_measured_before(make_run):
    run = make_run(schedule_options={"learning_rate": 1.0}, epochs=2)
    before = Measurement(epoch=1, measure="fgsm_accuracy", eps=0.1, value=0.7)
    end = Measurement(epoch=2, measure="fgsm_accuracy", eps=None, value=float("nan"))
    results = Results.collect([Result(run=run, status="diverged", measurements=[before, end])])
    assert results.at_end("fgsm_accuracy", eps=0.1).empty
    assert len(results.at_end("fgsm_accuracy")) == 1
