"""Whether the runs in a folder belong to a study, and if not, what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgdscope.errors import RequestError
from sgdscope.results.files import WEIGHTS
from sgdscope.results.record import Result
from sgdscope.study.run import Run
from sgdscope.study.study import Study


def check(results: Sequence[Result], study: Study, *, folder: Path) -> list[str]:
    """Refuse runs that do not belong to the study, except failed ones.

    Args:
        results: of the folder's runs.
        study: to be run there.
        folder: in messages.

    Returns:
        Ids of runs to drop: they failed without a network, and their code has been fixed since.

    Raises:
        RequestError: other runs do not belong to the study.
    """
    wanted = {run.id for run in study.runs}
    others = [result for result in results if result.run.id not in wanted]
    alike = {_but_code(run) for run in study.runs} if others else set()
    void = [
        result.run.id
        for result in others
        if result.status == "failed"
        and WEIGHTS not in result.digests
        and _but_code(result.run) in alike
    ]
    strange = [result.run for result in others if result.run.id not in void]
    if not strange:
        return void
    if changed := _changed_data(strange, study):
        raise RequestError(
            f"data set {changed!r}: its images or labels have changed since the runs in "
            f"{folder} were made with them; choose another folder for --out"
        )
    if any(_but_code(run) in alike for run in strange):
        raise RequestError(
            f"{', '.join(study.plugins) or 'plugins'}: the code has changed since the runs in "
            f"{folder} were made with it; choose another folder for --out, or go back to "
            f"the code kept in {folder / 'plugins'}"
        )
    raise RequestError(
        f"--out {folder}: holds {len(strange)} runs of {study.name!r} with other "
        f"settings (run {strange[0].id}); choose another folder"
    )


def _changed_data(runs: Sequence[Run], study: Study) -> str | None:
    """The data set of runs that would belong to the study if its content had not changed."""
    beside = {"code", "content", "train_size"}
    alike = {run.model_dump_json(exclude=beside): run for run in study.runs if run.content}
    for run in runs:
        now = alike.get(run.model_dump_json(exclude=beside))
        if now is not None and run.content and now.content != run.content:
            return run.data
    return None


def _but_code(run: Run) -> str:
    """A run's identity without the state of its plugins."""
    return run.model_dump_json(exclude={"code"})
