"""Figures fit for a two-column paper: one SVG and one PDF each, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sgdscope import views
from sgdscope.files import write_atomically
from sgdscope.results import Results
from sgdscope.views import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: Results, folder: Path) -> list[Path]:
    """Write every figure that the results allow to ``folder``, as SVG and as PDF.

    What a study did not measure has no figure. Files of figures that are no longer drawn stay.
    """
    from sgdscope.figures import canvas

    written = []
    for name, make in drawings(results):
        with canvas.style():
            figure = make()
            for kind in canvas.KINDS:
                file = folder / f"{name}.{kind}"
                write_atomically(file, partial(canvas.save, figure, kind=kind))
                written.append(file)
    return written


def drawings(results: Results) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Every figure of a study: its file name without ending, and what draws it.

    Robustness is set against λ₁ at the eps at which runs differ most; the page has every eps.
    """
    from sgdscope.figures import batches, curves, radii, relation

    view = View(results)
    for measure in view.measures:
        if measure not in view.attacks:
            yield measure, partial(batches.measure, view, measure)
    for attack, all_eps in view.attacks.items():
        for eps in all_eps:
            yield f"{attack}-eps{eps:g}", partial(batches.attack, view, attack, eps=eps)
        eps = views.telling_eps(view.at_end(attack))
        if not view.paired(attack, eps=eps).empty:
            name = f"{attack}-eps{eps:g}-by-top_eigenvalue"
            yield name, partial(relation.to_curvature, view, attack, eps=eps)
        if len(all_eps) > 1:
            for panel, _ in view.by_panel(view.at_end(attack)):
                name = f"{attack}-by-eps-{_slug(panel)}"
                yield name, partial(radii.accuracy, view, attack, panel)
    if not view.history.empty:
        for panel, _ in view.by_panel(view.history):
            yield f"learning-{_slug(panel)}", partial(curves.learning, view, panel)
    for measure in view.along_training:
        for panel, _ in view.by_panel(view.along(measure)):
            name = f"{measure}-by-epoch-{_slug(panel)}"
            yield name, partial(curves.along, view, measure, panel)


def _slug(panel: str) -> str:
    """A panel's name as part of a file's."""
    return panel.replace(" on ", "-")
