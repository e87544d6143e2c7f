"""The interactive figures: cards, each a title, controls, and one plot a panel and choice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sgdscope import palette, views
from sgdscope.report import plots
from sgdscope.results import Results


@dataclass(frozen=True)
class Card:
    """A figure with its variants; a plot is shown where its ``choice`` is what is chosen."""

    id: str
    section: str
    title: str
    note: str = ""
    controls: dict[str, list[str]] = field(default_factory=dict)  # name → choices, first is shown
    axis: str = ""  # "accuracy" (0–1 or fitted), "positive" (log or linear), or nothing to choose
    plots: list[dict[str, Any]] = field(default_factory=list)


def cards(results: Results) -> Iterator[Card]:
    """Every card that the results allow, in the order of interest."""
    if results.table.empty and results.history.empty:
        return
    attacks = views.attacks(results.table)
    taken = [name for name in views.measures(results.table) if name not in attacks]
    main = [name for name in ("test_accuracy", "top_eigenvalue") if name in taken]
    for name, radii in attacks.items():
        yield _attack(results, name, radii)
    for name in main:
        yield _measure(results, name)
    if others := [name for name in taken if name not in main]:
        yield _others(results, others)
    if "top_eigenvalue" in taken and attacks:
        yield _relation(results, attacks)
    if several := {name: radii for name, radii in attacks.items() if len(radii) > 1}:
        yield _by_eps(results, several)
    yield from _curves(results)


def _attack(results: Results, name: str, radii: list[float]) -> Card:
    shown = [f"{eps:g}" for eps in reversed(radii)]
    return Card(
        id=name,
        section="batch",
        title=palette.label(name),
        note="Dashed: test accuracy without attack. Dotted: chance level.",
        controls={"eps": shown},
        axis="accuracy",
        plots=[
            plots.against_batch(results, panel, name, eps=eps) | {"choice": {"eps": f"{eps:g}"}}
            for eps in radii
            for panel in views.panels(results.at_end(name, eps=eps))
        ],
    )


def _measure(results: Results, name: str) -> Card:
    return Card(
        id=name,
        section="batch",
        title=palette.label(name),
        axis="accuracy" if palette.is_accuracy(name) else "positive",
        plots=[
            plots.against_batch(results, panel, name) | {"choice": {}}
            for panel in views.panels(results.at_end(name))
        ],
    )


def _others(results: Results, names: list[str]) -> Card:
    return Card(
        id="others",
        section="batch",
        title="Other measures",
        controls={"measure": [palette.label(name) for name in names]},
        axis="positive",
        plots=[
            plots.against_batch(results, panel, name) | {"choice": {"measure": palette.label(name)}}
            for name in names
            for panel in views.panels(results.at_end(name))
        ],
    )


def _relation(results: Results, attacks: dict[str, list[float]]) -> Card:
    pairs = [(name, eps) for name, radii in attacks.items() for eps in reversed(radii)]
    labels = {pair: f"{palette.label(pair[0])}, eps {pair[1]:g}" for pair in pairs}
    return Card(
        id="relation",
        section="relation",
        title="λ₁ against robustness",
        note="One point a run; larger points are larger batches.",
        controls={"robustness": list(labels.values())},
        axis="accuracy",
        plots=[
            plots.relation(results, panel, name, eps=eps)
            | {"choice": {"robustness": labels[name, eps]}}
            for name, eps in pairs
            for panel in views.panels(views.paired(results, name, eps=eps))
        ],
    )


def _by_eps(results: Results, attacks: dict[str, list[float]]) -> Card:
    sizes = sorted(results.runs["batch_size"].unique())
    return Card(
        id="eps",
        section="eps",
        title="Accuracy against eps",
        controls={
            "attack": [palette.label(name) for name in attacks],
            "batch size": [f"{size}" for size in sizes],
        },
        axis="accuracy",
        plots=[
            plots.against_eps(results, panel, name, size)
            | {"choice": {"attack": palette.label(name), "batch size": f"{size}"}}
            for name in attacks
            for panel in views.panels(results.at_end(name))
            for size in sizes
        ],
    )


def _curves(results: Results) -> Iterator[Card]:
    """Learning curves and measures along training, compared by line or by batch size."""
    if results.history.empty:
        return
    shown = [("train_loss", "Training loss", "positive")]
    shown += [("validation_accuracy", "Validation accuracy", "accuracy")]
    history = results.history.merge(results.runs[["run", "status"]], on="run")
    for column, title, axis in shown:
        rows = history.assign(value=history[column], rate=history["learning_rate"])
        yield _along(results, rows, f"learning-{column}", "learning", title, axis, measure=column)
    for name in views.along_training(results.table):
        axis = "accuracy" if palette.is_accuracy(name) else "positive"
        rows = views.along(results, name)
        yield _along(results, rows, f"along-{name}", "along", palette.label(name), axis, name)


def _along(
    results: Results, rows: Any, id_: str, section: str, title: str, axis: str, measure: str
) -> Card:
    sizes = sorted(rows["batch_size"].unique())
    by_size = {f"lines at batch size {size}": rows["batch_size"] == size for size in sizes}
    by_line = {
        f"batch sizes of {line.label}": rows.index.isin(line.of(rows).index)
        for line in palette.lines(results.runs)
    }
    return Card(
        id=id_,
        section=section,
        title=title,
        note="Dotted: the stability limit 2(1 + m)/learning rate."
        if measure == "top_eigenvalue"
        else "",
        controls={"compare": [*by_line, *by_size]},
        axis=axis,
        plots=[
            plots.along(results, panel, measure, rows[chosen], by_line=name in by_size)
            | {"choice": {"compare": name}}
            for name, chosen in {**by_line, **by_size}.items()
            for panel in views.panels(rows[chosen])
        ],
    )
