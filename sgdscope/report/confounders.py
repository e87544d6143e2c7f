"""The cards that ask why: runs at equal progress, what else differs, λ₁ against robustness."""

from __future__ import annotations

from collections.abc import Iterator

from sgdscope import charts
from sgdscope.report.card import Card, Control, means
from sgdscope.report.plots import plot
from sgdscope.results import covariates, style
from sgdscope.results.view import View, most_informative_eps
from sgdscope.settings import written


def progress(view: View) -> Iterator[Card]:
    """Runs of different batch sizes compared at equal progress."""
    followed = {panel: view.followed(panel) for panel in view.panels}
    named = {style.label(name): name for own in followed.values() for name in own}
    labels = {line.key: line.label for line in view.lines}
    drawn = [
        plot(chart, {"measure": said, "against": against, "show": labels[chart.line]})
        for said, name in named.items()
        for panel, own in followed.items()
        if name in own
        for column, against in style.PROGRESS.items()
        for chart in charts.at_equal_progress(view, panel, name, column, eps=own[name])
    ]
    if not drawn:
        return
    main = style.label(view.main_attacks[-1]) if view.main_attacks else ""
    first = next((plot for plot in drawn if plot["choice"]["measure"] == main), drawn[0])["choice"]
    lines = [line.label for line in view.lines]
    yield Card(
        id="progress",
        section="progress",
        title="Measures against progress" if len(named) > 1 else next(iter(named)),
        controls={
            "measure": Control([*named], first["measure"]),
            "against": Control([*style.PROGRESS.values()], first["against"]),
            "show": Control(lines, first["show"]),
        },
        note="One curve per run, a point per measurement. Dotted: chance, for an accuracy.",
        scale="as drawn",
        plots=drawn,
    )


def causes(view: View) -> Iterator[Card]:
    """Progress, noise and confidence, selectable."""
    found = covariates.causes(view)
    rows = {
        label: (name, covariates.values(found, name)) for name, label in covariates.LABELS.items()
    }
    rows = {label: (name, own) for label, (name, own) in rows.items() if not own.empty}
    yield Card(
        id="causes",
        section="why",
        title="What else differs",
        controls={"show": Control([*rows], next(iter(rows)))},
        note=means(view),
        scale="as drawn",
        plots=[
            plot(chart, {"show": label})
            for label, (name, own) in rows.items()
            for chart in charts.along_axis(view, own, name)
        ],
    )


def relation(view: View) -> Card:
    """λ₁ and accuracy under attack, one point per run."""
    named = {style.label(name): name for name in view.attacks}
    name = view.main_attacks[-1]
    radii = sorted({eps for own in view.attacks.values() for eps in own})
    return Card(
        id="relation",
        section="relation",
        title="Accuracy under attack against λ₁",
        note=view.axis.reworded(
            "One point per run; larger points are larger batches. Dotted: chance."
        ),
        controls={
            "attack": Control([*named], style.label(name)),
            "eps": Control(
                [*map(written, radii)], written(most_informative_eps(view.at_end(name)))
            ),
        },
        axis="accuracy",
        scale="0 to 1",
        plots=[
            plot(chart, {"attack": said, "eps": written(eps)})
            for said, name in named.items()
            for eps in view.attacks[name]
            for chart in charts.against_curvature(view, name, eps=eps)
        ],
    )
