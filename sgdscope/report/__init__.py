"""The page of a study: one file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgdscope.auditing import Audit
from sgdscope.files import write_text
from sgdscope.findings import Judged
from sgdscope.results.folder import StudyFolder


def write(judged: Judged, folder: Path, *, audits: Sequence[Audit] = ()) -> Path:
    """Write ``report.html`` into a folder, with the networks of audits beside the study's."""
    from sgdscope.report import page

    file = StudyFolder(folder).report
    write_text(file, page.html(judged, audits=audits, home=folder))
    return file
