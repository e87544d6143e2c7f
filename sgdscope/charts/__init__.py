"""Charts as data: prepared once, drawn for print by ``figures`` and for the page by ``report``."""

from sgdscope.charts.along import (
    along_axis,
    along_training,
    at_equal_progress,
    beside,
    progressing,
)
from sgdscope.charts.chart import Chart, Curve, Dots, Scale
from sgdscope.charts.others import against_curvature, against_eps, densities

__all__ = [
    "Chart",
    "Curve",
    "Dots",
    "Scale",
    "against_curvature",
    "against_eps",
    "along_axis",
    "along_training",
    "at_equal_progress",
    "beside",
    "densities",
    "progressing",
]
