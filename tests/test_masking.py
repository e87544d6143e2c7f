"""Gradients that mislead without being zero are flagged; those of honest networks are not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.counting import Counting
from sgdscope.attacks import fgsm, gather, pgd, strong
from sgdscope.attacks.masking import Masking
from sgdscope.attacks.probes import error
from sgdscope.data import Dataset
from sgdscope.measuring import MEASURES, Subject

EPS = 0.1


class Masked(nn.Module):
    def __init__(self, network: nn.Module, mask: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.mask = network, mask

    def forward(self, x: Tensor) -> Tensor:
        return self.mask(self.network, x)


class Backward(torch.autograd.Function):
    """The identity with its gradient multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return slope * ctx.saved_tensors[0], None


def fixed(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def leak(x: Tensor) -> Tensor:
    return x.flatten(1) @ fixed(784, 10) / 28


MASKS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "upper half detached": lambda net, x: net(torch.cat([x[:, :, :14].detach(), x[:, :, 14:]], 2)),
    "input detached, pixels leak": lambda net, x: net(x.detach()) + 1e-3 * x.flatten(1)[:, 300:310],
    "logits rounded, they leak": lambda net, x: net(x).round() + 1e-3 * net(x),
    "one-hot, minus logits": lambda net, x: (
        5 * F.one_hot(net(x).argmax(1), 10).float() - 1e-3 * net(x)
    ),
    "steep sigmoid": lambda net, x: net(torch.sigmoid(60 * (x - 0.5))),
    "levels, linear leak": lambda net, x: net((x * 7).round().detach() / 7) + 1e-3 * leak(x),
    "backward: half the signs": lambda net, x: net(Backward.apply(x, fixed(1, 28, 28).sign())),
    "backward: a quarter zero": lambda net, x: net(
        Backward.apply(x, (fixed(1, 28, 28) > -0.67).float())
    ),
    "ripple of logits": lambda net, x: net(x) + 0.5 * torch.sin(300 * leak(x)),
    "probabilities × 10": lambda net, x: 10 * (4 * net(x)).softmax(1),
    "logits × 100": lambda net, x: 100 * net(x),
}


def trained(digits: Dataset, *layers: nn.Module, eps: float = 0) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), *layers, nn.Flatten(),
                            nn.Linear(1152, 10))  # fmt: skip
    sgd = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    for _ in range(100):
        some = torch.randint(len(digits.train), (64,))
        x, y = digits.train[some].inputs(), digits.train.labels[some]
        if eps:
            (attacked,) = pgd(network.eval(), x, y, eps=[eps], steps=3, step_size=0.5)
            x = attacked.inputs
        sgd.zero_grad()
        F.cross_entropy(network.train()(x), y).backward()
        sgd.step()
    return network.eval()


@pytest.fixture(scope="module")
def network(digits: Dataset) -> nn.Module:
    return trained(digits, nn.ReLU())


@pytest.fixture(scope="module")
def case(digits: Dataset) -> tuple[Tensor, Tensor]:
    return digits.test[:150].inputs(), digits.test.labels[:150]


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_flagged_beside_pgd(name, network, case):
    masked = Masked(network, MASKS[name]).eval()
    results = pgd(masked, *case, eps=[EPS], steps=10)
    assert gather(masked, *case, results, loss="cross_entropy")[0].flags()


@pytest.mark.parametrize("name", ["upper half detached", "steep sigmoid", "ripple of logits"])
def test_a_mask_is_flagged_beside_one_step_and_beside_strong(name, network, case):
    masked = Masked(network, MASKS[name]).eval()
    results = fgsm(masked, *case, eps=[EPS])
    assert gather(masked, *case, results, loss="cross_entropy")[0].flags()
    results = strong(masked, *case, eps=[EPS], steps=5, queries=20)
    assert gather(masked, *case, results, loss="margin")[0].flags()


@pytest.mark.parametrize("name", ["upper half detached", "ripple of logits", "logits × 100"])
def test_a_mask_is_flagged_in_l2(name, network, case):
    masked = Masked(network, MASKS[name]).eval()
    results = pgd(masked, *case, eps=[1.0], steps=10, norm="l2")
    assert gather(masked, *case, results, loss="cross_entropy", norm="l2")[0].flags()


@pytest.mark.parametrize("kind", ["plain", "batch norm", "adversarially trained", "tanh"])
def test_a_network_that_hides_nothing_is_not_flagged(kind, digits, case):
    layers = {"batch norm": [nn.BatchNorm2d(8), nn.ReLU()], "tanh": [nn.Tanh()]}
    eps = EPS if kind == "adversarially trained" else 0
    network = trained(digits, *layers.get(kind, [nn.ReLU()]), eps=eps)
    for norm, radius in (("linf", EPS / 2), ("l2", 0.7)):
        results = pgd(network, *case, eps=[radius], norm=norm)
        assert results[0].accuracy > 0.1
        assert gather(network, *case, results, loss="cross_entropy", norm=norm)[0].flags() == []


@pytest.mark.parametrize("name", ["upper half detached", "logits rounded, they leak", "honest"])
@pytest.mark.parametrize("out_of_reach", [-1e9, -torch.inf])
def test_classes_that_are_masked_out_change_no_count(name, out_of_reach, network, case):
    masked = Masked(network, MASKS.get(name, lambda net, x: net(x))).eval()
    more = Masked(masked, lambda net, x: F.pad(net(x), (0, 2), value=out_of_reach)).eval()
    counts = [
        gather(each, *case, pgd(each, *case, eps=[EPS], steps=10), loss="margin")[0].masking
        for each in (masked, more)
    ]
    assert counts[0] == counts[1]


def test_coarse_rounding_is_no_mask(network, case):
    half, inputs = copy.deepcopy(network).to(torch.bfloat16), case[0].bfloat16()
    results = pgd(half, inputs, case[1], eps=[EPS], steps=10)
    assert gather(half, inputs, case[1], results, loss="margin")[0].masking.flags() == []


def test_all_that_is_seen_of_a_linear_network_is_as_promised(case):
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 2)).eval()
    with torch.no_grad():
        labels = network(case[0]).argmax(1)
    results = pgd(network, case[0], labels, eps=[0.01], loss="margin")
    seen = gather(network, case[0], labels, results, loss="margin")[0].masking
    counts = (seen.step_wrong, seen.uphill_wrong, seen.idle_wrong, seen.end_wrong)
    assert counts == (0, 0, 0, 0)
    assert (seen.path_missed, seen.nearest_beats) == (0, 0)
    assert (seen.probed, seen.paths) == (64, 20)
    third = Masked(network, lambda net, x: net(Backward.apply(x, torch.tensor(0.3)))).eval()
    seen = gather(third, case[0], labels, results, loss="margin")[0].masking
    assert (seen.step_wrong, seen.uphill_wrong, seen.path_wrong) == (64, 64, 20)


def test_an_error_is_a_half_where_one_is_three_times_the_other():
    promised = torch.tensor([[1.0, 1.0, 1.0, 0.0, 1.0, torch.inf]])
    seen = torch.tensor([[1.0, 3.0, -1.0, 0.0, 1.1, 1.0]])
    rounding = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.2, 0.0])
    expected = torch.tensor([0.0, 0.5, 1.0, 0.0, 0.0, 1.0])
    assert torch.equal(error(promised, seen, rounding), expected)


def test_few_points_are_not_flagged_by_one_of_them():
    assert Masking().flags() == []
    assert Masking(ends=9, end_wrong=9).flags() == []
    assert Masking(nearest_tried=80, nearest_beats=2).flags() == []
    assert len(Masking(probed=80, step_wrong=12, uphill_wrong=16, idle_wrong=24).flags()) == 3


def test_the_price_is_a_tenth_of_pgd_40(network, digits):
    inputs, labels = digits.test.inputs(), digits.test.labels
    results = pgd(network, inputs, labels, eps=[EPS], steps=5)
    counting = Counting(network).eval()
    gather(counting, inputs, labels, results, loss="cross_entropy")
    right = int(results[0].clean.sum())
    assert right > 280
    assert counting.passes < 0.1 * (2 * 40 * right)


HARMLESS = {"logits × 100"}  # to the margin loss, which does not saturate


@pytest.mark.parametrize("name", sorted(set(MASKS) - HARMLESS))
def test_a_mask_is_flagged_at_the_median_eps(name, network, digits):
    masked = Masked(network, MASKS[name]).eval()
    (reading,) = MEASURES["median_eps"](examples=150).read(Subject(masked, digits, 0))
    assert reading.flags


def test_a_search_that_does_not_settle_says_so(network, digits):
    masked = Masked(network, MASKS["ripple of logits"]).eval()
    (reading,) = MEASURES["median_eps"](examples=150).read(Subject(masked, digits, 0))
    assert reading.evidence["holds"] < 0.95 * reading.value
    assert any("did not settle" in flag for flag in reading.flags)


def test_the_median_eps_of_an_honest_network_has_evidence_and_no_flag(network, digits):
    (reading,) = MEASURES["median_eps"](examples=150).read(Subject(network, digits, 0))
    assert not reading.flags
    assert reading.evidence["probed"] == 64
    assert 0.3 < reading.evidence["attack_fooled"] < 0.6
