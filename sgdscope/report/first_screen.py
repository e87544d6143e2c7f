"""The first screen: the findings, how certain they are, and what not to rely on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import pandas as pd

from sgdscope.claims.quantities import CURVATURE, TEST_ACCURACY, Quantity
from sgdscope.findings import Finding, Judged, Trend
from sgdscope.measuring import card_of
from sgdscope.report import attention, markup, picture
from sgdscope.report.picture import Curve
from sgdscope.results import intervals, style
from sgdscope.results.view import View, doubtful, unconverged

LINES = 4  # curves in one picture


def first_screen(judged: Judged, *, byline: str) -> str:
    """Title, abstract, three pictures, the other findings, and what not to rely on, as HTML."""
    view, findings = judged.view, judged.findings
    top = next((one for one in findings if one.trends), None)
    if top is None:
        title, lead, drawn = _nothing(view), "", ""
    else:
        title, lead, drawn = top.headline, top.numbers, "".join(_pictures(view, top.trends[0]))
    rows = "".join(map(_row, (one for one in findings if one is not top)))
    return (
        f'<header><p class="byline">{escape(byline)}</p><h1>{escape(title)}</h1>'
        + (f'<p class="abstract">{_emphasised(lead)} {_glossary(findings)}</p>' if lead else "")
        + f'</header>{_caution(view)}<div class="pictures">{drawn}</div>'
        + (f'<ol class="findings">{rows}</ol>' if rows else "")
    )


def _nothing(view: View) -> str:
    """Why there is no finding about a trend."""
    if view.runs.empty:
        return "No run has finished yet."
    done = view.runs[view.runs["status"] == "done"]
    lines = done.groupby(["panel", "line"])["x"]
    if done.empty:
        said = "No run trained: all diverged, collapsed or failed."
    elif not view.main and all(card_of(name).trust is None for name in view.measures):
        said = "Findings are about main measures and those of robustness; this study has neither."
    elif done["x"].nunique() < 3:
        said = "A trend needs runs that trained at three batch sizes or more; this study has fewer."
    elif not ((lines.count() >= 5) & (lines.nunique() >= 3)).any():
        said = "A trend needs five runs of one line at three batch sizes; this study has fewer."
    else:
        said = "No trend can be seen in the values: they are at a floor or not finite."
    return view.axis.reworded(said)


def _glossary(findings: Sequence[Finding]) -> str:
    """What the symbols in the findings stand for."""
    said = " ".join(one.headline + one.numbers for one in findings)
    measures = dict.fromkeys(trend.quantity.measure for one in findings for trend in one.trends)
    names = [style.label(name).split(", ", 1) for name in measures]
    meant = [f"{name[0]}: {name[1]}" for name in names if len(name) == 2 and name[0] in said]
    if "∝ B" in said:
        meant.append("B: batch size")
    if " lines" in said:
        along = next(trend.sample.axis.label for one in findings for trend in one.trends)
        meant.append(f"line: runs that differ only in {along} and seed")
    return f'<span class="interval">{escape("; ".join(meant))}.</span>' if meant else ""


def _row(finding: Finding) -> str:
    spark = ""
    if finding.trends:
        first = finding.trends[0]
        means = first.sample.rows.groupby("x")["value"].mean()
        spark = markup.sparkline([float(value) for value in means])
    return (
        f'<li><span class="kind {finding.kind}">{escape(finding.chip)}</span>'
        f"<p><b>{escape(finding.headline)}</b> {_emphasised(finding.numbers)}</p>"
        f'<a href="#{finding.anchor}" aria-label="details: {escape(finding.headline)}">'
        f"{spark or '›'}</a></li>"
    )


def _emphasised(text: str) -> str:
    """Markup of numbers: intervals in a softer colour, powers raised."""
    raised = re.sub(r"\^(−?\d+\.\d+)", r"<sup>\1</sup>", escape(text))
    return raised.replace("(", '<span class="interval">(').replace(")", ")</span>")


def _pictures(view: View, trend: Trend) -> Iterator[str]:
    """The trend at the end of training, the same at equal progress, and λ₁."""
    yield _by_size(view, trend, trend.quantity, "At the end of training")
    if control := _by_loss(view, trend):
        yield control
    beside = CURVATURE if trend.quantity != CURVATURE else TEST_ACCURACY
    if len(view.at_end(beside.measure)):
        yield _by_size(view, trend, beside, beside.label)


def _by_size(view: View, trend: Trend, quantity: Quantity, title: str) -> str:
    rows = view.at_end(quantity.measure, eps=quantity.eps)
    rows = rows[(rows["panel"] == trend.panel)]
    log = quantity.in_doublings
    if log:
        rows = rows[rows["value"] > 0]
    spread = intervals.over_seeds(rows, ["line", "x"], log=log)
    parts = list(view.by_line(spread))
    method = next((one.line.knobs["method"] for one, _ in parts if one.key == trend.line), "")
    # The finding's own first, then those that share its method: only they differ in one thing.
    parts.sort(key=lambda part: (part[0].key != trend.line, part[0].line.knobs["method"] != method))
    schedules: dict[str, None] = {}
    curves: list[Curve] = []
    for line, own in parts:
        schedule = line.line.settings["schedule"]
        if (schedule in schedules and len(parts) > LINES) or len(curves) == LINES:
            continue
        schedules[schedule] = None
        points = list(zip(own["x"].astype(float), own["middle"], strict=True))
        curves.append(Curve(points, line.colour, line.dark, line.label))
    if not curves:
        return ""
    middles = [value for curve in curves for _, value in curve.points]
    y = _value_axis(quantity, middles)
    sizes = sorted({size for curve in curves for size, _ in curve.points})
    names = [quantity.label] * (title != quantity.label)
    names += [trend.panel] * (len(view.panels) > 1 or not names)
    legend = f'<p class="keys">{"".join(map(_key, curves))}</p>'
    drawn = picture.picture(
        curves, x=picture.knob_axis(sizes, view.axis), y=y, title=title, note=", ".join(names)
    )
    return drawn.replace("</figure>", f"{legend}</figure>")


def _value_axis(quantity: Quantity, values: Sequence[float]) -> picture.Axis:
    if quantity.in_doublings:
        return picture.log_axis("", values)
    return (picture.share_axis if quantity.in_points else picture.linear_axis)("", values)


def _key(curve: Curve) -> str:
    looks = f"--light:{curve.light};--dark:{curve.dark}"
    return f'<span><i class="swatch" style="{looks}"></i>{escape(curve.label)}</span>'


def _by_loss(view: View, trend: Trend) -> str:
    """One curve per value of the axis, against training loss.

    Empty if measured once, or if a loss is negative: the axis is logarithmic.
    """
    rows = view.trajectory(trend.quantity.measure, eps=trend.quantity.eps)
    rows = rows[(rows["panel"] == trend.panel) & (rows["line"] == trend.line)]
    rows = rows[(rows["status"] == "done") & np.isfinite(rows["along"].astype(float))]
    rows = rows[rows["x"].notna()]
    log = trend.quantity.in_doublings
    if log:
        rows = rows[rows["along"] > 0]
    if rows.empty or rows.groupby("run")["epoch"].nunique().max() < 2 or rows["negative"].any():
        return ""
    places = sorted(float(x) for x in rows["x"].unique())
    light, dark = style.axis_colours(places), style.axis_colours(places, dark=True)
    curves = [
        Curve(list(_path(own)), light[place], dark[place], view.axis.named(place))
        for place in places
        for own in [rows[rows["x"] == place]]
    ]
    values = rows["along"].astype(float).tolist()
    y = _value_axis(trend.quantity, values)
    return picture.picture(
        curves,
        x=picture.loss_axis(rows["loss"].astype(float).tolist()),
        y=y,
        title="At equal training loss",
        note=f"{trend.quantity.label}; one curve per {view.axis.label}, light to dark",
    )


def _path(rows: pd.DataFrame) -> Iterator[picture.Point]:
    """The mean over seeds at each epoch."""
    means = rows.groupby("epoch")[["loss", "along"]].mean().sort_index()
    yield from zip(means["loss"], means["along"], strict=True)


def _caution(view: View) -> str:
    """What not to rely on, in one line that unfolds."""
    if view.runs.empty:
        return ""
    parts = [*_unfinished(view), *_flagged(view)]
    if len(view.seeds) and view.seeds.max() == 1:
        parts.append(("one seed: intervals do not show how results vary between seeds", ""))
    if not parts:
        return ""
    said = "; ".join(text for text, _ in parts)
    summary = f"<b>Do not rely on</b> <span>{escape(said)}</span>"
    items = "".join(f"<li>{_linked(text, place)}</li>" for text, place in parts)
    why = '<p><a href="#attention">Every warning, with its runs</a></p>'
    return markup.fold(summary, f"<ul>{items}</ul>{why}", kind="caution")


def _linked(text: str, place: str) -> str:
    return f'<a href="#{escape(place)}">{escape(text)}</a>' if place else escape(text)


def _flagged(view: View, most: int = 3) -> Iterator[tuple[str, str]]:
    """The measures with most flagged values, each with the id of its warning."""
    if view.table.empty:
        return
    done = view.table[view.table["status"] == "done"]
    marked = done[doubtful(done)]
    totals = done["measure"].value_counts()
    for measure, count in marked["measure"].value_counts()[:most].items():
        name, own = str(measure), marked[marked["measure"] == measure]
        about = f"{name}-unconverged" if unconverged(own).all() else name
        text = f"{style.label(name)} where flagged ({count} of {totals[name]} values)"
        yield text, attention.anchor(about)


def _unfinished(view: View) -> Iterator[tuple[str, str]]:
    """Runs that went wrong, each kind with the id of its warning."""
    counts = view.runs["status"].value_counts()
    of_all = f"of {len(view.runs)} runs that"
    for word in attention.MEANING:
        if word in counts:
            yield f"{counts[word]} {of_all} {word}", attention.anchor(word)
    if high := len(attention.risen(view)):
        text = f"{high} {of_all} ended at more than twice their lowest training loss"
        yield text, attention.anchor("risen")
