"""What attacks take, of any type, and what they refuse, each in one sentence."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from victims import ATTACKS, QUICK, answers, curved, images, linear

from sgdscope.attacks import (
    apgd,
    apgd_targeted,
    area,
    bim,
    fgsm,
    gather,
    pgd,
    smallest_eps,
    square,
    strong,
)  # fmt: skip
from sgdscope.errors import RequestError

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


@pytest.mark.parametrize("count", [2.5, 2.0, "3", math.nan, None])
def test_a_count_is_a_whole_number(count):
    for attack, name in ((pgd, "steps"), (pgd, "restarts"), (apgd, "steps"), (square, "queries")):
        with pytest.raises(RequestError, match=f"{name} = {count!r}; expected a whole number"):
            attack(curved(), images(2), torch.tensor([0, 0]), eps=[0.1], **{name: count})
    (found,) = pgd(curved(), images(2), torch.tensor([0, 0]), eps=0.1, steps=np.int64(2))
    assert len(found.fooled) == 2


@pytest.mark.parametrize("size", [0, -1, math.nan, math.inf, "-1", "much", True, None])
@pytest.mark.parametrize(
    ("attack", "name"),
    [(pgd, "step_size"), (bim, "step_size"), (smallest_eps, "step_size"),
     (smallest_eps, "largest")],
)  # fmt: skip
def test_sizes_are_finite_numbers_above_0(attack, name, size):
    if (name, size) == ("largest", None):  # no image is further away
        return
    eps = {} if attack is smallest_eps else {"eps": 0.1}
    with pytest.raises(RequestError, match=f"^{name} = .*; expected a (finite )?number"):
        attack(curved(), images(2), torch.tensor([0, 0]), **eps, **{name: size})


def test_sizes_are_written_as_eps_is():
    network, inputs = curved(), images(20)
    labels = answers(network, inputs)
    (text,) = pgd(network, inputs, labels, eps=0.05, steps=3, step_size="1/4")
    (number,) = pgd(network, inputs, labels, eps=0.05, steps=3, step_size=0.25)
    assert torch.equal(text.inputs, number.inputs)
    nearby = [smallest_eps(network, inputs, labels, rounds=2, largest=largest).fools
              for largest in ("8/255", 8 / 255)]  # fmt: skip
    assert torch.equal(*nearby)


def test_evidence_is_about_an_attack_that_exists():
    network, inputs = curved(), images(5)
    labels = answers(network, inputs)
    results = pgd(network, inputs, labels, eps=0.1, steps=2)
    with pytest.raises(RequestError, match="unknown loss 'ce'"):
        gather(network, inputs, labels, results, loss="ce")
    with pytest.raises(RequestError, match="results is empty"):
        gather(network, inputs, labels, [], loss="margin")


@pytest.mark.parametrize(("eps", "seen"), [([0.0], "0"), ([], "none")])
def test_an_area_needs_an_eps_above_0(eps, seen):
    network, inputs = curved(), images(5)
    results = pgd(network, inputs, answers(network, inputs), eps=eps, steps=2) if eps else []
    with pytest.raises(RequestError, match=f"results are at eps {seen}; expected at least one"):
        area(results)


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


@pytest.mark.parametrize(
    "dtype",
    [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int16, torch.int32, torch.int64],
)
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
