"""The spectrum of the Hessian: how many eigenvalues lie where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope.figures import canvas
from sgdscope.results.spectra import Spectrum, described
from sgdscope.results.view import View

_TOP: dict[str, Any] = {"color": canvas.INK, "linewidth": 0.8, "linestyle": (0, (1, 1.5))}


def spectrum(view: View, panel: str, spectra: Sequence[Spectrum]) -> Figure:
    """A row for each line, the smallest value along the axis on the left, the largest on the right.

    Args:
        view: of the study.
        panel: drawn here.
        spectra: of that panel, in the order of lines and along the axis.
    """
    names = {line.key: line for line in view.lines}
    titles = [f"{names[one.line].label}, {one.place}" for one in spectra]
    figure, axes = canvas.sheet(
        titles,
        f"Density of the Hessian’s eigenvalues, {panel}",
        xlabel="eigenvalue",
        columns=min(len(spectra), 2),
        height=1.5,
        share="row",
    )
    for one, ax in zip(spectra, axes, strict=True):
        _density(ax, one, names[one.line].colour)
    floor = min(one.floor for one in spectra)
    for ax in axes:
        ax.set_ylim(bottom=floor)
    handles = [Line2D([], [], label=mark, **_TOP) for mark in _marks(spectra)]
    canvas.legend(figure, handles, note=described(spectra))
    return figure


def _density(ax: Axes, one: Spectrum, colour: str) -> None:
    canvas.log_axis(ax.yaxis)
    low, high = (np.maximum(edge, one.floor) for edge in (one.low, one.high))
    ax.fill_between(one.grid, low, high, color=colour, alpha=0.25, lw=0)
    ax.plot(one.grid, np.maximum(one.density, one.floor / 10), color=colour, linewidth=0.9)
    if one.top is not None:
        ax.axvline(one.top, **_TOP)


def _marks(spectra: Sequence[Spectrum]) -> list[str]:
    return list(dict.fromkeys(one.mark for one in spectra if one.top is not None))
