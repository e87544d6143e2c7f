"""The page of a study: one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from sgdscope.files import write_text
from sgdscope.findings import Judged
from sgdscope.results.folder import StudyFolder


def write(judged: Judged, folder: Path) -> Path:
    """Write ``report.html`` into a folder."""
    from sgdscope.report import page

    file = StudyFolder(folder).report
    write_text(file, page.html(judged))
    return file
