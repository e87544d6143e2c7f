"""The spectrum of the Hessian: the density of its eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import charts
from sgdscope.figures import canvas
from sgdscope.figures.drawing import draw
from sgdscope.results.spectra import Spectrum, described
from sgdscope.results.view import View


def spectrum(view: View, panel: str, spectra: Sequence[Spectrum]) -> Figure:
    """A row for each line, the smallest value along the axis on the left, the largest on the right.

    Args:
        view: of the study.
        panel: drawn here.
        spectra: of that panel, in the order of lines and along the axis.
    """
    names = {line.key: line for line in view.lines}
    figure, axes = canvas.sheet(
        [f"{names[one.line].label}, {one.place}" for one in spectra],
        f"Density of the Hessian’s eigenvalues, {panel}",
        xlabel="eigenvalue",
        columns=min(len(spectra), 2),
        height=1.5,
        share="row",
    )
    drawn = list(charts.densities(view, spectra))
    for ax, chart in zip(axes, drawn, strict=True):
        draw(ax, chart)
    marks = dict.fromkeys(chart.peak[1] for chart in drawn if chart.peak is not None)
    handles = [Line2D([], [], label=mark, **canvas.PEAK) for mark in marks]
    canvas.legend(figure, handles, note=described(spectra))
    return figure
