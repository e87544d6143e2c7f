"""The sections of the page, in their order of interest, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from sgdscope.report.cards import Card
from sgdscope.result import Result
from sgdscope.results import Results


@dataclass(frozen=True)
class Section:
    """A part of the page, with its place in the contents."""

    id: str
    title: str
    html: str


PLOTTED = {
    "batch": ("By batch size", "Every measure at the end of training, against batch size."),
    "relation": ("λ₁ and robustness", "Does curvature explain robustness here?"),
    "eps": ("By eps", "How fast accuracy falls as the attack grows."),
    "learning": ("Learning curves", "How far training got."),
    "along": ("Along training", "Measures taken while training went on."),
}


def build(
    settings: dict[str, Any],
    finished: Sequence[Result],
    results: Results,
    cards: Sequence[Card],
    drawn: Sequence[Path],
) -> list[Section]:
    """Every section that has something to say."""
    made = [_overview(settings, finished, results)]
    # The verdicts on a study's claims belong here, before its measures; the numbered figures of
    # the paper after them.
    for id_, (title, lead) in PLOTTED.items():
        own = [card for card in cards if card.section == id_]
        if own:
            holes = "\n".join(
                f'<div class="card" data-card="{escape(card.id)}"></div>' for card in own
            )
            made.append(_section(id_, title, f"<p class=lead>{lead}</p>{holes}"))
    if finished:
        made.append(_section("runs", "Runs", '<div id="run-table"></div>'))
    failed = [result for result in finished if result.status == "failed"]
    if failed:
        made.append(_section("failures", "Failures", "".join(map(_failure, failed))))
    made.append(_section("files", "Files", _files(drawn)))
    return made


def _section(id_: str, title: str, html: str) -> Section:
    return Section(id_, title, f'<section id="{id_}"><h2>{escape(title)}</h2>{html}</section>')


def _overview(settings: dict[str, Any], finished: Sequence[Result], results: Results) -> Section:
    name = escape(str(settings.get("name", "study")))
    question = escape(str(settings.get("description", "")))
    body = "" if finished else "<p>No finished run yet.</p>"
    html = f'<section id="overview"><h1>{name}</h1><p class=question>{question}</p>{body}</section>'
    return Section("overview", "Overview", html)


def _failure(result: Result) -> str:
    return (
        f"<details><summary>run {result.run.id}</summary>"
        f"<pre>{escape(result.error or '')}</pre></details>"
    )


def _files(drawn: Sequence[Path]) -> str:
    links = [f'<a href="figures/{escape(file.name)}">{escape(file.name)}</a>' for file in drawn]
    links += ['<a href="results.csv">results.csv</a>', '<a href="study.toml">study.toml</a>']
    return f"<p>{' '.join(links)}</p>"
