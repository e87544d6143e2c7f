"""A study's folder as several commands use it: opened, and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sgdscope.commands.terminal import console

if TYPE_CHECKING:
    from sgdscope.results.folder import StudyFolder
    from sgdscope.results.tables import Results


def opened(path: Path) -> tuple[StudyFolder, Results]:
    """A study's folder and its results, all of them.

    Raises:
        RequestError: there is none, or something in it cannot be read.
    """
    from sgdscope.results.folder import StudyFolder
    from sgdscope.results.tables import Results
    from sgdscope.study.study import Study

    folder = StudyFolder(path)
    folder.load_plugins()
    if "watched" not in folder.settings():
        Study.parse(folder.settings(), where=str(folder.study_file), kept=True)
    return folder, Results.collect(folder.every_result(), folder=folder)


def show(results: Results, out: Path, *, redraw: bool, log: str | None) -> None:
    """Write the page; print the short table, what was found and where the page is.

    Args:
        results: of the study.
        out: its folder.
        redraw: whether a page that is as new as the results is written too.
        log: the logger that gets the results too; None: no logger.
    """
    from sgdscope import findings, report
    from sgdscope.report import loggers
    from sgdscope.report import terminal as summary
    from sgdscope.results.folder import StudyFolder
    from sgdscope.results.freshness import is_fresh

    folder = StudyFolder(out)
    introduce(folder)
    if results.runs.empty:
        console.print("no run has finished yet")
    console.print(summary.table(results, width=console.width))
    for line in summary.reasons(results):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    for line in summary.told(findings.of(results)):
        console.print(line, highlight=False)
    fresh = not redraw and is_fresh(folder.report, folder)
    page = folder.report if fresh else report.write(folder)
    console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)
    if log is not None:
        written = loggers.of_study(results)
        name = out.resolve().name
        console.print(loggers.write(log, written, folder=out, project=name), markup=False)


def check_logger(log: str | None) -> None:
    """Before anything is run: a logger that is named is there.

    Raises:
        RequestError: it is unknown or not installed.
    """
    if log is not None:
        from sgdscope.report import loggers

        loggers.check(log)


def introduce(folder: StudyFolder) -> None:
    """Print the first line of a study's description, where it has one."""
    if line := first_line(folder):
        console.print(line, style="dim", markup=False, highlight=False)


def first_line(folder: StudyFolder) -> str:
    """Of a study's description: whether it is a miniature, and of what."""
    return next(iter(str(folder.settings().get("description", "")).splitlines()), "")
