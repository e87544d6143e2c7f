"""Runs that train together end as if each had trained alone (DESIGN convention 7)."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sgdscope.data import Dataset, Images
from sgdscope.models import MODELS, Residual
from sgdscope.training import stacked_loop
from sgdscope.training.cohorts import group
from sgdscope.training.cuda_graph import WARM_UP, captured
from sgdscope.training.loop import Training
from sgdscope.training.stacked_loop import StackedTraining

MIXED = [
    {"schedule": "fixed", "schedule_options": {"learning_rate": 0.02}},
    {"schedule": "constant-ratio", "schedule_options": {"ratio": 0.001}, "momentum": 0.9},
    {
        "schedule": "step-decay",
        "schedule_options": {"learning_rate": 0.03, "every": 1},
        "momentum": 0.5,
    },
]


@pytest.fixture
def tiny() -> Dataset:
    """Random 16×16 colour images, augmented: every model of the paper fits, and is quick."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Images:
        pixels = torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.randint(0, 10, (count,), generator=generator))

    return Dataset(images(72), images(16), images(16), 10, [0.5] * 3, [0.25] * 3, augmented=True)


@pytest.fixture
def mixed(make_run):
    """Runs of one shape with schedules, momenta and seeds of their own."""

    def make(**settings):
        return [
            make_run(seed=seed, batch_size=16, **(own | settings)) for seed, own in enumerate(MIXED)
        ]

    return make


@pytest.fixture
def tiny_resnet(monkeypatch):
    """ResNet18's parts, three blocks of them, four wide."""

    def build(*, shape, classes):
        return nn.Sequential(
            nn.Conv2d(shape[0], 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            Residual(4, 4, 1), Residual(4, 8, 2), Residual(8, 8, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
        )  # fmt: skip

    monkeypatch.setitem(MODELS._parts, "tiny-resnet", build)


def trainings(runs, data, dtype=torch.float64):
    """Trainings before their first step."""
    members = [Training(run, data) for run in runs]
    for member in members:
        member.model.to(dtype)
    return members


def alone(runs, data, **options):
    members = trainings(runs, data, **options)
    for member in members:
        while not member.finished:
            member.advance()
    return members


def together(runs, data, *, variant="grouped", **options):
    members = trainings(runs, data, **options)
    finish(members, variant)
    return members


def finish(members, variant="grouped"):
    training = StackedTraining(members, variant=variant)
    while not training.finished:
        training.advance()


def distance(a, b) -> float:
    """The largest relative difference of a tensor in two trainings' states."""
    ours, theirs = a.state(), b.state()
    assert ours.keys() == theirs.keys()
    return max(
        ((ours[name] - theirs[name]).double().norm() / theirs[name].double().norm()).item()
        for name in ours
    )


def bits(training):
    state = training.state()
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}, [
        (epoch.train_loss, epoch.train_accuracy, epoch.validation_accuracy)
        for epoch in training.history
    ]


@pytest.mark.parametrize("model", ["stdcnn", "m1", "c1", "tiny-resnet"])
@pytest.mark.usefixtures("tiny_resnet")
def test_stacked_training_is_training_one_by_one(tiny, mixed, model):
    runs = mixed(model=model, epochs=2)
    found = [together(runs, tiny, variant=variant) for variant in ("grouped", "im2col")]
    for ours, expected in zip(itertools.chain(*found), alone(runs, tiny) * 2, strict=True):
        assert distance(ours, expected) < 1e-10
        for a, b in zip(ours.history, expected.history, strict=True):
            assert (a.epoch, a.steps, a.learning_rate) == (b.epoch, b.steps, b.learning_rate)
            assert (a.train_accuracy, a.validation_accuracy) == (
                b.train_accuracy,
                b.validation_accuracy,
            )
            assert a.train_loss == pytest.approx(b.train_loss, rel=1e-12)


@pytest.mark.parametrize("variant", ["grouped", "im2col"])
def test_in_float32_the_difference_is_rounding(tiny, mixed, variant):
    runs = mixed(epochs=2)
    pairs = zip(
        together(runs, tiny, variant=variant, dtype=torch.float32),
        alone(runs, tiny, dtype=torch.float32),
        strict=True,
    )
    assert max(distance(a, b) for a, b in pairs) < 1e-4


def test_bf16_is_rounded_in_a_stack_too(tiny, mixed):
    losses = {}
    for precision in ("float32", "bf16"):
        runs = mixed(precision=precision, epochs=1)
        for how in (alone, together):
            members = how(runs, tiny, dtype=torch.float32)
            losses[precision, how] = torch.tensor([m.history[-1].train_loss for m in members])
    assert torch.allclose(losses["bf16", together], losses["bf16", alone], rtol=0.02)
    for how in (alone, together):  # by far more than a stack rounds in float32, some 1e-7
        assert not torch.allclose(losses["bf16", how], losses["float32", together], rtol=2e-6)


def test_a_run_does_not_depend_on_its_cohort(tiny, mixed):
    runs = mixed()
    whole = together(runs, tiny)
    for cohort in ([0], [2, 0], [1, 2, 0]):
        members = together([runs[i] for i in cohort], tiny)
        assert all(distance(m, whole[i]) < 1e-12 for m, i in zip(members, cohort, strict=True))


def test_steps_end_within_an_epoch(tiny, mixed):
    runs = mixed(steps=7, epochs=None)
    for ours, expected in zip(together(runs, tiny), alone(runs, tiny), strict=True):
        assert [epoch.steps for epoch in ours.history] == [4, 7]
        assert distance(ours, expected) < 1e-10


def test_a_member_that_reaches_its_target_is_left_alone(tiny, mixed):
    settings = {"schedule": "fixed", "schedule_options": {"learning_rate": 0.1}, "epochs": 6}
    target = alone(mixed(**settings)[1:2], tiny)[0].history[2].train_loss * 1.0001
    runs = mixed(**settings, until_train_loss=target)
    expected = alone(runs, tiny)
    ours = together(runs, tiny)
    ends = [len(member.history) for member in ours]
    assert ends == [len(member.history) for member in expected]
    assert len(set(ends)) > 1
    assert all(distance(a, b) < 1e-9 for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize("variant", ["grouped", "im2col"])
@pytest.mark.parametrize("model", ["stdcnn", "tiny-resnet"])
@pytest.mark.usefixtures("tiny_resnet")
def test_a_diverging_member_harms_no_other(tiny, mixed, make_run, model, variant):
    rates = {"fate": 1e200, "calm": 0.01}
    runs = mixed(model=model, epochs=3)
    ends = {}
    for name, rate in rates.items():
        options = {"learning_rate": rate}
        third = make_run(model=model, batch_size=16, epochs=3, schedule_options=options)
        cohort = trainings([runs[1], third, runs[2]], tiny)
        training = StackedTraining(cohort, variant=variant)
        training.advance()
        assert cohort[1].diverged == (name == "fate")
        ends[name] = [bits(cohort[0]), bits(cohort[2])]
        if name == "fate":
            while not training.finished:
                training.advance()
            assert len(cohort[1].history) == 1
            assert not math.isfinite(cohort[1].history[0].train_loss)
            for ours, expected in zip(cohort[::2], alone(runs[1:], tiny), strict=True):
                assert distance(ours, expected) < 1e-10
    assert ends["fate"] == ends["calm"]


@pytest.mark.parametrize("variant", ["grouped", "im2col"])
@pytest.mark.parametrize("model", ["stdcnn", "tiny-resnet"])
@pytest.mark.usefixtures("tiny_resnet")
def test_a_cohort_goes_on_from_its_states_bit_for_bit(tiny, mixed, model, variant):
    runs = mixed(model=model, epochs=4)
    whole = trainings(runs, tiny, dtype=torch.float32)
    training = StackedTraining(whole, variant=variant)
    training.advance()
    training.advance()
    kept = [
        ({name: t.clone() for name, t in member.state().items()}, list(member.history))
        for member in whole
    ]
    while not training.finished:
        training.advance()
    resumed = trainings(runs, tiny, dtype=torch.float32)
    for member, (state, history) in zip(resumed, kept, strict=True):
        member.restore(state, history)
    finish(resumed, variant)
    assert [bits(member) for member in resumed] == [bits(member) for member in whole]


def test_members_that_are_behind_catch_up(tiny, mixed):
    runs = mixed(epochs=4)
    members = trainings(runs, tiny)
    members[2].advance()
    members[2].advance()
    members[0].advance()
    training = StackedTraining(members, variant="grouped")
    assert training.advance() == [members[1]]
    assert training.advance() == members[:2]
    assert training.advance() == members
    finish(members)
    for ours, expected in zip(members, alone(runs, tiny), strict=True):
        assert distance(ours, expected) < 1e-10


def test_no_answer_is_counted_as_right_on_the_validation_images(tiny, mixed):
    training = stacked_loop._Lockstep(trainings(mixed(epochs=1), tiny), "grouped")
    tiny.validation.labels.zero_()

    class Silent(nn.Module):
        def forward(self, x):
            scores = torch.arange(10.0).flip(0).expand(*x.shape[:2], -1).clone()
            scores[1], scores[2, ::2] = torch.nan, torch.inf
            return scores

    training.stack = Silent()
    assert training._validate() == [1.0, 0.0, 0.5]


def test_a_member_can_go_on_alone(tiny, mixed):
    runs = mixed(epochs=3)
    members = trainings(runs, tiny)
    StackedTraining(members, variant="im2col").advance()
    for ours, expected in zip(members, alone(runs, tiny), strict=True):
        while not ours.finished:
            ours.advance()
        assert distance(ours, expected) < 1e-10


def test_runs_of_one_shape_are_grouped_evenly(make_run, mixed):
    runs = [*mixed(), *mixed(epochs=9), *[make_run(seed=seed) for seed in range(7)]]
    sizes = [len(cohort) for cohort in group(runs, 5)]
    assert sizes == [3, 3, 3, 4]
    cohorts = group(runs, 5)
    assert [run for cohort in cohorts for run in cohort] == runs
    assert all(len({(r.epochs, r.batch_size) for r in cohort}) == 1 for cohort in cohorts)


class _NoWaiting(TorchDispatchMode):
    """Fails where a step would wait for the device, or ask it for a shape."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        waits = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal"}
        assert function.overloadpacket.__name__ not in waits
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("variant", ["grouped", "im2col"])
@pytest.mark.parametrize("model", ["stdcnn", "c1"])
def test_a_step_can_be_captured(monkeypatch, tiny, mixed, model, variant):
    """Nothing waits or moves, and what warming up changes is among the state that is put back."""
    runs = mixed(model=model, epochs=2)
    plain = together(runs, tiny, variant=variant, dtype=torch.float32)
    addresses = []

    def warmed_up(step, *, state):
        before = [tensor.clone() for tensor in state]
        for _ in range(WARM_UP):
            with _NoWaiting():
                step()
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)

        def replay():
            addresses.append([tensor.data_ptr() for tensor in state])
            step()

        return replay

    monkeypatch.setattr(stacked_loop, "captured", warmed_up)
    warm = together(runs, tiny, variant=variant, dtype=torch.float32)
    assert [bits(member) for member in warm] == [bits(member) for member in plain]
    assert len(addresses) == warm[0].steps
    assert all(place == addresses[0] for place in addresses)


def test_warming_up_stays_within_an_epoch_of_one_step(monkeypatch, tiny, make_run):
    monkeypatch.setattr(
        stacked_loop, "captured", lambda step, *, state: [step() for _ in range(WARM_UP)] and step
    )
    together([make_run(batch_size=72, seed=seed, epochs=1) for seed in range(2)], tiny)


def test_a_step_on_the_cpu_is_carried_out_as_it_is():
    total = torch.zeros(())

    def step():
        total.add_(1)

    assert captured(step, state=[total]) is step
