"""Whether something derived from a study's folder is up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sgdscope.results.folder import StudyFolder


def is_fresh(derived: Path, folder: StudyFolder) -> bool:
    """Whether a file was made after every result, the settings, and the code that makes it."""
    if not derived.is_file():
        return False
    made = derived.stat().st_mtime_ns
    return all(file.stat().st_mtime_ns < made for file in _sources(folder))


def _sources(folder: StudyFolder) -> Iterator[Path]:
    yield folder.study_file
    yield from folder.path.glob("runs")  # its timestamp says when a run was added or removed
    yield from folder.path.glob("runs/*/result.json")
    yield from folder.path.glob("plugins/**/*.py")
    package = Path(__file__).parent.parent
    yield from (
        file for file in package.rglob("*") if file.suffix in (".py", ".css", ".js", ".html")
    )
