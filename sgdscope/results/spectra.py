"""Densities of the Hessian's eigenvalues for the few runs whose spectrum is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sgdscope.results.view import View

FloatArray = npt.NDArray[np.float64]
MEASURE = "spectral_density"
DECADES = 7  # below a density's peak; further down there is only an artefact of smoothing
EVERY = 2  # one of this many grid points is drawn: five remain within the smoothing's width


@dataclass(frozen=True)
class Spectrum:
    """A run's density at the end of training, and λ₁ if it was measured."""

    run: str
    panel: str
    line: str  # key
    place: str  # along the axis, in print
    seed: int
    grid: FloatArray  # (points,) eigenvalues
    density: FloatArray  # (points,)
    low: FloatArray  # (points,) a standard error below …
    high: FloatArray  # … and above
    examples: int | None  # images that the Hessian is of
    top: float | None  # λ₁
    top_examples: int | None  # images that λ₁ is of

    @property
    def floor(self) -> float:
        """Where a logarithmic axis begins."""
        return float(self.density.max()) * 10.0**-DECADES

    @property
    def mark(self) -> str:
        """The label at λ₁."""
        same = self.examples == self.top_examples
        return "λ₁" if same or self.top_examples is None else f"λ₁ of {self.top_examples:,} images"


def described(found: Sequence[Spectrum]) -> str:
    """A caption for what is drawn."""
    counts = sorted({one.examples for one in found if one.examples is not None})
    images = f" on {'/'.join(f'{count:,}' for count in counts)} images" if counts else ""
    return f"one run each{images}; band: ± standard error over random probes"


def spectra(view: View) -> list[Spectrum]:
    """For each line, a run at either end of the axis."""
    rows = view.at_end(MEASURE)
    return [] if rows.empty else list(_read(view, view.extremes(rows)))


def _read(view: View, rows: pd.DataFrame) -> Iterator[Spectrum]:
    measured = view.at_end("top_eigenvalue").dropna(subset="value").set_index("run")
    tops = measured["value"].to_dict()
    images = measured["examples"].to_dict() if "examples" in measured else {}
    for row in rows.to_dict("records"):
        run = str(row["run"])
        arrays = view.arrays(run, MEASURE, epoch=row["epoch"])
        if "density" not in arrays:
            continue
        names = ("grid", "density", "standard_error")
        grid, density, error = (arrays[name][::EVERY].astype(np.float64) for name in names)
        yield Spectrum(
            run, row["panel"], row["line"], view.axis.named(row["x"]), row["seed"],
            grid, density, density - error, density + error, _count(row.get("examples")),
            tops.get(run), _count(images.get(run)),
        )  # fmt: skip


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, float | int) and value == value else None
