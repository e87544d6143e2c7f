"""A claim's verdicts at a glance: a row for each line of a panel, a column for each measure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from html import escape

from sgdscope.claims import Verdict
from sgdscope.claims.answers import number
from sgdscope.claims.grid import Moments, grid
from sgdscope.claims.verdicts import LEGEND
from sgdscope.report import markup
from sgdscope.settings import written


def matrix(statements: Iterable[Moments], *, places: Collection[str]) -> str:
    """A table as HTML.

    Args:
        statements: a claim's verdicts, each at both moments.
        places: ids of the page's sections and cards.
    """
    arranged = grid(statements)
    rows = ""
    for block in arranged.blocks:
        units = [f"<small>{escape(block.unit(measure))}</small>" for measure in arranged.measures]
        rows += _row(f'<th class="said">{escape(block.said)}</th>', units)
        for (panel, line), row in block.rows.items():
            head = f"<th>{escape(panel)}<small>{escape(line)}</small></th>"
            rows += _row(head, [_cell(row.get(name, []), places) for name in arranged.measures])
    heads = "".join(f"<th>{escape(head)}</th>" for head in arranged.heads)
    return (
        '<div class="matrix" tabindex="0" role="group" aria-label="Verdicts"><table>'
        f"<thead><tr><td></td>{heads}</tr></thead>"
        f'<tbody>{rows}</tbody></table></div><p class="signs">{LEGEND} '
        "Hover over a verdict for its evidence; click it for its figure.</p>"
    )


def _row(head: str, cells: Iterable[str]) -> str:
    return f"<tr>{head}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _cell(moments: Moments, places: Collection[str]) -> str:
    chips = "".join(_chip(verdict, places) for verdict in moments)
    eps = moments[0].eps if moments else None
    return chips if eps is None else f"{chips}<small>eps {written(eps)}</small>"


def _chip(verdict: Verdict, places: Collection[str]) -> str:
    text = verdict.sign
    if verdict.value is not None and verdict.informative:
        text += f" {number(verdict.value, verdict.unit, digits=2)} {verdict.marks}".rstrip()
    title = escape(f"{verdict.when}: {verdict.word}; {verdict.reason}")
    kind = verdict.verdict if verdict.tested else "untold"
    tag, link = "span", ""
    if place := markup.place(verdict.figure, places):
        tag, link = "a", f' href="#{escape(place)}"'
    return f'<{tag} class="verdict {kind}"{link} title="{title}">{text}</{tag}>'
