"""A study with everything derived from its results, each computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from sgdscope import claims
from sgdscope.claims import Evidence, Verdict
from sgdscope.findings.finding import Finding
from sgdscope.findings.rules import find
from sgdscope.results import axis
from sgdscope.results.axis import BATCH
from sgdscope.results.folder import StudyFolder
from sgdscope.results.folders import Folders
from sgdscope.results.tables import Results
from sgdscope.results.view import View
from sgdscope.study.study import Study


@dataclass(frozen=True)
class Part:
    """The declaration of a grid of runs: a study, or a part of one."""

    name: str
    settings: dict[str, Any]
    runs: tuple[str, ...] = ()  # their ids
    watched: int = 0  # number of runs that were watched, not run by sgdscope
    alone: bool = True  # whether it is a whole study


class Judged:
    """A study's results with its view, verdicts and findings, each computed on first use.

    The terminal, the page, the figures and ``claims.md`` are all drawn from it.
    """

    def __init__(self, results: Results, *, include_collapsed: bool = False) -> None:
        self.results = results
        self.include_collapsed = include_collapsed  # in the trends of verdicts

    @classmethod
    def open(cls, path: str | Path, *others: str | Path, include_collapsed: bool = False) -> Self:
        """Read a study's folder, or several as one.

        Raises:
            RequestError: there is no study, it cannot be read, or the folders cannot be combined.
        """
        folder = Folders([path, *others]) if others else StudyFolder(path)
        folder.load_plugins()
        parts = _parts(folder)
        made = cls(
            Results.collect(folder.every_result(), folder=folder),
            include_collapsed=include_collapsed,
        )
        made.parts = parts
        return made

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The resolved settings of the study; empty if the results have no folder."""
        folder = self.results.folder
        return {} if folder is None else folder.settings()

    @cached_property
    def parts(self) -> list[Part]:
        """The study's, or those of several folders; a study without parts is its only one."""
        folder = self.results.folder
        return [] if folder is None else _parts(folder)

    @cached_property
    def planned(self) -> int:
        """The number of runs declared; a run in several folders counts once."""
        if not self.parts:
            return len(self.results.runs)
        known = {run for part in self.parts for run in part.runs}
        return len(known) + sum(part.watched for part in self.parts)

    @property
    def notes(self) -> list[str]:
        """Notes on how several folders were combined, one sentence each."""
        folder = self.results.folder
        return [folder.together, *folder.notes] if isinstance(folder, Folders) else []

    @cached_property
    def view(self) -> View:
        """The results along the study's own axis."""
        return View(self.results)

    @cached_property
    def views(self) -> list[View]:
        """The view, and one along each other knob with several values."""
        others = axis.choices(self.results.runs, self.results.lines)
        own = self.results.axis
        return [self.view, *(View(self.results, axis=knob) for knob in others if knob != own)]

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
        """Findings along the study's own axis, most important first."""
        return find(self._moments)


def _parts(folder: StudyFolder | Folders) -> list[Part]:
    """Read the parts from the settings, checking them."""
    if isinstance(folder, Folders):
        return [
            replace(part, name=name if part.alone else f"{name}: {part.name}")
            for name, own in folder.each.items()
            for part in _parts(own)
        ]
    settings = folder.settings()
    if "watched" in settings:
        return [Part(folder.path.name, settings, watched=int(settings["watched"]))]
    study = Study.parse(settings, where=str(folder.study_file), kept=True)
    if not study.part:
        return [Part(study.name, settings, tuple(run.id for run in study.runs))]
    return [
        Part(own.name, asked, tuple(run.id for run in own.runs), alone=False)
        for own, asked in zip(study.part, settings["part"], strict=True)
    ]
