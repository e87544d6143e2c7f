"""Verdicts for a reader: all as JSON, and a table of the informative ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from rich.markup import escape
from rich.table import Table

from sgdscope.claims.answers import number
from sgdscope.claims.evidence import heading
from sgdscope.claims.in_short import in_short, parts
from sgdscope.claims.verdicts import END, EQUAL, Verdict

COLOURS = {"supported": "green", "contradicted": "red", "inconclusive": "yellow"}
UNITS = {"points per doubling": "pt/×2", "points": "pt", "power of the batch size": "power"}


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Every verdict, as a list with one verdict on a line."""
    lines = [
        json.dumps(asdict(verdict), ensure_ascii=False, separators=(",", ":"))
        for verdict in verdicts
    ]
    return "[\n" + ",\n".join(lines) + "\n]"


def table(verdicts: Sequence[Verdict]) -> Table:
    """One row per claim with its answer, then one per panel, line and measure with both moments.

    For an attack, the row is at the largest eps at which most runs are not at a floor. Statements
    that could not be tested at either moment are only counted.
    """
    grid = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    grid.add_column("claim", overflow="fold", ratio=1)
    grid.add_column("estimate at end", justify="right", max_width=22)
    grid.add_column("verdict at end", no_wrap=True)
    grid.add_column("at equal loss", no_wrap=True)
    for claim, pairs in groupby(telling(verdicts), key=lambda pair: pair[0].claim):
        group = list(pairs)
        grid.add_row(f"[bold]{claim}[/] {escape(heading(group[0][0]))}")
        grid.add_row(f"  [bold]{escape(in_short(group))}[/]")
        for said, answer in parts(group):
            grid.add_row(f"  [dim]{escape(f'{said}: {answer}')}[/]")
        untested = []
        for end, equal in group:
            if not (end.tested or (equal is not None and equal.tested)):
                untested.append(end)
                continue
            statement = f"  {escape(end.statement_at_eps)}"
            if end.verdict == "inconclusive":
                statement += f"\n  [dim]{escape(end.reason)}[/]"
            grid.add_row(statement, _number(end), _answer(end), _answer(equal))
        if untested:
            example = f"{untested[0].statement}: {untested[0].reason}"
            grid.add_row(
                f"  [dim]{len(untested)} not testable on these runs, for example "
                f"{escape(example)}[/]"
            )
    return grid


def telling(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, Verdict | None]]:
    """The verdict at the end and the one at equal loss, for each claim, panel, line and measure."""
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in verdicts:
        place = verdict.model, verdict.data, verdict.line
        key = (verdict.claim, *place, verdict.measure, verdict.said)
        groups.setdefault(key, []).append(verdict)
    return [_pair(group) for group in groups.values()]


def _pair(group: list[Verdict]) -> tuple[Verdict, Verdict | None]:
    ends = [verdict for verdict in group if verdict.when == END]
    chosen = max(ends or group, key=lambda verdict: (verdict.informative, verdict.eps or 0.0))
    equals = [verdict for verdict in group if verdict.when == EQUAL and verdict.eps == chosen.eps]
    return chosen, equals[0] if equals else None


def _number(verdict: Verdict) -> str:
    if verdict.value is None:
        return "–"
    values = (verdict.value, verdict.low, verdict.high)
    value, low, high = (number(one or 0.0, verdict.unit, digits=2) for one in values)
    unit = UNITS.get(verdict.unit, verdict.unit)
    return f"{value} {unit}\n[dim]{low} to {high}[/]"


def _answer(verdict: Verdict | None) -> str:
    if verdict is None:
        return "–"
    return f"[{COLOURS[verdict.verdict]}]{verdict.word}[/] [bold]{verdict.marks}[/]"
