"""λ₁ that is followed from epoch to epoch is what a start at random finds, for fewer products."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate

import pytest
import torch
from matrices import Dense
from torch import Tensor

from sgdscope.curvature import lanczos, top_eigenvalues
from sgdscope.measuring.following import follow

SIZE, READINGS = 150, 15
TOLERANCE = 1e-3


@cache
def turns(by: float) -> list[Tensor]:
    """Orthonormal bases, each turned a little from the one before."""
    generator = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64))[0]
    turn = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
    turn = (turn - turn.T) / (2 * SIZE) ** 0.5
    turn = torch.linalg.matrix_exp(by * turn)
    return list(accumulate(range(READINGS - 1), lambda before, _: turn @ before, initial=basis))


def bulk() -> Tensor:
    """Eigenvalues of a trained network's kind: a few far out, and a mass about zero."""
    generator = torch.Generator().manual_seed(4)
    mass = 0.05 * torch.randn(SIZE, generator=generator, dtype=torch.float64)
    mass[:8] = torch.tensor([10.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0], dtype=torch.float64)
    return mass


def steady(step: int) -> Tensor:
    values = bulk()
    values[0] = 10 + 3 * torch.sin(torch.tensor(step / 2.0)).item()
    return values


def overtaken_by_the_next(step: int) -> Tensor:
    values = bulk()
    values[1] = 6 + 0.7 * step
    return values


def overtaken_from_the_mass(step: int) -> Tensor:
    values = bulk()
    values[100] = 0.9 * step
    return values


def at_once(step: int) -> Tensor:
    values = bulk()
    values[100] = 40.0 if step >= 5 else 0.0
    return values


CHANGES = {  # how often a reading may be off by more than the tolerance, and by how much
    steady: (0, TOLERANCE),
    overtaken_by_the_next: (0, TOLERANCE),
    overtaken_from_the_mass: (2, 0.03),  # nothing tells of it before it stands out of the mass
    at_once: (0, TOLERANCE),
}


def matrices(values: Callable[[int], Tensor], *, by: float) -> Iterator[Dense]:
    for step, basis in enumerate(turns(by)):
        yield Dense(basis * values(step) @ basis.T)


@pytest.mark.parametrize("values", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("by", [0.0, 0.1])
def test_what_is_followed_is_what_is_found_afresh(values, by):
    last, off, products = None, [], []
    for step, matrix in enumerate(matrices(values, by=by)):
        fresh = top_eigenvalues(matrix, tolerance=TOLERANCE, seed=step)
        found, last, flags = follow(
            matrix, last, afresh=READINGS, tolerance=TOLERANCE, max_products=100, seed=step
        )
        assert found.settled
        assert not flags
        assert found.converged == (step == 0)
        off.append(abs(found.values[0].item() / fresh.values[0].item() - 1))
        products.append((found.products, fresh.products))
    times, most = CHANGES[values]
    assert sum(error > TOLERANCE for error in off) <= times
    assert max(off) <= most
    followed, afresh = (sum(column) for column in zip(*products[1:], strict=True))
    assert followed <= 0.6 * afresh


def test_how_far_beyond_another_may_lie_holds_for_a_start_that_leans():
    """A start along found eigenvectors alone would leave no evidence; this one's is as random."""
    for seed in range(20):
        matrix = next(matrices(lambda _: bulk(), by=0.0))
        near = turns(0.0)[0][:, 1:4]  # all but the largest
        found = top_eigenvalues(matrix, tolerance=TOLERANCE, seed=seed, near=near)
        assert (found.values + found.errors)[0].item() >= 10.0


def test_a_reading_afresh_tells_that_those_before_it_lost_the_largest(monkeypatch):
    last = None
    told = []
    monkeypatch.setattr(lanczos, "_settled", lambda *_: True)  # after a single product
    for step, matrix in enumerate(matrices(steady, by=0.1)):
        found, last, flags = follow(
            matrix, last, afresh=3, tolerance=TOLERANCE, max_products=100, seed=step
        )
        assert found.converged == (step % 3 == 0)
        told.append(bool(flags))
    assert told == [step % 3 == 0 and step > 0 for step in range(READINGS)]


def test_every_reading_starts_afresh_unless_it_is_asked_for():
    last = None
    for step, matrix in enumerate(matrices(steady, by=0.1)):
        fresh = top_eigenvalues(matrix, tolerance=TOLERANCE, seed=step)
        found, last, _ = follow(
            matrix, last, afresh=1, tolerance=TOLERANCE, max_products=100, seed=step
        )
        assert found.values.equal(fresh.values)
        assert found.products == fresh.products
