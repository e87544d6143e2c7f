"""What the terminal shows of an audit: the pre-flight report, the table, the warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from sgdscope.auditing import Audit
from sgdscope.auditing.checks import CHECKS
from sgdscope.auditing.comparison import incomparable
from sgdscope.auditing.requirement import Judgement
from sgdscope.network import Finding
from sgdscope.report import markup
from sgdscope.results import style
from sgdscope.results.record import Audited, Measurement
from sgdscope.settings import written

MARKS = {"note": "·", "flag": "!", "refuse": "×"}
COLOURS = {"note": "dim", "flag": "yellow", "refuse": "red"}


def checks(audited: Audited) -> Iterator[tuple[str, list[Finding]]]:
    """The checks made before measuring, each with its findings."""
    left = list(audited.findings)
    for check, kinds in CHECKS.items():
        yield check, [finding for finding in left if finding.name in kinds]


def preflight(audited: Audited) -> Iterator[tuple[str, str]]:
    """Lines with their styles."""
    network = audited.network
    yield f"{network.name}: {network.parameters:,} parameters, on {network.data}", "bold"
    for check, findings in checks(audited):
        if not findings:
            yield f"  ✓ {check}", "green"
        for finding in findings:
            yield f"  {MARKS[finding.level]} {check}: {finding.seen}", COLOURS[finding.level]
            yield f"      {finding.advice}", COLOURS[finding.level]


def rows(found: Audit) -> list[tuple[str, list[Measurement | None]]]:
    """Each measure at each eps by label, with every network's reading of it."""
    keys: dict[tuple[str, float | None], None] = {}
    for one in found.networks:
        keys |= {(reading.measure, reading.eps): None for reading in one.measurements}
    return [
        (
            label(measure, eps),
            [
                next(
                    (m for m in one.measurements if (m.measure, m.eps) == (measure, eps)),
                    None,
                )
                for one in found.networks
            ],
        )
        for measure, eps in keys
    ]


def label(measure: str, eps: float | None) -> str:
    """A measure's name in print, with its eps."""
    return style.label(measure) + ("" if eps is None else f", eps {written(eps)}")


def table(found: Audit) -> Table:
    """One row per measure and eps, one column per network; ! marks what is flagged."""
    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(f"{found.folder.settings()['data']}", no_wrap=True)
    for one in found.networks:
        grid.add_column(escape(one.network.name), justify="right", overflow="fold")
    for name, readings in rows(found):
        grid.add_row(escape(name), *(cell(reading) for reading in readings))
    grid.add_row("", *(one.status for one in found.networks))
    return grid


def cell(reading: Measurement | None) -> str:
    """A value, marked if it is flagged."""
    if reading is None:
        return "–"
    return number(reading) + (" !" if reading.flags else "")


def number(reading: Measurement) -> str:
    """Accuracies to three decimals, everything else as short as possible."""
    if style.is_accuracy(reading.measure) and math.isfinite(reading.value):
        return f"{reading.value:.3f}"
    return markup.number(reading.value)


def warnings(found: Audit) -> list[str]:
    """Why values are flagged, each reason once, and which measures cannot be compared."""
    lines: dict[str, list[str]] = {}
    for one in found.networks:
        for reading in one.measurements:
            for flag in reading.flags:
                name = f"{one.network.name}: {flag}"
                lines.setdefault(name, []).append(label(reading.measure, reading.eps))
    said = [f"! {flag} ({_several(names)})" for flag, names in lines.items()]
    said += [f"× {one.network.name}: {one.reason}" for one in found.networks if one.error]
    return said + list(incomparable(found.networks))


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def compared(found: Audit) -> list[tuple[str, str]]:
    """A sentence for each comparison, with its style; ! if one of its numbers is flagged.

    Those over seeds first: they say what another seed would give, which those over points do not.
    """
    over_points = [(one.sentence, bool(one.flags)) for one in found.comparisons]
    over_seeds = [(one.sentence, one.flagged) for one in found.over_seeds]
    return [
        (f"! {said}", "yellow") if flagged else (said, "")
        for said, flagged in over_seeds + over_points
    ]


def requirements(judged: Sequence[Judgement]) -> list[dict[str, Any]]:
    """The requirements and their answers, for other programs."""
    return [
        {"network": one.network, "requirement": one.requirement.text, "answer": one.answer,
         "span": one.span, "why": one.why}
        for one in judged
    ]  # fmt: skip
