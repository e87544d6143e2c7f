"""Measures along the axis, along training, and at equal progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from sgdscope.charts.chart import Chart, Curve, Scale, chance, dots, floor, means, parts, slim
from sgdscope.results import intervals, style
from sgdscope.results.axis import Axis
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import View, good
from sgdscope.settings import written

PLACES = ["panel", "line", "x"]
EMPTY: Mapping[str, list[Curve]] = MappingProxyType({})


def along_axis(
    view: View, rows: pd.DataFrame, measure: str, *, beside: Mapping[str, list[Curve]] = EMPTY
) -> Iterator[Chart]:
    """One value per run against its value along the axis, one chart per panel.

    Args:
        view: the study's.
        rows: one per run.
        measure: the measure of their values.
        beside: for each panel, the curves drawn behind it for comparison.
    """
    rows = slim(rows[rows["x"].notna()])
    rows = rows.assign(at=rows["x"])
    log = style.on_log_axis(measure, good(rows))
    spreads = intervals.over_seeds(rows, PLACES, log=log)
    found = parts(_with_gaps(view, spreads), ["panel"])
    for panel, own in view.by_panel(rows):
        curves = [*beside.get(panel, [])]
        curves += means(view, found[panel,]) if (panel,) in found else []
        lost = view.lost(own, above=floor(own) if log else None)
        yield Chart(
            panel=panel,
            x=Scale(view.axis.label, log=view.axis.log, knob=view.axis),
            measure=measure,
            log=log,
            chance=chance(view, panel, measure),
            curves=curves,
            dots=dots(view, own[own["status"] == "done"]),
            lost=dots(view, lost[lost["x"].notna()].assign(at=lost["x"])),
            seeds=spreads["seeds"],
        )


def beside(view: View, rows: pd.DataFrame) -> dict[str, list[Curve]]:
    """Means to draw dashed for comparison, by panel."""
    spreads = _with_gaps(view, intervals.over_seeds(rows, PLACES))
    return {panel: list(means(view, own, role="beside")) for panel, own in view.by_panel(spreads)}


def _with_gaps(view: View, spreads: pd.DataFrame) -> pd.DataFrame:
    """The spreads, with an empty row for each value that a line lacks, so that it has a gap."""
    places = spreads[["panel", "line"]].drop_duplicates()
    values = pd.DataFrame({"x": view.axis.values})
    full = places.merge(values, how="cross").merge(spreads, how="left")
    return full.rename(columns={"x": "at"})


def along_training(
    view: View, rows: pd.DataFrame, measure: str, *, by_line: bool
) -> Iterator[Chart]:
    """Values against epoch: the places of one line, or the lines at one place along the axis.

    Args:
        view: the study's.
        rows: one per run and epoch.
        measure: the measure of their values; λ₁ has its stability limit beside it.
        by_line: whether each chart shows one place, and its curves are lines.
    """
    rows = slim(rows)
    log = style.on_log_axis(measure, good(rows))
    spreads = intervals.over_seeds(rows, [*PLACES, "epoch"], log=log)
    spreads = spreads.rename(columns={"epoch": "at"})
    limits = parts(rows, PLACES) if measure == "top_eigenvalue" else {}
    colours = style.axis_colours(view.axis.values)
    found: dict[tuple[str, str, float | None], list[Curve]] = {}
    for panel, own in view.by_panel(spreads):
        for line, some in view.by_line(own):
            for x, spread in some.groupby("x"):
                place = float(str(x))
                who = _identity(line, view.axis, colours, place, by_line=by_line)
                whose = (panel, "", place) if by_line else (panel, line.key, None)
                into = found.setdefault(whose, [])
                into.append(Curve("mean", *who, spread))
                if (measured := limits.get((panel, line.key, x))) is not None:
                    once = measured.drop_duplicates("epoch").sort_values("epoch")
                    once = once[np.isfinite(once["limit"])]  # there is none at a rate of 0
                    points = pd.DataFrame({"at": once["epoch"], "middle": once["limit"]})
                    into.append(Curve("limit", *who, points))
    for (panel, key, at), curves in found.items():
        yield Chart(
            panel=panel,
            x=Scale("epoch"),
            measure=measure,
            log=log,
            chance=chance(view, panel, measure),
            line=key,
            at=at,
            curves=curves,
            seeds=spreads["seeds"],
        )


def _identity(
    line: DrawnLine, axis: Axis, colours: dict[float, str], place: float, *, by_line: bool
) -> tuple[str, str, str]:
    """The key, label and colour of a curve."""
    if by_line:
        return line.key, line.label, line.colour
    return axis.named(place), axis.named(place), colours[place]


def progressing(
    view: View, panel: str, measure: str, against: str, *, eps: float | None = None
) -> pd.DataFrame:
    """The rows that are drawn against progress; of a run with a negative loss none against loss."""
    rows = view.trajectory(measure, eps=eps)
    rows = rows[(rows["panel"] == panel) & (rows["status"] == "done")]
    return rows[rows["x"].notna() & rows[against].notna()]


def at_equal_progress(
    view: View, panel: str, measure: str, against: str, *, eps: float | None = None
) -> Iterator[Chart]:
    """Runs during training, against their progress; one chart per line, one curve per run.

    There is none of a line whose runs have no value along the axis, or no such progress.

    Args:
        view: the study's.
        panel: whose runs.
        measure: taken during training; an attack at one ``eps``.
        against: one of ``style.PROGRESS``.
        eps: of an attack.
    """
    rows = slim(progressing(view, panel, measure, against, eps=eps))
    log = style.on_log_axis(measure, rows["along"])
    colours = style.axis_colours(view.axis.values)
    for line, own in view.by_line(rows):
        curves = []
        for (x, _), run in own.groupby(["x", "run"]):
            name = view.axis.named(float(str(x)))
            points = run.sort_values("epoch").assign(at=run[against], middle=run["along"])
            label = f"{name}, seed {run['seed'].iloc[0]}"
            curves.append(Curve("run", name, label, colours[float(str(x))], points))
        yield Chart(
            panel=panel,
            x=Scale(style.PROGRESS[against], log=True, falling=against == "loss"),
            measure=measure,
            log=log,
            title=panel if eps is None else f"{panel}, eps {written(eps)}",
            chance=chance(view, panel, measure),
            line=line.key,
            curves=curves,
        )
