"""The page itself: a template filled with the study and its results."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from sgdscope.auditing import Audit
from sgdscope.findings import Judged
from sgdscope.report import beside, plots, sections
from sgdscope.report.cards import cards
from sgdscope.report.gallery import gallery
from sgdscope.report.sections import Section
from sgdscope.report.tables import tables
from sgdscope.results import style
from sgdscope.results.style import DrawnLine
from sgdscope.results.view import View

LONG = 50_000  # characters from which a section is compressed
SCRIPT = ("start", "plots", "cards", "gallery", "table", "begin")  # one module, in this order


def html(judged: Judged, *, audits: Sequence[Audit] = (), home: Path | None = None) -> str:
    """The whole page, with audits of other networks beside the study.

    ``home``: the folder that it is written to, if any.
    """
    from plotly.offline import get_plotlyjs

    view = judged.view
    shown = list(cards(view, beside=judged.views[1:]))
    examples = gallery(view)
    parts = sections.build(judged, shown, examples=bool(examples), home=home)
    place = next(i for i, part in enumerate(parts) if part.id == "study")
    parts[place:place] = [
        beside.section(audit, judged, number=i) for i, audit in enumerate(audits, start=1)
    ]
    payload = {
        "tables": tables(view),
        "lines": [_line(line) for one in judged.views for line in one.lines],
        "dark": _dark(judged.views),
        "template": plots.TEMPLATE,
        "stretch": {"end": style.STRETCH_END, "ticks": style.STRETCH_TICKS},
        "cards": shown,
        "gallery": examples,
        "parts": {part.id: part.html for part in parts if _is_long(part)},
    }
    return Template(_file("page.html")).substitute(
        title=escape(str(judged.settings.get("name", "study"))),
        style=_file("page.css"),
        contents="\n".join(f'<a href="#{part.id}">{escape(part.title)}</a>' for part in parts),
        body="\n".join(map(_section, parts)),
        payload=_packed(_json(payload)),
        plotly=_packed(get_plotlyjs()) if shown else "",
        script="\n".join(_file(f"script/{name}.js") for name in SCRIPT),
    )


def _section(section: Section) -> str:
    title = "" if section.id == "overview" else f"<h2>{escape(section.title)}</h2>"
    html = f'<div data-part="{section.id}"></div>' if _is_long(section) else section.html
    return f'<section id="{section.id}">{title}{html}</section>'


def _is_long(section: Section) -> bool:
    """Whether a section is stored compressed, to be unpacked by the page's script."""
    return section.id != "overview" and len(section.html) > LONG


def _line(line: DrawnLine) -> dict[str, Any]:
    """The look of a line, and the settings by which it is selected."""
    looks = {"key": line.key, "label": line.label, "colour": line.colour, "dark": line.dark}
    knobs = {key: str(value) for key, value in line.line.knobs.items()}
    return looks | {"mark": line.mark, "knobs": knobs}


def _dark(views: Sequence[View]) -> dict[str, str]:
    """For each colour drawn on a light ground, the one to draw on a dark ground."""
    values = views[0].axis.values
    light, dark = (style.axis_colours(values, dark=dark) for dark in (False, True))
    lines = {line.colour: line.dark for view in views for line in view.lines}
    return plots.DARK | lines | {light[value]: dark[value] for value in values}


def _json(payload: dict[str, Any]) -> str:
    return json.dumps(
        payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=vars
    )


def _packed(text: str) -> str:
    """Text compressed, in characters that cannot end a script; the page's script unpacks it."""
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _file(name: str) -> str:
    return resources.files("sgdscope.report").joinpath(name).read_text(encoding="utf-8")
