"""Optimizers: equal to their published rules, resumed with the same bits, stacked as alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdscope.errors import RequestError
from sgdscope.optimizers import find
from sgdscope.study.study import Study

RATES = [0.05 / (1 + step // 40) for step in range(100)]
RULES = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.5, "weight_decay": 0.1, "decoupled": True}),
    ("sgd", {"momentum": 0.9, "clip_norm": 0.5}),
    ("adamw", {"weight_decay": 0.1}),
    ("torch.optim.RMSprop", {"alpha": 0.9}),
    ("torch.optim.Adadelta", {}),
]
NAMES = [f"{name}-{'-'.join(options)}" for name, options in RULES]


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(step)
    inputs = torch.randn(8, 6, generator=draw, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (8,), generator=draw)


def train(model, updates, steps):
    for step in steps:
        updates.set_learning_rate(RATES[step])
        inputs, labels = batch(step)
        updates.zero_gradients()
        F.cross_entropy(model(inputs), labels).backward()
        updates.step()


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def sgd_by_hand(*, momentum=0.0, nesterov=False, weight_decay=0.0, decoupled=False, clip_norm=None):
    """The rule as it is written down, one parameter vector at a time."""
    model = network()
    velocity = torch.zeros_like(weights(model))
    for step, rate in enumerate(RATES):
        inputs, labels = batch(step)
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(F.cross_entropy(model(inputs), labels), parameters)
        g, w = torch.cat([one.flatten() for one in gradients]), weights(model)
        if clip_norm is not None:
            g = g * min(1.0, clip_norm / g.norm().item())
        if decoupled:
            w = w - rate * weight_decay * w
        else:
            g = g + weight_decay * w
        velocity = momentum * velocity + g
        w = w - rate * (g + momentum * velocity if nesterov else velocity)
        nn.utils.vector_to_parameters(w, parameters)
    return weights(model)


@pytest.mark.parametrize("options", [o for n, o in RULES if n == "sgd"], ids=str)
def test_sgd_follows_its_equation(options):
    model = network()
    train(model, find("sgd")(**options).bind(list(model.parameters())), range(100))
    slack = 1e-5 if "clip_norm" in options else 1e-12  # torch adds 1e-6 to the norm it divides by
    assert (weights(model) - sgd_by_hand(**options)).abs().max() < slack


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("adamw", {"beta1": 0.8}, lambda p: torch.optim.AdamW(p, betas=(0.8, 0.999))),
        ("torch.optim.RMSprop", {"alpha": 0.9}, lambda p: torch.optim.RMSprop(p, alpha=0.9)),
        ("sgd", {"momentum": 0.9}, lambda p: torch.optim.SGD(p, momentum=0.9)),
        (
            "sgd",
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
            lambda p: torch.optim.SGD(p, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        ("sgd", {"momentum": 0.9, "clip_norm": 0.5}, lambda p: torch.optim.SGD(p, momentum=0.9)),
    ],
)
def test_an_optimizer_is_torchs_own(name, options, theirs):
    ours, reference = network(), network()
    train(ours, find(name)(**options).bind(list(ours.parameters())), range(100))
    rule = theirs(list(reference.parameters()))
    for step, rate in enumerate(RATES):
        inputs, labels = batch(step)
        rule.param_groups[0]["lr"] = rate
        rule.zero_grad()
        F.cross_entropy(reference(inputs), labels).backward()
        if "clip_norm" in options:
            nn.utils.clip_grad_norm_(reference.parameters(), options["clip_norm"])
        rule.step()
    assert (weights(ours) - weights(reference)).abs().max() < 1e-12


@pytest.mark.parametrize(("name", "options"), RULES, ids=NAMES)
def test_updates_go_on_from_their_state_with_the_same_bits(name, options):
    whole = network()
    train(whole, find(name)(**options).bind(list(whole.parameters())), range(100))
    cut = network()
    before = find(name)(**options).bind(list(cut.parameters()))
    train(cut, before, range(37))
    state = {key: value.clone() for key, value in before.state().items()}
    after = find(name)(**options).bind(list(cut.parameters()))
    after.restore(state)
    train(cut, after, range(37, 100))
    assert torch.equal(weights(cut), weights(whole))


def test_stacked_updates_are_those_of_each_alone():
    options = [o for n, o in RULES if n == "sgd" and "clip_norm" not in o]
    members = [network() for _ in options]
    updates = [
        find("sgd")(**o).bind(list(m.parameters())) for o, m in zip(options, members, strict=True)
    ]
    for model, one in zip(members, updates, strict=True):
        train(model, one, range(3))
    stacked = find("sgd").stack(updates)
    rows = torch.stack([weights(model) for model in members])
    for step in range(3, 20):
        gradients = []
        for model, row in zip(members, rows, strict=True):
            nn.utils.vector_to_parameters(row.clone(), model.parameters())
            inputs, labels = batch(step)
            loss = F.cross_entropy(model(inputs), labels)
            own = torch.autograd.grad(loss, list(model.parameters()))
            gradients.append(torch.cat([g.flatten() for g in own]))
        rates = torch.full((len(members), 1), RATES[step], dtype=torch.float64)
        stacked.step(rows, torch.stack(gradients), rates=rates)
    stacked.hand_back()
    for row, model, one in zip(rows, members, updates, strict=True):
        nn.utils.vector_to_parameters(row.clone(), model.parameters())
        train(model, one, range(20, 40))
    for o, model in zip(options, members, strict=True):
        alone = network()
        train(alone, find("sgd")(**o).bind(list(alone.parameters())), range(40))
        assert (weights(model) - weights(alone)).abs().max() < 1e-12


def test_clipped_gradients_have_no_stacked_rule():
    model = network()
    updates = find("sgd")(clip_norm=1.0).bind(list(model.parameters()))
    assert find("sgd").stack([updates]) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sdg", "unknown optimizer 'sdg'; did you mean 'sgd'"),
        ("torch.optim.Adamm", "unknown optimizer 'Adamm'; did you mean 'Adam"),
        ("nowhere.Rule", "No module named 'nowhere'"),
        ("torch.optim.LBFGS", "through a closure"),
    ],
)
def test_an_optimizer_that_cannot_be_had_is_refused(name, message):
    with pytest.raises(RequestError, match=message):
        find(name)


def test_a_knob_that_an_optimizer_does_not_have_is_refused():
    settings = {
        "name": "s", "model": "stdcnn", "data": "digits", "batch_size": 32, "epochs": 1,
        "schedule": ["fixed"], "measure": ["test_accuracy"],
    }  # fmt: skip
    for name, knob, nearest in [
        ("sgd", "nestrov", "nesterov"),
        ("adamw", "weigth_decay", "weight_decay"),
        ("torch.optim.RMSprop", "alfa", "alpha"),
    ]:
        message = f"optimizer.{name}: unknown key '{knob}'; did you mean '{nearest}'"
        with pytest.raises(RequestError, match=message):
            Study.parse(settings | {"optimizer": {name: {knob: 0.5}}})
