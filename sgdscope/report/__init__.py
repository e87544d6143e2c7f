"""The page of a study: one file that needs no network."""

from __future__ import annotations

from pathlib import Path

from sgdscope import figures
from sgdscope.files import write_text
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results


def write(folder: StudyFolder) -> Path:
    """Draw every figure into ``figures/`` and write ``report.html``, from results alone.

    Figures of an earlier drawing that this one lacks are deleted.

    Raises:
        RequestError: the folder holds no study, or a plugin of its own cannot be loaded.
    """
    from sgdscope.figures import paper
    from sgdscope.report import page

    settings = folder.settings()
    folder.load_plugins()
    finished = folder.results()
    results = Results.collect(finished, folder=folder)
    drawn = figures.draw(results, folder.figures)
    plates = paper.draw(results, folder.figures) if finished else []
    numbered = [file for plate in plates for file in plate.files]
    figures.tidy(folder.figures, drawn=[*drawn, *numbered])
    write_text(folder.report, page.html(settings, finished, results, drawn, plates=plates))
    return folder.report
