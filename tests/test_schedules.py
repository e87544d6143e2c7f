import math
from fractions import Fraction

import pytest
import torch
from pydantic import ValidationError
from torch.optim import lr_scheduler as torchs

from sgdscope.errors import RequestError
from sgdscope.results.record import Epoch, Result
from sgdscope.study.imported_schedules import find
from sgdscope.study.schedules import (
    BatchGrowth,
    ConstantRatio,
    Cosine,
    Fixed,
    OneCycle,
    SquareRoot,
    StepDecay,
)
from sgdscope.study.study import Study
from sgdscope.training.loop import Training
from sgdscope.training.stacked_loop import StackedTraining

EPOCHS, PER_EPOCH = 7, 6  # 192 images in batches of 32


def test_fixed_ignores_batch_size_and_epoch():
    rates = {Fixed().rate(batch_size=b, epoch=e) for b in (1, 2048) for e in (1, 100)}
    assert rates == {0.01}


@pytest.mark.parametrize(("batch_size", "rate"), [(64, 0.01), (1024, 0.16), (2048, 0.32)])
def test_constant_ratio_is_the_papers(batch_size, rate):
    assert ConstantRatio().rate(batch_size=batch_size, epoch=7) == pytest.approx(rate)


@pytest.mark.parametrize(("batch_size", "rate"), [(64, 0.01), (256, 0.02), (1024, 0.04)])
def test_square_root_doubles_at_four_times_the_batch_size(batch_size, rate):
    assert SquareRoot().rate(batch_size=batch_size, epoch=7) == pytest.approx(rate)


def test_step_decay_halves_after_every_five_epochs():
    rates = [StepDecay().rate(batch_size=64, epoch=epoch) for epoch in range(1, 12)]
    assert rates == [0.01] * 5 + [0.005] * 5 + [0.0025]


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "0.1"])
def test_a_learning_rate_is_a_positive_number(rate):
    with pytest.raises(ValidationError):
        Fixed(learning_rate=rate)


def all_rates(run):
    """Of every update of a training on 192 images."""
    stretches = [run.stretch(epoch, images=192) for epoch in range(1, EPOCHS + 1)]
    return [
        rate
        for stretch in stretches
        for rates in [run.rates(stretch)]
        for rate in (rates * stretch.count if len(rates) == 1 else rates)
    ]


def torch_rates(build, *, rate, updates=EPOCHS * PER_EPOCH):
    """What a torch scheduler gives when it is stepped after every update."""
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=rate, momentum=0.9)
    scheduler, rates = build(optimizer), []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def warm(optimizer, updates):
    return torchs.LinearLR(optimizer, start_factor=1 / updates, total_iters=updates - 1)


def warm_cosine(optimizer):
    cosine = torchs.CosineAnnealingLR(optimizer, EPOCHS * PER_EPOCH - 12, eta_min=0.1 * 0.3)
    return torchs.SequentialLR(optimizer, [warm(optimizer, 12), cosine], [12])


@pytest.mark.parametrize(
    ("schedule", "options", "build"),
    [
        ("fixed", {"warmup_steps": 9}, lambda o: warm(o, 9)),
        ("fixed", {"warmup_epochs": 1.5}, lambda o: warm(o, 9)),
        ("cosine", {}, lambda o: torchs.CosineAnnealingLR(o, EPOCHS * PER_EPOCH)),
        ("cosine", {"warmup_epochs": 2.0, "final": 0.1}, warm_cosine),
        (
            "one-cycle",
            {"rising": 0.25},
            lambda o: torchs.OneCycleLR(
                o, 0.3, total_steps=EPOCHS * PER_EPOCH, pct_start=0.25, cycle_momentum=False
            ),
        ),
        ("one-cycle", {}, lambda o: torchs.OneCycleLR(o, 0.3, total_steps=EPOCHS * PER_EPOCH)),
        (
            "one-cycle",
            {"rising": 0.99},  # 0.4 updates are left to fall in
            lambda o: torchs.OneCycleLR(o, 0.3, total_steps=EPOCHS * PER_EPOCH, pct_start=0.99),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter in")  # of SequentialLR itself
def test_rates_are_those_of_torchs_schedulers(make_run, schedule, options, build):
    options = {"learning_rate": 0.3, **options}
    run = make_run(schedule=schedule, schedule_options=options, epochs=EPOCHS)
    ours, theirs = all_rates(run), torch_rates(build, rate=0.3)
    assert len(ours) == EPOCHS * PER_EPOCH
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-12


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CosineAnnealingLR", {"T_max": EPOCHS, "eta_min": 0.001}),
        ("ExponentialLR", {"gamma": 0.7}),
        ("MultiStepLR", {"milestones": [2, 5]}),
        ("CosineAnnealingWarmRestarts", {"T_0": 3}),
    ],
)
def test_an_imported_scheduler_is_stepped_once_an_epoch(name, options):
    ours = find(f"torch.optim.lr_scheduler.{name}")(learning_rate=0.3, **options)
    theirs = torch_rates(lambda o: getattr(torchs, name)(o, **options), rate=0.3, updates=EPOCHS)
    assert [ours.rate(batch_size=64, epoch=epoch + 1) for epoch in range(EPOCHS)] == theirs


class Warming(torchs.LRScheduler):
    """Lightning-bolts has one with such options."""

    def __init__(self, optimizer, warmup_steps: int, warmup_epochs: int = 2, last_epoch: int = -1):
        self.whole = warmup_steps + warmup_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        share = min(1.0, (self.last_epoch + 1) / self.whole)
        return [base * share for base in self.base_lrs]


@pytest.mark.parametrize("own", [{"warmup_steps": 4}, {"warmup_steps": 4, "warmup_epochs": 0}])
def test_a_scheduler_with_a_warm_up_of_its_own_has_no_other(own):
    table = {f"{__name__}.Warming": {"learning_rate": 0.12, **own}}
    (run,) = study(schedule=table, epochs=7).runs
    whole = 4 + own.get("warmup_epochs", 2)
    for epoch in range(1, 8):
        expected = [pytest.approx(0.12 * min(1.0, epoch / whole))]
        assert run.rates(run.stretch(epoch)) == expected


RISING = {"start_factor": 0.1, "total_iters": 4}


@pytest.mark.parametrize(
    ("schedule", "options", "duration", "peak"),
    [
        ("torch.optim.lr_scheduler.LinearLR", RISING, {"epochs": 8}, 0.3),
        ("torch.optim.lr_scheduler.LinearLR", RISING, {"epochs": 3}, 0.3 * (0.1 + 2 * 0.9 / 4)),
        ("torch.optim.lr_scheduler.LinearLR", RISING, {"steps": 13}, 0.3 * (0.1 + 2 * 0.9 / 4)),
        ("torch.optim.lr_scheduler.ExponentialLR", {"gamma": 0.5}, {"epochs": 3}, 0.3),
        ("step-decay", {"every": 1}, {"epochs": 3}, 0.3),
        ("one-cycle", {}, {"steps": 13}, 0.3),
    ],
)
def test_the_learning_rate_of_a_run_is_its_highest(make_run, schedule, options, duration, peak):
    options = {"learning_rate": 0.3, **options}
    run = make_run(schedule=schedule, schedule_options=options, train_size=192, **duration)
    assert run.peak == pytest.approx(peak, abs=1e-12)
    result = Result(run=run, status="done", history=[EPOCH])
    assert result.noise_scale == pytest.approx(peak * EPOCH.steps)


EPOCH = Epoch(
    epoch=1, steps=6, learning_rate=0.3, train_loss=1.0, train_accuracy=0.5,
    validation_accuracy=0.5, seconds=1.0,
)  # fmt: skip


@pytest.mark.parametrize(("scaling", "factor"), [("linear", 4.0), ("square-root", 2.0)])
@pytest.mark.parametrize("kind", [Cosine, OneCycle])
def test_a_peak_follows_the_batch_size(kind, scaling, factor):
    schedule = kind(learning_rate=0.1, scaling=scaling, reference=64)
    assert schedule.rate(batch_size=256, epoch=1) == pytest.approx(0.1 * factor)


def test_a_batch_size_grows_in_place_of_a_rate_that_decays():
    schedule = BatchGrowth(factor=2.0, every=2, largest=100)
    assert [schedule.size(batch_size=32, epoch=e) for e in range(1, 7)] == [
        32,
        32,
        64,
        64,
        100,
        100,
    ]
    assert {schedule.rate(batch_size=32, epoch=e) for e in range(1, 7)} == {0.01}


@pytest.mark.parametrize("factor", [1.5, 2.0, 10.0])
def test_a_batch_size_that_has_reached_its_largest_stays_for_any_number_of_epochs(factor):
    schedule = BatchGrowth(factor=factor, every=1, largest=512)
    expected, exact = [], Fraction(64)
    for _ in range(20):
        expected.append(min(round(float(exact)), 512))
        exact *= Fraction(factor)
    assert [schedule.size(batch_size=64, epoch=e) for e in range(1, 21)] == expected
    assert schedule.size(batch_size=64, epoch=100_000) == 512
    assert schedule.size(batch_size=600, epoch=100_000) == 600


def train(run, data):
    training = Training(run, data)
    while not training.finished:
        training.advance()
    return training


def test_a_growing_batch_is_trained_with(make_run, small):
    options = {"learning_rate": 0.05, "every": 1, "factor": 2.0}
    run = make_run(schedule="batch-growth", schedule_options=options, epochs=3)
    history = train(run, small).history
    assert [epoch.steps for epoch in history] == [6, 6 + 3, 6 + 3 + 1]
    fixed = train(make_run(epochs=1), small).history
    assert history[0].train_loss == fixed[0].train_loss


def test_steps_may_end_a_cosine_within_an_epoch(make_run, small):
    run = make_run(schedule="cosine", schedule_options={"learning_rate": 0.1}, steps=8)
    history = train(run, small).history
    expected = [0.1 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert history[0].learning_rate == pytest.approx(sum(expected[:6]) / 6)
    assert history[1].learning_rate == pytest.approx(sum(expected[6:]) / 2)


def test_warm_up_that_ends_is_the_schedule_itself(make_run, small):
    """Updates whose rates are equal have equal bits, whoever says so."""
    options = {"learning_rate": 0.05, "warmup_steps": 1}
    warmed, plain = train(make_run(schedule_options=options), small), train(make_run(), small)
    for ours, theirs in zip(warmed.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_rates_of_each_step_are_stacked_as_alone(make_run, small):
    runs = [
        make_run(schedule="cosine", schedule_options={"learning_rate": 0.1}, batch_size=24),
        make_run(schedule_options={"learning_rate": 0.05, "warmup_epochs": 0.5}, batch_size=24),
        make_run(batch_size=24),
    ]
    stacked = StackedTraining([Training(run, small) for run in runs], variant="grouped")
    while not stacked.finished:
        stacked.advance()
    for run, member in zip(runs, stacked.members, strict=True):
        alone = train(run, small)
        for ours, theirs in zip(member.model.parameters(), alone.model.parameters(), strict=True):
            assert (ours - theirs).abs().max() < 1e-5
        assert [e.learning_rate for e in member.history] == [e.learning_rate for e in alone.history]


def study(**tables):
    return Study.parse(
        {
            "name": "s", "model": "stdcnn", "data": "digits", "batch_size": 32, "epochs": 4,
            "measure": ["test_accuracy"], **tables,
        }
    )  # fmt: skip


ONE_CYCLE = {"max_lr": 0.1, "total_steps": 4}


def test_a_scheduler_that_ends_before_training_is_refused_where_that_counts_steps():
    tables = {"schedule": {"torch.optim.lr_scheduler.OneCycleLR": ONE_CYCLE}, "train_size": 320}
    assert study(**tables, epochs=None, steps=40).runs[0].most_epochs == 4
    with pytest.raises(RequestError, match="in epoch 6: ValueError: Tried to step 5 times"):
        study(**tables, epochs=None, steps=51)


def test_a_list_among_the_options_of_a_line_is_matched():
    stepped = {"torch.optim.lr_scheduler.MultiStepLR": {"milestones": [[1, 3]]}}
    (run,) = study(schedule=stepped).runs
    assert run.line.matches({"milestones": [1, 3]})
    assert not run.line.matches({"milestones": [1, 2]})


def test_warm_up_counts_in_a_run_only_where_there_is_one():
    plain, warmed = (
        study(schedule={"fixed": {"learning_rate": 0.1, "warmup_steps": w}}).runs[0] for w in (0, 5)
    )
    assert plain.schedule_options == {"learning_rate": 0.1}
    assert warmed.schedule_options == {"learning_rate": 0.1, "warmup_steps": 5}


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"cosin": {}}, "unknown schedule 'cosin'; did you mean 'cosine'"),
        ({"cosine": {"warmup_epoch": 1}}, "unknown key 'warmup_epoch'; did you mean 'warmup_epoch"),
        ({"fixed": {"warmup_steps": 3, "warmup_epochs": 1.0}}, "exactly one of"),
        (
            {"torch.optim.lr_scheduler.OneCycleLR": {"max_lr": 0.1, "total_steps": 2}},
            "in epoch 4: ValueError: Tried to step 3 times",
        ),
        ({"batch-growth": {"every": 1, "factor": 8.0}}, "batch size 2048 in epoch 3; expected at"),
        ({"torch.optim.lr_scheduler.StepLr": {}}, "did you mean 'StepLR'"),
        ({"torch.optim.lr_scheduler.StepLR": {}}, "step_size: required"),
        ({"torch.optim.lr_scheduler.LambdaLR": {}}, "needs 'lr_lambda'"),
        ({"torch.optim.lr_scheduler.ReduceLROnPlateau": {}}, "how training goes"),
        ({"torch.optim.lr_scheduler.OneCycleLR": {"max_lr": 0.1}}, "total_steps"),
        ({"torch.optim.lr_sched.StepLR": {}}, "No module named"),
        (
            {"torch.optim.lr_scheduler.OneCycleLR": ONE_CYCLE | {"learning_rate": [0.1, 0.2]}},
            "learning_rate = 0.1: has no effect",
        ),
        (
            {
                "torch.optim.lr_scheduler.CyclicLR": {
                    "base_lr": 0.1,
                    "max_lr": 0.2,
                    "cycle_momentum": True,
                }
            },
            "cycle_momentum = true: a schedule is of the learning rate alone",
        ),
    ],
)
def test_a_schedule_that_cannot_be_had_is_refused(schedule, message):
    with pytest.raises(RequestError, match=message):
        study(schedule=schedule)
