"""A study with all that is made of its results, each thing once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

from sgdscope import claims
from sgdscope.claims import Evidence, Verdict
from sgdscope.findings.finding import Finding
from sgdscope.findings.rules import find
from sgdscope.results.axis import BATCH
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study.study import Study


class Judged:
    """A study's results with its view, verdicts and findings, each made when first asked for.

    The terminal, the page, the figures and ``claims.md`` show this one.
    """

    def __init__(self, results: Results, *, include_collapsed: bool = False) -> None:
        self.results = results
        self.include_collapsed = (
            include_collapsed  # whether collapsed runs count in the trends of verdicts
        )

    @classmethod
    def open(cls, path: str | Path, *, include_collapsed: bool = False) -> Self:
        """Read a study's folder, all of it.

        Raises:
            RequestError: there is none, or something in it cannot be read.
        """
        folder = StudyFolder(path)
        folder.load_plugins()
        study = _study(folder)
        made = cls(
            Results.collect(folder.every_result(), folder=folder),
            include_collapsed=include_collapsed,
        )
        made.study = study
        return made

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The study as it was resolved; nothing where the results are of no folder."""
        folder = self.results.folder
        return {} if folder is None else folder.settings()

    @cached_property
    def study(self) -> Study | None:
        """The study itself; none where the results are of no folder, or were watched."""
        folder = self.results.folder
        return None if folder is None else _study(folder)

    @cached_property
    def planned(self) -> int:
        """How many runs the study has."""
        if self.study is None:
            return int(self.settings.get("watched", len(self.results.runs)))
        return len(self.study.runs)

    @cached_property
    def view(self) -> View:
        """The results along the study's own axis."""
        return View(self.results)

    @cached_property
    def _moments(self) -> list[Evidence]:
        return claims.moments(self.results, view=self.view)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Every claim's; claims are about batch sizes, whatever the axis."""
        if self.results.axis == BATCH and not self.include_collapsed:
            return claims.verdicts(self._moments)
        return claims.judge(self.results, include_collapsed=self.include_collapsed)

    @cached_property
    def findings(self) -> list[Finding]:
        """Along the study's own axis, what matters most first."""
        return find(self._moments)


def _study(folder: StudyFolder) -> Study | None:
    settings = folder.settings()
    if "watched" in settings:
        return None
    return Study.parse(settings, where=str(folder.study_file), kept=True)
