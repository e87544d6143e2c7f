"""The command ``sgdscope report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgdscope.commands import audit, study_folder
from sgdscope.commands.terminal import Log, complaints


def report(
    folder: Annotated[Path, typer.Argument(help="A study's or an audit's folder.")],
    log: Log = None,
    look: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Rebuild the tables and the page of a study or an audit from its results."""
    with complaints():
        study_folder.check_logger(log)
        if (folder / "audit.toml").is_file():
            audit.redraw(folder, log)
        else:
            from sgdscope.findings import Judged
            from sgdscope.results.folder import StudyFolder

            judged = Judged.open(folder)
            judged.results.save(StudyFolder(folder))
            study_folder.show(judged, folder, redraw=True, log=log)
        if look:
            typer.launch(str(folder / "report.html"))
