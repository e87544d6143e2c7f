"""Optimizers: equal to their published rules, resumed with the same bits, stacked as alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdscope.errors import RequestError
from sgdscope.optimizers import check, find
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
CLASSES = ["ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam",
           "RMSprop", "Rprop", "SGD"]  # fmt: skip
TORCHS = [(f"torch.optim.{name}", {}, getattr(torch.optim, name)) for name in CLASSES]
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
        ("adamw", {"beta1": 0.8}, lambda p, lr: torch.optim.AdamW(p, lr=lr, betas=(0.8, 0.999))),
        (
            "torch.optim.RMSprop",
            {"alpha": 0.9},
            lambda p, lr: torch.optim.RMSprop(p, lr=lr, alpha=0.9),
        ),
        ("sgd", {"momentum": 0.9}, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)),
        (
            "sgd",
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
            lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        (
            "sgd",
            {"momentum": 0.9, "clip_norm": 0.5},
            lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
        ),
        *TORCHS,
        (
            "sgd",
            {"momentum": 0.5, "weight_decay": 0.1},
            lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.5, weight_decay=0.1),
        ),
        *((f"torch.optim.{name}", {}, getattr(torch.optim, name)) for name in CLASSES),
    ],
)
def test_an_optimizer_is_torchs_own(name, options, theirs):
    same_after_100_steps(name, options, theirs)


@pytest.mark.parametrize("name", ["LARS", "Lamb", "Lion", "Shampoo", "ScheduleFreeSGD"])
def test_an_optimizer_of_the_collection_is_its_own(name):
    collection = pytest.importorskip("pytorch_optimizer")
    same_after_100_steps(f"pytorch_optimizer.{name}", {}, getattr(collection, name))
    check(find(f"pytorch_optimizer.{name}")(), network().float(), name=name)


@pytest.mark.parametrize("name", ["Muon", "SOAP", "ScheduleFreeAdamW", "EmoNavi"])
def test_an_optimizer_of_the_collection_passes_the_check(name):
    pytest.importorskip("pytorch_optimizer")
    check(find(f"pytorch_optimizer.{name}")(), network().float(), name=name)


def same_after_100_steps(name, options, theirs):
    ours, reference = network(), network()
    train(ours, find(name)(**options).bind(list(ours.parameters())), range(100))
    rule = theirs(list(reference.parameters()), lr=0.0)
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


class Lists(torch.optim.Optimizer):
    """SGD by the mean of its last gradients, which it keeps in a list."""

    def __init__(self, params, lr=0.1, count=3):
        super().__init__(params, {"lr": lr, "count": count})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                last = self.state[p].setdefault("last", [])
                last[:] = [*last, p.grad.clone()][-group["count"] :]
                p.add_(sum(last) / len(last), alpha=-group["lr"])


class Forgetful(Lists):
    """The same by a count of its own, which no state_dict has."""

    made = 0

    def step(self, closure=None):
        self.made += 1
        for group in self.param_groups:
            group["count"] = 1 + self.made % 3
        super().step()


class Counting(torch.optim.Optimizer):
    """SGD without the bias of a mean that starts at zero; numbers and flags are Python's own."""

    def __init__(self, params, lr=0.1, decay=0.9):
        super().__init__(params, {"lr": lr, "decay": decay, "late": False})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                own = self.state[p]
                own["made"] = own.get("made", 0) + 1
                own["share"] = 1 - group["decay"] ** own["made"]
                own["first"] = own["made"] == 1
                group["late"] = own["made"] > 2
                p.add_(p.grad, alpha=-group["lr"] / own["share"])


class Averaged(torch.optim.Optimizer):
    """Schedule-free SGD (Defazio et al. 2024): gradients at y, a mean x of z to be measured."""

    def __init__(self, params, lr=0.1, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta, "mode": True})

    def _blend(self, weight):
        for group in self.param_groups:
            for p in group["params"]:
                if "z" in self.state[p]:
                    p.data.lerp_(self.state[p]["z"], weight(group["beta"]))

    def eval(self):
        self._blend(lambda beta: 1 - 1 / beta)

    def train(self):
        self._blend(lambda beta: 1 - beta)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                own = self.state[p]
                z = own.setdefault("z", p.clone())
                own["made"] = own.get("made", 0) + 1
                x = p.lerp(z, 1 - 1 / group["beta"])
                z.sub_(p.grad, alpha=group["lr"])
                x.lerp_(z, 1 / own["made"])
                p.copy_(x.lerp(z, 1 - group["beta"]))


@pytest.fixture
def imported(monkeypatch):
    """Optimizers of this file, as a study names them."""
    for kind in (Lists, Forgetful, Counting, Averaged):
        monkeypatch.setattr(torch.optim, kind.__name__, kind, raising=False)
    return lambda name: find(f"torch.optim.{name}")()


def test_a_state_of_lists_is_gone_on_from_too(imported):
    check(imported("Lists"), network(), name="Lists")
    whole, cut = network(), network()
    train(whole, imported("Lists").bind(list(whole.parameters())), range(10))
    before, after = (imported("Lists").bind(list(cut.parameters())) for _ in range(2))
    train(cut, before, range(4))
    after.restore(before.state())
    train(cut, after, range(4, 10))
    assert torch.equal(weights(cut), weights(whole))


def test_numbers_and_flags_of_a_state_come_back_as_such(imported):
    check(imported("Counting"), network().float(), name="Counting")
    model = network()
    before, after = (imported("Counting").bind(list(model.parameters())) for _ in range(2))
    train(model, before, range(3))
    after.set_learning_rate(RATES[2])
    after.restore(before.state())
    assert repr(after.rule.state_dict()) == repr(before.rule.state_dict())
    assert after.rule.param_groups[0]["late"] is True


def test_an_optimizer_that_could_not_be_resumed_is_refused(imported):
    model = network()
    before = weights(model)
    with pytest.raises(RequestError, match="would not end with the same bits"):
        check(imported("Forgetful"), model, name="Forgetful")
    with pytest.raises(RequestError, match=r"optimizer\.Muon: ValueError: .*2D parameters"):
        check(find("torch.optim.Muon")(), model, name="Muon")
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize("name", CLASSES)
def test_an_imported_optimizer_passes_the_check_that_a_study_makes(name):
    check(find(f"torch.optim.{name}")(), network().float(), name=name)


def test_a_network_that_has_computed_something_is_checked_with_too():
    model = nn.Sequential(nn.utils.spectral_norm(nn.Linear(6, 5)), nn.Linear(5, 3))
    model(torch.rand(2, 6))
    check(find("adamw")(), model, name="adamw")


def test_what_is_measured_of_a_schedule_free_optimizer_is_its_average(imported):
    model = network()
    updates = imported("Averaged").bind(list(model.parameters()))
    seen = []
    for step in range(6):
        updates.switch(training=True)
        train(model, updates, [step])
        updates.switch(training=False)
        seen.append(
            nn.utils.parameters_to_vector([own["z"] for own in updates.rule.state.values()])
        )
        seen[-1] = seen[-1].clone()
        assert (weights(model) - torch.stack(seen).mean(0)).abs().max() < 1e-12


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


@pytest.mark.parametrize(("name", "options"), RULES, ids=NAMES)
def test_frozen_parameters_stay_as_they_are(name, options):
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    train(model, find(name)(**options).bind(list(model.parameters())), range(5))
    assert torch.equal(model[0].weight, before)


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
        ("torch.optim:RMSprop", "expected dots alone, as torch.optim.RMSprop"),
        ("rules.py:Mine", "expected dots alone, as rules.Mine"),
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
