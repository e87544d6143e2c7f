"""Measures of sharpness on a small network."""

import torch

from sgdscope import data, models
from sgdscope.measuring import Subject
from sgdscope.registry import MEASURES


def subject() -> Subject:
    digits = data.load("digits")
    model = models.build("stdcnn", shape=digits.shape, classes=10, seed=0).eval()
    return Subject(model, digits, seed=0)


def test_top_eigenvalue_carries_its_evidence() -> None:
    (reading,) = MEASURES["top_eigenvalue"](examples=50).read(subject())
    assert reading.value > 0
    assert reading.evidence["converged"] is True
    assert reading.evidence["examples"] == 50
    assert 0 <= reading.evidence["residual"] <= 1e-2 * reading.value
    assert not reading.flags


def test_top_eigenvalue_unconverged_is_flagged() -> None:
    (reading,) = MEASURES["top_eigenvalue"](examples=50, max_products=2).read(subject())
    assert reading.evidence["converged"] is False
    assert "did not converge in 2 products" in reading.flags[0]
    assert torch.isfinite(torch.tensor(reading.value))
