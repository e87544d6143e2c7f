"""The command ``sgdscope figures``."""

from __future__ import annotations

import os
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgdscope.commands import study_folder
from sgdscope.commands.terminal import complaints, console

if TYPE_CHECKING:
    from sgdscope.findings import Judged


class FigureKind(StrEnum):
    """What a figure for print is written as."""

    svg = "svg"
    pdf = "pdf"


def figures(
    folders_and_names: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER… [FIGURE…]",
            help="One or more study folders, then the figures to draw, such as fig09 or 'pgd*'; "
            "default: all.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; default: the study's, or out/A+B for several."),
    ] = None,
    kinds: Annotated[list[FigureKind] | None, typer.Option("--as", help="Default: both.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one per core.")
    ] = None,
) -> None:
    """Draw the figures for print as SVG and PDF; those of the paper keep its numbers (fig09)."""
    from sgdscope import figures as drawing
    from sgdscope.findings import Judged
    from sgdscope.results.folder import StudyFolder

    with complaints():
        folders = _folders(folders_and_names)
        home = StudyFolder(study_folder.destination(folders, out))
        judged = Judged.open(*folders)
        files = drawing.draw(
            judged.results,
            home.figures,
            only=folders_and_names[len(folders) :],
            kinds=[kind.value for kind in kinds or list(FigureKind)],
            workers=workers or os.cpu_count() or 1,
        )
        _print_missing(judged)
        console.print(
            f"{len(files)} files in {home.figures}", highlight=False, markup=False, soft_wrap=True
        )


def _folders(given: list[str]) -> list[Path]:
    """The first argument and those after it, as long as they are folders."""
    others = takewhile(lambda name: Path(name).is_dir(), given[1:])
    return [Path(name) for name in [given[0], *others]]


def _print_missing(judged: Judged) -> None:
    """Print what is missing from the paper's figures that a study can draw in part."""
    from sgdscope.figures import paper

    redoes_the_paper = str(judged.settings.get("name", "")).startswith("paper")
    for figure in paper.numbered(judged.results) if redoes_the_paper else []:
        if figure.there and figure.missing:
            lacks = "; ".join(figure.missing)
            console.print(f"figure {figure.number} lacks {lacks}", style="dim", markup=False)
