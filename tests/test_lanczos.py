"""Extreme eigenvalues against dense matrices in float64."""

import pytest
import torch
from matrices import Dense, with_spectrum

from sgdscope import streams
from sgdscope.curvature import bottom_eigenvalues, lanczos, top_eigenvalues
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


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_matrix(k: int) -> None:
    with pytest.raises(RequestError, match=f"k={k}; expected 1 … 3"):
        top_eigenvalues(with_spectrum(1.0, 2.0, 3.0), k=k)


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
    assert top.errors[0] <= 1e-3 * top.values[0]
    assert top.errors[0] <= top.residuals[0]


class Begun(Dense):
    """A matrix whose part is another with nearly the same eigenvectors, far from the next ones."""

    def part(self) -> Dense:
        values, vectors = torch.linalg.eigh(self.matrix)
        values = torch.where(values > 9.9, values, values / 2)
        return Dense(
            vectors * values @ vectors.T + 0.01 * with_spectrum(*[1.0] * 100, *[-1.0] * 100).matrix
        )


def test_a_start_that_hides_the_gap() -> None:
    operator = Begun(with_spectrum(10.0, 9.5, 9.0, *torch.linspace(-1, 1, 197).tolist()).matrix)
    top = top_eigenvalues(operator)
    assert top.converged
    assert top.gap <= 0.1
    assert abs(top.values[0].item() - 10) < 1e-3 * 10


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


class Misled(Dense):
    """A matrix whose part has another first eigenvector, with hardly anything of its own."""

    def part(self) -> Dense:
        values, vectors = torch.linalg.eigh(self.matrix)
        shares = torch.full((len(values),), 0.06, dtype=torch.float64)
        shares[-2:] = torch.tensor([0.6, 1e-2])
        start = vectors @ (shares / shares.norm())
        return Dense(20 * torch.outer(start, start))


def test_a_start_that_proves_to_be_far_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Misled(with_spectrum(11.05, 10.88, *torch.linspace(-1, 6, 198).tolist()).matrix)
    assert top_eigenvalues(operator).values.item() == pytest.approx(11.05, rel=1e-3)
    monkeypatch.setattr(lanczos, "TRUSTED", -1.0)
    assert top_eigenvalues(operator).values.item() == pytest.approx(10.88, rel=1e-3)
