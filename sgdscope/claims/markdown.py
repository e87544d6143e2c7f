"""The informative verdicts as a Markdown page, to be read where results are kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sgdscope.claims.answers import number
from sgdscope.claims.evidence import heading
from sgdscope.claims.grid import Moments, grid
from sgdscope.claims.in_short import in_short, parts
from sgdscope.claims.record import telling
from sgdscope.claims.verdicts import LEGEND, Verdict
from sgdscope.settings import written

READING = (
    "In brackets: the 95% interval, not corrected for the number of verdicts. A ? without a "
    "number was not tested. Each attack is shown at the largest eps that distinguishes the runs; "
    "`claims.json` "
    "has every eps and reason."
)


def markdown(
    verdicts: Sequence[Verdict], *, title: str, note: str = "", found: Sequence[str] = ()
) -> str:
    """A claim's answer, then its table; untestable statements are only counted.

    Args:
        verdicts: as judged.
        title: of the page.
        note: a caution for the top, such as that the study is a miniature.
        found: the findings, a sentence or two each.
    """
    listed = "\n".join(f"- {one}" for one in found)
    texts = [f"# {title}: verdicts", note, listed, f"{LEGEND} {READING}"]
    for _, pairs in groupby(telling(verdicts), key=lambda pair: pair[0].claim):
        group = list(pairs)
        table = _table([_moments(*pair) for pair in group])
        listed = "\n".join(f"- {said}: {answer}" for said, answer in parts(group))
        texts += [f"## {heading(group[0][0])}", f"**{in_short(group)}**", listed, table]
    return "\n\n".join(text for text in texts if text) + "\n"


def _moments(end: Verdict, equal: Verdict | None) -> Moments:
    return [end] if equal is None else [end, equal]


def _table(statements: Sequence[Moments]) -> str:
    told = [moments for moments in statements if any(one.tested for one in moments)]
    untold = len(statements) - len(told)
    counted = f"{untold} statement{'s' * (untold != 1)} could not be tested." if untold else ""
    if not told:
        return counted
    arranged = grid(told)
    rows = [["", *arranged.heads], ["---"] * (len(arranged.measures) + 1)]
    for block in arranged.blocks:
        units = [block.unit(measure) for measure in arranged.measures]
        rows.append([f"**{block.said}**", *(f"*{unit}*" if unit else "" for unit in units)])
        for (panel, line), row in block.rows.items():
            cells = [_cell(row.get(measure, [])) for measure in arranged.measures]
            rows.append([f"{panel}<br>{line}", *cells])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{counted}" if counted else table


def _cell(moments: Moments) -> str:
    lines = [answer(verdict) for verdict in moments]
    if moments and moments[0].eps is not None:
        lines.append(f"eps {written(moments[0].eps)}")
    return "<br>".join(lines)


def answer(verdict: Verdict) -> str:
    """A verdict's sign, number and marks, as in the legend."""
    if not verdict.informative or verdict.value is None:
        return verdict.sign
    values = (verdict.value, verdict.low, verdict.high)
    value, low, high = (number(one or 0.0, verdict.unit, digits=2) for one in values)
    return f"{verdict.sign} {value} ({low} to {high}) {verdict.marks}".rstrip()
