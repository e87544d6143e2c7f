"""A study as several commands show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sgdscope.commands.terminal import console
from sgdscope.errors import RequestError

if TYPE_CHECKING:
    from sgdscope.auditing import Audit
    from sgdscope.findings import Judged


def show(
    judged: Judged,
    out: Path,
    *,
    redraw: bool,
    log: str | None,
    audits: Sequence[Audit] = (),
) -> None:
    """Write the page; print the short table, the findings and where the page is.

    Args:
        judged: the study.
        out: its folder.
        redraw: whether a page that is as new as the results is written too.
        log: the logger that gets the results too; None: no logger.
        audits: of other networks, to be shown beside the study's.
    """
    from sgdscope import report
    from sgdscope.report import audit_terminal, loggers
    from sgdscope.report import terminal as summary
    from sgdscope.results.folder import StudyFolder
    from sgdscope.results.freshness import is_fresh

    introduce(judged)
    if judged.results.runs.empty:
        console.print("no run has finished yet")
    console.print(summary.table(judged.view, width=console.width))
    for line in summary.reasons(judged.results):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    for line in summary.finding_lines(judged.findings):
        console.print(line, highlight=False)
    for audit in audits:
        console.print(audit_terminal.table(audit))
    folder = StudyFolder(out)
    fresh = not redraw and is_fresh(folder.report, folder)
    page = folder.report if fresh else report.write(judged, out, audits=audits)
    console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)
    if log is not None:
        written = loggers.of_study(judged.results)
        name = out.resolve().name
        console.print(loggers.write(log, written, folder=out, project=name), markup=False)


def destination(folders: Sequence[Path], out: Path | None) -> Path:
    """Where the output for some folders goes: to the folder itself if it is one, else to a new one.

    Args:
        folders: of studies and audits.
        out: the folder asked for, if any.

    Raises:
        RequestError: it would overwrite the output of another folder.
    """
    if out is None:
        if len(folders) == 1:
            return folders[0]
        from sgdscope.results.folders import names

        resolved = [folder.resolve() for folder in folders]
        out = Path("out") / "+".join(name.replace("/", "-") for name in names(resolved))
    alone = len(folders) == 1 and folders[0].resolve() == out.resolve()
    if not alone and any((out / name).is_file() for name in ("study.toml", "audit.toml")):
        raise RequestError(
            f"--out {out}: has a study or an audit with a page of its own; expected another folder"
        )
    if out.is_file():
        raise RequestError(f"--out {out}: a file; expected a folder")
    return out


def check_logger(log: str | None) -> None:
    """Check before anything runs that a named logger is available.

    Raises:
        RequestError: it is unknown or not installed.
    """
    if log is not None:
        from sgdscope.report import loggers

        loggers.check(log)


def introduce(judged: Judged) -> None:
    """Print the first line of a study's description, and how folders were combined."""
    for line in filter(None, [first_line(judged), *judged.notes]):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)


def first_line(judged: Judged) -> str:
    """Of a study's description: whether it is a miniature, and of what."""
    return next(iter(str(judged.settings.get("description", "")).splitlines()), "")


def verdicts_page(judged: Judged) -> str:
    """The telling verdicts and the findings as Markdown."""
    from sgdscope.claims.markdown import markdown

    return markdown(
        judged.verdicts,
        title=str(judged.settings.get("name", "study")),
        note="\n".join(filter(None, [first_line(judged), *judged.notes])),
        found=[f"{one.headline} {one.numbers}" for one in judged.findings],
    )
