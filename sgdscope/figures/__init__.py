"""Figures fit for a two-column paper: one SVG and one PDF each, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sgdscope import views
from sgdscope.files import write_atomically
from sgdscope.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing = tuple[str, Callable[[], "Figure"]]


def draw(results: Results, folder: Path) -> list[Path]:
    """Write every figure that the results allow to ``folder``, as SVG and as PDF.

    What a study did not measure has no figure. Files of figures that are no longer drawn stay.
    """
    from sgdscope.figures.canvas import METADATA, style

    written = []
    for name, make in drawings(results):
        with style():
            figure = make()
            for kind, metadata in METADATA.items():
                file = folder / f"{name}.{kind}"
                write_atomically(
                    file,
                    lambda aside, kind=kind, metadata=metadata, figure=figure: figure.savefig(
                        aside, format=kind, metadata=metadata
                    ),
                )
                written.append(file)
    return written


def drawings(results: Results) -> Iterator[Drawing]:
    """Every figure of a study: its file name without ending, and what draws it."""
    from sgdscope.figures import batches, curves, radii, relation

    attacks = views.attacks(results.table)
    for measure in views.measures(results.table):
        if measure not in attacks:
            yield measure, lambda m=measure: batches.measure(results, m)
    for attack, all_eps in attacks.items():
        for eps in all_eps:
            name = f"{attack}-eps{eps:g}"
            yield name, lambda a=attack, e=eps: batches.attack(results, a, eps=e)
            if "top_eigenvalue" in set(results.table["measure"]):
                yield (
                    f"top_eigenvalue-{name}",
                    lambda a=attack, e=eps: relation.to_curvature(results, a, eps=e),
                )
        if len(all_eps) > 1:
            yield f"{attack}-by-eps", lambda a=attack: radii.accuracy(results, a)
    for panel in views.panels(results.history):
        yield "learning-" + "-".join(panel), lambda p=panel: curves.learning(results, p)
    for measure in views.along_training(results.table):
        for panel in views.panels(results.table[results.table["measure"] == measure]):
            name = f"{measure}-by-epoch-" + "-".join(panel)
            yield name, lambda m=measure, p=panel: curves.along(results, m, p)
