"""A claim's verdicts at a glance: a row for each line of a panel, a column for each measure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

from sgdscope.claims import Verdict
from sgdscope.claims.quantities import Quantity

SIGNS = {"supported": "✓", "contradicted": "✗", "inconclusive": "?"}
LEGEND = (
    "✓ supported, ✗ contradicted, ? inconclusive, – no information. Above at the end of training, "
    "below at equal training loss; ! most of its readings are flagged. Point at one for what it "
    "rests on; it leads to its figure."
)

Cells = dict[str, Sequence[Verdict]]  # by measure; verdicts at both moments


def matrix(found: Mapping[str, Sequence[Verdict]], *, drawn: Collection[str]) -> str:
    """A table as HTML.

    Args:
        found: a claim's verdicts by statement, each at both moments.
        drawn: names of figures that there are, without ending.
    """
    measures = list(dict.fromkeys(own[0].measure for own in found.values()))
    parts: dict[str, dict[tuple[str, str], Cells]] = {}
    for own in found.values():
        one = own[0]
        where = " on ".join(dict.fromkeys((one.model, one.data))), one.line
        parts.setdefault(_said(one), {}).setdefault(where, {})[one.measure] = own
    rows = ""
    for said, places in parts.items():
        units = [_unit(measure, places.values()) for measure in measures]
        rows += _row(f'<th class="said">{escape(said)}</th>', units)
        for (panel, line), cells in places.items():
            head = f"<th>{escape(panel)}<small>{escape(line)}</small></th>"
            rows += _row(head, [_cell(cells.get(measure, []), drawn) for measure in measures])
    heads = "".join(f"<th>{escape(Quantity(measure).label)}</th>" for measure in measures)
    return (
        f'<div class="matrix"><table><thead><tr><th></th>{heads}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="signs">{LEGEND}</p>'
    )


def _said(verdict: Verdict) -> str:
    """The statement, whatever its measure and place."""
    statement, *_ = verdict.statement.split(":")
    return statement.replace(Quantity(verdict.measure, verdict.eps).label, "…")


def _row(head: str, cells: Iterable[str]) -> str:
    return f"<tr>{head}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _unit(measure: str, places: Iterable[Cells]) -> str:
    """What a column's numbers are, below one statement."""
    verdicts = (verdict for cells in places for verdict in cells.get(measure, []))
    units = (verdict.unit or verdict.statistic for verdict in verdicts if verdict.value is not None)
    return f"<small>{escape(next(units, ''))}</small>"


def _cell(moments: Sequence[Verdict], drawn: Collection[str]) -> str:
    chips = "".join(_chip(verdict, drawn) for verdict in moments)
    eps = moments[0].eps if moments else None
    return chips if eps is None else f"{chips}<small>eps {eps:g}</small>"


def _chip(verdict: Verdict, drawn: Collection[str]) -> str:
    text = SIGNS[verdict.verdict] if verdict.informative else "–"
    if verdict.value is not None and verdict.informative:
        text += f" {verdict.value:+.2g}".replace("-", "−") + " !" * verdict.doubtful
    title = escape(f"{verdict.when}: {verdict.word}; {verdict.reason}")
    kind = verdict.verdict if verdict.tells else "untold"
    tag, link = "span", ""
    if verdict.figure is not None and verdict.figure in drawn:
        tag, link = "a", f' href="figures/{escape(verdict.figure)}.svg"'
    return f'<{tag} class="verdict {kind}"{link} title="{title}">{text}</{tag}>'
