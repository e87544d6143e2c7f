"""The command ``sgdscope report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgdscope.commands import audit, study_folder
from sgdscope.commands.terminal import Log, complaints
from sgdscope.errors import RequestError


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(help="A study's or an audit's folder; several folders make one page."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the page and tables; default: the study's, or out/A+B for several."
        ),
    ] = None,
    log: Log = None,
    look: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Rebuild the tables and the page of studies or audits from their results."""
    with complaints():
        study_folder.check_logger(log)
        place = study_folder.destination(folders, out)
        if _is_audit(folders[0]) and len(folders) == 1 and place == folders[0]:
            audit.redraw(place, log)
        else:
            _draw(folders, place, log)
        if look:
            typer.launch(str(place / "report.html"))


def _is_audit(folder: Path) -> bool:
    return (folder / "audit.toml").is_file()


def _draw(folders: list[Path], out: Path, log: str | None) -> None:
    """Write the tables and page of studies, with any audits beside them."""
    from sgdscope.auditing import Audit
    from sgdscope.findings import Judged
    from sgdscope.report import beside
    from sgdscope.results.folder import StudyFolder

    studies = [folder for folder in folders if not _is_audit(folder)]
    if not studies:
        raise RequestError(
            f"{' and '.join(map(str, folders))}: only audits; expected a study among them, or "
            "one audit of all the networks, which compares them"
        )
    judged = Judged.open(*studies)
    audits = [Audit.load(folder) for folder in folders if _is_audit(folder)]
    for one in audits:
        beside.check(one, judged)
    judged.results.save(StudyFolder(out))
    study_folder.show(judged, out, redraw=True, log=log, audits=audits)
