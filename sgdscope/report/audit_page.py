"""The page of an audit: one file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from itertools import cycle
from pathlib import Path
from string import Template

from sgdscope.auditing import Audit, Comparison
from sgdscope.auditing.comparison import incomparable
from sgdscope.auditing.seeds import seeds_of
from sgdscope.files import write_text
from sgdscope.network import Finding
from sgdscope.report import explained, markup, picture
from sgdscope.report.audit_examples import examples
from sgdscope.report.audit_terminal import checks, label, number, rows
from sgdscope.report.picture import Axis, Curve
from sgdscope.report.sections import Section
from sgdscope.results import style
from sgdscope.results.record import Audited, Measurement
from sgdscope.settings import written

SHADES = [light for (light, _), _ in [*style.SCHEDULES.values(), *style.OTHERS]]
DARK_SHADES = [dark for _, (dark, _) in [*style.SCHEDULES.values(), *style.OTHERS]]
NAMED, SAID = 3, 4  # networks that a title names, sentences below it
WORDS = {"note": "note", "flag": "flagged", "refuse": "failed"}


def write(found: Audit) -> Path:
    """Write ``report.html`` into the audit's folder."""
    parts = list(_sections(found))
    names = ", ".join(one.network.name for one in found.networks)
    html = Template(_file("page.html")).substitute(
        title=escape(f"Audit of {names}"),
        style=_file("page.css"),
        contents="\n".join(f'<a href="#{one.id}">{escape(one.title)}</a>' for one in parts),
        body="\n".join(map(_section, parts)),
        payload=json.dumps({}),
        plotly="",
        script="",
    )
    write_text(found.folder.report, html)
    return found.folder.report


def _section(section: Section) -> str:
    title = "" if section.id == "overview" else f"<h2>{escape(section.title)}</h2>"
    return f'<section id="{section.id}">{title}{section.html}</section>'


def _file(name: str) -> str:
    return resources.files("sgdscope.report").joinpath(name).read_text(encoding="utf-8")


def _sections(found: Audit) -> Iterator[Section]:
    yield Section("overview", "Audit", _overview(found))
    yield Section("look", "Checks", _look(found))
    yield Section("numbers", "Numbers", _numbers(found))
    if found.comparisons:
        yield Section("compared", "Comparison", _compared(found))
    if looked := examples(found):
        yield Section("examples", "Adversarial examples", looked)
    if doubts := "".join(map(_doubts, found.networks)):
        yield Section("attention", "Warnings", doubts)
    yield Section("networks", "Networks", "".join(map(_network, found.networks)))


def _overview(found: Audit) -> str:
    settings = found.folder.settings()
    names = [one.network.name for one in found.networks]
    byline = f"{settings['data']} · {settings['split']} images · {len(names)} network"
    byline += "s" * (len(names) > 1)
    over_seeds = sorted(found.over_seeds, key=lambda one: (not one.differs, one.flagged))
    told = [one.sentence for one in over_seeds]
    told += [one.sentence for one in _telling(found.comparisons)]
    if not told:
        told = [_short(one) for one in found.networks]
    said = "".join(f'<p class="abstract">{escape(sentence)}.</p>' for sentence in told[:SAID])
    pictures = "".join(by_eps(found))
    title = _title(names, seeds_of(found.networks))
    return (
        f'<p class="byline">{escape(byline)}</p><h1>{escape(title)}</h1>{said}'
        f'<div class="pictures">{pictures}</div>'
    )


def _title(names: Sequence[str], several: Mapping[str, Sequence[Audited]]) -> str:
    if len(names) == 1:
        return f"Audit of {names[0]}"
    if several:
        return f"{' and '.join(several)} compared over seeds"
    return f"{' and '.join(names)} compared" if len(names) <= NAMED else f"{len(names)} networks"


def _telling(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The clearest differences first, for each other network one without flags if possible."""
    ordered = sorted(comparisons, key=lambda one: (bool(one.flags), not one.differs, one.p))
    return list({one.network: one for one in reversed(ordered)}.values())


def _short(one: Audited) -> str:
    readings = [m for m in one.measurements if style.is_accuracy(m.measure)]
    said = [f"{label(m.measure, m.eps)}: {number(m)}" for m in readings]
    return f"{one.network.name}. " + ("; ".join(said) or one.reason or one.status)


def by_eps(
    found: Audit, *, others: Callable[[str], Sequence[Curve]] = lambda attack: ()
) -> Iterator[str]:
    """Accuracy against eps, one picture per attack and one curve per network.

    Args:
        found: the audit.
        others: further curves, by attack.
    """
    attacks: dict[str, None] = {}
    for one in found.networks:
        attacks |= {m.measure: None for m in one.measurements if m.eps is not None}
    names = {  # the seeds of a network look alike
        one.id: name for name, seeds in seeds_of(found.networks).items() for one in seeds
    }
    names = {one.id: names.get(one.id, one.network.name) for one in found.networks}
    for attack in attacks:
        beside = others(attack)
        shades = range(len(style.SCHEDULES) * bool(beside), len(SHADES))  # not those of the others
        shade = dict(zip(dict.fromkeys(names.values()), cycle(shades), strict=False))
        curves = [
            Curve(points, SHADES[shade[name]], DARK_SHADES[shade[name]], name)
            for one in found.networks
            if len(points := _curve(one, attack)) > 1 and (name := names[one.id])
        ]
        if not curves:
            continue
        curves += beside
        radii = sorted({eps for curve in curves for eps, _ in curve.points})
        ticks = [(eps, written(eps)) for eps in radii[:: 1 + len(radii) // 6]]
        x = Axis("eps", ticks, radii[0], radii[-1])
        y = picture.share_axis("", [0.0, *(value for c in curves for _, value in c.points)])
        legend = "".join(
            f'<span><i class="swatch" style="--light:{c.light};--dark:{c.dark}"></i>'
            f"{escape(c.label)}</span>"
            for c in {curve.label: curve for curve in curves}.values()
        )
        drawn = picture.picture(curves, x=x, y=y, title=style.label(attack), note="by eps")
        yield drawn.replace("</figure>", f'<p class="keys">{legend}</p></figure>')


def _curve(one: Audited, attack: str) -> list[tuple[float, float]]:
    """The accuracies of a network, from that without attack on the same points if known."""
    readings = [m for m in one.measurements if m.measure == attack and m.value == m.value]
    points = [(m.eps, m.value) for m in readings if m.eps is not None]
    if readings and "clean_accuracy" in readings[0].evidence and all(eps > 0 for eps, _ in points):
        points.append((0.0, float(readings[0].evidence["clean_accuracy"])))
    return sorted(points)


def _look(found: Audit) -> str:
    """Every check as a row, every network as a column."""
    heads = "".join(f"<th>{escape(one.network.name)}</th>" for one in found.networks)
    columns = [dict(checks(one)) for one in found.networks]
    body = "".join(
        f"<tr><th>{escape(check)}</th>"
        + "".join(f"<td>{_findings(column[check])}</td>" for column in columns)
        + "</tr>"
        for check in columns[0]
    )
    return markup.table(heads, body, name="What could make a number meaningless")


def _findings(findings: Sequence[Finding]) -> str:
    said = "".join(
        f'<p><span class="kind lost">{WORDS[one.level]}</span> {escape(one.seen)}. '
        f"<b>{escape(one.advice[:1].upper() + one.advice[1:])}.</b></p>"
        for one in findings
    )
    return said or '<span class="kind kept">passed</span>'


def _numbers(found: Audit) -> str:
    heads = "".join(f"<th>{escape(one.network.name)}</th>" for one in found.networks)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(map(_cell, readings))}</tr>"
        for name, readings in rows(found)
    )
    lead = "".join(f'<p class="lead">{escape(said)}</p>' for said in incomparable(found.networks))
    return lead + markup.table(heads, body, name="Every number")


def _cell(reading: Measurement | None) -> str:
    if reading is None:
        return "<td>–</td>"
    evidence = "; ".join(f"{k.replace('_', ' ')} {_format(v)}" for k, v in reading.evidence.items())
    mark = ' <b class="caution">!</b>' if reading.flags else ""
    return f'<td title="{escape(evidence)}">{number(reading)}{mark}</td>'


def _format(value: float | int | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.4g}"


def _compared(found: Audit) -> str:
    whom = found.networks[0].network.name
    if (name := whom.partition(":")[0]) in seeds_of(found.networks):
        whom = f"the one of its seed of {name}"
    lead = (
        f"Each network against {whom} on the same points: differences in percentage points with "
        "95% intervals over points (Tango 1998), and how many points only one of the two gets "
        "right."
    )
    body = "".join(
        f"<tr><th>{escape(one.network)}</th><td>{escape(label(one.measure, one.eps))}</td>"
        f"<td>{style.points(one.difference)} <span class='interval'>({style.points(one.low)} to "
        f"{style.points(one.high)})</span>{' <b>!</b>' * bool(one.flags)}</td>"
        f"<td>{one.only_network:,}</td><td>{one.only_other:,}</td><td>{one.points:,}</td>"
        f"<td>{one.p:.2g}</td></tr>"
        for one in found.comparisons
    )
    heads = ("measure", "difference", "only it right", "only other right", "points", "p (McNemar)")
    head = "".join(f"<th>{name}</th>" for name in heads)
    over_seeds = "".join(
        f"<li>{'<b>!</b> ' * one.flagged}{escape(one.sentence)}</li>" for one in found.over_seeds
    )
    told = f"<p>Over seeds, with Welch’s 95% interval:</p><ul>{over_seeds}</ul>"
    return (
        told * bool(over_seeds)
        + f'<p class="lead">{escape(lead)}</p>'
        + markup.table(head, body, name="Differences")
    )


def _doubts(one: Audited) -> str:
    kinds: dict[str, list[str]] = {}
    for reading in one.measurements:
        for flag in reading.flags:
            kinds.setdefault(flag, []).append(label(reading.measure, reading.eps))
    return "".join(
        markup.fold(
            f"<b>{escape(one.network.name)}</b> <span>{escape(flag)}</span>",
            explained.note(flag)
            + f"<ul>{''.join(f'<li>{escape(name)}</li>' for name in names)}</ul>",
            kind="warning flagged",
        )
        for flag, names in kinds.items()
    ) + (
        markup.fold(
            f"<b>{escape(one.network.name)}</b> <span>{escape(one.reason)}</span>",
            f"<pre>{escape(one.error.strip())}</pre>",
            kind="warning failed",
        )
        if one.error
        else ""
    )


def _network(one: Audited) -> str:
    network = one.network
    said = {
        "source": network.source,
        "parameters": f"{network.parameters:,}",
        "digest of its weights": network.fingerprint,
        "digest of its code": network.code or "sgdscope's own",
        "seed of attacks and probes": str(network.seed),
        "measured in": style.duration(sum(one.seconds.values())),
    } | one.environment
    facts = markup.facts((name, escape(value)) for name, value in said.items())
    return f"<h3>{escape(network.name)}</h3>{facts}"
