"""Of fourteen networks that mislead a measure each gets its flag, and none of six honest ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdscope.auditing.checks import check_network
from sgdscope.auditing.measures import chosen_measures
from sgdscope.execution.recorder import Recorder
from sgdscope.measuring import Subject
from sgdscope.models import Normalise


def fitted(model: nn.Module, data, *, scale=None, epochs: int = 3, lr: float = 0.1) -> nn.Module:
    """Trained on the training digits, in whatever scale."""
    torch.manual_seed(1)
    change = scale or (lambda pixels: pixels)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    inputs, labels = data.train.inputs(), data.train.labels
    model.train()
    for _ in range(epochs):
        for part in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(change(inputs[part])), labels[part]).backward()
            optimizer.step()
    return model.eval()


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.fixture(scope="module")
def base(digits) -> nn.Module:
    torch.manual_seed(0)
    return fitted(mlp(), digits)


class Wrapped(nn.Module):
    """A network whose inputs or outputs something is done to."""

    def __init__(self, network, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x):
        return self.after(self.network(self.before(x)))


class Counting(nn.Module):
    """Answers by how often it was called."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.network(x) * (1 + self.calls)


def of_batch(z):
    return z - z.mean(0, keepdim=True)


def one_hot(z):
    return F.one_hot(z.argmax(1), 10).float()


def broken(z):
    return torch.where(z.amax(1, keepdim=True) > z.amax(1).median(), z, float("nan"))


PLANTED = {
    "saturated logits": (lambda net: Wrapped(net, after=lambda z: z * 1e4), "no gradient"),
    "quantised input": (lambda net: Wrapped(net, lambda x: (x * 8).round() / 8), "zero throughout"),
    "sigmoid": (lambda net: Wrapped(net, after=lambda z: z.sigmoid()), "as a sigmoid"),
    "gradient cut": (lambda net: Wrapped(net, lambda x: x.detach()), "no gradient reaches"),
    "random layer": (
        lambda net: Wrapped(net, lambda x: x + 0.3 * torch.randn_like(x)), "randomised"
    ),
    "dropout left on": (
        lambda net: Wrapped(net, lambda x: F.dropout(x, 0.3, training=True)), "randomised"
    ),
    "probabilities": (lambda net: Wrapped(net, after=lambda z: z.softmax(1)), "probabilities"),
    "constant": (lambda net: Wrapped(net, after=lambda z: z * 0 + torch.arange(10.0)), "bit-ident"),
    "batch-dependent": (lambda net: Wrapped(net, after=of_batch), "rest of its batch"),
    "changing itself": (Counting, "changes its own"),
    "not finite": (lambda net: Wrapped(net, after=broken), "not finite"),
    "another range": (
        lambda net: Wrapped(net, lambda x: torch.where(x > 2, torch.nan, (x + 1) / 2)),
        "with pixels in [-1, 1]",
    ),
    "the answer alone": (lambda net: Wrapped(net, after=one_hot), "no gradient reaches"),
}  # fmt: skip


def flags(model: nn.Module, data) -> str:
    """All that an audit finds to distrust, in the look and beside the numbers."""
    subject = Subject(model, data, seed=0)
    found = [str(finding) for finding in check_network(subject) if finding.level != "note"]
    measures = chosen_measures(
        ["test_accuracy", "pgd_accuracy", "top_eigenvalue"], eps=[0.1], examples=150
    )  # fmt: skip
    taken = Recorder(0)
    for name, measure in measures.items():
        taken.finish(name, measure, subject, epoch=0)
    return " | ".join(found + [flag for reading in taken.measurements for flag in reading.flags])


@pytest.mark.parametrize("kind", PLANTED)
def test_a_network_that_misleads_gets_its_flag(base, digits, kind):
    plant, said = PLANTED[kind]
    assert said in flags(plant(base).eval(), digits)


def smooth() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=3), nn.GELU(), nn.GroupNorm(2, 6), nn.Flatten(),
        nn.Linear(6 * 64, 10),
    )  # fmt: skip


def batch_normalised() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(6 * 64, 10),
    )  # fmt: skip


class Patches(nn.Module):
    """Attention between patches of 7×7."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 16, 7, stride=7)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.block(self.embed(x).flatten(2).mT).mean(1))


HONEST = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
    "two layers": mlp,
    "a smooth convolution": smooth,
    "batch normalisation and dropout": batch_normalised,
    "attention": Patches,
    "normalised inside": lambda: nn.Sequential(Normalise([0.31], [0.32]), mlp()),
}


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_network_gets_none(digits, kind):
    torch.manual_seed(0)
    assert not flags(fitted(HONEST[kind](), digits, lr=0.05), digits)


def test_a_network_that_is_hardly_trained_is_not_taken_for_one_of_another_scale(digits):
    torch.manual_seed(0)
    model = fitted(mlp(), digits, epochs=1, lr=0.01)
    assert not check_network(Subject(model, digits, seed=0))


@pytest.mark.parametrize("make", [mlp, batch_normalised])
def test_a_network_trained_on_another_scale_gets_its_flag(make, digits):
    mean, std = digits.mean[0], digits.std[0]
    torch.manual_seed(0)
    model = fitted(make(), digits, scale=lambda x: (x - mean) / std, lr=0.05)
    assert "standardised by the training images' mean" in flags(model, digits)
    whole = nn.Sequential(Normalise(digits.mean, digits.std), model).eval()
    assert not check_network(Subject(whole, digits, seed=0))
