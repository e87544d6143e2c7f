"""Planted faults are flagged, ordinary networks are not; what evidence is taken on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from victims import ATTACKS, QUICK, answers, curved, images

from benchmarks.counting import Counting
from sgdscope.attacks import fgsm, gather, pgd, smallest_eps, strong


class Scaled(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * 1e4


class Quantised(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        return self.network((x * 8).round() / 8)


class Probabilities(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        return self.network(x).softmax(1)


class Randomised(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        return self.network(x + 0.05 * torch.randn_like(x))


PLANTED = [
    (Scaled, "lost to rounding"),
    (Scaled, "no gradient at all"),
    (Quantised, "no gradient at all"),
    (Probabilities, "probabilities"),
    (Randomised, "randomised"),
]


@pytest.mark.parametrize(("mask", "message"), PLANTED)
@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_planted_masking_is_flagged(attack, mask, message):
    network = mask(curved(dtype=torch.float32)).eval()
    inputs = images(60, torch.float32)
    labels = answers(network, inputs)
    results = attack(network, inputs, labels, eps=[0.05])
    (seen,) = gather(network, inputs, labels, results, loss="cross_entropy")
    assert any(message in flag for flag in seen.flags())


def test_a_search_without_gradients_sees_through_a_quantised_input():
    network = Quantised(curved(dtype=torch.float32)).eval()
    inputs = images(60, torch.float32)
    labels = answers(network, inputs)
    results = strong(network, inputs, labels, eps=[0.2], steps=10, queries=200)
    (seen,) = gather(network, inputs, labels, results, loss="margin")
    assert seen.black_box_beats is not None
    assert seen.black_box_beats > 5
    assert any("search without gradients" in flag for flag in seen.flags())


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_an_ordinary_network_is_not_flagged(loss):
    network, inputs = curved(dtype=torch.float32), images(100, torch.float32)
    labels = answers(network, inputs)
    results = pgd(network, inputs, labels, eps=[0.02, 0.1], loss=loss)
    for seen in gather(network, inputs, labels, results, loss=loss):
        assert seen.flags() == []
        assert seen.right == 100
    results = strong(network, inputs, labels, eps=[0.05], steps=20, queries=50)
    assert gather(network, inputs, labels, results, loss="margin")[0].flags() == []


def test_evidence_is_plain_numbers():
    network, inputs = curved(), images(10)
    labels = answers(network, inputs)
    (seen,) = gather(network, inputs, labels, fgsm(network, inputs, labels, eps=[0.1]),
                     loss="cross_entropy")  # fmt: skip
    assert all(isinstance(value, bool | int | float) for value in seen.scalars().values())
    assert {"right", "noise_beats", "probed", "step_wrong"} <= set(seen.scalars())
    assert not {"loss", "one_step", "search", "masking", "network"} & set(seen.scalars())


def test_fgsm_is_flagged_only_where_another_loss_is_better_beyond_chance():
    network, inputs = curved(), images(300)
    labels = answers(network, inputs)
    (seen,) = gather(network, inputs, labels, fgsm(network, inputs, labels, eps=[0.1]),
                     loss="cross_entropy")  # fmt: skip
    assert (seen.compared, seen.right) == (300, 300)
    # (fooled by the attack, by the margin's step, by the latter alone) of 300, worth a flag?
    cases = [
        (100, 112, 12, True),
        (100, 105, 40, False),
        (100, 130, 35, True),
        (100, 102, 2, False),
    ]
    for attack, weaker, alone, worth in cases:
        some = replace(
            seen, attack_fooled=attack / 300, weaker_fooled=weaker / 300, weaker_beats=alone
        )
        assert any("margin" in flag for flag in some.flags()) == worth
        walked = replace(some, one_step=False)
        assert any("margin" in flag for flag in walked.flags()) == (alone >= 9)


def test_evidence_is_taken_on_a_bounded_number_of_points():
    network, inputs = curved(), images(1000)
    labels = answers(network, inputs)
    eps = [0.01, 0.02, 0.04, 0.08]
    counting = Counting(network).eval()
    results = fgsm(counting, inputs, labels, eps=eps)
    assert counting.points <= (1 + len(eps)) * 1000 + 70  # one gradient for all eps
    counting = Counting(network).eval()
    evidence = gather(counting, inputs, labels, results, loss="cross_entropy")
    compared, gradients_tried = 300 * (1 + 2 * len(eps)), 180 + 280 * len(eps)
    assert counting.points <= compared + gradients_tried + 100
    for found, result in zip(evidence, results, strict=True):
        assert found.compared == 300
        assert found.attack_fooled == pytest.approx(result.fooled[:300].double().mean().item())


class Binarised(nn.Module):
    """A network whose first layer has no derivative, or passes a gradient of zeros on."""

    def __init__(self, network: nn.Module, *, graph: bool) -> None:
        super().__init__()
        self.network, self.graph = network, graph

    def forward(self, x: Tensor) -> Tensor:
        bits = (x > 0.5).to(x.dtype)
        return self.network(bits + 0 * x if self.graph else bits)


@pytest.mark.parametrize("name", ATTACKS)
def test_without_a_derivative_gradients_leave_the_clean_accuracy_and_searches_go_on(name):
    inputs = images(40, torch.float32)
    network = Binarised(curved(dtype=torch.float32), graph=False).eval()
    labels = answers(network, inputs)
    (result,) = ATTACKS[name](network, inputs, labels, eps=[0.4], **QUICK[name])
    assert any("no gradient reaches the network's inputs" in flag for flag in result.flags)
    assert result.zero_gradient.all()
    same = Binarised(network.network, graph=True).eval()
    (expected,) = ATTACKS[name](same, inputs, labels, eps=[0.4], **QUICK[name])
    assert torch.equal(result.fooled, expected.fooled)
    if name in ("square", "strong"):
        assert result.accuracy < 0.5
    elif name in ("fgsm", "bim"):
        assert result.accuracy == 1
    assert smallest_eps(network, inputs, labels, rounds=2, steps=2).flags
