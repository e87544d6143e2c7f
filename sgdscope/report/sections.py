"""The sections of the page, in their order of interest, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from sgdscope.report import attention, markup, overview
from sgdscope.report.cards import Card
from sgdscope.result import Result
from sgdscope.views import View

PLOTTED = {
    "batch": (
        "By batch size",
        "Each measure at the end of training. × diverged and ▽ collapsed, in no line or band; "
        "hollow: flagged or not converged. Point at anything to see its run; click to find it in "
        "the table.",
    ),
    "relation": ("λ₁ and robustness", "Does λ₁ tell how robust a network is?"),
    "eps": ("By eps", "How fast accuracy falls as the attack grows."),
    "learning": ("Learning curves", "A difference means little until training got equally far."),
    "along": ("Along training", "Measures taken while training went on."),
}


@dataclass(frozen=True)
class Section:
    """A part of the page, with its place in the contents."""

    id: str
    title: str
    html: str


def build(
    settings: dict[str, Any],
    finished: Sequence[Result],
    view: View,
    cards: Sequence[Card],
    drawn: Sequence[Path],
) -> list[Section]:
    """Every section that has something to say."""
    missing = overview.planned(settings) - len(finished)
    made = [Section("overview", "Overview", overview.head(settings, finished, view))]
    if finished and (warnings := attention.warnings(view, missing=missing)):
        made.append(Section("attention", "Read first", "".join(warnings)))
    if finished and (trends := overview.trends(view)):
        made.append(Section("trends", "In short", _lead(trends, _SHORT)))
    # A study's claims with their verdicts belong here, before the evidence; the numbered figures
    # of the paper belong after the section "batch".
    for id_, (title, lead) in PLOTTED.items():
        holes = "".join(map(_hole, (card for card in cards if card.section == id_)))
        if holes:
            made.append(Section(id_, title, _lead(holes, lead)))
    if finished:
        made.append(Section("runs", "Runs", '<div id="run-table"></div>'))
    if failures := attention.failures(finished):
        made.append(Section("failures", "Failures", failures))
    made.append(Section("files", "Files", _files(drawn)))
    if finished:
        made.append(Section("versions", "Versions", _versions(finished)))
    return made


_SHORT = (
    "What each line does from the smallest batch to the largest, means over seeds. Training loss "
    "and lr · steps say whether the runs compared got equally far."
)


def _lead(html: str, lead: str) -> str:
    return f'<p class="lead">{escape(lead)}</p>{html}'


def _hole(card: Card) -> str:
    """Where the page's script puts a card."""
    return f'<article class="card" data-card="{escape(card.id)}"></article>'


def _files(drawn: Sequence[Path]) -> str:
    rows = [("data", _link("results.csv") + _link("study.toml"))]
    names = sorted({file.stem for file in drawn})
    figures = "".join(
        f"<li><span>{escape(name)}</span>{_link(f'figures/{name}.svg', 'SVG')}"
        f"{_link(f'figures/{name}.pdf', 'PDF')}</li>"
        for name in names
    )
    if figures:
        rows.append(("figures", f'<ul class="files">{figures}</ul>'))
    return markup.facts(rows)


def _link(path: str, text: str = "") -> str:
    return f'<a href="{escape(path)}">{escape(text or path)}</a>'


def _versions(finished: Sequence[Result]) -> str:
    environments = [result.environment for result in finished]
    names = list(dict.fromkeys(name for found in environments for name in found))
    return markup.facts(
        (name, "".join(map(markup.chip, dict.fromkeys(e[name] for e in environments if name in e))))
        for name in names
    )
