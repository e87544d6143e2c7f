"""Closed forms on linear models, the project's conventions, properties, bad input."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.counting import Counting
from sgdscope.attacks import (
    Attacked,
    apgd,
    apgd_targeted,
    area,
    ball,
    bim,
    fgsm,
    gather,
    pgd,
    smallest_eps,
    square,
    strong,
    victim,
)  # fmt: skip
from sgdscope.attacks.apgd import checkpoints
from sgdscope.attacks.losses import LOSSES
from sgdscope.attacks.points import Points
from sgdscope.attacks.reach import Reach, promised
from sgdscope.data import inference
from sgdscope.errors import RequestError

ATTACKS: dict[str, Callable[..., list[Attacked]]] = {
    "fgsm": fgsm, "bim": bim, "pgd": pgd, "apgd": apgd, "apgd_targeted": apgd_targeted,
    "square": square, "strong": strong,
}  # fmt: skip
QUICK: dict[str, dict[str, int]] = {
    "fgsm": {}, "bim": {}, "pgd": {"steps": 20}, "apgd": {"steps": 20},
    "apgd_targeted": {"steps": 10}, "square": {"queries": 60},
    "strong": {"steps": 10, "queries": 60},
}  # fmt: skip


def linear(classes: int = 4, dtype: torch.dtype = torch.float64) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, classes, dtype=dtype)).eval()


def curved(classes: int = 5, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A small network whose answers vary and which an attack has to search."""
    layers = nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, classes)
    network = nn.Sequential(*layers).to(dtype).eval()
    for parameter in network.parameters():
        parameter.data.mul_(2.5)
    return network


def images(count: int = 24, dtype: torch.dtype = torch.float64, low: float = 0.0) -> Tensor:
    return torch.rand(count, 1, 6, 6, dtype=dtype) * (1 - 2 * low) + low


def answers(network: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return network(inputs).argmax(1)


def distances(network: nn.Module, inputs: Tensor, order: float) -> Tensor:
    """(N,): from each input to the nearest boundary of a linear network, no box."""
    head = network[-1]
    with torch.no_grad():
        logits = network(inputs)
        top = logits.argmax(1)
        gaps = logits.gather(1, top[:, None]) - logits  # (N, classes)
        slopes = head.weight[top][:, None] - head.weight[None]  # (N, classes, 36)
        reach = gaps / slopes.norm(order, dim=2)
        return reach.scatter(1, top[:, None], torch.inf).amin(1)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1.0), ("l2", 2.0)])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_two_class_linear_network_falls_exactly_at_its_distance(norm, dual, loss):
    network, inputs = linear(2), images(low=0.4)
    exact = distances(network, inputs, dual)
    labels = answers(network, inputs)
    radii = [0.5 * exact.median().item(), exact.median().item() * 1.01]
    for result in fgsm(network, inputs, labels, eps=radii, norm=norm, loss=loss):
        within = (result.eps < 0.35) if norm == "linf" else True
        assert within
        far = (exact - result.eps).abs() > 1e-9
        inside = result.inputs.sub(inputs).abs().amax((1, 2, 3)) < 0.4
        assert torch.equal(result.fooled[far & inside], (exact < result.eps)[far & inside])
        assert result.fooled.any() or result.eps < exact.min()


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1.0), ("l2", 2.0)])
def test_smallest_eps_is_the_distance_to_the_boundary_of_a_linear_network(norm, dual):
    network, inputs = linear(2), images(low=0.45)
    network[-1].weight.data.mul_(4)
    labels = answers(network, inputs)
    exact = distances(network, inputs, dual)
    near = exact < 0.4
    found = smallest_eps(network, inputs, labels, norm=norm, rounds=16)
    assert near.sum() > 5
    assert (found.fools[near] >= exact[near] - 1e-6).all()
    assert torch.allclose(found.fools[near], exact[near], rtol=0.01)
    assert (found.holds[near] <= exact[near] + 1e-6).all()


@pytest.mark.parametrize(("norm", "distance"), [("linf", 0.3), ("l2", 2.4)])
def test_the_smallest_eps_may_be_as_far_as_the_image_s_corner(norm, distance):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1 / 8], [-1 / 8]]).expand(2, 64))
        network[1].bias.copy_(torch.tensor([-4.0, 4.0]))
    inputs, labels = torch.full((3, 1, 8, 8), 0.8), torch.zeros(3, dtype=torch.long)
    found = smallest_eps(network, inputs, labels, norm=norm, rounds=16, steps=40)
    assert found.median == pytest.approx(distance, rel=0.01)


@pytest.mark.parametrize("errors", [0, 9, 40])
def test_the_median_alone_comes_out_within_its_bracket_for_fewer_passes(errors):
    network, inputs = Counting(curved()).eval(), images(60)
    labels = answers(network, inputs)
    labels[:errors] = 1 - labels[:errors].clamp(max=1)
    found, seen = [], []
    for median_only in (False, True):
        network.points = 0
        found.append(smallest_eps(network, inputs, labels, median_only=median_only))
        seen.append(network.points)
    whole, alone = found
    assert alone.median == pytest.approx(whole.median, rel=0.02)
    assert alone.median_holds <= alone.median
    assert alone.median_holds >= 0.98 * alone.median
    assert torch.equal(alone.fools.isinf(), whole.fools.isinf())
    assert seen[1] < 0.7 * seen[0]


def test_one_step_is_optimal_on_a_linear_network():
    network, inputs = linear(2), images(low=0.3)
    labels = answers(network, inputs)
    slope = network[-1].weight[1 - labels] - network[-1].weight[labels]
    (step,) = fgsm(network, inputs, labels, eps=[0.2])
    (walk,) = bim(network, inputs, labels, eps=[0.2], give_up=False)
    expected = inputs + 0.2 * slope.sign().view_as(inputs)
    assert torch.allclose(step.inputs, expected)
    assert torch.equal(step.fooled, walk.fooled)
    assert torch.allclose(walk.inputs[~walk.fooled], expected[~walk.fooled])


def test_the_l2_step_is_along_the_gradient_however_small_it_is():
    network, inputs = linear(2, torch.float32), images(dtype=torch.float32, low=0.4)
    for parameter in network.parameters():
        parameter.data.mul_(1e-22)
    labels = answers(network, inputs)
    (result,) = fgsm(network, inputs, labels, eps=[0.3], norm="l2", loss="margin")
    assert torch.allclose((result.inputs - inputs).flatten(1).norm(dim=1), torch.tensor(0.3))


@pytest.mark.parametrize("name", ATTACKS)
def test_eps_zero_is_clean_accuracy_and_clean_errors_are_failures(name):
    network, inputs = curved(), images()
    labels = answers(network, inputs)
    labels[:6] = (labels[:6] + 1) % 5
    results = ATTACKS[name](network, inputs, labels, eps=[0.0, 0.02], **QUICK[name])
    assert results[0].accuracy == pytest.approx(18 / 24)
    assert torch.equal(results[0].inputs, inputs)
    assert results[1].fooled[:6].all()
    assert torch.equal(results[1].inputs[:6], inputs[:6])  # never attacked


@pytest.mark.parametrize("name", ATTACKS)
def test_success_is_what_the_network_says_of_the_inputs_returned(name):
    network, inputs = curved(), images()
    labels = answers(network, inputs)
    (result,) = ATTACKS[name](network, inputs, labels, eps=[0.15], **QUICK[name])
    assert torch.equal(result.fooled, answers(network, result.inputs) != labels)
    assert result.fooled.sum() > 0


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(ATTACKS)),
    radii=st.lists(st.floats(0, 0.6), min_size=1, max_size=3),
    count=st.integers(1, 9),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    norm=st.sampled_from(["linf", "l2"]),
)
def test_perturbations_stay_in_the_ball_and_in_the_cube(name, radii, count, dtype, norm):
    options: dict[str, object] = dict(QUICK[name])
    if name != "square":
        options["norm"] = norm
    network, inputs = curved(dtype=dtype), images(count, dtype).round(decimals=1)
    labels = answers(network, inputs)
    results = ATTACKS[name](network, inputs, labels, eps=radii, **options)
    assert [result.eps for result in results] == radii
    for result in results:
        away = (result.inputs - inputs).flatten(1)
        order = 2 if options.get("norm") == "l2" else math.inf
        assert float(away.norm(order, dim=1).max()) <= result.eps + 1e-6
        assert float(result.inputs.min()) >= 0
        assert float(result.inputs.max()) <= 1
        assert result.inputs.dtype == dtype


@pytest.mark.parametrize("name", ATTACKS)
def test_a_larger_eps_never_leaves_more(name):
    network, inputs = curved(), images(40)
    labels = answers(network, inputs)
    radii = [0.3, 0.05, 0.1, 0.2]
    results = ATTACKS[name](network, inputs, labels, eps=radii, **QUICK[name])
    ordered = sorted(results, key=lambda result: result.eps)
    for small, large in itertools.pairwise(ordered):
        assert not (small.fooled & ~large.fooled).any()


@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
def test_more_steps_or_restarts_never_leave_more_and_pgd_is_never_above_fgsm(loss):
    network, inputs = curved(), images(60)
    labels = answers(network, inputs)
    eps = [0.03, 0.08]
    weaker = fgsm(network, inputs, labels, eps=eps, loss=loss)
    for steps, restarts in ((1, 1), (5, 1), (20, 1), (20, 3)):
        stronger = pgd(network, inputs, labels, eps=eps, loss=loss, steps=steps, restarts=restarts)
        for before, after in zip(weaker, stronger, strict=True):
            assert not (before.fooled & ~after.fooled).any()
        weaker = stronger
    for before, after in zip(weaker, strong(network, inputs, labels, eps=eps), strict=True):
        assert after.accuracy <= before.accuracy


@pytest.mark.parametrize("attack", [pgd, partial(apgd, steps=40)])
def test_giving_up_loses_hardly_a_point_and_says_which(attack):
    network, inputs = curved(), images(400)
    labels = answers(network, inputs)
    quick = attack(network, inputs, labels, eps=[0.02, 0.05])
    whole = attack(network, inputs, labels, eps=[0.02, 0.05], give_up=False)
    for some, every in zip(quick, whole, strict=True):
        assert every.accuracy <= some.accuracy <= every.accuracy + 1 / 400
        assert some.given_up.any()
        assert not (some.given_up & some.fooled).any()
        assert not every.given_up.any()


@pytest.mark.parametrize("attack", [pgd, partial(apgd, steps=40)])
def test_giving_up_in_l2_waits_for_slopes_that_grow_along_the_way(attack):
    """Pixels near 0 and 1 hardly count until they have come to the middle."""

    class Binarised(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return network(torch.sigmoid(10 * (x - 0.5)))

    network, inputs = curved(), 0.1 + 0.8 * images(400).round()
    labels = answers(Binarised().eval(), inputs)
    options = {"eps": [0.5, 1.0], "norm": "l2"}
    quick = attack(Binarised().eval(), inputs, labels, **options)
    whole = attack(Binarised().eval(), inputs, labels, give_up=False, **options)
    for some, every in zip(quick, whole, strict=True):
        assert some.accuracy <= every.accuracy + 2 / 400
        assert some.given_up.sum() > 20


def test_apgds_step_may_be_halved_after_the_papers_steps():
    """⌈p_j · steps⌉ with p = 0.22, 0.41, 0.57, …: Croce and Hein (2020), section 3.1."""
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(20) == [5, 9, 12, 14, 16, 18, 19, 20]


def test_who_is_out_of_reach():
    reach, gains = Reach(8, readings=3), torch.tensor([0.1, 0.1, 0.1, 0.9])
    assert not reach.lost(torch.tensor([-9.0, -9.0, -0.05, -2.0]), gains).any()
    assert not reach.lost(torch.tensor([-8.0, -9.0, -0.06, -2.0]), gains * 0).any()
    lost = reach.lost(torch.tensor([-7.0, -8.9, -0.07, -2.0]), gains * 0)
    # −7 + 6·1·√6; −8.9 + 6·0.1·√6; −0.05 + 4·0.1·√(6/8); −2 + 4·0.9·√(6/8)
    assert lost.tolist() == [False, True, False, False]
    for _ in range(5):
        lost = reach.lost(torch.full((4,), -9.0), gains)
    assert lost.all()
    assert not reach.lost(torch.full((4,), -9.0), gains).any()  # every step was taken


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_promised_gain_of_a_linear_network_is_what_can_be_gained(loss, norm):
    network, origin = linear(2), images(low=0.2)
    labels, eps = answers(network, origin), torch.full((24,), 0.1, dtype=torch.float64)
    points = Points(origin, labels, torch.arange(24), origin)
    now = ball.start(points, eps, norm, seed=0, number=0)
    logits, slope = victim.Victim(network, now.device).gradients(now, points, LOSSES[loss])
    gain = promised(points, now, eps, logits, slope, loss, norm)
    farthest = ball.step(origin, slope, eps, origin, eps, norm)
    margins = [points.margins(network(inputs)) for inputs in (now, farthest)]
    assert torch.allclose(margins[0] + gain, margins[1], rtol=1e-5)


@pytest.mark.parametrize("name", ["pgd", "apgd", "apgd_targeted", "square", "strong"])
def test_what_is_drawn_for_a_point_depends_neither_on_its_company_nor_on_chunks(name, monkeypatch):
    network, inputs = curved(), images(30)
    labels = answers(network, inputs)
    attack = partial(ATTACKS[name], network, eps=[0.05], **QUICK[name])
    (whole,) = attack(inputs=inputs, labels=labels, seed=3)
    monkeypatch.setattr(inference, "CPU", 7)
    (parts,) = attack(inputs=inputs, labels=labels, seed=3)
    assert torch.allclose(whole.inputs, parts.inputs)
    (first,) = attack(inputs=inputs[:10], labels=labels[:10], seed=3)
    assert torch.allclose(whole.inputs[:10], first.inputs)
    (other,) = attack(inputs=inputs, labels=labels, seed=4)
    assert not torch.allclose(whole.inputs, other.inputs)


@pytest.mark.parametrize("attack", [fgsm, bim, pgd, apgd, square])
def test_targeted_attacks_count_only_the_target(attack):
    network, inputs = curved(), images(40)
    labels = answers(network, inputs)
    targets = (labels + 1) % 5
    (result,) = attack(network, inputs, labels, eps=[0.4], targets=targets)
    assert torch.equal(result.fooled, answers(network, result.inputs) == targets)
    assert result.fooled.any()


def test_strong_says_which_attack_fooled_a_point():
    network, inputs = curved(), images(40)
    labels = answers(network, inputs)
    (result,) = strong(network, inputs, labels, eps=[0.1], steps=20, queries=50)
    starts = [f"apgd-ce {start}" for start in (1, 2, 3, 4)]
    assert result.tactics == ("fgsm", "pgd", *starts, "apgd-t", "apgd-t again", "square")
    assert torch.equal(result.by >= -1, result.fooled)
    (flat,) = strong(network, inputs, labels, eps=[0.1], steps=20, norm="l2")
    assert "square" not in flat.tactics


def test_the_network_is_left_as_it_was():
    network, inputs = curved(), images(4)
    network[0].bias.requires_grad_(False)
    pgd(network, inputs, answers(network, inputs), eps=[0.1])
    asks = [parameter.requires_grad for parameter in network.parameters()]
    assert asks == [True, False, True, True]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_fooled_point_is_not_asked_about_again():
    network, inputs = curved(), images(50)
    labels = answers(network, inputs)
    counting = Counting(network).eval()
    (result,) = pgd(counting, inputs, labels, eps=[0.5], give_up=False)
    assert result.accuracy == 0
    assert counting.points < 50 * 12


def test_chunks_shrink_when_memory_runs_out():
    class Small(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 3:
                raise torch.OutOfMemoryError("out of memory")
            return network(x)

    network, inputs = curved(), images(20)
    labels = answers(network, inputs)
    (small,) = fgsm(Small().eval(), inputs, labels, eps=[0.1])
    (whole,) = fgsm(network, inputs, labels, eps=[0.1])
    assert torch.equal(small.fooled, whole.fooled)


def test_losses_match_their_formulas():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.5, 3.0, -1.0, 1.0]], dtype=torch.float64)
    labels, targets = torch.tensor([0, 0]), torch.tensor([2, 3])
    logs = logits.log_softmax(1)
    assert torch.allclose(LOSSES["cross_entropy"](logits, labels), -logs[:, 0])
    assert torch.allclose(
        LOSSES["cross_entropy"](logits, labels, targets), torch.stack([logs[0, 2], logs[1, 3]])
    )
    assert LOSSES["margin"](logits, labels).tolist() == [-1.0, 2.5]
    assert LOSSES["margin"](logits, labels, targets).tolist() == [-2.0, -2.0]
    assert LOSSES["dlr"](logits, labels).tolist() == [-1 / 2, 2.5 / 2.5]
    assert LOSSES["dlr"](logits, labels, targets).tolist() == [-2 / 2.5, 0.5 / 3.25]


def test_cross_entropy_vanishes_on_a_sure_network_and_is_counted():
    network, inputs = curved(dtype=torch.float32), images(40, torch.float32)
    labels = answers(network, inputs)
    network[-1].weight.data.mul_(1e5)
    network[-1].bias.data.mul_(1e5)
    (blind,) = pgd(network, inputs, labels, eps=[0.1])
    assert blind.zero_gradient.sum() > 30
    for loss in ("margin", "dlr"):
        (sighted,) = pgd(network, inputs, labels, eps=[0.1], loss=loss)
        assert not sighted.zero_gradient.any()
        assert blind.accuracy > sighted.accuracy + 0.2


def test_area_is_the_mean_accuracy_of_the_curve():
    network, inputs = linear(2), images(40)
    labels = answers(network, inputs)
    results = fgsm(network, inputs, labels, eps=[0.1, 0.3])
    first, second = (result.accuracy for result in results)
    assert area(results) == pytest.approx((0.1 * (1 + first) + 0.2 * (first + second)) / 2 / 0.3)
    assert area(fgsm(network, inputs, labels, eps=[1e-9])) == 1


BAD: list[tuple[str, dict[str, Tensor]]] = [
    (r"lie in \[0, 2\]", {"inputs": torch.linspace(0, 2, 72).view(2, 1, 6, 6)}),
    ("1 NaN", {"inputs": torch.full((2, 1, 6, 6), 0.5).index_fill(0, torch.tensor([0]), 0.1)}),
    ("torch.uint8", {"inputs": torch.zeros(2, 1, 6, 6, dtype=torch.uint8)}),
    ("torch.float64", {"inputs": torch.zeros(2, 1, 6, 6, dtype=torch.float64)}),
    (r"shape \(0, 1, 6, 6\)", {"inputs": torch.zeros(0, 1, 6, 6)}),
    (r"lie in 0 … 7", {"labels": torch.tensor([0, 7])}),
    (r"lie in -1 … 0", {"labels": torch.tensor([-1, 0])}),
    (r"shape \(3,\)", {"labels": torch.tensor([0, 1, 2])}),
    (r"labels.argmax\(1\)", {"labels": torch.eye(2)}),
    ("labels are list", {"labels": [0, 1]}),
]


@pytest.mark.parametrize(("message", "bad"), BAD, ids=[message for message, _ in BAD])
@pytest.mark.parametrize("attack", [fgsm, pgd, strong])
def test_bad_tensors_are_refused_in_one_sentence(attack, message, bad):
    network = curved(dtype=torch.float32)
    good = {"inputs": torch.full((2, 1, 6, 6), 0.5), "labels": torch.tensor([0, 1])}
    chosen = {**good, **bad}
    if "NaN" in message:
        chosen["inputs"][0, 0, 0, 0] = torch.nan
    with pytest.raises(RequestError, match=message):
        attack(network, **chosen, eps=[0.1])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (curved(dtype=torch.float32).train(), "training mode"),
        (nn.Sequential(nn.Flatten(0)).eval(), "expected logits of shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 1)).eval(), "at least 2"),
        (nn.Sequential(nn.Conv2d(1, 2, 3)).eval(), "expected logits of shape"),
    ],
)
def test_bad_networks_are_refused_in_one_sentence(network, message):
    with pytest.raises(RequestError, match=message):
        fgsm(network, torch.zeros(2, 1, 6, 6), torch.tensor([0, 0]), eps=[0.1])


@pytest.mark.parametrize("eps", [[], [-0.1], [math.nan], [math.inf]])
def test_bad_eps_is_refused(eps):
    with pytest.raises(RequestError, match="eps"):
        fgsm(linear(), images(2), torch.tensor([0, 0]), eps=eps)


@pytest.mark.parametrize(
    ("attack", "count"),
    [(pgd, "steps"), (pgd, "restarts"), (bim, "steps"), (apgd, "steps"), (apgd, "restarts"),
     (apgd_targeted, "classes"), (square, "queries"), (strong, "queries")],
)  # fmt: skip
def test_nothing_to_do_is_refused(attack, count):
    with pytest.raises(RequestError, match=f"{count} = 0; expected a whole number from 1"):
        attack(curved(), images(2), torch.tensor([0, 0]), eps=[0.1], **{count: 0})


@pytest.mark.parametrize("attack", [fgsm, pgd, apgd])
def test_the_dlr_loss_compares_three_classes_or_four(attack):
    labels, other = torch.tensor([0, 0]), torch.tensor([1, 1])
    for classes, targets, needed in ((2, None, 3), (3, other, 4)):
        network = nn.Sequential(nn.Flatten(), nn.Linear(36, classes)).eval()
        with pytest.raises(
            RequestError, match=f"has {classes} classes; expected at least {needed}"
        ):
            attack(network, torch.zeros(2, 1, 6, 6), labels, eps=[0.1], loss="dlr", targets=targets)
    attack(network, torch.zeros(2, 1, 6, 6), labels, eps=[0.1], loss="dlr")


@pytest.mark.parametrize("attack", [fgsm, pgd, apgd])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"norm": "l1"}, "unknown norm 'l1'; did you mean 'l2'? valid: l2, linf"),
     ({"loss": "ce"}, "unknown loss 'ce'"), ({"eps": None}, "eps = None; expected a number"),
     ({"eps": [8]}, "eps = 8; expected at most 1"), ({"eps": "8/0"}, "such as 0.1 or 8/255")],
)  # fmt: skip
def test_words_and_numbers_that_mean_nothing_are_refused(attack, wrong, message):
    with pytest.raises(RequestError, match=re.escape(message)):
        attack(linear(), images(2), torch.tensor([0, 0]), **({"eps": [0.1]} | wrong))


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


@pytest.mark.parametrize(
    ("eps", "expected"),
    [(0.1, [0.1]), ("8/255", [8 / 255]), (["8/255", 0.1], [8 / 255, 0.1]), ((0.1,), [0.1]),
     (torch.tensor(0.25), [0.25]), (torch.tensor([0.25, 0.5]), [0.25, 0.5]),
     (np.linspace(0, 1, 3), [0, 0.5, 1]), (np.float64(0.1), [0.1]), (1, [1.0])],
)  # fmt: skip
def test_eps_is_a_number_or_several_however_they_are_written(eps, expected):
    results = fgsm(linear(), images(2), torch.tensor([0, 0]), eps=eps)
    assert [result.eps for result in results] == expected
    assert all(type(result.eps) is float for result in results)


def test_an_eps_beyond_every_pixel_is_a_mistake_but_not_in_l2():
    for attack in ATTACKS.values():
        with pytest.raises(RequestError, match=r"8 of 256 levels are 8/255 = 0.0314"):
            attack(linear(), images(2), torch.tensor([0, 0]), eps=[0.1, 8])
    fgsm(linear(), images(2), torch.tensor([0, 0]), eps=8, norm="l2")


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd", "apgd_targeted", "square", "strong"])
def test_no_rounding_leads_out_of_the_ball(name, norm, dtype):
    if (name, norm) == ("square", "l2"):
        return
    options = QUICK[name] | ({} if name == "square" else {"norm": norm})
    network, inputs = curved(dtype=dtype), images(30, torch.float64).to(dtype)
    labels = answers(network, inputs)
    for result in ATTACKS[name](network, inputs, labels, eps=[1e-9, 1 / 255, 8 / 255, 0.3],
                                **options):  # fmt: skip
        away = (result.inputs.double() - inputs.double()).flatten(1)
        assert float(away.norm(2 if norm == "l2" else math.inf, dim=1).max()) <= result.eps
        assert result.inputs.dtype == dtype
        assert torch.equal(result.fooled, answers(network, result.inputs) != labels)


def test_half_precision_is_attacked_as_well_as_float32():
    network, inputs = curved(dtype=torch.float32), images(200, torch.float32)
    for dtype in (torch.bfloat16, torch.float16):
        half = copy.deepcopy(network).to(dtype)
        given = inputs.to(dtype)
        labels = answers(half, given)
        (ours,) = pgd(half, given, labels, eps=0.05, loss="margin")
        (theirs,) = pgd(network, given.float(), answers(network, given.float()), eps=0.05,
                        loss="margin")  # fmt: skip
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.05)
        assert smallest_eps(half, given, labels).median < 0.2
        gather(half, given, labels, [ours], loss="margin")


def test_pixels_may_be_off_by_a_rounding():
    network, inputs = linear(dtype=torch.float32), images(20, torch.float32)
    inputs[:, :, 0, 0], inputs[:, :, 1, 1] = 1, 0
    labels = answers(network, inputs)
    expected = pgd(network, inputs, labels, eps=0.1)[0]
    beyond = (inputs * (1 + 1.2e-7)) - 1e-8
    assert beyond.max() > 1
    found = pgd(network, beyond, labels, eps=0.1)[0]
    assert torch.equal(found.fooled, expected.fooled)
    assert 0 <= found.inputs.min() <= found.inputs.max() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_are_whole_numbers_of_any_type(dtype):
    network, inputs = curved(), images(20)
    labels = answers(network, inputs)
    found = pgd(network, inputs, labels.to(dtype), eps=0.1)[0]
    assert torch.equal(found.fooled, pgd(network, inputs, labels, eps=0.1)[0].fooled)


def test_results_are_plain_numbers():
    network, inputs = curved(), images(5).requires_grad_()
    (result,) = pgd(network, inputs, answers(network, inputs), eps=0.1)
    for value in vars(result).values():
        assert not isinstance(value, Tensor) or not value.requires_grad
    result.inputs.numpy()
