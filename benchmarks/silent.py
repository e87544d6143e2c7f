"""How often a curvature number is wrong and says that it is right, by simulation.

    python benchmarks/silent.py                 # a fiftieth of the problems, seconds
    python benchmarks/silent.py --scale 1       # 1,000 random and 300 planted problems a row

Matrices are diagonal in float64, so that the answer is known: a start drawn from a normal
distribution sees no difference. Needs sgdscope alone.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sgdscope.curvature import bottom_eigenvalues, top_eigenvalues, trace

TOLERANCE = 1e-3
GAPS = (0.03, 0.01, 0.003)
console = Console(width=120)


class Diagonal:
    """A matrix of given eigenvalues; its part, if it has one, is another of the same size."""

    def __init__(self, values: Tensor, part: Tensor | None = None) -> None:
        self.values, self.size, self.examples, self.products = values, len(values), 1, 0
        self.dtype, self.device, self.batch = values.dtype, values.device, ()
        self._part = part

    def __matmul__(self, vectors: Tensor) -> Tensor:
        self.products += vectors.shape[-1]
        return self.values[:, None] * vectors

    def part(self) -> Diagonal | None:
        """Nearly the same matrix, or one that leads astray."""
        return None if self._part is None else Diagonal(self._part)


def random_spectrum(number: int) -> Tensor:
    """Of one of six kinds: outliers, powers, exponentials, random matrices', few values, flat."""
    g = torch.Generator().manual_seed(number)
    size = int(torch.randint(20, 2_000, (), generator=g))
    draws = torch.randn(size, generator=g, dtype=torch.float64)
    uniform = torch.rand(size, generator=g, dtype=torch.float64)
    index = torch.arange(1, size + 1, dtype=torch.float64)
    outliers = min(size, 12)
    if number % 6 == 0:
        values = 0.03 * draws
        values[:outliers] = 1 / index[:outliers] ** uniform[0] + 0.1 * uniform[:outliers]
    elif number % 6 == 1:
        values = index ** (-2 * uniform[0] - 0.3)
    elif number % 6 == 2:
        values = torch.exp(-index * 0.3 * uniform[0]) * draws.sign()
    elif number % 6 == 3:
        wide = torch.randn(min(size, 300), min(size, 200), generator=g, dtype=torch.float64)
        values = torch.linalg.svdvals(wide).square()
    elif number % 6 == 4:
        values = torch.randint(-3, 9, (size,), generator=g).double()
    else:
        values = 2 * uniform - 1
    return values


def planted_spectrum(gap: float, number: int) -> tuple[Tensor, Tensor]:
    """Two close eigenvalues above a bulk, and a part that holds none of the first."""
    g = torch.Generator().manual_seed(number)
    size = int(torch.randint(50, 2_000, (), generator=g))
    bulk = torch.rand(size - 2, generator=g, dtype=torch.float64)
    values = torch.cat([torch.tensor([1.0, 1 - gap], dtype=torch.float64), 0.7 * bulk**3])
    part = values.clone()
    part[0] = 0
    return values, part


Ends = Callable[[Tensor, Tensor | None, int], tuple[Tensor, Tensor, bool, int]]


def top(k: int) -> Ends:
    """Values found, their true ones, whether converged and the products."""

    def find(values: Tensor, part: Tensor | None, seed: int) -> tuple[Tensor, Tensor, bool, int]:
        found = top_eigenvalues(Diagonal(values, part), k=k, tolerance=TOLERANCE, seed=seed)
        return found.values, values.sort(descending=True)[0][:k], found.converged, found.products

    return find


def bottom(values: Tensor, part: Tensor | None, seed: int) -> tuple[Tensor, Tensor, bool, int]:
    """The same from below, of the spectrum turned over."""
    negative = None if part is None else -part
    found = bottom_eigenvalues(Diagonal(-values, negative), tolerance=TOLERANCE, seed=seed)
    return found.values, -values.max()[None], found.converged, found.products


def eigenvalues(problems: int, planted: int) -> None:
    """Answers further from the true one than the tolerance that call themselves converged."""
    row = 0
    for name, find in {"top": top(1), "bottom": bottom, "top 3": top(3)}.items():
        table = Table(title=f"{name}, tolerance {TOLERANCE:g}")
        for column in ("", "problems", "silent errors", "not converged", "products, median", "90%"):
            table.add_column(column, justify="right" if column else "left")
        rows = {"random": [(random_spectrum(i), None) for i in range(problems)]}
        for gap in GAPS:
            rows[f"gap {gap:.1%}"] = [planted_spectrum(gap, i) for i in range(planted)]
        for kind, spectra in rows.items():
            row += 1
            table.add_row(kind, *scores(find, spectra, first_seed=row * 1_000_000))
        console.print(table)


def scores(
    find: Ends, spectra: list[tuple[Tensor, Tensor | None]], *, first_seed: int
) -> list[str]:
    """A row of the table; no start is drawn twice."""
    silent, unsure, spent = 0, 0, []
    for seed, (values, part) in enumerate(spectra, first_seed):
        found, right, converged, products = find(values, part, seed)
        largest = values.abs().max()
        off = (found - right).abs() > TOLERANCE * right.abs().clamp(min=1e-6 * largest)
        silent += converged and bool(off.any())
        unsure += not converged
        spent.append(products)
    quantiles = torch.tensor(spent).double().quantile(torch.tensor([0.5, 0.9]).double())
    return [str(len(spent)), str(silent), str(unsure), *(f"{q:.0f}" for q in quantiles)]


def traces(problems: int) -> None:
    """Answers off by more than the tolerance, and how far in standard errors."""
    table = Table(title="trace")
    columns = ["", "problems", "converged", "of these off by more", "|z| > 2", "|z| > 3"]
    for column in (*columns, "products, median"):
        table.add_column(column, justify="right" if column else "left")
    for tolerance in (0.05, 0.02):
        z, wrong, spent = [], 0, []
        for number in range(problems):
            values = random_spectrum(number).abs()
            found = trace(Diagonal(values), tolerance=tolerance, seed=number)
            off = abs(found.value - values.sum().item())
            if found.converged:
                z.append(off / max(found.standard_error, 1e-9 * abs(found.value)))
                wrong += off > tolerance * abs(values.sum().item())
            spent.append(found.products)
        answers = max(1, len(z))
        share = [sum(x > bound for x in z) / answers for bound in (2, 3)]
        table.add_row(
            f"tolerance {tolerance:.0%}", str(problems), str(len(z)), f"{wrong / answers:.1%}",
            *(f"{s:.1%}" for s in share), f"{torch.tensor(spent).median():d}",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scale", type=float, default=0.02, help="share of the problems")
    scale = parser.parse_args().scale
    torch.set_num_threads(1)
    eigenvalues(math.ceil(1_000 * scale), math.ceil(300 * scale))
    traces(math.ceil(1_000 * scale))


if __name__ == "__main__":
    main()
