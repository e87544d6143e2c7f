"""The interactive figures: cards, each with a title, controls, and a plot per panel and choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from sgdscope import charts
from sgdscope.measuring import card_of
from sgdscope.report import confounders
from sgdscope.report.card import Card, Control, means, offered
from sgdscope.report.plots import plot
from sgdscope.results import style
from sgdscope.results.spectra import Spectrum, described, spectra
from sgdscope.results.view import View, good, most_informative_eps
from sgdscope.settings import written

ALONG = "along"  # the control that chooses the knob of the x axis
LEARNING = {
    "train_loss": "Loss while training, mean of each epoch",
    "validation_accuracy": "Validation accuracy",
}


def cards(view: View, *, beside: Sequence[View] = ()) -> Iterator[Card]:
    """Every card that the results allow, in the order of interest.

    Args:
        view: the results along the study's own axis.
        beside: the same along other knobs, which the reader may choose for the x axis.
    """
    if not view.runs.empty:
        yield from (offered(card) for card in _cards([view, *beside]) if card.plots)


def _cards(views: Sequence[View]) -> Iterator[Card]:
    view = views[0]
    for name, radii in view.attacks.items():
        yield _attack(views, name, radii)
    single = [name for name in view.measures if name not in view.attacks]
    for name in view.main:
        yield _measure(views, name)
    yield from _others(views, [name for name in single if name not in view.main])
    if "top_eigenvalue" in single and view.attacks:
        yield confounders.relation(view)
    if any(len(radii) > 1 for radii in view.attacks.values()):
        yield _by_eps(view)
    if found := spectra(view):
        yield _spectrum(view, found)
    if not view.history.empty:
        yield from confounders.causes(view)
        yield from confounders.progress(view)
        for column, title in LEARNING.items():
            rows = view.history.assign(value=view.history[column])
            yield _along(view, rows, column, "learning", title)
    for name in view.along_training:
        yield _along(view, view.trajectory(name), name, "along", style.label(name))


def _along_axes(
    views: Sequence[View], measure: str, choice: dict[str, str], *, eps: float | None = None
) -> Iterator[dict[str, Any]]:
    """A measure at the end of training, along each knob."""
    for view in views:
        attack = measure in view.attacks
        under = charts.beside(view, view.at_end("test_accuracy")) if attack else {}
        rows = view.at_end(measure, eps=eps)
        for chart in charts.along_axis(view, rows, measure, beside=under):
            yield plot(chart, choice | {ALONG: view.axis.label})


def _axes(views: Sequence[View]) -> dict[str, Control]:
    return {ALONG: Control([view.axis.label for view in views], views[0].axis.label)}


def _attack(views: Sequence[View], name: str, radii: list[float]) -> Card:
    view, named = views[0], {written(eps): eps for eps in radii}
    return Card(
        id=name,
        section="batch",
        title=style.label(name),
        note=f"{means(view, log=False)} Dashed: test accuracy without attack. Dotted: chance."
        + _remarks(name),
        controls=_axes(views)
        | {"eps": Control([*named], written(most_informative_eps(view.at_end(name))))},
        axis="accuracy",
        scale="0 to 1",
        plots=[
            made
            for said, eps in named.items()
            for made in _along_axes(views, name, {"eps": said}, eps=eps)
        ],
    )


def _measure(views: Sequence[View], name: str) -> Card:
    view = views[0]
    axis, scale = _axis(name, view.at_end(name))
    radii = {written(eps): eps for eps in view.radii.get(name, [])}
    at = (
        {"eps": Control([*radii], written(most_informative_eps(view.at_end(name))))}
        if radii
        else {}
    )
    return Card(
        id=name,
        section="batch",
        title=style.label(name),
        note=means(view, log=scale == "log")
        + " Dotted: chance." * (axis == "accuracy")
        + _remarks(name),
        controls=_axes(views) | at,
        axis=axis,
        scale=scale,
        plots=[
            made
            for said, eps in radii.items() or [("", None)]
            for made in _along_axes(views, name, {"eps": said} if radii else {}, eps=eps)
        ],
    )


def _remarks(measure: str) -> str:
    remarks = card_of(measure).remarks
    return f" {remarks}" if remarks else ""


def _axis(measure: str, rows: pd.DataFrame) -> tuple[str, str]:
    """The kind of a measure's axis, and its initial scale."""
    if style.is_accuracy(measure):
        return "accuracy", "towards 1"
    return "positive", "log" if style.on_log_axis(measure, good(rows)) else "linear"


def _others(views: Sequence[View], names: list[str]) -> Iterator[Card]:
    """Measures that are not in the paper, selectable: accuracies and others separately."""
    view = views[0]
    for kind, title in (("accuracy", "Other accuracies"), ("positive", "Other measures")):
        axes = {name: _axis(name, view.at_end(name)) for name in names}
        own = {
            style.label(name) + ("" if eps is None else f", eps {written(eps)}"): (name, eps)
            for name in names
            if axes[name][0] == kind
            for eps in view.radii.get(name, [None])
        }
        if not own:
            continue
        first, (name, _) = next(iter(own.items()))
        yield Card(
            id=f"others-{kind}",
            section="batch",
            title=title if len(own) > 1 else first,
            controls=_axes(views) | {"measure": Control([*own], first)},
            note=means(view)
            + " Dotted: chance." * (kind == "accuracy")
            + (_remarks(name) if len(own) == 1 else ""),
            axis=kind,
            scale="as drawn" if kind == "positive" else axes[name][1],
            plots=[
                made
                for said, (name, eps) in own.items()
                for made in _along_axes(views, name, {"measure": said}, eps=eps)
            ],
        )


def _by_eps(view: View) -> Card:
    named = {style.label(name): name for name, radii in view.attacks.items() if len(radii) > 1}
    places = {value: view.axis.text(value) for value in view.axis.values}
    last = view.axis.text(view.axis.values[-1])
    main = style.label(view.main_attacks[-1])
    return Card(
        id="eps",
        section="eps",
        title="Accuracy against eps",
        note=f"{means(view)} At eps 0, accuracy without attack. Dotted: chance.",
        controls={
            "attack": Control([*named], main if main in named else [*named][-1]),
            view.axis.label: Control([*places.values()], last),
        },
        axis="accuracy",
        scale="0 to 1",
        plots=[
            plot(chart, {"attack": attack, view.axis.label: places[chart.at]})
            for attack, name in named.items()
            for chart in charts.against_eps(view, name)
            if chart.at is not None
        ],
    )


def _spectrum(view: View, found: Sequence[Spectrum]) -> Card:
    labels = {line.key: line.label for line in view.lines}
    shown = list(dict.fromkeys(labels[one.line] for one in found))
    marks = dict.fromkeys(one.mark for one in found if one.top is not None)
    said = described(found)
    note = f"{said[0].upper()}{said[1:]}." + (f" Dotted: {', '.join(marks)}." if marks else "")
    return Card(
        id="spectrum",
        section="spectrum",
        title="Density of eigenvalues",
        note=note,
        controls={"show": Control(shown, shown[0])},
        axis="",
        scale="log",
        plots=[
            plot(chart, {"show": labels[chart.line]}) for chart in charts.densities(view, found)
        ],
    )


def _along(view: View, rows: pd.DataFrame, measure: str, section: str, title: str) -> Card:
    """The lines at one place along the axis, or the places of one line."""
    places = {value: view.axis.named(value) for value in view.axis.values}
    lines = {line.key: line.label for line, _ in view.by_line(rows)}
    axis, scale = _axis(measure, rows)
    dotted = {"top_eigenvalue": " Dotted: the stability limit 2(1 + m)/learning rate."}
    return Card(
        id=f"{section}-{measure}",
        section=section,
        title=title,
        note=means(view, log=scale == "log") + dotted.get(measure, ""),
        controls={"show": Control([*places.values(), *lines.values()], next(iter(lines.values())))},
        axis=axis,
        scale=scale,
        plots=[
            plot(chart, {"show": lines[chart.line] if chart.at is None else places[chart.at]})
            for by_line in (True, False)
            for chart in charts.along_training(view, rows, measure, by_line=by_line)
        ],
    )
