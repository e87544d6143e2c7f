"""Numbers given to functions of the library: each wrong one is refused in one sentence."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sgdscope import curvature
from sgdscope.arguments import number, positive, whole
from sgdscope.errors import RequestError


def hessian(**given: Any) -> curvature.Hessian:
    torch.manual_seed(0)
    model = nn.Linear(4, 3).eval()
    return curvature.Hessian(model, torch.randn(20, 4), torch.randint(0, 3, (20,)), **given)


def sharpness(measured: Callable[..., Any]) -> Callable[..., Any]:
    made = hessian()
    return lambda **given: measured(made.model, made.inputs, made.labels, **given)


COUNTS = [
    (lambda **given: curvature.top_eigenvalues(hessian(), **given), "k", 1),
    (lambda **given: curvature.top_eigenvalues(hessian(), **given), "max_products", 1),
    (lambda **given: curvature.spectral_density(hessian(), **given), "probes", 2),
    (lambda **given: curvature.spectral_density(hessian(), **given), "steps", 1),
    (lambda **given: curvature.spectral_density(hessian(), **given), "points", 2),
    (lambda **given: curvature.trace(hessian(), **given), "max_products", 1),
    (lambda **given: curvature.trace(hessian(), **given), "sketch", 0),
    (hessian, "chunk", 1),
    (hessian, "memory", 0),
    (sharpness(curvature.InputHessian), "chunk", 1),
    (sharpness(curvature.keskar_sharpness), "steps", 1),
    (sharpness(curvature.batch_sharpness), "batch_size", 1),
    (lambda **given: sharpness(curvature.batch_sharpness)(batch_size=4, **given), "batches", 2),
]
SIZES = [
    (lambda **given: curvature.top_eigenvalues(hessian(), **given), "tolerance"),
    (lambda **given: curvature.bottom_eigenvalues(hessian(), **given), "tolerance"),
    (lambda **given: curvature.spectral_density(hessian(), **given), "tolerance"),
    (lambda **given: curvature.spectral_density(hessian(), **given), "width"),
    (lambda **given: curvature.trace(hessian(), **given), "tolerance"),
    (sharpness(curvature.sam_sharpness), "rho"),
    (sharpness(curvature.asam_sharpness), "rho"),
    (sharpness(curvature.keskar_sharpness), "eps"),
]


@pytest.mark.parametrize(("called", "name", "lowest"), COUNTS)
def test_counts_are_whole_numbers(called, name, lowest):
    for given in (lowest - 1, lowest + 0.5, True, "3", math.nan):
        said = f"{name} = {given!r}; expected a whole number from {lowest}"
        with pytest.raises(RequestError) as refused:
            called(**{name: given})
        assert str(refused.value) == said
    called(**{name: np.int64(20)}) if name != "k" else called(k=np.int64(2))


@pytest.mark.parametrize(("called", "name"), SIZES)
def test_sizes_are_finite_and_above_0(called, name):
    for given in (0, -0.1, math.nan, math.inf, None, "wide"):
        if (name, given) == ("width", None):
            continue  # the default
        with pytest.raises(RequestError, match=f"{name} = .*; expected a (finite )?number"):
            called(**{name: given})
    called(**{name: np.float32(0.1)})


def test_numbers_of_every_type():
    given = [2, 2.0, np.float64(2), torch.tensor([2.0], requires_grad=True), Fraction(2), "4/2"]
    assert [number("rate", one) for one in given] == [2.0] * len(given)
    assert [whole("steps", one) for one in (np.int8(3), torch.tensor(3), 3)] == [3] * 3
    with pytest.raises(RequestError, match="size = 0; expected a finite number above 0"):
        positive("size", 0)
