"""A study as several commands show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sgdscope.commands.terminal import console

if TYPE_CHECKING:
    from sgdscope.findings import Judged


def show(judged: Judged, out: Path, *, redraw: bool, log: str | None) -> None:
    """Write the page; print the short table, what was found and where the page is.

    Args:
        judged: the study.
        out: its folder.
        redraw: whether a page that is as new as the results is written too.
        log: the logger that gets the results too; None: no logger.
    """
    from sgdscope import report
    from sgdscope.report import loggers
    from sgdscope.report import terminal as summary
    from sgdscope.results.folder import StudyFolder
    from sgdscope.results.freshness import is_fresh

    introduce(judged)
    if judged.results.runs.empty:
        console.print("no run has finished yet")
    console.print(summary.table(judged.view, width=console.width))
    for line in summary.reasons(judged.results):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    for line in summary.told(judged.findings):
        console.print(line, highlight=False)
    folder = StudyFolder(out)
    fresh = not redraw and is_fresh(folder.report, folder)
    page = folder.report if fresh else report.write(judged, out)
    console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)
    if log is not None:
        written = loggers.of_study(judged.results)
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


def introduce(judged: Judged) -> None:
    """Print the first line of a study's description, where it has one."""
    if line := first_line(judged):
        console.print(line, style="dim", markup=False, highlight=False)


def first_line(judged: Judged) -> str:
    """Of a study's description: whether it is a miniature, and of what."""
    return next(iter(str(judged.settings.get("description", "")).splitlines()), "")
