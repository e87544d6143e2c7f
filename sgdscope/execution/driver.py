"""Running a study: find what is missing, run it, keep every result as it arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pandas as pd

from sgdscope.errors import RequestError, RunsFailedError, unknown
from sgdscope.execution.checks import check_parts
from sgdscope.execution.engine import Engine, Job
from sgdscope.execution.inline import InlineEngine
from sgdscope.execution.local import LocalEngine
from sgdscope.execution.messages import Message, Task
from sgdscope.execution.notebook_progress import NotebookProgress, in_notebook
from sgdscope.measuring import Measure
from sgdscope.registry import reading_plugin
from sgdscope.results.files import ARRAYS, WEIGHTS
from sgdscope.results.folder import StudyFolder
from sgdscope.results.freshness import is_fresh
from sgdscope.results.record import Checkpoint, Outcome, Result
from sgdscope.results.tables import Results
from sgdscope.study.plugins import Plugin
from sgdscope.study.run import Run
from sgdscope.study.study import Study


class Watcher(Protocol):
    """An observer of a study's progress."""

    def begin(self, tasks: Sequence[Task]) -> None:
        """Called once, with all tasks."""

    def tell(self, message: Message) -> None:
        """Called with every message."""


def run(
    study: Study,
    *,
    out: str | Path,
    device: str = "auto",
    engine: str = "local",
    workers: int | None = None,
    watcher: Watcher | None = None,
    checkpoint_every: float = 30.0,
    allow_failures: bool = False,
) -> Results:
    """Run whatever is missing of a study, and keep the results in a folder.

    Args:
        study: what to run.
        out: the folder for its results; finished runs in it are kept as they are.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
        engine: "local" for processes on this machine, "inline" for this process, which is slower
            and can be debugged, "ray" for a Ray cluster.
        workers: runs at a time; by default one per core or GPU.
        watcher: observes the progress; by default a bar in a notebook, and nothing elsewhere.
        checkpoint_every: seconds of training that a crash may cost, rounded up to an epoch.
        allow_failures: return even if every run failed.

    Raises:
        RequestError: the folder, the data, the device or so many workers cannot be had, a plugin
            was changed since the study was loaded, or a plugin calls this while it is imported for
            its parts: such a call belongs under ``if __name__ == "__main__"``.
        RunsFailedError: every run failed; their results are kept nevertheless.
    """
    _refuse_while_reading_plugins()
    chosen = choose_engine(engine, workers=workers)
    device = choose_device(device, chosen)
    watcher = watcher or (NotebookProgress() if in_notebook() else None)
    job = Job(_plugins(study), device, checkpoint_every, study.every_source)
    folder = StudyFolder(out)
    untrained = not folder.holds(study)
    if untrained:
        check_parts(study)
    with folder.locked():
        kept = folder.results()
        folder.prepare(study, kept)
        tasks = missing(study, folder, kept)
        if tasks and not untrained:
            check_parts(study)
        if watcher is not None:
            watcher.begin(tasks)
        _carry_out(tasks, job, chosen, folder, watcher)
        results = Results.load(out) if tasks else Results.collect(kept, folder=folder)
        if not (is_fresh(folder.csv, folder) and is_fresh(folder.parquet, folder)):
            results.save(folder)
    if not allow_failures:
        _check_that_one_succeeded(results.runs, out)
    return results


def _refuse_while_reading_plugins() -> None:
    if reading_plugin():
        raise RequestError(
            "a study was started by a plugin that was being imported; put the call under: "
            'if __name__ == "__main__":'
        )


def _check_that_one_succeeded(runs: pd.DataFrame, out: str | Path) -> None:
    """Raise RunsFailedError where all runs failed."""
    if len(runs) and (runs["status"] == "failed").all():
        raise RunsFailedError(f"{out}: all {len(runs)} runs failed: {runs['reason'].iloc[0]}")


def _plugins(study: Study) -> tuple[Plugin, ...]:
    """A study's plugins, as they were when it was loaded.

    Raises:
        RequestError: one has changed since.
    """
    plugins = tuple(Plugin.read(Path(file)) for file in study.plugins)
    there = {plugin.digest for plugin in plugins}
    for run in study.runs:
        if not there >= set((run.code or "").split()):
            raise RequestError(
                f"{', '.join(study.plugins)}: changed since the study was loaded; load it again"
            )
    for plugin in plugins:
        plugin.load()  # again, if a plugin of another study took its place
    return plugins


def _carry_out(
    tasks: Sequence[Task], job: Job, engine: Engine, folder: StudyFolder, watcher: Watcher | None
) -> None:
    """Have an engine carry out tasks; every message is stored first, then reported."""
    with closing(engine.execute(job, tasks)) as messages:
        for message in messages:
            _keep(message, folder)
            if watcher is not None:
                watcher.tell(message)


def _keep(message: Message, folder: StudyFolder) -> None:
    if isinstance(message, Outcome):
        folder.save(message)
    elif isinstance(message, Checkpoint):
        folder.save_checkpoint(message)


def missing(study: Study, folder: StudyFolder, kept: Sequence[Result]) -> list[Task]:
    """The tasks left to do, longest first so that no worker is left with a long one at the end.

    Args:
        study: to be run.
        folder: its own.
        kept: the results there.
    """
    done = {result.run.id: result for result in kept}
    left = [run for run in study.runs if not _is_done(done.get(run.id), study, folder)]
    tasks = [_task(run, study, folder) for run in left]
    folder.known.save()
    return sorted(tasks, key=lambda task: (task.prior is not None, task.run.batch_size))


def _is_done(result: Result | None, study: Study, folder: StudyFolder) -> bool:
    """Whether a run is trained and measured, and its files are intact."""
    if result is None or result.status == "failed":
        return False
    return not lacking(result, study.measures_of(result.run)) and folder.is_whole(result)


def _task(run: Run, study: Study, folder: StudyFolder) -> Task:
    """What is left to do for a run: measures on its trained network, or its training."""
    measures = study.measures_of(run)
    options = {name: measure.model_dump() for name, measure in measures.items()}
    result, files = folder.trained(run.id)
    wanted = set(measures) if result is None else lacking(result, measures)
    if result is None or WEIGHTS not in files or any(measures[name].tracked for name in wanted):
        return Task(run, options, checkpoint=folder.checkpoint(run.id))
    prior = result.without(wanted)
    return Task(run, options, prior=prior, weights=files[WEIGHTS], arrays=files.get(ARRAYS))


def lacking(result: Result, measures: Mapping[str, Measure]) -> set[str]:
    """The measures not taken on a run, or taken with other options."""
    taken = result.measured
    return {name for name, one in measures.items() if not one.taken_with(taken.get(name), name)}


def choose_engine(name: str, *, workers: int | None) -> Engine:
    """An engine by name.

    Raises:
        RequestError: there is no such engine, what it needs is not installed, or there would be no
            workers.
    """
    if workers is not None and workers < 1:
        raise RequestError(f"workers = {workers}: expected at least 1, or None for the default")
    if name == "local":
        return LocalEngine(workers=workers)
    if name == "inline":
        return InlineEngine()
    if name == "ray":
        from sgdscope.execution.ray import RayEngine

        return RayEngine(workers=workers)
    raise unknown("engine", name, ["inline", "local", "ray"])


def choose_device(name: str, engine: Engine) -> str:
    """Resolve "auto".

    Raises:
        RequestError: the engine has no such device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise RequestError(f"--device {name}: expected auto, cpu or cuda")
    if name == "cuda" and engine.device != "cuda":
        raise RequestError("--device cuda: no CUDA device was found; expected one, or --device cpu")
    return engine.device if name == "auto" else name
