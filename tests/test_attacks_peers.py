"""Attacks beside torchattacks and foolbox on the same network; skipped where there are none.

Steps from the point itself are compared input by input; random starts differ, so accuracies are.
"""

from __future__ import annotations

import contextlib
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from sgdscope.attacks import Attacked, apgd, bim, fgsm, pgd, smallest_eps, square, strong

pytestmark = pytest.mark.filterwarnings("ignore")
MISSING = "(benchmarks/requirements.txt) is not installed"


@pytest.fixture(scope="module")
def foolbox() -> ModuleType:
    return pytest.importorskip("foolbox", reason=f"foolbox {MISSING}")


@pytest.fixture(scope="module")
def torchattacks() -> ModuleType:
    with contextlib.suppress(RuntimeError):  # there already
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor a, Tensor b, float c) -> Tensor")
        KEPT.append(library)
    return pytest.importorskip("torchattacks", reason=f"torchattacks {MISSING}")


# torchattacks imports torchvision where it can, whose builds without operators miss this one.
KEPT: list[torch.library.Library] = []  # an operator lives as long as its library


@pytest.fixture
def case() -> tuple[nn.Module, Tensor, Tensor]:
    """A network whose answers vary, 200 inputs, and its answers."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, 5)
    network = nn.Sequential(*layers).eval()
    for parameter in network.parameters():
        parameter.data.mul_(2.5)
    inputs = torch.rand(200, 1, 6, 6)
    with torch.no_grad():
        return network, inputs, network(inputs).argmax(1)


def accuracy(network: nn.Module, found: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return (network(found).argmax(1) == labels).double().mean().item()


def away_from_the_edges(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs whose pixels stop nowhere, and their answers.

    Where pixels stop at 0 or 1, sgdscope's ℓ2 steps reach the radius and the peers' stop short.
    """
    inputs = 0.25 + inputs / 2
    with torch.no_grad():
        return inputs, network(inputs).argmax(1)


def same_steps(ours: Attacked, theirs: Tensor, fooled: Tensor) -> None:
    """Who survives all steps stands where the peer stands; hardly one is fooled on the way only."""
    left = ~ours.fooled
    assert 20 < left.sum() < 180
    assert not (fooled & left).any()
    assert (ours.fooled & ~fooled).sum() <= 3
    torch.testing.assert_close(ours.inputs[left], theirs[left], atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fgsm_and_bim_take_the_steps_of_foolbox(norm, case, foolbox):
    network, inputs, labels = case
    if norm == "l2":
        inputs, labels = away_from_the_edges(network, inputs)
    peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    kind = foolbox.attacks
    eps = 0.05 if norm == "linf" else 0.4
    one = kind.LinfFastGradientAttack() if norm == "linf" else kind.L2FastGradientAttack()
    _, clipped, fooled = one(peer, inputs, labels, epsilons=eps)
    (ours,) = fgsm(network, inputs, labels, eps=[eps], norm=norm)
    assert torch.equal(ours.fooled, fooled)
    torch.testing.assert_close(ours.inputs, clipped, atol=1e-6, rtol=0)
    basic = (kind.LinfBasicIterativeAttack if norm == "linf" else kind.L2BasicIterativeAttack)(
        rel_stepsize=0.1, steps=10
    )
    _, clipped, fooled = basic(peer, inputs, labels, epsilons=eps)
    (ours,) = bim(network, inputs, labels, eps=[eps], norm=norm, give_up=False)
    same_steps(ours, clipped, fooled)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steps_are_those_of_torchattacks(norm, case, torchattacks):
    network, inputs, labels = case
    options = {"random_start": False, "steps": 40}
    eps = 0.05 if norm == "linf" else 0.4
    if norm == "linf":
        found = torchattacks.FGSM(network, eps=eps)(inputs, labels)
        (ours,) = fgsm(network, inputs, labels, eps=[eps])
        torch.testing.assert_close(ours.inputs, found, atol=1e-6, rtol=0)
        peer = torchattacks.PGD(network, eps=eps, alpha=eps / 15, **options)
    else:
        inputs, labels = away_from_the_edges(network, inputs)
        peer = torchattacks.PGDL2(network, eps=eps, alpha=eps / 15, **options)
    found = peer(inputs, labels)
    with torch.no_grad():
        fooled = network(found).argmax(1) != labels
    (ours,) = pgd(network, inputs, labels, eps=[eps], norm=norm, give_up=False, **options)
    same_steps(ours, found, fooled)


def test_pgd_leaves_no_more_than_either_peer(case, foolbox, torchattacks):
    network, inputs, labels = case
    eps = 0.05
    peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    theirs = foolbox.attacks.LinfPGD(rel_stepsize=1 / 15, steps=40)
    found = [
        theirs(peer, inputs, labels, epsilons=eps)[1],
        torchattacks.PGD(network, eps=eps, alpha=eps / 15, steps=40)(inputs, labels),
    ]
    (ours,) = pgd(network, inputs, labels, eps=[eps])
    for inputs_found in found:
        theirs = accuracy(network, inputs_found, labels)
        assert theirs - 0.02 <= ours.accuracy <= theirs + 0.005


def test_pgd_in_l2_leaves_no_more_than_foolbox(case, foolbox):
    network, inputs, labels = case
    inputs = inputs.round()  # every pixel is at its edge
    with torch.no_grad():
        labels = network(inputs).argmax(1)
    peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.L2PGD(rel_stepsize=1 / 15, steps=40)
    for eps in (0.3, 0.6):
        theirs = accuracy(network, attack(peer, inputs, labels, epsilons=eps)[1], labels)
        (ours,) = pgd(network, inputs, labels, eps=[eps], norm="l2")
        assert 0.1 < theirs < 0.9
        assert ours.accuracy <= theirs + 0.015  # random starts differ


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_median_eps_is_no_larger_than_that_of_foolbox_s_fmn(norm, case, foolbox):
    network, inputs, labels = case
    peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LInfFMNAttack if norm == "linf" else foolbox.attacks.L2FMNAttack
    found = attack(steps=200).run(peer, inputs, labels)
    order = torch.inf if norm == "linf" else 2
    theirs = (found - inputs).flatten(1).norm(order, dim=1)
    ours = smallest_eps(network, inputs, labels, norm=norm, median_only=True)
    assert ours.median <= 1.01 * theirs.quantile(0.5, interpolation="higher").item()


@pytest.mark.parametrize("name", ["apgd", "square"])
def test_apgd_and_square_leave_no_more_than_those_of_torchattacks(name, case, torchattacks):
    network, inputs, labels = case
    eps = 0.06
    if name == "apgd":
        peer = torchattacks.APGD(network, eps=eps, steps=50, seed=0)
        (ours,) = apgd(network, inputs, labels, eps=[eps], steps=50)
    else:
        peer = torchattacks.Square(network, eps=eps, n_queries=500, n_restarts=1, seed=0)
        (ours,) = square(network, inputs, labels, eps=[eps], queries=500)
    theirs = accuracy(network, peer(inputs, labels), labels)
    assert 0.1 < theirs < 0.9
    assert theirs - 0.05 <= ours.accuracy <= theirs + 0.01


def test_strong_leaves_no_more_than_autoattack(case, torchattacks):
    network, inputs, labels = case
    inputs, labels = inputs[:60], labels[:60]
    peer = torchattacks.AutoAttack(network, eps=0.06, n_classes=5, seed=0)
    theirs = accuracy(network, peer(inputs, labels), labels)
    (ours,) = strong(network, inputs, labels, eps=[0.06])
    assert 0.1 < theirs < 0.9
    assert ours.accuracy <= theirs + 0.005
