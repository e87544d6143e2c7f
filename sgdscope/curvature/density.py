"""The spectrum of a matrix as a density, from Lanczos runs with random starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sgdscope import streams
from sgdscope.arguments import positive, whole
from sgdscope.curvature.krylov import Krylov
from sgdscope.curvature.operators import Operator, noise_of, require_one_matrix


@dataclass(frozen=True)
class SpectralDensity:
    """An estimate of how a matrix's eigenvalues are distributed; the density integrates to 1."""

    grid: Tensor  # (points,) float64, eigenvalues at which the density is given
    density: Tensor  # (points,) smoothed by a Gaussian of standard deviation ``width``
    standard_error: Tensor  # (points,) over probes
    resolution: float  # the change from one step fewer, integrated: the density is not yet smooth
    tolerance: float
    width: float
    nodes: Tensor  # (probes, steps) Ritz values: the unsmoothed density of each probe …
    weights: Tensor  # … and the share of the eigenvalues at each
    products: int
    examples: int
    noise: float = 0.0  # the uncertain share of a product
    flags: tuple[str, ...] = ()  # reasons in the network or the matrix not to trust it

    @property
    def relative_error(self) -> float:
        """The standard error and the lack of resolution as a share of the density, integrated."""
        scatter = (self.standard_error.sum() / self.density.sum()).item()
        return math.hypot(scatter, self.resolution)

    @property
    def converged(self) -> bool:
        """Whether that is within the tolerance; if not, ask for more probes or steps."""
        return max(self.relative_error, self.noise) <= self.tolerance


def spectral_density(
    operator: Operator,
    *,
    probes: int = 5,
    steps: int = 30,
    width: float | None = None,
    points: int = 1000,
    tolerance: float = 0.25,
    seed: int = 0,
) -> SpectralDensity:
    """The density of eigenvalues by stochastic Lanczos quadrature.

    A Lanczos run from a random unit vector is the Gauss quadrature of the spectrum as that vector
    sees it: nodes at the Ritz values, weights the squared first components of their coefficients
    (Golub & Meurant 1994; Ghorbani, Krishnan, Xiao 2019). The mean over probes estimates the
    spectrum, their scatter its standard error. A run too short to resolve the spectrum at the
    smoothing's width leaves bumps at its nodes, which move from step to step.

    Args:
        operator: the matrix.
        probes: random starts, at least 2; each costs ``steps`` products.
        steps: length of a run; more resolve the bulk finer.
        width: of the smoothing; a default_width of the spectrum's range if not given.
        points: in the grid.
        tolerance: largest error accepted, as a share of the density.
        seed: of the starts.

    Raises:
        RequestError: a count is no whole number or too small, ``width`` or ``tolerance`` no number
            above 0, or the operator is more than one matrix.
    """
    require_one_matrix(operator, "spectral density")
    whole("probes", probes, lowest=2)
    whole("steps", steps)
    whole("points", points, lowest=2)
    positive("tolerance", tolerance)
    if width is not None:
        width = positive("width", width)
    before = operator.products
    steps = min(steps, operator.size)
    spaces = [
        _space(operator, steps, streams.key(seed, "density", probe)) for probe in range(probes)
    ]
    quadrature = _Quadrature.of(spaces)
    width = quadrature.default_width if width is None else width
    grid = quadrature.grid(points, margin=5 * width)
    each = quadrature.smoothed(grid, width)
    density, resolution = each.mean(1), float(steps == 1 < operator.size)
    if 1 < steps < operator.size:
        fewer = _Quadrature.of([space[:-1, :-1] for space in spaces])
        change = fewer.smoothed(grid, width).mean(1) - density
        resolution = (change.abs().sum() / density.sum()).item()
    return SpectralDensity(
        grid, density, each.std(1) / math.sqrt(probes), resolution, tolerance, width,
        quadrature.nodes, quadrature.weights, operator.products - before, operator.examples,
        noise_of(operator), tuple(getattr(operator, "flags", ())),
    )  # fmt: skip


def _space(operator: Operator, steps: int, seed: int) -> Tensor:
    """The operator projected on one probe's Krylov space, (steps, steps)."""
    krylov = Krylov(operator, 1, seed=seed)
    for _ in range(steps):
        krylov.extend()
    return krylov.projected


@dataclass(frozen=True)
class _Quadrature:
    """Each probe's Gauss quadrature of the spectrum."""

    nodes: Tensor  # (probes, steps)
    weights: Tensor  # (probes, steps)

    @classmethod
    def of(cls, spaces: list[Tensor]) -> _Quadrature:
        """That of the operator projected on each probe's Krylov space."""
        nodes, coefficients = torch.linalg.eigh(torch.stack(spaces))
        return cls(nodes, coefficients[:, 0].square())

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest node and the largest."""
        return self.nodes.min().item(), self.nodes.max().item()

    @property
    def default_width(self) -> float:
        """A hundredth of the range; of the one value, or of 1, if there is no range."""
        low, high = self.ends
        return 0.01 * (high - low) or 0.01 * abs(high) or 1.0

    def grid(self, points: int, *, margin: float) -> Tensor:
        """(points,) float64, evenly spaced, as far beyond the ends as the margin."""
        low, high = self.ends
        return torch.linspace(low - margin, high + margin, points, dtype=torch.float64)

    def smoothed(self, grid: Tensor, width: float) -> Tensor:
        """Each probe's density on the grid, (points, probes)."""
        distance = (grid[:, None, None] - self.nodes) / width
        kernel = torch.exp(-distance.square() / 2) / (width * math.sqrt(2 * math.pi))
        return (kernel * self.weights).sum(2)
