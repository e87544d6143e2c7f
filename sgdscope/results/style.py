"""Names and looks of lines and measures: the same in figures, page and terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sgdscope.measuring import card_of
from sgdscope.study.line import Choice, Line, labels

PROGRESS = {"loss": "training loss", "gradient_time": "lr · steps"}  # how far training got
PAPER = {"fixed": "LR", "constant-ratio": "LR/BS", "step-decay": "Benchmark"}

# The colours of each schedule's first and last line, on a light ground and on a dark one; those
# between are mixed from them. The first three schedules have the paper's hues.
Shades = tuple[tuple[str, str], tuple[str, str]]
SCHEDULES: dict[str, Shades] = {
    "fixed": (("#55B5E8", "#0B4F8F"), ("#3F9FE0", "#B9E2FB")),
    "constant-ratio": (("#9A6BD0", "#4C1788"), ("#9673DC", "#DDCBFB")),
    "step-decay": (("#DB4437", "#7E120C"), ("#EF6351", "#FBC6BD")),
}
OTHERS: list[Shades] = [
    (("#E09A00", "#7A4F00"), ("#E8A317", "#F8DFA6")),
    (("#1FA67C", "#075540"), ("#2FB88D", "#B4EBD8")),
    (("#9C7A50", "#523A1C"), ("#B6925F", "#E8D8BF")),
    (("#D978AD", "#86305F"), ("#E07DB4", "#F8D0E4")),
    (("#7C8491", "#343A44"), ("#8C95A3", "#D8DCE2")),
]
# Batch sizes rise from green to violet, along viridis without the ends that the ground swallows.
BATCHES = ["#B5C93A", "#5CBF68", "#26A384", "#2A7E8E", "#3B5A8C", "#46327E"]
BATCHES_ON_DARK = ["#E8E337", "#8FD350", "#3FBF8F", "#3A9FB0", "#6F93CF", "#A48BE0"]
# A clean accuracy is drawn on an axis logarithmic in the error, so that 0.98 and 0.99 are
# distinguishable; the scale ends at this error, so that zero error has a place too.
STRETCH_END = 0.004
STRETCH_TICKS = [0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1]
MARKERS = ["o", "s", "^", "D", "p", "*"]
SYMBOLS = ["circle", "square", "triangle-up", "diamond", "pentagon", "star"]


@dataclass(frozen=True)
class DrawnLine:
    """How one line of a study is drawn."""

    line: Line
    key: str
    label: str
    colour: str  # on a light ground
    dark: str  # on a dark ground
    mark: int  # index into MARKERS and SYMBOLS


def lines(found: Iterable[Line], *, prefix: str = "") -> list[DrawnLine]:
    """Every line of a study: the paper's schedules first, other choices rising within each.

    Args:
        found: the lines.
        prefix: of their keys, if lines along several axes are drawn together.
    """
    ordered = sorted(found, key=_line_order)
    names = list(dict.fromkeys(_schedule(line) for line in ordered))
    beside = sorted({line.choices[1:] for line in ordered}, key=_choices_order)
    made: list[DrawnLine] = []
    for line, label in zip(ordered, labels(ordered), strict=True):
        own = [other for other in ordered if _schedule(other) == _schedule(line)]
        place = own.index(line) / max(len(own) - 1, 1)
        light, dark = (mix(*ends, place) for ends in _shades(_schedule(line), names))
        mark = beside.index(line.choices[1:]) % len(MARKERS)
        made.append(DrawnLine(line, f"{prefix}line{len(made)}", label, light, dark, mark))
    return made


def _schedule(line: Line) -> str:
    return line.choices[0].name


def _line_order(line: Line) -> tuple[Any, ...]:
    schedule, *others = line.choices
    return *_schedule_order(schedule.name), _choices_order(others), str(schedule)


def _choices_order(choices: Iterable[Choice]) -> list[Any]:
    """Numbers in their order, and before words."""
    return [
        (one.name != "sgd", _counted(one.name), [_rising(value) for _, value in one.options])
        for one in choices
    ]


def _counted(name: str) -> str:
    """A name that sorts by the numbers in it."""
    return re.sub(r"\d+", lambda found: found[0].zfill(9), name)


def _rising(value: Any) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return not number, float(value) if number else 0.0, str(value)


def label(measure: str) -> str:
    """A measure's name in print."""
    return card_of(measure).label


def short(measure: str) -> str:
    """A measure's short name, a word or two."""
    return card_of(measure).short


def unit(measure: str) -> str:
    """The unit of a measure's values, for their axis."""
    return card_of(measure).unit


def is_accuracy(measure: str) -> bool:
    """Whether a measure is a share of points classified correctly, so that chance level matters."""
    return card_of(measure).kind == "accuracy"


def on_log_axis(measure: str, values: pd.Series) -> bool:
    """Whether a measure's values suit a logarithmic axis."""
    if is_accuracy(measure) or values.empty or not (values > 0).all():
        return False
    log = card_of(measure).log
    return bool(values.max() > 8 * values.min()) if log is None else log


def axis_colours(values: Iterable[float], *, dark: bool = False) -> dict[float, str]:
    """A colour for each value along the axis, on a light or a dark ground."""
    ordered = sorted(values)
    last = max(len(ordered) - 1, 1)
    scale = BATCHES_ON_DARK if dark else BATCHES
    return {value: _along(scale, i / last) for i, value in enumerate(ordered)}


def mix(colour: str, other: str, share: float) -> str:
    """``colour`` with ``share`` of ``other`` in it; both as #RRGGBB."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _along(colours: list[str], place: float) -> str:
    """The colour at a place between 0 and 1 along a list of them."""
    index, share = divmod(place * (len(colours) - 1), 1)
    following = min(int(index) + 1, len(colours) - 1)
    return mix(colours[int(index)], colours[following], share)


def rank(name: str, order: Iterable[str]) -> int:
    """The place of a name in an order; last if it is not in it."""
    order = list(order)
    return order.index(name) if name in order else len(order)


def _schedule_order(name: str) -> tuple[int, str]:
    return rank(name, SCHEDULES), name


def _shades(name: str, names: list[str]) -> Shades:
    if name in SCHEDULES:
        return SCHEDULES[name]
    others = [other for other in names if other not in SCHEDULES]
    return OTHERS[others.index(name) % len(OTHERS)]


def progress_figure(against: str, panel: str) -> str:
    """The name of the figure of a panel's runs against one of ``PROGRESS``."""
    return f"progress-by-{slug(PROGRESS[against])}-{slug(panel)}"


def slug(name: str) -> str:
    """A name, as part of a file name: of files that have one, the slashes would be folders."""
    return name.replace(" on ", "-").replace(" · ", "-").replace(" ", "_").replace("/", "-")


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def enumerated(names: Iterable[str]) -> str:
    """Names in a sentence: ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def duration(seconds: float) -> str:
    """A time, to two significant figures."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
