"""DESIGN conventions 4, 7, 8 and 9: SGD, streams, divergence, how long to train."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.curvature import Hessian, top_eigenvalues
from sgdscope.data import augment
from sgdscope.data.inference import logits
from sgdscope.errors import RequestError
from sgdscope.models import MODELS, bind_dropout
from sgdscope.training.loop import Training, initialise


def train(run, data):
    """The training, at its end."""
    training = Training(run, data)
    while not training.finished:
        training.advance()
    return training


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def by_hand(run, data):
    """SGD with momentum in the plainest words: one update after another, in float32."""
    model = initialise(run, data).train()
    step = torch.tensor(0)
    bind_dropout(model, seed=run.seed, step=step)
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    for epoch in range(1, run.epochs + 1):
        shuffle = streams.generator(run.seed, "order", epoch)
        order = torch.randperm(len(data.train), generator=shuffle)
        for start in range(0, len(order) - run.batch_size + 1, run.batch_size):
            index = order[start : start + run.batch_size]
            pixels = data.train.pixels[index]
            if data.augmented:
                pixels = augment(pixels, index, seed=run.seed, epoch=epoch)
            loss = F.cross_entropy(model(pixels / 255), data.train.labels[index])
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                    v.mul_(run.momentum).add_(g)
                    p.sub_(run.rate(epoch) * v)
            step += 1
    return weights(model)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("schedule", ["fixed", "step-decay"])
def test_training_is_heavy_ball_sgd(small, make_run, momentum, schedule):
    options = {"learning_rate": 0.05} | ({"every": 1} if schedule == "step-decay" else {})
    run = make_run(
        schedule=schedule, schedule_options=options, momentum=momentum, epochs=3, batch_size=40
    )
    assert torch.allclose(weights(train(run, small).model), by_hand(run, small), atol=1e-5)


def test_training_on_augmented_images_is_heavy_ball_sgd(colour, make_run):
    options = {"learning_rate": 0.002}  # small: BatchNorm on noise amplifies rounding
    run = make_run(model="c1", batch_size=16, momentum=0.5, schedule_options=options)
    start, expected = weights(initialise(run, colour)), by_hand(run, colour)
    ours = weights(train(run, colour).model)
    assert (ours - expected).norm() < 1e-3 * (expected - start).norm()


def test_bf16_rounds_the_passes_and_keeps_the_weights(small, make_run):
    exact, rounded = (train(make_run(precision=p), small) for p in ("float32", "bf16"))
    assert {parameter.dtype for parameter in rounded.model.parameters()} == {torch.float32}
    assert not torch.equal(weights(rounded.model), weights(exact.model))
    assert (weights(rounded.model) - weights(exact.model)).norm() < 0.05 * weights(
        exact.model
    ).norm()
    again = train(make_run(precision="bf16"), small)
    assert torch.equal(weights(again.model), weights(rounded.model))


def test_a_runs_id_outlives_settings_that_came_later(make_run):
    assert make_run().id == "f8b67fe7c6f4"
    assert make_run(precision="bf16").id != make_run().id


def test_the_last_partial_batch_is_dropped(small, make_run):
    trained = train(make_run(batch_size=50, epochs=2), small)
    assert [epoch.steps for epoch in trained.history] == [192 // 50, 2 * (192 // 50)]


def test_a_run_repeats_bit_for_bit_whatever_the_global_seed(small, make_run):
    torch.manual_seed(1)
    first = weights(train(make_run(), small).model)
    torch.manual_seed(2)
    assert torch.equal(weights(train(make_run(), small).model), first)
    assert not torch.equal(weights(train(make_run(seed=1), small).model), first)


def test_seeds_share_initialisation_across_batch_sizes(small, make_run):
    a, b = (initialise(make_run(batch_size=size), small) for size in (16, 64))
    assert torch.equal(weights(a), weights(b))


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (6, 1), (7, 2), (13, 3)])
def test_steps_count_updates(small, make_run, steps, epochs):
    history = train(make_run(steps=steps), small).history
    assert (history[-1].steps, history[-1].epoch) == (steps, epochs)


def test_training_stops_once_the_loss_is_reached(small, make_run):
    full = train(make_run(epochs=8), small).history
    target = full[3].train_loss
    early = train(make_run(epochs=8, until_train_loss=target), small).history
    assert early[-1].train_loss <= target < early[-2].train_loss
    assert len(early) < len(full)


def test_train_size_takes_the_first_images(small, make_run):
    part = replace(small, train=small.train[:64])
    cut = train(make_run(train_size=64), small)
    assert torch.equal(weights(cut.model), weights(train(make_run(), part).model))
    assert cut.history[0].steps == 2


def test_a_learning_rate_too_large_diverges_and_stops(small, make_run):
    options = {"learning_rate": 1e6}
    trained = train(make_run(schedule_options=options, epochs=50), small)
    assert trained.diverged
    assert len(trained.history) < 50
    assert not math.isfinite(trained.history[-1].train_loss) or weights(trained.model).isnan().any()


def test_the_network_is_in_evaluation_mode_between_epochs(small, make_run):
    training = Training(make_run(), small)
    training.advance()
    assert not training.model.training


def test_the_network_learns(digits, make_run):
    run = make_run(batch_size=16, schedule_options={"learning_rate": 0.1}, epochs=8)
    history = train(run, digits).history
    assert history[-1].validation_accuracy > 0.9


def test_velocities_that_fade_become_zero_in_training_alone(small, make_run):
    training = Training(make_run(momentum=0.25, epochs=1), small)
    for parameter in training.model.parameters():
        parameter.data.zero_()  # no gradient but that of the last bias
    updates = training.updates
    updates.set_velocities([torch.full_like(v, 2e-38) for v in updates.velocities])
    training.advance()
    first, *_ = updates.velocities
    assert (first == 0).all()
    assert (torch.tensor([4e-38]) / 8).item() > 0


class Noisy(nn.Module):
    """Draws from a generator of its own of each kind, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.of_torch = torch.Generator()
        self.of_numpy = np.random.default_rng()
        self.of_python = random.Random()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        drawn = self.of_numpy.random() + self.of_python.random() + random.random()
        noise = torch.randn(x.shape, generator=self.of_torch) + torch.randn_like(x)
        return x + 0.1 * self.weight * (noise + drawn)


def test_layers_with_generators_of_their_own_go_on_with_the_same_bits(small, make_run):
    @MODELS.add("noisy")
    def noisy(*, shape, classes):
        return nn.Sequential(nn.Flatten(), Noisy(), nn.Linear(784, classes))

    run = make_run(model="noisy", epochs=2)
    whole = Training(run, small)
    whole.advance()
    state = {key: value.clone() for key, value in whole.state().items()}
    history = list(whole.history)
    whole.advance()
    resumed = Training(run, small)
    resumed.restore(state, history)
    resumed.advance()
    assert all(torch.equal(value, resumed.state()[key]) for key, value in whole.state().items())
    assert resumed.history[1].validation_accuracy == whole.history[1].validation_accuracy


class Own(nn.Module):
    """A network as people write them: tied weights, a view of its activations, several outputs."""

    def __init__(self, *, view: bool, tied: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 8, 5)
        self.a, self.b, self.head = nn.Linear(128, 128), nn.Linear(128, 128), nn.Linear(128, 10)
        self.register_buffer("shared", self.a.weight.detach()[:2])
        self.view = view
        if tied:
            self.b.weight = self.a.weight

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        x = x.view(-1, 128) if self.view else x.reshape(-1, 128)
        x = F.relu(self.b(F.relu(self.a(x))))
        return {"logits": self.head(x), "hidden": x}


def test_a_network_of_ones_own_trains_as_it_does_in_plain_torch(small, make_run, monkeypatch):
    found = {}
    for view in (False, True):
        monkeypatch.setitem(MODELS._parts, "own", lambda view=view, **_: Own(view=view, tied=True))
        found[view] = train(make_run(model="own"), small)
    assert torch.equal(weights(found[False].model), weights(found[True].model))
    assert next(found[True].model.network.parameters()).is_contiguous()


def test_tied_weights_are_saved_and_restored_and_count_once(small, make_run, monkeypatch):
    monkeypatch.setitem(MODELS._parts, "own", lambda **_: Own(view=True, tied=True))
    run = make_run(model="own", momentum=0.9)
    training = train(run, small)
    again = Training(run, small)
    again.restore(load(save(training.state())), training.history)
    assert again.model.network.b.weight is again.model.network.a.weight
    assert torch.equal(weights(again.model), weights(training.model))
    inputs = small.train[:30].inputs()
    assert torch.equal(logits(again.model, small.test), logits(training.model, small.test))
    found = [top_eigenvalues(Hessian(t.model, inputs, small.train.labels[:30])).values
             for t in (again, training)]  # fmt: skip
    assert torch.equal(*found)


def test_a_state_that_cannot_be_saved_is_refused_before_training(small, make_run, monkeypatch):
    class Stateful(Own):
        def get_extra_state(self):
            return 7

        def set_extra_state(self, state):
            pass

    monkeypatch.setitem(MODELS._parts, "own", lambda **_: Stateful(view=False, tied=False))
    with pytest.raises(RequestError, match="_extra_state' of its state is int"):
        Training(make_run(model="own"), small)
