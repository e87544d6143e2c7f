"""Plain SGD ends with the bits that it ended with before the package was laid out anew.

What is held here was computed at the commit before the move, 74bdc8a, with torch 2.13.0. Sums round
differently on other processors: one that computes ``arithmetic`` with other bits is held to the
numbers instead.
"""

import hashlib

import pytest
import torch
from torch import Tensor, nn

from sgdscope.training.loop import Training, initialise

ARITHMETIC = "cd56164261a68f5dbe7e2249ff489fd204f56e024e86583fe83f318289ad773c"
BEFORE = {  # settings; SHA-256 of the weights, how far they moved (ℓ2), and the last epoch's loss
    "fixed": (
        {"schedule_options": {"learning_rate": 0.1}},
        "ba3b5ed62205aabff10491f66fcbfb6ce77d01c3d27db0e31716e0a004c6dee2", 0.2008, 2.2952,
    ),
    "constant ratio, momentum 0.9": (
        {
            "schedule": "constant-ratio", "schedule_options": {"ratio": 0.001},
            "momentum": 0.9, "batch_size": 24,
        },
        "0f7c69fea51fad3f4cba79c8680254076452773c6e1f8c58b2e4a1cc7e11011b", 0.4511, 2.2771,
    ),
    "step decay, momentum 0.5": (
        {
            "schedule": "step-decay", "momentum": 0.5,
            "schedule_options": {"learning_rate": 0.2, "factor": 0.5, "every": 3},
        },
        "7f2f707c0a5dc1c711b78c45854ba48a59654bc43ff1835034f8cd9388d540d4", 0.7065, 2.2497,
    ),
}  # fmt: skip


def bits(tensors: list[Tensor]) -> str:
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
    return hashlib.sha256(flat.numpy().tobytes()).hexdigest()


def arithmetic() -> str:
    """The bits of gradients through the layers that StdCNN has, without any of the package."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(1440, 10)
    ).to(memory_format=torch.channels_last)
    images, labels = torch.rand(32, 1, 28, 28), torch.arange(32) % 10
    nn.functional.cross_entropy(network(images), labels).backward()
    return bits([p.grad for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("case", BEFORE)
def test_training_ends_with_the_bits_of_before_the_move(case, small, make_run):
    settings, expected, moved, loss = BEFORE[case]
    run = make_run(**(settings | {"epochs": 5}))
    training = Training(run, small)
    while not training.finished:
        training.advance()
    pairs = zip(training.model.parameters(), initialise(run, small).parameters(), strict=True)
    way = torch.cat([(after - before).detach().flatten() for after, before in pairs]).double()
    assert way.norm().item() == pytest.approx(moved, rel=1e-3)
    assert training.history[-1].train_loss == pytest.approx(loss, rel=1e-3)
    if arithmetic() == ARITHMETIC:
        assert bits(list(training.model.parameters())) == expected
