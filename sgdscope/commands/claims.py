"""The command ``sgdscope claims``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgdscope.commands import study_folder
from sgdscope.commands.terminal import complaints, console
from sgdscope.files import write_text


def claims(
    folders: Annotated[
        list[Path], typer.Argument(help="A study's folder; several folders are judged together.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for claims.json and claims.md; default: the study's; for several, none "
            "is written."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every verdict as JSON.")] = False,
    include_collapsed: Annotated[
        bool, typer.Option("--all", help="Include collapsed runs in trends.")
    ] = False,
) -> None:
    """Test the claims on the results of one or more studies; write claims.json and claims.md."""
    from sgdscope.claims import record
    from sgdscope.claims.verdicts import MARKS
    from sgdscope.findings import Judged
    from sgdscope.results.folder import StudyFolder

    with complaints():
        home = StudyFolder(study_folder.destination(folders, out))
        judged = Judged.open(*folders, include_collapsed=include_collapsed)
        verdicts = judged.verdicts
        text = record.as_json(verdicts)
        kept = out is not None or len(folders) == 1
        if kept:
            write_text(home.claims, text + "\n")
            write_text(home.verdicts, study_folder.verdicts_page(judged))
        if as_json:
            typer.echo(text)
            return
        study_folder.introduce(judged)
        if not any(verdict.tested for verdict in verdicts):
            why = "no finished run has the measurements that a claim needs"
            if verdicts:
                why = "the table says what each claim lacks"
            console.print(f"no claim can be tested: {why}", highlight=False)
        if verdicts:
            console.print(record.table(verdicts))
            console.print(MARKS, style="dim")
        if kept:
            console.print(
                f"all verdicts, with their reasons: {home.claims}", markup=False, soft_wrap=True
            )
