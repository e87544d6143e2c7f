"""The page of a study: one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from sgdscope.files import write_text
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results


def write(folder: StudyFolder) -> Path:
    """Write ``report.html`` from results alone.

    Raises:
        RequestError: the folder holds no study, or a plugin of its own cannot be loaded.
    """
    from sgdscope.report import page

    settings = folder.settings()
    folder.load_plugins()
    finished = folder.results()
    results = Results.collect(finished, folder=folder)
    write_text(folder.report, page.html(settings, finished, results))
    return folder.report
