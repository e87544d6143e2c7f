"""Figures fit for a two-column paper: one SVG and one PDF each, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sgdscope.results import style
from sgdscope.results.spectra import MEASURE as SPECTRUM
from sgdscope.results.spectra import spectra
from sgdscope.results.tables import Results
from sgdscope.results.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: Results, folder: Path) -> list[Path]:
    """Write every figure that the results allow to ``folder``, as SVG and as PDF.

    What a study did not measure has no figure. One that was drawn here while its arrays were still
    there stays as it is, and is counted.
    """
    from sgdscope.figures import canvas

    written: list[Path] = []
    for name, make in drawings(results):
        with canvas.in_style():
            written += canvas.write(make(), folder, name)
    view = View(results)
    spectral = [_spectrum(panel) for panel, _ in view.by_panel(view.at_end(SPECTRUM))]
    files = [folder / f"{name}.{kind}" for name in spectral for kind in canvas.KINDS]
    return written + [file for file in files if file not in written and file.is_file()]


def _spectrum(panel: str) -> str:
    return f"{SPECTRUM}-by-eigenvalue-{style.slug(panel)}"


def tidy(folder: Path, *, drawn: Iterable[Path]) -> None:
    """Delete figures that were drawn here earlier and no longer are.

    A file goes only if its metadata say that sgdscope drew it under the name that it still has:
    whatever else lies there, a renamed copy too, stays.
    """
    kept = set(drawn)
    for file in sorted([*folder.glob("*.svg"), *folder.glob("*.pdf")]):
        if file not in kept and file.is_file() and _ours(file):
            file.unlink()


def _ours(file: Path) -> bool:
    from sgdscope.figures import canvas

    title = canvas.TITLE.format(file.stem).encode()
    end = {".svg": b"</dc:title>", ".pdf": b")"}[file.suffix]
    return title + end in file.read_bytes()


def drawings(results: Results) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Every figure of a study: its file name without ending, and what draws it."""
    from sgdscope.figures import batches, curves, density, radii, relation

    view = View(results)
    for measure in view.measures:
        if measure not in view.attacks:
            yield measure, partial(batches.measure, view, measure)
    for attack, all_eps in view.attacks.items():
        for eps in all_eps:
            yield f"{attack}-eps{eps:g}", partial(batches.attack, view, attack, eps=eps)
            if not view.paired(attack, eps=eps).empty:
                name = f"{attack}-eps{eps:g}-by-top_eigenvalue"
                yield name, partial(relation.to_curvature, view, attack, eps=eps)
        if len(all_eps) > 1:
            for panel, _ in view.by_panel(view.at_end(attack)):
                name = f"{attack}-by-eps-{style.slug(panel)}"
                yield name, partial(radii.accuracy, view, attack, panel)
    drawn = spectra(view)
    for panel in view.panels:
        if own := [one for one in drawn if one.panel == panel]:
            yield _spectrum(panel), partial(density.spectrum, view, panel, own)
    if not view.history.empty:
        yield from _while_training(view)
    for measure in view.along_training:
        for panel, _ in view.by_panel(view.along(measure)):
            name = f"{measure}-by-epoch-{style.slug(panel)}"
            yield name, partial(curves.along, view, measure, panel)


def _while_training(view: View) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """How far runs got, what that goes with, and what was measured on the way."""
    from sgdscope.figures import batches, curves

    trained = set(view.history["panel"])
    for panel in view.panels:
        slug = style.slug(panel)
        if panel in trained:
            yield f"learning-{slug}", partial(curves.learning, view, panel)
        yield f"why-{slug}", partial(batches.why, view, panel)
        if view.followed(panel):
            for against in style.PROGRESS:
                drawing = partial(curves.progress, view, panel, against)
                yield style.progress_figure(against, panel), drawing
