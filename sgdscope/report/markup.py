"""Small pieces of HTML; text from a study is escaped here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

from sgdscope.results.style import DrawnLine


def chip(text: object) -> str:
    """A value of the grid."""
    return f'<span class="chip">{escape(str(text))}</span>'


def place(figure: str | None, places: Collection[str]) -> str:
    """The place on the page that shows the same as a figure; empty if there is none.

    Args:
        figure: a figure's name, as verdicts give it.
        places: ids of the page's sections and cards.
    """
    if figure is None:
        return ""
    if figure.startswith("progress-"):
        return "progress" if "progress" in places else ""
    if figure.endswith("-by-top_eigenvalue"):
        return "relation" if "relation" in places else ""
    card = figure.split("-eps")[0]
    if card in places:
        return f"card-{card}"
    return "batch" if "batch" in places else ""


def swatch(line: DrawnLine) -> str:
    """A line's colour in a word's height."""
    return f'<i class="swatch" style="--light:{line.colour};--dark:{line.dark}"></i>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A list of names and values; the values are HTML already."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{html}</dd></div>" for name, html in rows)
    return f'<dl class="facts">{items}</dl>'


def tile(value: str, name: str, note: str = "") -> str:
    """A headline number."""
    below = f"<small>{escape(note)}</small>" if note else ""
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span>{below}</div>'


def fold(summary: str, html: str, *, kind: str, unfolded: bool = False, id: str = "") -> str:
    """Something to be unfolded; both are HTML already."""
    named = f' id="{escape(id)}"' if id else ""
    state = " open" * unfolded
    return f'<details{named} class="{kind}"{state}><summary>{summary}</summary>{html}</details>'


def table(heads: str, rows: str, *, name: str) -> str:
    """A table with a name for each row, to be scrolled by keyboard too; both are HTML already."""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(name)}">'
        f'<table class="trends"><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def sparkline(values: Sequence[float], *, width: int = 72, height: int = 20) -> str:
    """A curve without axes, in the text's colour; NaN leaves a gap."""
    known = [value for value in values if value == value]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    step = (width - 6) / max(len(values) - 1, 1)

    def place(i: int, value: float) -> str:
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{3 + i * step:.1f},{height - 3 - share * (height - 6):.1f}"

    points = [place(i, value) for i, value in enumerate(values) if value == value]
    last = points[-1].split(",")
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'aria-hidden="true"><polyline points="{" ".join(points)}"/>'
        f'<circle cx="{last[0]}" cy="{last[1]}" r="2.2"/></svg>'
    )


def number(value: float) -> str:
    """A number to three significant digits."""
    if value != value:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"
