"""Robustness against curvature and against eps; spectra of the Hessian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sgdscope.charts.chart import Chart, Curve, Scale, chance, dots, edged, means, parts, slim
from sgdscope.results import intervals, style
from sgdscope.results.spectra import MEASURE, Spectrum
from sgdscope.results.view import View


def against_curvature(view: View, attack: str, *, eps: float) -> Iterator[Chart]:
    """Accuracy under an attack against λ₁: one dot per run, larger further along the axis."""
    log, rows = edged(view.paired(attack, eps=eps), "top_eigenvalue")
    last = max(len(view.axis.values) - 1, 1)
    sizes = {value: i / last for i, value in enumerate(view.axis.values)}
    size = rows["x"].map(sizes).fillna(0.0).astype(float)
    rows = slim(rows).assign(size=size, at=rows["top_eigenvalue"])
    for panel, own in view.by_panel(rows):
        yield Chart(
            panel=panel,
            x=Scale(style.label("top_eigenvalue"), log=log),
            measure=attack,
            chance=chance(view, panel, attack),
            dots=dots(view, own),
        )


def against_eps(view: View, attack: str) -> Iterator[Chart]:
    """Accuracy under an attack against its eps: one chart per panel and place along the axis."""
    rows = slim(view.by_eps(attack))
    rows = rows.assign(at=rows["eps"])
    spreads = intervals.over_seeds(rows, ["panel", "line", "x", "eps"])
    found = parts(spreads.rename(columns={"eps": "at"}), ["x", "panel"])
    taken = parts(rows[rows["status"] == "done"], ["x", "panel"])
    for x in view.axis.values:
        for panel in view.panels:
            if (x, panel) in found:
                yield Chart(
                    panel=panel,
                    x=Scale("eps"),
                    measure=attack,
                    chance=chance(view, panel, attack),
                    at=x,
                    curves=[*means(view, found[x, panel])],
                    dots=dots(view, taken[x, panel]),
                    seeds=spreads["seeds"],
                )


def densities(view: View, spectra: Sequence[Spectrum]) -> Iterator[Chart]:
    """One chart per spectrum; those of one line on one panel share axes."""
    lines = {line.key: line for line in view.lines}
    for one in spectra:
        alike = [two for two in spectra if (two.panel, two.line) == (one.panel, one.line)]
        floor = min(two.floor for two in alike)
        peak = max(float(two.high.max()) for two in alike)
        tops = [two.top for two in alike if two.top is not None]
        ends = [two.grid[i] for two in alike for i in (0, -1)]
        points = pd.DataFrame({
            "at": one.grid,
            "middle": np.where(one.density >= floor, one.density, np.nan),
            "low": np.clip(one.low, floor, None),
            "high": np.clip(one.high, floor, None),
        })  # fmt: skip
        line = lines[one.line]
        yield Chart(
            panel=one.panel,
            x=Scale("eigenvalue", ends=(float(min(ends)), float(max([*ends, *tops])))),
            measure=MEASURE,
            log=True,
            title=f"{one.panel}, {one.place}, seed {one.seed}",
            line=one.line,
            curves=[Curve("density", line.key, line.label, line.colour, points)],
            peak=None if one.top is None else (one.top, one.mark),
            window=(floor, 2 * peak),
        )
