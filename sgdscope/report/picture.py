"""Small figures as inline SVG, for the page's first screen: they need no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from sgdscope.results.axis import Axis as Knob

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 10, 40  # around the frame
Point = tuple[float, float]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Curve:
    """Points joined by a line, in a colour for a light ground and one for a dark ground."""

    points: Sequence[Point]
    light: str
    dark: str
    label: str = ""


@dataclass(frozen=True)
class Axis:
    """One direction of a picture."""

    label: str
    ticks: Sequence[tuple[float, str]]  # places and texts
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """The position of a value, from 0 to 1."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return (at - low) / (high - low) if high != low else 0.5


def picture(curves: Sequence[Curve], *, x: Axis, y: Axis, title: str, note: str) -> str:
    """A figure with its caption; text is escaped here."""

    def across(value: float) -> float:
        return LEFT + x.place(value) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM)

    right = WIDTH - RIGHT
    grid = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{down(v):.1f}" y2="{down(v):.1f}"/>'
        f'<text x="{LEFT - 7}" y="{down(v) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        for v, text in y.ticks
    )
    below = "".join(
        f'<text x="{across(v):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
        f"{escape(text)}</text>"
        for v, text in x.ticks
    )
    drawn = "".join(_curve(curve, across, down) for curve in curves)
    named = "; ".join(curve.label for curve in curves if curve.label)
    return (
        f'<figure class="picture"><figcaption><b>{escape(title)}</b><span>{escape(note)}</span>'
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="'
        f'{escape(f"{title}: {note}. {named}")}">{grid}{below}'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(x.label)}</text>'
        f"{drawn}</svg></figure>"
    )


def _curve(curve: Curve, across: Scale, down: Scale) -> str:
    places = [(across(px), down(py)) for px, py in curve.points]
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    dots = "".join(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.6"/>' for px, py in places)
    title = f"<title>{escape(curve.label)}</title>" if curve.label else ""
    return (
        f'<g class="inked" style="--light:{curve.light};--dark:{curve.dark}">{title}'
        f'<polyline points="{line}"/>{dots}</g>'
    )


def share_axis(label: str, values: Sequence[float]) -> Axis:
    """Accuracies, from 0 or the nearest ten below, in per cent."""
    low, high = min(values), max(values)
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.25) if (high - low) <= 4 * s or s == 0.25)
    first, last = math.floor(low / step), math.ceil(high / step)
    places = [i * step for i in range(first, max(last, first + 1) + 1)]
    return Axis(label, [(v, f"{v:.0%}") for v in places], places[0], places[-1])


def linear_axis(label: str, values: Sequence[float]) -> Axis:
    """Values of any sign, with about four ticks at round numbers."""
    low, high = min(values), max(values)
    width = (high - low or abs(high) or 1.0) / 4
    power = 10.0 ** math.floor(math.log10(width))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= width)
    first, last = math.floor(low / step), math.ceil(high / step)
    places = [i * step for i in range(first, max(last, first + 1) + 1)]
    return Axis(label, [(v, f"{v:.3g}") for v in places], places[0], places[-1])


def log_axis(label: str, values: Sequence[float]) -> Axis:
    """Positive values, with a tick at round numbers."""
    low, high = min(values), max(values)
    base = 10.0 if high / low > 200 else (4.0 if high / low > 12 else 2.0)
    first = math.floor(math.log(low, base) + 1e-9)
    last = max(math.ceil(math.log(high, base) - 1e-9), first + 1)
    places = [base**i for i in range(first, last + 1)]
    return Axis(label, [(v, _short(v)) for v in places], places[0], places[-1], log=True)


def _short(value: float) -> str:
    """A tick label short enough for the margin."""
    return f"{value:.0f}" if 1 <= value < 1e6 else f"{value:.2g}"


def knob_axis(values: Sequence[float], knob: Knob) -> Axis:
    """Values of a knob; if there are many, only every other one is labelled."""
    ordered = sorted(values)
    shown = ordered if len(ordered) <= 6 else ordered[::2]
    pad = 1.12
    ticks = [(value, f"{value:g}") for value in shown]
    if knob.log:
        return Axis(knob.label, ticks, ordered[0] / pad, ordered[-1] * pad, log=True)
    room = (pad - 1) * (ordered[-1] - ordered[0] or 1.0)
    return Axis(knob.label, ticks, ordered[0] - room, ordered[-1] + room, log=False)


def loss_axis(values: Sequence[float]) -> Axis:
    """Training losses, falling to the right as training goes on."""
    low, high = min(values), max(values)
    rounds = [m * 10.0**e for e in range(-6, 2) for m in (1, 2, 5)]
    ticks = [(v, f"{v:g}") for v in rounds if low <= v <= high]
    if len(ticks) > 6:
        ticks = [(v, text) for v, text in ticks if text.lstrip("0.").startswith("1")]
    return Axis("training loss; training goes right", ticks, high * 1.1, low / 1.1, log=True)
