"""A study's folder: every file name in one place, and the only code that writes there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from sgdscope.errors import RequestError
from sgdscope.files import require_own, write_text
from sgdscope.results import belonging
from sgdscope.results.files import ARRAYS, DIGEST_SIZE, RESULT, WEIGHTS, KeptFiles, digest
from sgdscope.results.known import KnownFiles
from sgdscope.results.record import Checkpoint, Outcome, Result, at_once
from sgdscope.study import hypotheses, studyfile
from sgdscope.study.hypotheses import Hypothesis
from sgdscope.study.plugins import Plugin
from sgdscope.study.study import Study

PLUGINS = "plugins"  # copies, written first: a start that was cut off may have left them alone
CHECKPOINT = "checkpoint"  # a digest, then the state of a run in progress

_log = logging.getLogger(__name__)


class StudyFolder(KeptFiles):
    """A study's output: settings, one folder per run, tables, figures, page."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.study_file = self.path / "study.toml"
        self.figures = self.path / "figures"
        self.known = KnownFiles(self.path / ".known.json")
        self.claims = self.path / "claims.json"
        self.verdicts = self.path / "claims.md"

    def settings(self) -> dict[str, Any]:
        """The resolved settings of the study.

        Raises:
            RequestError: the folder holds no study.
        """
        if not self.study_file.is_file():
            raise RequestError(f"{self.path}: holds no study; expected a folder with a study.toml")
        return studyfile.read(self.study_file)

    def load_plugins(self) -> None:
        """Load the study's plugins.

        Raises:
            RequestError: one of them is missing or fails.
        """
        for file in self.settings().get("plugins", []):
            Plugin.read(self.path / file).load()

    def prepare(self, study: Study, results: Sequence[Result]) -> None:
        """Write the study's settings, unless the folder has them already.

        A study of the same name whose grid has only grown keeps the folder's contents.

        Args:
            study: to be run there.
            results: that the folder holds.

        Raises:
            RequestError: the folder cannot be written to, or holds something else.
        """
        if self.study_file.is_file():
            self._must_belong_to(study, results)
        else:
            require_own(
                self.path, shown=f"--out {self.path}", record=self.study_file.name, ours=[PLUGINS]
            )
        try:
            settings = study.model_dump(exclude_defaults=True) | {"name": study.name}
            settings["plugins"] = self._keep_plugins([Path(file) for file in study.plugins])
            self._mark_claims(settings)
            _write_if_new(self.study_file, tomli_w.dumps(settings))
        except OSError as error:
            raise RequestError(f"--out {self.path}: cannot be written: {error.strerror}") from error

    def _mark_claims(self, settings: dict[str, Any]) -> None:
        """Mark each claim of the study with whether it was there before any result."""
        before = self.settings() if self.study_file.is_file() else {}
        first = not self._ids()
        for now, then in _parts(settings, before):
            if "claim" in now:
                now["claim"] = hypotheses.mark(
                    now["claim"], before=then.get("claim", {}), first=first
                )

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The claims that the study states itself.

        Raises:
            RequestError: one is not valid.
        """
        if not self.study_file.is_file():
            return ()
        settings = self.settings()
        tables = [part.get("claim", {}) for part, _ in _parts(settings, {})]
        return tuple(one for table in tables for one in hypotheses.read(table))

    def axis(self) -> str | None:
        """The knob that the study chose to be drawn along."""
        return self.settings().get("axis") if self.study_file.is_file() else None

    def _keep_plugins(self, files: Sequence[Path]) -> list[str]:
        """Copy plugins and the modules that they import; returns their paths within the folder.

        If a plugin has changed, because a measure did, the earlier copy stays beside the new one.
        """
        plugins = [Plugin.read(file) for file in files]
        places = [place for plugin in plugins for place, _ in plugin.files]
        kept = []
        for number, (file, plugin) in enumerate(zip(files, plugins, strict=True)):
            alone = all(places.count(place) == 1 for place, _ in plugin.files)
            home = Path(PLUGINS) if alone else Path(PLUGINS) / str(number)
            kept.append((home / plugin.name).as_posix())
            if file.resolve() == (self.path / home / plugin.name).resolve():
                continue
            for place, text in plugin.files:
                self._keep_source(self.path / home / place, text)
        return kept

    def _keep_source(self, copy: Path, text: str) -> None:
        if copy.is_file() and (before := copy.read_text(encoding="utf-8")) != text:
            old = digest(before.encode())[:8]
            write_text(copy.with_name(f"{copy.name}.{old}.before"), before)
        _write_if_new(copy, text)

    def _must_belong_to(self, study: Study, results: Sequence[Result]) -> None:
        other = self.settings().get("name")
        if other != study.name:
            raise RequestError(
                f"--out {self.path}: belongs to study {other!r}; expected an empty folder "
                f"or one of study {study.name!r}"
            )
        void = belonging.check(results, study, folder=self.path)
        for run_id in void:
            self._forget(run_id, RESULT, CHECKPOINT)

    def save(self, outcome: Outcome) -> None:
        """Write a run's files, the result last: a run is finished once that file exists.

        A failure without a network removes nothing: earlier results and the checkpoint stay for the
        next attempt.

        Raises:
            RequestError: the disk is full, or the folder cannot be written to any more.
        """
        run_id = outcome.result.run.id
        if outcome.weights is None:
            failed = {"status": outcome.result.status, "error": outcome.result.error}
            reached = self.result(run_id) or outcome.result
            self._write_result(reached.model_copy(update=failed))
            return
        self._keep(outcome.result, {WEIGHTS: outcome.weights, ARRAYS: outcome.arrays})
        self._forget(run_id, CHECKPOINT)

    def save_watched(self, result: Result, arrays: bytes | None) -> None:
        """Save what was read so far from a watched training.

        Raises:
            RequestError: the disk is full, or the folder cannot be written to any more.
        """
        self._keep(result, {ARRAYS: arrays})

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Write the settings of the folder's runs, in the form of a study file."""
        write_text(self.study_file, tomli_w.dumps(settings))

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Save the state of a run in progress, replacing the previous one.

        Raises:
            RequestError: the disk is full, or the folder cannot be written to any more.
        """
        content = digest(checkpoint.state).encode() + checkpoint.state
        self._write(checkpoint.run_id, CHECKPOINT, content)

    def checkpoint(self, run_id: str) -> bytes | None:
        """The state of an interrupted run, if there is one; a damaged one is set aside."""
        file = self.run_file(run_id, CHECKPOINT)
        if not file.is_file():
            return None
        content = file.read_bytes()
        expected, state = content[:DIGEST_SIZE], content[DIGEST_SIZE:]
        if expected != digest(state).encode():
            _set_aside(file, "its checksum is wrong")
            return None
        return state

    def holds(self, study: Study) -> bool:
        """Whether every run of a study has a result, without reading it."""
        return {run.id for run in study.runs} <= set(self._ids())

    def is_whole(self, result: Result) -> bool:
        """Whether the files beside a result match it; one that does not is set aside.

        Files unchanged since they were last verified are not read.
        """
        run_id = result.run.id
        self._settle_arrays(run_id, result)
        for name, expected in result.digests.items():
            beside = self.run_file(run_id, name)
            if beside.is_file() and not self.known.is_intact(beside, expected):
                _set_aside(self.run_file(run_id, RESULT), f"{name} was changed")
                return False
        return True

    def trained(self, run_id: str) -> tuple[Result | None, dict[str, bytes]]:
        """A run's result and the files beside it; if one is damaged, the run counts as not done.

        A folder may be shared without weights or arrays, which are large: its measurements remain
        valid.
        """
        file = self.run_file(run_id, RESULT)
        if not file.is_file():
            return None, {}
        result = self.result(run_id)
        if result is None:
            _set_aside(file, "it cannot be read")
            return None, {}
        self._settle_arrays(run_id, result)
        there = {
            name: beside.read_bytes()
            for name in result.digests
            if (beside := self.run_file(run_id, name)).is_file()
        }
        for name, content in there.items():
            if digest(content) != result.digests[name]:
                _set_aside(file, f"{name} was changed")
                return None, {}
        return result, there

    def result(self, run_id: str) -> Result | None:
        """A finished run's result; None if there is none, or it cannot be read."""
        return self._read(run_id, Result)

    @at_once()
    def results(self) -> list[Result]:
        """Every finished run that can be read, in the order of their ids."""
        return [result for run_id in self._ids() if (result := self.result(run_id)) is not None]

    @at_once()
    def every_result(self) -> list[Result]:
        """Every finished run; all of them must be readable.

        Raises:
            RequestError: one cannot be read; the log says why.
        """
        found = {run_id: self.result(run_id) for run_id in self._ids()}
        if unread := [run_id for run_id, result in found.items() if result is None]:
            raise RequestError(
                f"{self.path}: {len(unread)} results cannot be read ({unread[0]}); expected files "
                "of this version of sgdscope. Nothing was changed; move them away to continue "
                "without them"
            )
        return [result for result in found.values() if result is not None]


def _parts(
    settings: dict[str, Any], others: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The settings of a study and of each part, paired with the others of the same name."""
    yield settings, others
    named = {part["name"]: part for part in others.get("part", [])}
    for part in settings.get("part", []):
        yield part, named.get(part["name"], {})


def _write_if_new(file: Path, text: str) -> None:
    """Write a text unless the file has it already, so that its timestamp says when it changed."""
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)


def _set_aside(file: Path, why: str) -> None:
    aside = file.with_name(file.name + ".damaged")
    file.replace(aside)
    _log.warning("%s is damaged (%s): set aside as %s, its run is redone", file, why, aside.name)
