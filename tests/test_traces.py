"""Traces and spectral densities against matrices whose spectrum is known."""

import math

import pytest
import torch
from matrices import with_spectrum
from test_operators import dense_hessian, examples, network

from sgdscope.curvature import Hessian, InputHessian, spectral_density, trace
from sgdscope.errors import RequestError

OUTLIERS = [50.0, 30.0, 20.0, *torch.linspace(-1, 2, 197).tolist()]


def test_trace_within_its_standard_error() -> None:
    found = trace(with_spectrum(*OUTLIERS), tolerance=0.02, max_products=200)
    assert found.converged
    assert found.standard_error <= 0.02 * abs(found.value)
    assert abs(found.value - sum(OUTLIERS)) < 4 * found.standard_error


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
    found = trace(hessian, tolerance=0.02, max_products=200)
    assert found.converged
    assert abs(found.value - exact.sum().item()) < 4 * found.standard_error
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
    with pytest.raises(RequestError, match="max_products=12 with sketch=10; expected at least 25"):
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


def test_density_of_zero() -> None:
    found = spectral_density(with_spectrum(*[0.0] * 8))
    assert found.nodes.abs().max() == 0
    assert found.density.isfinite().all()


def test_density_from_one_probe_has_no_error() -> None:
    with pytest.raises(RequestError, match="probes=1, steps=30; expected at least 2 probes"):
        spectral_density(with_spectrum(1.0, 2.0), probes=1)
