"""Extreme eigenvalues against dense matrices in float64."""

import pytest
import torch
from matrices import Dense, with_spectrum
from torch import Tensor

from sgdscope import streams
from sgdscope.curvature import bottom_eigenvalues, top_eigenvalues
from sgdscope.curvature.krylov import Krylov
from sgdscope.curvature.missed import missed
from sgdscope.errors import RequestError

SPECTRA = {
    "separated": [9.0, 5.0, 4.0, *torch.linspace(-1, 1, 27).tolist()],
    "largest magnitude negative": [-20.0, -7.0, 3.0, 2.0, *torch.linspace(-1, 1, 26).tolist()],
    "repeated": [5.0, 5.0, 5.0, *torch.linspace(-1, 1, 27).tolist()],
    "all equal": [2.0] * 12,
    "zero": [0.0] * 12,
    "negative definite": torch.linspace(-4, -1, 20).tolist(),
    "one": [3.0],
}


@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA)
@pytest.mark.parametrize("k", [1, 3])
def test_ends_of_a_known_spectrum(spectrum: list[float], k: int) -> None:
    operator = with_spectrum(*spectrum)
    k = min(k, operator.size)
    expected = torch.tensor(sorted(spectrum), dtype=torch.float64)
    top = top_eigenvalues(operator, k=k, tolerance=1e-9)
    bottom = bottom_eigenvalues(operator, k=k, tolerance=1e-9)
    assert top.converged
    assert bottom.converged
    torch.testing.assert_close(top.values, expected.flip(0)[:k], atol=1e-8, rtol=0)
    torch.testing.assert_close(bottom.values, expected[:k], atol=1e-8, rtol=0)


def test_residuals_are_those_of_the_vectors() -> None:
    operator = with_spectrum(*torch.linspace(-3, 8, 40).tolist())
    top = top_eigenvalues(operator, k=2, tolerance=1e-3, max_products=12)
    actual = (operator.matrix @ top.vectors - top.vectors * top.values).norm(dim=0)
    torch.testing.assert_close(top.residuals, actual, atol=1e-10, rtol=1e-6)
    assert not top.converged
    assert top.products == 12


def test_more_eigenvalues_than_the_matrix_has() -> None:
    with pytest.raises(RequestError, match="k = 4; expected at most 3, the size of the matrix"):
        top_eigenvalues(with_spectrum(1.0, 2.0, 3.0), k=4)


def test_products_that_are_not_finite() -> None:
    with pytest.raises(RequestError, match="not finite"):
        top_eigenvalues(Dense(torch.full((3, 3), torch.nan, dtype=torch.float64)))


def test_a_batch_of_matrices_at_once() -> None:
    spectra = [[9.0, 5.0, *[1.0] * 8], [0.0] * 10, [-20.0, *[-1.0] * 9]]
    batch = Dense(torch.stack([with_spectrum(*spectrum).matrix for spectrum in spectra]))
    top = top_eigenvalues(batch, tolerance=1e-9)
    assert top.converged
    expected = torch.tensor([[9.0], [0.0], [-1.0]], dtype=torch.float64)
    torch.testing.assert_close(top.values, expected, atol=1e-8, rtol=0)
    assert top.vectors.shape == (3, 10, 1)


@pytest.mark.parametrize("second", [9.0, 7.0, 5.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_tolerance_bounds_the_true_error(second: float, seed: int) -> None:
    operator = with_spectrum(10.0, second, 4.0, *torch.linspace(-1, 1, 197).tolist())
    top = top_eigenvalues(operator, seed=seed)
    assert top.converged
    assert top.products < 25
    assert abs(top.values[0].item() - 10) < 1e-3 * 10
    assert -1e-12 <= 10 - top.values[0] <= top.errors[0] <= 1e-3 * top.values[0]
    assert top.missed[0] <= 1e-5


def test_a_start_that_hardly_holds_the_first_eigenvector_is_not_taken_in() -> None:
    """The second one looks converged long before the first shows itself."""
    size = 200
    spectrum = torch.cat([torch.tensor([68.0, 48.0]), torch.linspace(-3, 28, size - 2)]).double()
    start = torch.randn(size, 1, generator=streams.generator(0, "lanczos"), dtype=torch.float64)
    basis = torch.linalg.qr(torch.cat([start, torch.randn(size, size - 1).double()], dim=1))[0]
    turn = torch.eye(size, dtype=torch.float64)  # the start: 1e-3 of the first, most of the second
    shares = torch.full((size,), 0.03, dtype=torch.float64)
    shares[:2] = torch.tensor([1e-3, 0.9])
    turn[:, 0] = shares / shares.norm()
    turn = torch.linalg.qr(turn)[0]
    vectors = basis @ turn.T  # columns: what makes up the start, by its shares
    matrix = vectors @ torch.diag(spectrum) @ vectors.T
    assert (vectors[:, 0] @ start[:, 0] / start.norm()).abs() < 2e-3
    top = top_eigenvalues(Dense(matrix))
    assert top.converged
    assert top.values.item() == pytest.approx(68.0, rel=1e-3)


class Diagonal:
    """A matrix of given eigenvalues, whose first eigenvector no part of it has."""

    batch: tuple[int, ...] = ()

    def __init__(self, values: Tensor) -> None:
        self.values, self.size, self.examples, self.products = values, len(values), 1, 0
        self.dtype, self.device = values.dtype, values.device

    def __matmul__(self, vectors: Tensor) -> Tensor:
        self.products += vectors.shape[-1]
        return self.values[:, None] * vectors

    def part(self) -> "Diagonal":
        return Diagonal(self.values * (self.values < self.values.max()))


@pytest.mark.parametrize("gap", [0.03, 0.01, 0.003])
@pytest.mark.parametrize("k", [1, 2])
def test_the_second_eigenvalue_is_not_taken_for_the_first(gap: float, k: int) -> None:
    for seed in range(15):
        generator = torch.Generator().manual_seed(seed)
        bulk = 0.6 * torch.rand(300, generator=generator, dtype=torch.float64) ** 3
        right = torch.tensor([1.0, 1 - gap], dtype=torch.float64)
        spectrum = torch.cat([right, bulk])
        top = top_eigenvalues(Diagonal(spectrum), k=k, seed=seed)
        bottom = bottom_eigenvalues(Diagonal(-spectrum), k=k, seed=seed)
        assert top.converged
        assert top.products <= 25 * k
        torch.testing.assert_close(top.values, right[:k], rtol=1e-3, atol=0)
        torch.testing.assert_close(bottom.values, -top.values)


def test_the_bound_on_what_was_missed_holds() -> None:
    """The share of starts that have not seen the first eigenvalue is below the bound."""
    spectrum = torch.cat([torch.tensor([1.0]), torch.linspace(-0.9, 0.9, 60)]).double()
    for steps in (3, 5, 8):
        bounds = []
        for seed in range(300):
            krylov = Krylov(Diagonal(spectrum), 1, seed=seed)
            for _ in range(steps):
                krylov.extend()
            values, vectors = torch.linalg.eigh(krylov.projected)
            chance = missed(krylov, 1.002 * values[-1:], vectors[:, -1:]).item()
            bounds.append((chance, values[-1].item() * 1.002 < 1))
        for level in (0.05, 0.2, 0.5):
            unseen = sum(late for chance, late in bounds if chance <= level)
            assert unseen <= level * 300 + 3 * (level * 300) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rank", [1, 5, 9])
def test_a_krylov_space_that_closes_stays_orthonormal(rank: int, dtype: torch.dtype) -> None:
    draws = torch.randn(rank, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = (draws.T @ draws).to(dtype)
    exact = torch.linalg.eigvalsh(matrix.double())
    noise = 30 * torch.finfo(dtype).eps * exact[-1].item()
    krylov = Krylov(Dense(matrix), 1)
    for _ in range(30):
        krylov.extend()
    basis = krylov.combined(torch.eye(30, dtype=torch.float64)).double()
    eye = torch.eye(30, dtype=torch.float64)
    torch.testing.assert_close(basis.T @ basis, eye, atol=1e3 * torch.finfo(dtype).eps, rtol=0)
    ritz = torch.linalg.eigvalsh(krylov.projected)
    torch.testing.assert_close(ritz[-rank:], exact[-rank:], atol=noise, rtol=0)
    assert ritz[:-rank].abs().max() < noise
    top, bottom = top_eigenvalues(Dense(matrix)), bottom_eigenvalues(Dense(matrix))
    assert top.converged
    assert abs(top.values.item() - exact[-1].item()) < 1e-3 * exact[-1].item()
    assert abs(bottom.values.item()) < noise
    assert bottom.converged == (dtype == torch.float64)  # float32 cannot tell its sign


@pytest.mark.parametrize("exponent", [-100, -60, 60, 110])
@pytest.mark.parametrize("k", [1, 2])
def test_the_scale_of_a_matrix_in_float32_changes_nothing(exponent: int, k: int) -> None:
    scale = 2.0**exponent
    spectra = [9.0, 5.0, 4.0, *torch.linspace(-1, 1, 27).tolist()], [3.0, *[1.0] * 29]
    batch = torch.stack([with_spectrum(*spectrum).matrix.float() for spectrum in spectra])
    batch = torch.cat([batch, torch.zeros(1, 30, 30)])
    expected, found = (top_eigenvalues(Dense(one), k=k) for one in (batch, batch * scale))
    assert found.converged == expected.converged
    for ours, theirs in (
        (found.values, expected.values), (found.errors, expected.errors),
        (found.residuals, expected.residuals),
    ):  # fmt: skip
        torch.testing.assert_close(ours[:2] / scale, theirs[:2], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.vectors, expected.vectors)
    alone = top_eigenvalues(Dense(batch[0] * scale), k=k)
    assert alone.converged
    assert (alone.values[0] / scale).item() == pytest.approx(9, rel=1e-3)


def test_products_that_are_not_symmetric_are_not_believed() -> None:
    matrix = with_spectrum(9.0, 5.0, 4.0, *torch.linspace(-1, 1, 27).tolist()).matrix
    draws = torch.randn(30, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = top_eigenvalues(Dense(matrix + 0.01 * draws))
    assert not found.converged
    assert found.rounding > 0.009
    actual = torch.linalg.eigvals(matrix + 0.01 * draws).real.max()
    assert abs(found.values.item() - actual) < found.errors
