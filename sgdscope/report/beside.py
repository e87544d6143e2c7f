"""Networks of an audit beside a study: each number next to the range of the study's own runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from sgdscope.auditing import Audit
from sgdscope.errors import RequestError
from sgdscope.findings import Judged
from sgdscope.report import audit_page, audit_terminal, markup
from sgdscope.report.picture import Curve
from sgdscope.report.sections import Section
from sgdscope.results import style
from sgdscope.results.differing import counting_options
from sgdscope.results.record import Measured, Measurement
from sgdscope.results.view import good

MOST = 6  # of the study's curves in a picture
Key = tuple[str, float | None]  # a measure and its eps
Options = dict[str, list[dict[str, Any]]]  # by measure, the options that change its values
LEAD = (
    "Audited networks, and the smallest and largest value of the study’s runs on the same data, "
    "at the end of training. ! marks flagged values, ≠ a measure that was taken with other options "
    "than in the study: such values cannot be compared."
)


def check(audit: Audit, judged: Judged) -> None:
    """Raise RequestError if an audit's networks cannot be compared with a study's."""
    place, settings = audit.folder.path, audit.folder.settings()
    trained_on = sorted(judged.results.runs["data"].unique())
    audit.require_results()
    if settings["data"] not in trained_on or settings["split"] != "test":
        raise RequestError(
            f"{place}: an audit on {settings['split']} images of {settings['data']}; expected test "
            f"images of {' or '.join(trained_on)}, as the study has"
        )


def section(audit: Audit, judged: Judged, *, number: int) -> Section:
    """A table of the audit's numbers beside the study's, and its pictures."""
    keys = dict.fromkeys((m.measure, m.eps) for one in audit.networks for m in one.measurements)
    heads = [one.network.name for one in audit.networks]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in [*heads, "the study’s runs"])
    taken = _options(_results(judged))
    body = "".join(_row(key, audit, judged, taken) for key in keys)
    table = markup.table(head, body, name="Audited networks and the study's runs")
    data = audit.networks[0].network.data
    pictures = "".join(
        audit_page.by_eps(audit, others=lambda attack: _lines(attack, judged, data=data))
    )
    html = f'<p class="lead">{escape(LEAD)}</p>{table}<div class="pictures">{pictures}</div>'
    return Section(f"audited-{number}", f"Audited: {', '.join(heads)}", html)


def _results(judged: Judged) -> Sequence[Measured]:
    folder = judged.results.folder
    return [] if folder is None else folder.results()


def _options(networks: Iterable[Measured]) -> Options:
    """The options with which each measure was taken on the networks."""
    found: Options = {}
    for one in networks:
        for name, options in one.measured.items():
            found.setdefault(name, []).append(counting_options(name, json.dumps(options)))
    return found


def _row(key: Key, audit: Audit, judged: Judged, taken: Options) -> str:
    measure = key[0]
    cells = []
    for one in audit.networks:
        reading = next((m for m in one.measurements if (m.measure, m.eps) == key), None)
        own = _options([one]).get(measure, [])
        unlike = bool(own) and own[0] not in taken.get(measure, own)
        cells.append(f"<td>{audit_terminal.cell(reading)}{' ≠' * unlike}</td>")
    name = escape(audit_terminal.label(*key))
    span = _span(key, judged, data=audit.networks[0].network.data)
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}<td>{span}</td></tr>'


def _span(key: Key, judged: Judged, *, data: str) -> str:
    """The smallest and largest value of the study's runs, and how many there are."""
    measure, eps = key
    rows = judged.results.at_end(measure)
    rows = rows[rows["data"] == data]
    if eps is not None:
        rows = rows[np.isclose(rows["eps"].astype(float), eps, rtol=1e-6)]
    values = good(rows)
    if values.empty:
        return "–"
    ends = [_printed(measure, eps, float(value)) for value in (values.min(), values.max())]
    count = f"{len(values)} run{'s' * (len(values) > 1)}"
    return f"{' – '.join(dict.fromkeys(ends))} <small>{count}</small>"


def _printed(measure: str, eps: float | None, value: float) -> str:
    return audit_terminal.number(Measurement(epoch=0, measure=measure, eps=eps, value=value))


def _lines(attack: str, judged: Judged, *, data: str) -> list[Curve]:
    """The study's lines on the data, means over seeds at either end of the axis, paler first."""
    view, runs = judged.view, judged.results.runs  # a view has data sets by their labels
    rows = view.by_eps(attack)
    trained = rows["run"].isin(runs.loc[runs["data"] == data, "run"])
    rows = rows[(rows["status"] == "done") & trained]
    curves = []
    for panel, here in view.by_panel(rows):
        name = f"{panel}, " if rows["panel"].nunique() > 1 else ""
        for line, own in view.by_line(here):
            ends = [own["x"].min(), own["x"].max()][: own["x"].nunique()]
            paler = style.mix(line.colour, "#FFFFFF", 0.5), style.mix(line.dark, "#000000", 0.4)
            for x, looks in zip(ends, [paler, (line.colour, line.dark)], strict=False):
                means = own[own["x"] == x].groupby("eps")["value"].mean()
                points = [(float(str(eps)), float(value)) for eps, value in means.items()]
                curves.append(Curve(points, *looks, f"{name}{line.label}, {view.axis.named(x)}"))
    return curves[:MOST]
