"""The page itself: a template filled with what the study says and what its runs gave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from sgdscope import claims, findings
from sgdscope.figures.paper import Drawn
from sgdscope.report import plots, sections
from sgdscope.report.cards import cards
from sgdscope.report.gallery import gallery
from sgdscope.report.sections import Section
from sgdscope.report.tables import tables
from sgdscope.results import style
from sgdscope.results.axis import BATCH
from sgdscope.results.record import Result
from sgdscope.results.tables import Results
from sgdscope.results.view import View


def html(
    settings: dict[str, Any],
    finished: Sequence[Result],
    results: Results,
    drawn: Iterable[Path],
    *,
    plates: Sequence[Drawn],
) -> str:
    """The whole page.

    Args:
        settings: the study as resolved.
        finished: its results.
        results: the same as tables.
        drawn: files of figures, in a folder ``figures`` beside the page.
        plates: what became of the paper's numbered figures, in the same folder.
    """
    from plotly.offline import get_plotlyjs

    view = View(results)
    moments = claims.moments(results)
    own = moments if results.axis == BATCH else claims.moments(results, axis=results.axis)
    shown = list(cards(view))
    examples = gallery(view)
    parts = sections.build(
        settings,
        finished,
        view,
        shown,
        list(drawn),
        judged=claims.verdicts(moments),
        found=findings.find(own),
        examples=bool(examples),
        plates=plates,
    )
    payload = {
        "tables": tables(view),
        "lines": [asdict(line) for line in view.lines],
        "dark": _dark(view),
        "template": plots.TEMPLATE.to_plotly_json(),
        "stretch": {"end": style.STRETCH_END, "ticks": style.STRETCH_TICKS},
        "cards": [asdict(card) for card in shown],
        "gallery": examples,
    }
    return Template(_file("page.html")).substitute(
        title=escape(str(settings.get("name", "study"))),
        style=_file("page.css"),
        contents="\n".join(f'<a href="#{part.id}">{escape(part.title)}</a>' for part in parts),
        body="\n".join(map(_section, parts)),
        payload=_embedded(payload),
        plotly=get_plotlyjs() if shown else "",
        script=_file("page.js"),
    )


def _section(section: Section) -> str:
    title = "" if section.id == "overview" else f"<h2>{escape(section.title)}</h2>"
    return f'<section id="{section.id}">{title}{section.html}</section>'


def _dark(view: View) -> dict[str, str]:
    """For each colour drawn on a light ground, the one to draw on a dark ground."""
    light, dark = (style.axis_colours(view.axis.values, dark=dark) for dark in (False, True))
    lines = {line.colour: line.dark for line in view.lines}
    return plots.DARK | lines | {light[value]: dark[value] for value in view.axis.values}


def _embedded(payload: dict[str, Any]) -> str:
    """JSON that nothing in it can break out of."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _file(name: str) -> str:
    return resources.files("sgdscope.report").joinpath(name).read_text(encoding="utf-8")
