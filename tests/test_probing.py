"""How a cohort trains is measured, and every way gives the same outcomes."""

import pytest
from safetensors.torch import load
from torch import nn

from sgdscope import data
from sgdscope.execution import local
from sgdscope.execution.engine import COHORT, Job, batches
from sgdscope.execution.local import LocalEngine
from sgdscope.execution.messages import Task
from sgdscope.execution.worker import execute, execute_cohort
from sgdscope.measuring import MEASURES, Measure
from sgdscope.models import MODELS
from sgdscope.results.record import Checkpoint, Outcome
from sgdscope.training import autotune
from sgdscope.training.autotune import Choice, probe


class Stumbling(Measure):
    """Raises."""

    def read(self, subject):
        raise ZeroDivisionError("on the way")


@pytest.fixture
def runs(make_run):
    return [make_run(seed=seed, momentum=0.3 * seed, train_size=96, epochs=3) for seed in range(3)]


def choose(monkeypatch, method):
    monkeypatch.setattr(
        autotune, "probe", lambda runs, data: Choice(method, len(runs), {method: 1.0})
    )


def carry_out(tasks, measures, *, tell=lambda message: None, checkpoint_every=1e9):
    outcomes = execute_cohort(
        tasks, lambda task: measures, data.load, tell=tell, checkpoint_every=checkpoint_every
    )
    return {outcome.result.run.id: outcome for outcome in outcomes}


def accuracy(**options):
    return {"train_loss": MEASURES["train_loss"](**options)}


def close(ours: Outcome, expected: Outcome) -> bool:
    """As close as float32 allows, where rounding decides which ReLU is open."""
    a, b = load(ours.weights), load(expected.weights)
    return all((a[name] - b[name]).norm() < 1e-2 * b[name].norm() for name in b)


@pytest.mark.parametrize("method", ["one by one", "captured", "grouped", "im2col"])
def test_every_method_gives_the_outcomes_of_single_runs(monkeypatch, runs, method):
    choose(monkeypatch, method)
    heard = []
    outcomes = carry_out([Task(run) for run in runs], accuracy(every=2), tell=heard.append)
    assert list(outcomes) == [run.id for run in runs]
    for run in runs:
        expected = execute(
            Task(run), accuracy(every=2), data.load, tell=heard.append, checkpoint_every=1e9
        )
        ours = outcomes[run.id]
        assert close(ours, expected)
        assert ours.result.status == expected.result.status != "failed"
        assert expected.result.method == "one by one"
        assert ours.result.method.startswith(f"{method}, cohort of 3")
        rows = zip(ours.result.measurements, expected.result.measurements, strict=True)
        for a, b in rows:
            assert (a.measure, a.epoch) == (b.measure, b.epoch)
            assert a.value == pytest.approx(b.value, rel=1e-4)
    for run in runs:
        told = [event.what for event in heard if event.run_id == run.id]
        assert told == ["epoch"] * 3 + ["train_loss"] + ["epoch"] * 3 + ["train_loss"]


@pytest.mark.parametrize("method", ["grouped", "im2col"])
def test_a_cohort_cut_off_goes_on_bit_for_bit(monkeypatch, runs, method):
    choose(monkeypatch, method)
    heard = []
    whole = carry_out([Task(run) for run in runs], {}, tell=heard.append, checkpoint_every=0)
    kept = [message for message in heard if isinstance(message, Checkpoint)]
    first = {message.run_id: message.state for message in kept[: len(runs)]}
    resumed = carry_out([Task(run, checkpoint=first[run.id]) for run in runs], {})
    for run in runs:
        assert resumed[run.id].weights == whole[run.id].weights
        assert resumed[run.id].result.method == whole[run.id].result.method


def test_finished_members_only_take_what_is_missing(monkeypatch, runs):
    choose(monkeypatch, "grouped")
    done = carry_out([Task(runs[0])], {})[runs[0].id]
    tasks = [Task(runs[0], prior=done.result, weights=done.weights), *map(Task, runs[1:])]
    outcomes = carry_out(tasks, accuracy())
    assert outcomes[runs[0].id].weights == done.weights
    assert outcomes[runs[0].id].result.method == "one by one"
    assert outcomes[runs[1].id].result.method.startswith("grouped, cohort of 2")
    assert all(len(outcome.result.measurements) == 1 for outcome in outcomes.values())


def test_what_fails_together_is_carried_out_one_by_one(monkeypatch, runs):
    choose(monkeypatch, "grouped")
    outcomes = carry_out([Task(run) for run in runs], {"stumbling": Stumbling(every=1)})
    assert all("on the way" in outcomes[run.id].result.reason for run in runs)

    monkeypatch.setattr(autotune, "probe", lambda runs, data: 1 / 0)
    outcomes = carry_out([Task(run) for run in runs], {})
    assert "failed" not in {outcome.result.status for outcome in outcomes.values()}
    assert {outcome.result.method for outcome in outcomes.values()} == {"one by one"}


def test_the_fastest_method_is_chosen(small, runs):
    chosen = probe(runs, small)
    assert set(chosen.rates) == {"one by one", "captured", "grouped", "im2col"}
    assert chosen.rates[chosen.method] == max(chosen.rates.values())
    assert f"{chosen.method}, cohort of 3; images/s when probed: one by one " in str(chosen)


def test_a_model_that_cannot_be_stacked_trains_one_by_one(monkeypatch, small, make_run):
    def build(*, shape, classes):
        return nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(784, classes))

    monkeypatch.setitem(MODELS._parts, "gelu", build)
    chosen = probe([make_run(model="gelu", seed=seed) for seed in range(2)], small)
    assert (chosen.method, list(chosen.rates)) == ("one by one", ["one by one"])


def test_workers_are_handed_cohorts_on_a_gpu_alone(make_run):
    tasks = [Task(make_run(seed=seed)) for seed in range(2 * COHORT + 4)]
    alone = batches(tasks, device="cpu", workers=1)
    assert [len(batch) for batch in alone] == [1] * len(tasks)
    cohorts = batches(tasks, device="cuda", workers=1)
    assert [len(batch) for batch in cohorts] == [12, 12, 12]
    assert [task for batch in cohorts for task in batch] == tasks
    assert [len(batch) for batch in batches(tasks, device="cuda", workers=9)] == [2] * 18
    assert batches([], device="cuda", workers=2) == []


def test_a_local_worker_answers_for_each_run_of_its_cohort(monkeypatch, make_run):
    monkeypatch.setattr(local, "batches", lambda tasks, device, workers: [tasks])
    tasks = [Task(make_run(seed=seed, train_size=64)) for seed in range(2)]
    messages = LocalEngine(workers=2).execute(Job((), "cpu", 1e9), tasks)
    outcomes = [message for message in messages if isinstance(message, Outcome)]
    assert [outcome.result.run for outcome in outcomes] == [task.run for task in tasks]
    assert all("cohort of 2" in outcome.result.method for outcome in outcomes)
