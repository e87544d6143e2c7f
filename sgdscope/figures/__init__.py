"""Figures for a two-column paper: one SVG and one PDF each, byte-identical every time."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sgdscope.errors import unknown
from sgdscope.results import intervals, style
from sgdscope.results.spectra import MEASURE as SPECTRUM
from sgdscope.results.spectra import spectra
from sgdscope.results.tables import Results
from sgdscope.results.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("svg", "pdf")
Drawings = dict[str, Callable[[], "Figure"]]


def draw(
    results: Results,
    folder: Path,
    *,
    only: Sequence[str] = (),
    kinds: Sequence[str] = KINDS,
    workers: int = 1,
) -> list[Path]:
    """Write the figures that the results allow, the paper's numbered ones among them.

    Without ``only``, figures drawn here earlier that the results no longer allow are deleted.

    Args:
        results: of a study.
        folder: where they are written.
        only: names, or patterns such as ``"fig*"``; all figures if empty.
        kinds: ``"svg"``, ``"pdf"``.
        workers: processes; 1 draws in this one.

    Raises:
        RequestError: no figure has such a name, or there is no such kind.
    """
    if strange := [kind for kind in kinds if kind not in KINDS]:
        raise unknown("kind of figure", strange[0], KINDS)
    makes = dict(drawings(results))
    names = _chosen([*makes], only)
    shares = [names[i::workers] for i in range(min(workers, len(names)))]
    if len(shares) <= 1:
        written = _draw(makes, folder, names, kinds)
    else:
        with ProcessPoolExecutor(len(shares), mp_context=get_context("spawn")) as pool:
            tasks = [pool.submit(_draw_apart, results, folder, share, kinds) for share in shares]
            written = [file for task in tasks for file in task.result()]
    if not only:
        tidy(folder, names=names)
    return sorted(written)


def _chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """The names that match one of the patterns; all if there are no patterns."""
    for pattern in only:
        if not fnmatch.filter(names, pattern):
            raise unknown("figure", pattern, names)
    return [n for n in names if not only or any(fnmatch.fnmatch(n, p) for p in only)]


def _draw_apart(results: Results, *what: Any) -> list[Path]:
    """Draw in another process, which has not loaded the study's own parts yet."""
    if results.folder is not None:
        results.folder.load_plugins()
    return _draw(dict(drawings(results)), *what)


def _draw(makes: Drawings, folder: Path, names: Sequence[str], kinds: Sequence[str]) -> list[Path]:
    from sgdscope.figures import canvas

    written = []
    for name in names:
        with canvas.in_style():
            written += canvas.write(makes[name](), folder, name, kinds=kinds)
    return written


def _spectrum(panel: str) -> str:
    return f"{SPECTRUM}-by-eigenvalue-{style.slug(panel)}"


def tidy(folder: Path, *, names: Collection[str]) -> None:
    """Delete figures that were drawn here earlier and are not among ``names``.

    A file is deleted only if its metadata say that sgdscope drew it under its present name: all
    other files, renamed copies included, stay. So do spectra, since a study's arrays may not have
    been moved with it.
    """
    for file in sorted([*folder.glob("*.svg"), *folder.glob("*.pdf")]):
        gone = file.stem not in names and not file.stem.startswith(SPECTRUM)
        if gone and file.is_file() and _ours(file):
            file.unlink()


def _ours(file: Path) -> bool:
    from sgdscope.figures import canvas

    title = canvas.TITLE.format(file.stem).encode()
    end = {".svg": b"</dc:title>", ".pdf": b")"}[file.suffix]
    return title + end in file.read_bytes()


def drawings(results: Results) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Every figure of a study: its file name without ending, and its function."""
    from sgdscope.figures import batches, curves, density, paper, radii, relation

    yield from paper.drawings(results)
    view = View(results)
    for measure in view.measures:
        for eps in view.radii.get(measure, [None]) if measure not in view.attacks else []:
            if _placed(view.at_end(measure, eps=eps)):
                name = measure if eps is None else f"{measure}-eps{eps:g}"
                yield name, partial(batches.measure, view, measure, eps=eps)
    for attack, all_eps in view.attacks.items():
        for eps in all_eps:
            if _placed(view.at_end(attack, eps=eps)):
                yield f"{attack}-eps{eps:g}", partial(batches.attack, view, attack, eps=eps)
            if not view.paired(attack, eps=eps).empty:
                name = f"{attack}-eps{eps:g}-by-top_eigenvalue"
                yield name, partial(relation.to_curvature, view, attack, eps=eps)
        if len(all_eps) > 1:
            for panel, _ in view.by_panel(_averaged(view.by_eps(attack))):
                name = f"{attack}-by-eps-{style.slug(panel)}"
                yield name, partial(radii.accuracy, view, attack, panel)
    drawn = spectra(view)
    for panel in view.panels:
        if own := [one for one in drawn if one.panel == panel]:
            yield _spectrum(panel), partial(density.spectrum, view, panel, own)
    if not view.history.empty:
        yield from _while_training(view)
    for measure in view.along_training:
        for panel, _ in view.by_panel(_averaged(view.trajectory(measure))):
            name = f"{measure}-by-epoch-{style.slug(panel)}"
            yield name, partial(curves.along, view, measure, panel)


def _placed(rows: pd.DataFrame) -> bool:
    """Whether some row has a place along the axis, which runs without its knob have not."""
    return bool(rows["x"].notna().any())


def _averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that curves are means of."""
    return intervals.counted(rows[rows["x"].notna()])


def _while_training(view: View) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Figures of training: learning curves, equal progress, and measures taken during training."""
    from sgdscope import charts
    from sgdscope.figures import batches, curves

    columns = [view.history.assign(value=view.history[name]) for name in curves.LEARNING]
    learned = {panel for rows in columns for panel in _averaged(rows)["panel"]}
    for panel in view.panels:
        slug = style.slug(panel)
        if panel in learned:
            yield f"learning-{slug}", partial(curves.learning, view, panel)
        if _placed(view.runs[view.runs["panel"] == panel]):
            yield f"why-{slug}", partial(batches.why, view, panel)
        followed = view.followed(panel).items()
        for against in style.PROGRESS:
            if any(len(charts.progressing(view, panel, m, against, eps=e)) for m, e in followed):
                drawing = partial(curves.progress, view, panel, against)
                yield style.progress_figure(against, panel), drawing
