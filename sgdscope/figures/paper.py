"""Figures 1–22 of Kamath, Deshpande and Subrahmanyam (2019), by number, from a study's results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdscope import charts
from sgdscope.charts import Chart
from sgdscope.figures import canvas
from sgdscope.figures.drawing import draw
from sgdscope.results import intervals, style
from sgdscope.results.axis import BATCH, Axis
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study.line import Choice, Line

Setting = tuple[str, float]  # a line: schedule and momentum

MAIN: list[Setting] = [("fixed", 0.0), ("constant-ratio", 0.0), ("step-decay", 0.9)]
LR: list[Setting] = [("fixed", m) for m in (0.0, 0.2, 0.5, 0.9)]
RATIO: list[Setting] = [("constant-ratio", m) for m in (0.0, 0.9)]
EPS = {"mnist": 0.3, "fashion_mnist": 0.3, "cifar10": 0.02}
TRAINED_ON = {"mnist": 55_000, "fashion_mnist": 55_000, "cifar10": 40_000}  # images
DATA = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
MODELS = {"stdcnn": "StdCNN", "m1": "M1", "c1": "C1", "resnet18": "ResNet18"}
STANDS_FOR = {"resnet18-narrow": "resnet18"}  # if the model itself was too large
FGSM, PGD, CURVATURE = "fgsm_accuracy", "pgd_accuracy", "top_eigenvalue"


@dataclass(frozen=True)
class Panel:
    """One panel of a figure: a measure of a network."""

    model: str
    data: str
    measure: str

    @property
    def eps(self) -> float | None:
        """The paper's eps, for an attack."""
        return None if self.measure == CURVATURE else EPS[self.data]


@dataclass(frozen=True)
class Plate:
    """A numbered figure: panels from top to bottom, all with the same lines."""

    panels: list[Panel]
    lines: list[Setting]


@dataclass(frozen=True)
class Numbered:
    """How much of a numbered figure a study can draw."""

    number: int
    caption: str
    there: bool  # whether it can draw any of it
    missing: list[str]  # each a line or a measure that the study lacks


def _both(first: str, second: str, data: str, measure: str, lines: list[Setting]) -> Plate:
    return Plate([Panel(model, data, measure) for model in (first, second)], lines)


def _plates() -> Iterator[tuple[int, Plate]]:
    """In groups of three: FGSM, PGD, λ₁."""
    groups = [
        (1, ("m1", "stdcnn", "mnist"), MAIN),
        (6, ("c1", "resnet18", "cifar10"), MAIN),
        (11, ("m1", "stdcnn", "mnist"), LR),
        (14, ("c1", "resnet18", "cifar10"), LR),
        (17, ("m1", "stdcnn", "mnist"), RATIO),
        (20, ("c1", "resnet18", "cifar10"), RATIO),
    ]
    for first, networks, lines in groups:
        for place, measure in enumerate((FGSM, PGD, CURVATURE)):
            yield first + place, _both(*networks, measure, lines)
    for first, model in ((4, "m1"), (9, "stdcnn")):
        attacked = [Panel(model, "fashion_mnist", measure) for measure in (FGSM, PGD)]
        yield first, Plate(attacked, MAIN)
        yield first + 1, Plate([Panel(model, "fashion_mnist", CURVATURE)], MAIN)


FIGURES: dict[int, Plate] = dict(sorted(_plates()))


def numbered(results: Results) -> list[Numbered]:
    """How much of each figure a study can draw; empty if it has none of the paper's networks."""
    found = [
        Numbered(number, caption(plate), _there(results, plate), missing(results, plate))
        for number, plate in FIGURES.items()
    ]
    return found if any(one.there for one in found) else []


def drawings(results: Results) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Every numbered figure that a study can draw, if only in part, as ``fig01``; its function."""
    for number, plate in FIGURES.items():
        if _there(results, plate):
            yield file_name(number), partial(make, results, number)


def file_name(number: int) -> str:
    """The file name of a numbered figure, without ending."""
    return f"fig{number:02}"


def _there(results: Results, plate: Plate) -> bool:
    return any(not _rows(results, panel, plate.lines).empty for panel in plate.panels)


def missing(results: Results, plate: Plate) -> list[str]:
    """The lines of a plate that a study lacks, entirely or at some batch sizes, panel by panel."""
    lacking = []
    for panel in plate.panels:
        rows = _rows(results, panel, plate.lines)
        where = f"{MODELS[panel.model]} on {DATA[panel.data]}, {_measured(panel)}"
        if rows.empty:
            lacking.append(f"{where}: every line")
            continue
        sizes = set(_of(results.runs, panel)["batch_size"])
        for setting in plate.lines:
            absent = sizes - set(_line(rows, setting)["batch_size"])
            if absent == sizes:
                lacking.append(f"{where}: {label(setting)}")
            elif absent:
                some = ", ".join(map(str, sorted(absent)))
                lacking.append(f"{where}: {label(setting)} at batch size {some}")
    return lacking


def make(results: Results, number: int) -> Figure:
    """Draw one figure; panels without a run stay empty.

    Miniatures are drawn at the batch sizes that they stand for, to compare with the paper.
    """
    plate = FIGURES[number]
    titles = [_title(results, panel) for panel in plate.panels]
    results = _with_tables(results, _in_full)
    figure, axes = canvas.sheet(
        titles, f"Figure {number}", xlabel="batch size", columns=1, share="row"
    )
    handles: dict[str, Line2D] = {}
    seeds = []
    parts = [_view(results, panel, plate.lines) for panel in plate.panels]
    sizes = sorted({size for view in parts for size in view.axis.values})
    for panel, view, ax, title in zip(plate.panels, parts, axes, titles, strict=True):
        ax.set_title(title, loc="left", color=canvas.INK)
        view.axis = Axis(BATCH, sizes, log=True)
        drawn = _panel(view, panel)
        for chart in drawn:
            draw(ax, chart)
        found = canvas.keys(view.lines, drawn) + canvas.extras(drawn)
        if drawn and panel.eps is not None:
            looks: dict[str, Any] = {"color": canvas.FAINT, "linestyle": "--", "linewidth": 0.8}
            found.append(Line2D([], [], label="test accuracy", **looks))
        handles |= {str(handle.get_label()): handle for handle in found}
        seeds += [chart.seeds for chart in drawn[:1]]
    order = [*map(label, plate.lines), "test accuracy", "chance level"]
    keys = sorted(handles.values(), key=lambda key: style.rank(str(key.get_label()), order))
    canvas.legend(figure, keys, note=intervals.describe(*seeds) if seeds else "")
    return figure


def caption(plate: Plate) -> str:
    """What a figure shows, in words."""
    places = dict.fromkeys(f"{MODELS[p.model]} on {DATA[p.data]}" for p in plate.panels)
    measured = style.enumerated(dict.fromkeys(map(_measured, plate.panels)))
    return f"{measured}: {style.enumerated(places)}; {', '.join(map(label, plate.lines))}"


def label(setting: Setting) -> str:
    """A line as the paper calls it."""
    schedule, momentum = setting
    name = style.PAPER[schedule]
    return name if schedule == "step-decay" else f"{name} m={momentum:g}"


def _panel(view: View, panel: Panel) -> list[Chart]:
    """The charts in a panel: one for each network that stands for the paper's."""
    rows = view.at_end(panel.measure, eps=panel.eps)
    clean = view.at_end("test_accuracy")
    under = {} if panel.eps is None else charts.beside(view, clean)
    return list(charts.along_axis(view, rows, panel.measure, beside=under))


def _view(results: Results, panel: Panel, settings: list[Setting]) -> View:
    """Only a panel's lines, named as in the paper, with the same look in all panels."""
    runs = pd.concat([_line(_of(results.runs, panel), setting) for setting in settings])
    kept = runs["run"]
    own = _with_tables(results, lambda rows: rows[rows["run"].isin(kept)])
    there = set(own.runs["line"])
    lines = tuple(line for line in own.lines if line.name in there)
    view = View(replace(own, lines=lines), axis=BATCH)
    looks: dict[Setting, dict[str, Any]] = {}
    for drawn in style.lines(map(_as_line, settings)):
        setting = _setting(drawn.line)
        looks[setting] = {"label": label(setting), "colour": drawn.colour, "mark": drawn.mark}
    view.lines = [replace(drawn, **looks[_setting(drawn.line)]) for drawn in view.lines]
    return view


def _with_tables(results: Results, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Results:
    return replace(
        results,
        table=change(results.table),
        runs=change(results.runs),
        history=change(results.history),
        folder=None,
    )


def _as_line(setting: Setting) -> Line:
    schedule, momentum = setting
    beside = Choice("optimizer", "sgd", (("momentum", momentum),))
    return Line((Choice("schedule", schedule, ()), beside))


def _setting(line: Line) -> Setting:
    return line.settings["schedule"], line.settings["momentum"]


def _rows(results: Results, panel: Panel, settings: list[Setting]) -> pd.DataFrame:
    """A panel's values at the end of training."""
    if results.table.empty:
        return results.table
    rows = _of(results.at_end(panel.measure, eps=panel.eps), panel)
    return pd.concat([_line(rows, setting) for setting in settings])


def _of(rows: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    names = [panel.model, *(name for name, model in STANDS_FOR.items() if model == panel.model)]
    return rows[rows["model"].isin(names) & (rows["data"] == panel.data)]


def _line(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    schedule, momentum = setting
    plain = rows["line"].str.endswith(f" sgd(momentum={momentum})")  # and without a method
    return rows[(rows["schedule"] == schedule) & plain]


def _title(results: Results, panel: Panel) -> str:
    """A panel's title, with any network that stands in for the paper's, and a miniature's scale."""
    runs = _of(results.runs, panel)
    used, factors = runs["model"].unique(), sorted(set(_factor(runs)) - {1})
    title = f"{MODELS[panel.model]} on {DATA[panel.data]}, {_measured(panel)}"
    here = [f"sizes divided by {factor}" for factor in factors]
    if len(used) and panel.model not in used:
        here.append(used[0])
    return f"{title}\nhere {', '.join(here)}" if here else title


def _factor(rows: pd.DataFrame) -> pd.Series:
    """How many times larger the paper's training set is than each row's."""
    whole = rows["data"].map(TRAINED_ON).astype(float)
    return (whole / rows["train_size"].fillna(whole)).fillna(1).round().astype(int)


def _in_full(rows: pd.DataFrame) -> pd.DataFrame:
    return rows if rows.empty else rows.assign(batch_size=rows["batch_size"] * _factor(rows))


def _measured(panel: Panel) -> str:
    if panel.eps is None:
        return "λ₁"
    return f"{style.short(panel.measure)} accuracy, eps = {panel.eps:g}"
