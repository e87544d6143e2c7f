"""Closed forms on linear models, the conventions, and properties of every attack."""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from victims import ATTACKS, QUICK, answers, curved, images, linear

from benchmarks.counting import Counting
from sgdscope.attacks import apgd, area, ball, bim, fgsm, pgd, smallest_eps, square, strong, victim
from sgdscope.attacks.apgd import checkpoints
from sgdscope.attacks.losses import LOSSES
from sgdscope.attacks.points import Points
from sgdscope.attacks.reach import Reach, promised
from sgdscope.data import inference


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


@pytest.mark.parametrize("masked", [-torch.inf, torch.finfo(torch.float64).min])
@pytest.mark.parametrize(("classes", "targets"), [(2, None), (3, torch.tensor([1, 2]))])
def test_dlr_is_the_difference_alone_where_a_mask_leaves_too_few_classes(classes, targets, masked):
    reached = torch.tensor([[2.0, 1.0, 0.0], [0.5, 3.0, 1.0]], dtype=torch.float64)[:, :classes]
    logits = F.pad(reached, (0, 3), value=masked).requires_grad_()
    labels = torch.tensor([0, 0])
    loss = LOSSES["dlr"](logits, labels, targets)
    others = torch.tensor([1, 1]) if targets is None else targets
    assert torch.equal(loss, logits[[0, 1], others] - logits[:, 0])
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert torch.equal(slope, F.one_hot(others, len(logits[0])) - F.one_hot(labels, len(logits[0])))


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
