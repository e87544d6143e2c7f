"""The rules that write findings from trends and the status of runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sgdscope.claims import judging
from sgdscope.claims.evidence import Evidence
from sgdscope.claims.in_short import all_of
from sgdscope.claims.quantities import TEST_ACCURACY, Quantity
from sgdscope.claims.statistics import Estimate
from sgdscope.findings.finding import Course, Finding, Kind, Trend
from sgdscope.findings.pooled import pooled
from sgdscope.measuring import card_of
from sgdscope.results.axis import BATCH, Axis
from sgdscope.results.view import LOST, View, most_informative_eps
from sgdscope.study.imported_schedules import find as find_schedule

MOST = 8  # findings; more are not read
SURPRISE: dict[Kind, float] = {
    "progress": 4, "fades": 4, "reversed": 4, "kept": 2, "open": 1, "flat": 1, "unclear": 0.2,
}  # fmt: skip


def find(moments: Sequence[Evidence]) -> list[Finding]:
    """A study's findings, most important first; none if nothing was measured.

    Args:
        moments: the end of training and equal training loss, as :func:`sgdscope.claims.moments`.
    """
    if not moments:
        return []
    end, equal = moments
    found = [*_by_schedule(list(_trends(end, equal))), *_lost(end)]
    return sorted(found, key=lambda one: -one.weight)[:MOST]


def _trends(end: Evidence, equal: Evidence) -> Iterator[Trend]:
    """Trends of the main measures, and of the most trusted attack at its most informative eps."""
    main = [name for name in end.view.main if card_of(name).trust is None]
    for panel in end.view.panels:
        told = [one for name in main for one in _quantity(end.view, panel, name)]
        for quantity in [*told, *_robustness(end.view, panel)]:
            matched = {(one.panel, one.line): one for one in equal.samples([quantity])}
            for sample in end.samples([quantity]):
                if " on ".join(sample.panel) != panel or sample.enough() is not None:
                    continue
                drawn = next(one for one in end.view.lines if one.label == sample.line)
                beside = matched.get((sample.panel, sample.line))
                short = None if beside is None else beside.enough()
                compared = beside if short is None else None
                yield Trend(
                    quantity=quantity,
                    panel=panel,
                    line=drawn.key,
                    label=drawn.label,
                    schedule=str(drawn.line.settings["schedule"]),
                    end=sample.slope,
                    equal=None if compared is None else compared.slope,
                    why_not="" if short is None else short.reason,
                    sample=sample,
                    same=judging.is_same(sample),
                    equal_same=compared is not None and judging.is_same(compared),
                )


def _quantity(view: View, panel: str, measure: str) -> list[Quantity]:
    """A measure if a panel has it; of several eps at the one at which the runs differ most."""
    rows = view.at_end(measure)
    rows = rows[rows["panel"] == panel]
    if rows.empty:
        return []
    return [Quantity(measure, most_informative_eps(rows) if measure in view.radii else None)]


def _robustness(view: View, panel: str) -> list[Quantity]:
    """The most trusted measure of robustness.

    One measured during training takes precedence: only it can be compared at equal loss.
    """
    followed = view.followed(panel)
    trust = {name: card_of(name).trust for name in view.measures}
    known = {name: value for name, value in trust.items() if value is not None}
    for measure in sorted(known, key=lambda name: (name not in followed, -known[name])):
        if found := _quantity(view, panel, measure):
            return found
    return []


def _by_schedule(trends: Sequence[Trend]) -> Iterator[Finding]:
    """One finding per schedule and family of quantities, over all panels and lines."""
    for schedule in dict.fromkeys(trend.schedule for trend in trends):
        own = [trend for trend in trends if trend.schedule == schedule]
        for family in sorted({_family(trend.quantity) for trend in own}, key=_family_order):
            yield _finding([trend for trend in own if _family(trend.quantity) == family])


def _family(quantity: Quantity) -> str:
    """Measures of robustness are one family; every other measure is its own."""
    return "robustness" if quantity.card.trust is not None else quantity.measure


def _family_order(family: str) -> tuple[bool, float, str]:
    order = card_of(family).order
    return family != "robustness", math.inf if order is None else order, family


def _finding(trends: Sequence[Trend]) -> Finding:
    counts = Counter((trend.kind, trend.course) for trend in trends)
    kind, course = max(counts, key=lambda one: (SURPRISE[one[0]] * counts[one], one))
    agreeing = [t for t in trends if (t.kind, t.course) == (kind, course)]
    agreeing.sort(key=lambda trend: -trend.size)
    cases, numbers = _cases(agreeing, trends), _numbers(agreeing[0], several=len(trends) > 1)
    share = len(agreeing) / len(trends)
    mean = pooled(trends)
    if mean is not None and kind == mean.kind == "unclear":
        numbers = _numbers_of_mean(mean, trends)
    elif mean is not None and mean.kind != "unclear" and (kind == "unclear" or share < 0.5):
        kind, course = mean.kind, mean.course
        cases = f" on average over {len({trend.panel for trend in trends})} networks"
        numbers = f"{_numbers_of_mean(mean, trends)} {_each(course, trends)}"
        agreeing = [mean]
        share = sum(_goes(course, trend) for trend in trends) / len(trends)
    family = _family(agreeing[0].quantity)
    size = min(float(np.median([trend.size for trend in agreeing])), 6.0)
    bonus = {"robustness": 1.3, TEST_ACCURACY.measure: 1.0}.get(family, 0.9)
    return Finding(
        kind=kind,
        headline=_headline(kind, course, agreeing[0], cases),
        numbers=numbers,
        weight=SURPRISE[kind] * share * bonus * (1.0 + size),
        trends=agreeing + [trend for trend in trends if trend not in agreeing],
        anchor="batch" if kind in ("flat", "unclear", "open") else "progress",
    )


def _goes(course: Course, trend: Trend) -> bool:
    """Whether a trend goes that way, however uncertain it is."""
    return (trend.end.value > 0) == (course == "rises")


def _each(course: Course, trends: Sequence[Trend]) -> str:
    """In how many cases it goes the way of the mean, and in how many significantly."""
    clear = sum(trend.course == course for trend in trends)
    towards = sum(_goes(course, trend) for trend in trends)
    certain = f"significantly in {clear}" if clear else "significantly in none"
    return f"It {course} in {_some(towards, trends)}, {certain}."


def _headline(kind: Kind, course: Course, first: Trend, cases: str) -> str:
    how = _upper(phrase(first.schedule))
    subject = _subject(first.quantity)
    axis = first.sample.axis
    if axis.knob != BATCH:
        return _along_another(kind, course, first, f"{how}, {subject}", cases)
    if kind in ("progress", "fades") and _family(first.quantity) == "robustness":
        more = "more" if course == "rises" else "less"
        why = "only" if kind == "progress" else "mostly"
        return f"{how}, larger batches look {more} robust {why} because they trained less{cases}."
    endings: dict[Kind, str] = {
        "progress": f"{course} with batch size{cases}, only because large batches trained less",
        "fades": f"{course} with batch size{cases}, mostly because large batches trained less",
        "kept": f"{course} with batch size{cases}, at equal training loss too",
        "reversed": f"{course} with batch size{cases}, and goes the other way at equal loss",
        "open": f"{course} with batch size{cases}{_open(first)}",
        "flat": f"barely varies with batch size{cases}",
    }
    if kind == "unclear":
        return f"{how}, {subject} shows no clear trend with batch size{cases}."
    return f"{how}, {subject} {endings[kind]}."


def _along_another(kind: Kind, course: Course, first: Trend, start: str, cases: str) -> str:
    """The headline of a study that is drawn along a knob other than batch size."""
    label = first.sample.axis.label
    endings: dict[Kind, str] = {
        "progress": "; at equal training loss the effect disappears",
        "fades": "; at equal training loss little of it remains",
        "kept": ", at equal training loss too",
        "reversed": ", and goes the other way at equal training loss",
        "open": _open(first),
    }
    if kind == "unclear":
        return f"{start}: it is undecided whether it varies with {label}{cases}."
    if kind == "flat":
        return f"{start} barely varies with {label}{cases}."
    return f"{start} {course} with {label}{cases}{endings[kind]}."


def _open(first: Trend) -> str:
    return f"; at equal training loss it is {'undecided' if first.equal else 'not testable'}"


def _subject(quantity: Quantity) -> str:
    if _family(quantity) == "robustness" and quantity.eps and quantity.card.kind == "accuracy":
        return "accuracy under attack"
    return quantity.label if quantity.label.startswith("λ") else quantity.label.lower()


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cases(agreeing: Sequence[Trend], trends: Sequence[Trend]) -> str:
    """In how many networks, or in how many of their lines."""
    if len(trends) == 1:
        return ""
    negative = agreeing[0].kind == "unclear"  # it shows no trend in either
    return f" in {_some(len(agreeing), trends, negative=negative)}"


def _some(count: int, trends: Sequence[Trend], *, negative: bool = False) -> str:
    """So many of the trends, which differ in their network, their line or both."""
    networks = len({trend.panel for trend in trends})
    units = "lines" if networks == 1 else "networks"
    if 1 < networks < len(trends):
        units = f"lines of {networks} networks"
    if count < len(trends):
        return f"{count} of {len(trends)} {units}"
    if negative:
        return f"either {units[:-1]}" if count == 2 else f"any of {count} {units}"
    return f"{all_of(count)} {units}"


def _numbers(trend: Trend, *, several: bool) -> str:
    where = f"{trend.panel}, {trend.label}: " if several else ""
    return _both_moments(trend, f"{where}{trend.quantity.label}")


def _numbers_of_mean(mean: Trend, trends: Sequence[Trend]) -> str:
    where = f"Mean over {len({trend.panel for trend in trends})} networks"
    label = mean.quantity.label
    if len({trend.quantity.eps for trend in trends}) > 1:
        where, label = f"{where}, each at its own eps", mean.quantity.card.label
    return _both_moments(mean, f"{where}: {label}")


def _both_moments(trend: Trend, what: str) -> str:
    quantity, axis = trend.quantity, trend.sample.axis
    said = f"{what} {_estimate(trend.end, quantity, axis)}"
    if trend.equal is not None:
        equal = _estimate(trend.equal, quantity, axis, short=True)
        return f"{said}; at equal training loss {equal}."
    if not trend.why_not:
        return f"{said}."
    why_not = trend.why_not.split(";")[0].removeprefix("was ")
    return f"{said}. Not testable at equal training loss: {why_not}."


def _estimate(found: Estimate, quantity: Quantity, axis: Axis, *, short: bool = False) -> str:
    """A slope with its interval, in print."""
    if not quantity.in_doublings or not axis.log:
        unit = "" if short else f" {quantity.unit} {axis.per}"
        return f"{_signed(found.value)}{unit} ({_signed(found.low)} to {_signed(found.high)})"
    base = "B" if axis.knob == BATCH else f"({axis.label})"
    return f"∝ {base}^{_plain(found.value)} ({_plain(found.low)} to {_plain(found.high)})"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")


def _plain(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def phrase(schedule: str) -> str:
    """The phrase for a schedule within a sentence."""
    return find_schedule(schedule).phrase or f"under {schedule}"


def _lost(evidence: Evidence) -> Iterator[Finding]:
    """Findings about lines where at least half of the runs diverged, collapsed or failed."""
    view = evidence.view
    told, share = [], 0.0
    for line, runs in view.by_line(view.runs):
        gone = runs[runs["status"].isin([*LOST, "failed"])]
        if 2 * len(gone) >= len(runs):
            told.append((line.label, f"{len(gone)} of {len(runs)} {_fates(gone)}"))
            share += len(gone) / len(view.runs) * len(view.lines)
    if not told:
        return
    if len(told) == 1:
        (label, counts), *_ = told
        headline = f"Under {label}, at least half of the runs did not train."
    else:
        headline = (
            f"In {len(told)} of {len(view.lines)} lines at least half of the runs did not train."
        )
        counts = "; ".join(f"{label}: {found}" for label, found in told)
    yield Finding(
        kind="lost",
        headline=headline,
        numbers=f"{counts}; the numbers of these runs mean nothing.",
        weight=3.0 * share / len(told),
        anchor="attention",
    )


def _fates(gone: pd.DataFrame) -> str:
    """What became of lost runs."""
    counts = gone["status"].value_counts()
    each = ", ".join(f"{count} {status}" for status, count in counts.items())
    return str(counts.index[0]) if len(counts) == 1 else f"lost ({each})"
