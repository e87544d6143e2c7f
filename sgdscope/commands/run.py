"""The command ``sgdscope run``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgdscope.commands import study_folder
from sgdscope.commands.terminal import Device, Log, Out, complaints, console, stoppable
from sgdscope.errors import RequestError
from sgdscope.study import overrides

if TYPE_CHECKING:
    from sgdscope.results.tables import Results
    from sgdscope.study.study import Study


class EngineName(StrEnum):
    """What carries out the runs."""

    local = "local"
    inline = "inline"
    ray = "ray"


def run(
    study: Annotated[str, typer.Argument(help="The name of a built-in study, or a TOML file.")],
    out: Out = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=V[,V…]", help="Replace a key of the study file."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one per core or GPU.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train and measure.")] = Device.auto,
    engine: Annotated[
        EngineName, typer.Option(help="Worker processes, this process, or a Ray cluster.")
    ] = EngineName.local,
    budget: Annotated[
        str | None, typer.Option(help="A smaller version of the study, such as small.")
    ] = None,
    log: Log = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what is left to do and how long it will take.")
    ] = False,
) -> None:
    """Run a study, skipping what is already done, and write its page."""
    with complaints():
        replaced = overrides.read(settings or [])
        from sgdscope.study.study import Study

        loaded = Study.load(study, overrides=replaced, budget=budget)
        out = out or overrides.folder(study, replaced, budget=budget)
        for line in loaded.unreached():
            console.print(line, style="dim", highlight=False, markup=False)
        if plan:
            if engine is EngineName.ray:
                raise RequestError(
                    "--plan --engine ray: the plan times this machine only; expected --plan alone"
                )
            _plan(loaded, out, device=device, workers=workers)
            return
        study_folder.check_logger(log)
        from sgdscope.findings import Judged

        results = _run(loaded, out, workers=workers, device=device, engine=engine)
        study_folder.show(Judged(results), out, redraw=False, log=log)
        if results.runs["reason"].notna().any():
            raise typer.Exit(1)


def _plan(study: Study, out: Path, **how: Any) -> None:
    from sgdscope.execution import plan as planning
    from sgdscope.execution.driver import lacking
    from sgdscope.results.folder import StudyFolder

    kept = {one.run.id: one for one in StudyFolder(out).results() if one.status != "failed"}
    trained = [run for run in study.runs if run.id in kept]
    finished = [run.id for run in trained if not lacking(kept[run.id], study.measures_of(run))]
    made = planning.plan(study, finished=finished, **how)
    console.print(planning.table(made))
    for line in planning.summary(made):
        console.print(line, highlight=False)
    if unmeasured := len(trained) - len(finished):
        console.print(
            f"{unmeasured} of them lack only measurements, but are counted as if untrained"
        )


def _run(study: Study, out: Path, **how: Any) -> Results:
    from sgdscope.execution.driver import run
    from sgdscope.execution.progress_bar import RunProgress

    console.print(
        f"{study.name}: {len(study.runs)} runs, results in {out}", highlight=False, markup=False
    )
    with stoppable(f"every finished run is kept in {out}"), RunProgress(console) as progress:
        return run(study, out=out, watcher=progress, allow_failures=True, **how)
