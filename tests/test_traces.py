"""Traces and spectral densities against matrices whose spectrum is known."""

import math

import pytest
import torch
from matrices import Dense, with_spectrum
from test_operators import dense_hessian, examples, network
from torch import Tensor

from sgdscope.curvature import Hessian, InputHessian, spectral_density, trace
from sgdscope.errors import RequestError

OUTLIERS = [50.0, 30.0, 20.0, *torch.linspace(-1, 2, 197).tolist()]


def test_trace_within_its_standard_error() -> None:
    found = trace(with_spectrum(*OUTLIERS), tolerance=0.02, max_products=200)
    assert found.converged
    assert found.error <= 0.02 * abs(found.value)
    assert abs(found.value - sum(OUTLIERS)) < 2 * found.error


@pytest.mark.parametrize("sketch", [0, 10])
def test_trace_is_unbiased_and_its_error_honest(sketch: int) -> None:
    operator = with_spectrum(*OUTLIERS)
    runs = [
        trace(operator, tolerance=1e-9, max_products=2 * sketch + 10, sketch=sketch, seed=seed)
        for seed in range(60)
    ]
    assert not any(run.converged for run in runs)
    assert {run.products for run in runs} == {2 * sketch + 10}
    errors = [(run.value - sum(OUTLIERS)) / run.standard_error for run in runs]
    assert abs(sum(errors)) / math.sqrt(60) < 4
    assert 0.6 < math.sqrt(sum(error**2 for error in errors) / 60) < 1.8


def test_the_interval_of_a_trace_holds_what_it_says() -> None:
    powers = torch.arange(1, 301).double() ** -0.8
    outside = 0
    for seed in range(400):
        found = trace(diagonal(powers), tolerance=0.03, seed=seed)
        outside += abs(found.value - powers.sum().item()) > found.error
        assert found.converged == (found.error <= 0.03 * found.value)
    assert outside <= 400 * 0.05


def diagonal(values: Tensor) -> Dense:
    return Dense(torch.diag(values))


def test_a_sketch_catches_outliers() -> None:
    operator = with_spectrum(*OUTLIERS)
    plain = trace(operator, tolerance=1e-9, max_products=40, sketch=0)
    caught = trace(operator, tolerance=1e-9, max_products=40, sketch=10)
    assert caught.standard_error < 0.6 * plain.standard_error


@pytest.mark.parametrize("spectrum", [[0.0] * 8, [1.0, -1.0, 3.0]])
def test_trace_of_a_small_matrix_is_exact(spectrum: list[float]) -> None:
    found = trace(with_spectrum(*spectrum))
    assert found.converged
    assert found.standard_error == 0
    assert found.value == pytest.approx(sum(spectrum), abs=1e-12)


def test_a_network_s_trace_and_density_are_those_of_its_dense_hessian() -> None:
    model, (inputs, labels) = network(), examples(600)
    exact = torch.linalg.eigvalsh(dense_hessian(model, inputs, labels))
    hessian = Hessian(model, inputs, labels)
    assert hessian.part() is not None
    found = trace(hessian, tolerance=0.05, max_products=200)
    assert found.converged
    assert abs(found.value - exact.sum().item()) < 2 * found.error
    seen = spectral_density(hessian, probes=40, steps=30)
    assert seen.converged
    for power in (1, 2):
        moments = (seen.weights * seen.nodes**power).sum(1)
        error = moments.std().item() / math.sqrt(len(moments))
        assert abs(moments.mean().item() - exact.pow(power).mean().item()) < 4 * error
    assert not spectral_density(hessian, probes=2, steps=5, tolerance=1e-3).converged


def test_a_batch_of_matrices_has_no_one_trace_or_density() -> None:
    many = InputHessian(network(), *examples())
    with pytest.raises(RequestError, match="trace of a InputHessian, which is 11 matrices"):
        trace(many)
    with pytest.raises(RequestError, match="spectral density of a InputHessian"):
        spectral_density(many)


def test_trace_without_room_for_probes() -> None:
    with pytest.raises(
        RequestError, match="max_products = 12 with sketch = 10; expected at least 28"
    ):
        trace(with_spectrum(*OUTLIERS), max_products=12)


def test_density_has_the_spectrum_s_mass_and_moments() -> None:
    operator = with_spectrum(*OUTLIERS)
    found = spectral_density(operator, probes=40, steps=30)
    step = found.grid[1] - found.grid[0]
    assert (found.density.sum() * step).item() == pytest.approx(1, abs=1e-3)
    mean = (found.nodes * found.weights).sum(1).mean().item()
    assert mean == pytest.approx(sum(OUTLIERS) / 200, abs=0.15)
    assert found.nodes.max().item() == pytest.approx(50, abs=1e-6)
    assert found.products == 40 * 30


def test_density_is_that_of_the_eigenvalues() -> None:
    operator = with_spectrum(*OUTLIERS)
    found = spectral_density(operator, probes=40, steps=40, width=0.5)
    values = torch.tensor(OUTLIERS, dtype=torch.float64)
    exact = torch.exp(-(((found.grid[:, None] - values) / 0.5) ** 2) / 2).sum(1)
    exact /= 200 * 0.5 * math.sqrt(2 * math.pi)
    away = (found.density - exact).abs().sum() / exact.sum()
    assert away < 4 * found.relative_error
    assert away < 0.15


def test_a_density_with_too_few_steps_for_its_width_has_not_converged() -> None:
    flat = diagonal(torch.linspace(-1, 1, 400, dtype=torch.float64))
    coarse = spectral_density(flat, probes=5, steps=30)
    assert coarse.resolution > 0.25
    assert not coarse.converged
    smooth = spectral_density(flat, probes=5, steps=30, width=0.15)
    assert smooth.converged
    assert smooth.resolution < 0.05


def test_a_density_of_low_rank_stays_within_the_spectrum() -> None:
    draws = torch.randn(5, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = torch.linalg.svdvals(draws).square()
    found = spectral_density(Dense(draws.T @ draws), probes=4, steps=30)
    assert found.converged
    assert found.nodes.min() > -1e-9
    torch.testing.assert_close(found.nodes.max(), exact[0])
    mean = (found.nodes * found.weights).sum(1).mean().item()
    assert mean == pytest.approx(exact.sum().item() / 300, rel=0.5)


def test_density_of_zero() -> None:
    found = spectral_density(with_spectrum(*[0.0] * 8))
    assert found.nodes.abs().max() == 0
    assert found.density.isfinite().all()


def test_density_from_one_probe_has_no_error() -> None:
    with pytest.raises(RequestError, match="probes = 1; expected a whole number from 2"):
        spectral_density(with_spectrum(1.0, 2.0), probes=1)
