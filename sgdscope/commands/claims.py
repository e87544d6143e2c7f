"""The command ``sgdscope claims``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgdscope.commands import study_folder
from sgdscope.commands.terminal import complaints, console
from sgdscope.files import write_text


def claims(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every verdict as JSON.")] = False,
    include_collapsed: Annotated[
        bool, typer.Option("--all", help="Include collapsed runs in trends.")
    ] = False,
) -> None:
    """Test the claims on a study's results; also writes claims.json and claims.md."""
    from sgdscope.claims import record
    from sgdscope.claims.markdown import markdown
    from sgdscope.claims.verdicts import MARKS
    from sgdscope.findings import Judged
    from sgdscope.results.folder import StudyFolder

    with complaints():
        judged, home = Judged.open(folder, include_collapsed=include_collapsed), StudyFolder(folder)
        verdicts = judged.verdicts
        found = [f"{one.headline} {one.numbers}" for one in judged.findings]
        text = record.as_json(verdicts)
        write_text(home.claims, text + "\n")
        title, note = str(judged.settings.get("name", "study")), study_folder.first_line(judged)
        write_text(home.verdicts, markdown(verdicts, title=title, note=note, found=found))
        if as_json:
            typer.echo(text)
            return
        study_folder.introduce(judged)
        if not any(verdict.tested for verdict in verdicts):
            why = "no finished run has the measurements that one needs"
            if verdicts:
                why = "the table says what each one lacks"
            console.print(f"no claim can be tested: {why}", highlight=False)
        if verdicts:
            console.print(record.table(verdicts))
            console.print(MARKS, style="dim")
        console.print(
            f"all verdicts, with their reasons: {home.claims}", markup=False, soft_wrap=True
        )
