"""The command line: run, audit, report, claims, list."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from sgdscope import audit_command
from sgdscope.errors import RequestError
from sgdscope.files import write_text
from sgdscope.study import overrides
from sgdscope.terminal import LOG, Device, complaints, console, errors

if TYPE_CHECKING:
    from sgdscope.measuring import Measure
    from sgdscope.registry import Registry
    from sgdscope.results.folder import StudyFolder
    from sgdscope.results.tables import Results
    from sgdscope.study.study import Study

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


OPTIONS = "Each also takes every and at: after which epochs. An option without a value is unset."


class EngineName(StrEnum):
    """What carries out the runs."""

    local = "local"
    inline = "inline"
    ray = "ray"


class FigureKind(StrEnum):
    """What a figure for print is written as."""

    svg = "svg"
    pdf = "pdf"


class Kind(StrEnum):
    """What can be listed."""

    models = "models"
    data = "data"
    schedules = "schedules"
    optimizers = "optimizers"
    methods = "methods"
    measures = "measures"
    attacks = "attacks"
    claims = "claims"
    studies = "studies"


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sgdscope {version('sgdscope')}")
        raise typer.Exit


@app.callback()
def sgdscope(
    said: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """What SGD's knobs do to a network: generalisation, curvature, robustness."""


@app.command("run")
def start(
    study: Annotated[str, typer.Argument(help="A shipped study's name, or a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the results.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=V[,V…]", help="Replace a key of the study file."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes; default: one a core, or a GPU.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train and measure.")] = Device.auto,
    engine: Annotated[
        EngineName, typer.Option(help="Processes on this machine, this process, or a Ray cluster.")
    ] = EngineName.local,
    budget: Annotated[
        str | None, typer.Option(help="A smaller form of the study, such as small.")
    ] = None,
    log: Annotated[str | None, typer.Option(help=LOG)] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what there is to do and how long it takes.")
    ] = False,
) -> None:
    """Run a study: only what is missing, then the page."""
    with complaints():
        replaced = overrides.read(settings or [])
        from sgdscope.study.study import Study

        loaded = Study.load(study, overrides=replaced, budget=budget)
        out = out or overrides.folder(study, replaced, budget=budget)
        for line in loaded.unreached():
            console.print(line, style="dim", highlight=False, markup=False)
        if plan:
            if engine is EngineName.ray:
                raise RequestError("--plan --engine ray: only this machine can be probed")
            _plan(loaded, out, device=device, workers=workers)
            return
        _check_logger(log)
        results = _run(loaded, out, workers=workers, device=device, engine=engine)
        _show(results, out)
        _log(log, results, out)
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
        console.print(f"{unmeasured} of them lack measures alone and are counted as if untrained")


def _run(study: Study, out: Path, **how: Any) -> Results:
    from sgdscope.execution.driver import run
    from sgdscope.execution.progress_bar import RunProgress

    console.print(
        f"{study.name}: {len(study.runs)} runs, results in {out}", highlight=False, markup=False
    )
    try:
        with RunProgress(console) as progress:
            return run(study, out=out, watcher=progress, allow_failures=True, **how)
    except KeyboardInterrupt:
        errors.print(
            f"stopped; every finished run is kept in {out}. The same command goes on from there.",
            markup=False,
        )
        raise typer.Exit(130) from None


app.command("audit")(audit_command.audit)


@app.command("new")
def write(
    model: Annotated[
        str | None, typer.Option(help="Network: stdcnn, nets.py:Tiny, timm:resnet18, …")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data: mnist, folder:woods, npz:FILE, …")] = None,
    question: Annotated[
        str | None, typer.Option(help="A knob and what to see: batch size and robustness.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study file to write.")] = None,
) -> None:
    """Write a study file with comments, and say how long it will take; asks for what is missing."""
    with complaints():
        from sgdscope.execution.plan import plan, summary
        from sgdscope.study import draft
        from sgdscope.study.study import Study

        model = model or _asked("Network (--model)", "stdcnn")
        data = data or _asked("Data (--data)", "digits")
        question = question or _asked("Question (--question)", draft.QUESTION)
        out = out or Path(_asked("Study file (--out)", "study.toml"))
        if out.exists():
            raise RequestError(f"--out {out}: there is such a file already; expected a new name")
        content = draft.text(model=model, data=data, asked=question, home=out.parent)
        made = plan(Study.parse(tomllib.loads(content) | {"name": out.stem}, where="new"))
        write_text(out, content)
        console.print(f"{out}: {len(made.study.runs)} runs", highlight=False, markup=False)
        *_, duration = summary(made)
        console.print(duration, highlight=False)
        console.print(f"sgdscope run {out}", highlight=False, markup=False)


def _asked(what: str, default: str) -> str:
    """What somebody answers at a terminal.

    Raises:
        RequestError: nobody can be asked.
    """
    if not _at_terminal():
        option = what.partition("(")[2].rstrip(")")
        raise RequestError(f"{option}: required where nobody can be asked, such as {default!r}")
    return str(typer.prompt(what, default=default))


def _at_terminal() -> bool:
    return sys.stdin.isatty()


@app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from sgdscope.study.schema import schema

    typer.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


@app.command("report")
def redraw(
    folder: Annotated[Path, typer.Argument(help="A study's or an audit's folder.")],
    log: Annotated[str | None, typer.Option(help=LOG)] = None,
    look: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Redraw the tables and the page of a study or an audit from its results alone."""
    with complaints():
        _check_logger(log)
        if (folder / "audit.toml").is_file():
            audit_command.redraw(folder, log)
        else:
            home, results = _opened(folder)
            results.save(home)
            _show(results, folder)
            _log(log, results, folder)
        if look:
            typer.launch(str(folder / "report.html"))


def _check_logger(log: str | None) -> None:
    if log is not None:
        from sgdscope.report import loggers

        loggers.check(log)


def _log(log: str | None, results: Results, folder: Path) -> None:
    if log is not None:
        from sgdscope.report import loggers

        written = loggers.of_study(results)
        name = folder.resolve().name
        console.print(loggers.write(log, written, folder=folder, project=name), markup=False)


@app.command("figures")
def draw(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Figures, as fig09 or 'pgd*'; default: all.")
    ] = None,
    kinds: Annotated[list[FigureKind] | None, typer.Option("--as", help="Default: both.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: cores.")] = None,
) -> None:
    """Draw figures for print, the paper's by number, as SVG and PDF."""
    from sgdscope import figures

    with complaints():
        home, results = _opened(folder)
        files = figures.draw(
            results,
            home.figures,
            only=names or [],
            kinds=[kind.value for kind in kinds or list(FigureKind)],
            workers=workers or os.cpu_count() or 1,
        )
        _lacking(home, results)
        console.print(
            f"{len(files)} files in {home.figures}", highlight=False, markup=False, soft_wrap=True
        )


def _opened(path: Path) -> tuple[StudyFolder, Results]:
    """A study's folder and its results, all of them.

    Raises:
        RequestError: there is none, or something in it cannot be read.
    """
    from sgdscope.results.folder import StudyFolder
    from sgdscope.results.tables import Results
    from sgdscope.study.study import Study

    folder = StudyFolder(path)
    folder.load_plugins()
    if "watched" not in folder.settings():
        Study.parse(folder.settings(), where=str(folder.study_file), kept=True)
    return folder, Results.collect(folder.every_result(), folder=folder)


def _show(results: Results, out: Path) -> None:
    """Write the page; print the short table, what was found and where the page is."""
    from sgdscope import findings, report
    from sgdscope.report import terminal as summary
    from sgdscope.results.folder import StudyFolder

    folder = StudyFolder(out)
    _introduce(folder)
    if results.runs.empty:
        console.print("no run has finished yet")
    console.print(summary.table(results, width=console.width))
    for line in summary.reasons(results):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    for line in summary.told(findings.of(results)):
        console.print(line, highlight=False)
    page = report.write(folder)
    console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)


def _lacking(folder: StudyFolder, results: Results) -> None:
    """What a study that redoes the paper lacks of the figures that it has something of."""
    from sgdscope.figures import paper

    for figure in paper.numbered(results) if _is_the_papers(folder) else []:
        if figure.there and figure.missing:
            lacks = "; ".join(figure.missing)
            console.print(f"figure {figure.number} lacks {lacks}", style="dim", markup=False)


def _is_the_papers(folder: StudyFolder) -> bool:
    """Whether a study is one of those that redo the paper, and could lack something of it."""
    return str(folder.settings().get("name", "")).startswith("paper")


def _introduce(folder: StudyFolder) -> None:
    if line := _first_line(folder):
        console.print(line, style="dim", markup=False, highlight=False)


def _first_line(folder: StudyFolder) -> str:
    """Of a study's description: whether it is a miniature, and of what."""
    return next(iter(str(folder.settings().get("description", "")).splitlines()), "")


@app.command("claims")
def judge(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every verdict as JSON.")] = False,
    lost_too: Annotated[
        bool, typer.Option("--all", help="Count collapsed runs in trends too.")
    ] = False,
) -> None:
    """Test the claims on a study's results; the verdicts also go to its claims.json and .md."""
    from sgdscope import claims, findings
    from sgdscope.claims import record
    from sgdscope.claims.markdown import markdown
    from sgdscope.claims.verdicts import MARKS

    with complaints():
        home, results = _opened(folder)
        verdicts = claims.judge(results, lost_too=lost_too)
        found = [f"{one.headline} {one.numbers}" for one in findings.of(results)]
        text = record.as_json(verdicts)
        write_text(home.claims, text + "\n")
        title = str(home.settings().get("name", "study"))
        write_text(
            home.verdicts, markdown(verdicts, title=title, note=_first_line(home), found=found)
        )
        if as_json:
            typer.echo(text)
            return
        _introduce(home)
        if not any(verdict.tells for verdict in verdicts):
            why = "no finished run measured what one is about"
            if verdicts:
                why = "what each lacks stands beside it"
            console.print(f"no claim can be tested: {why}", highlight=False)
        if verdicts:
            console.print(record.table(verdicts))
            console.print(MARKS, style="dim")
        console.print(
            f"every verdict, with its reason: {home.claims}", markup=False, soft_wrap=True
        )


@app.command("list")
def list_(kind: Annotated[Kind | None, typer.Argument(help="What to list.")] = None) -> None:
    """List the models, data sets, schedules, measures, attacks, claims and studies there are."""
    for wanted in [kind] if kind else list(Kind):
        table = Table(title=wanted.value, title_justify="left", box=None, show_header=False)
        for name, summary in _parts(wanted):
            table.add_row(f"[bold]{escape(name)}[/]", escape(summary))
        if wanted is Kind.measures:
            table.caption, table.caption_justify = OPTIONS, "left"
        console.print(table)


def _parts(kind: Kind) -> Iterator[tuple[str, str]]:
    from sgdscope.study import studyfile

    if kind is Kind.studies:
        for name, file in studyfile.shipped().items():
            yield name, studyfile.read(file).get("description", "")
        return
    if kind is Kind.attacks:
        from sgdscope import attacks

        for attack in attacks.ATTACKS:
            yield attack.__name__, (attack.__doc__ or "").split("\n")[0]
        return
    from sgdscope import parts

    registries: dict[Kind, Registry[Any]] = {
        Kind.models: parts.MODELS,
        Kind.data: parts.DATA,
        Kind.schedules: parts.SCHEDULES,
        Kind.optimizers: parts.OPTIMIZERS,
        Kind.methods: parts.METHODS,
        Kind.measures: parts.MEASURES,
        Kind.claims: parts.CLAIMS,
    }
    for name in registries[kind]:
        part, summary = registries[kind][name], registries[kind].summary(name)
        yield from _measure(name, part, summary) if kind is Kind.measures else [(name, summary)]
    yield from _forms(kind)


def _measure(name: str, measure: type[Measure], summary: str) -> Iterator[tuple[str, str]]:
    """What it is and where it is from, then its options, then its caveat, where it has them."""
    card = measure.card
    yield name, summary.replace("``", "") + (f" ({card.source})" if card.source else "")
    yield from (("", text) for text in (measure.options(), card.caveat) if text)


def _forms(kind: Kind) -> Iterator[tuple[str, str]]:
    """Names of the user's own parts, each by the form that it has."""
    from sgdscope.data.named import KINDS, PATHS
    from sgdscope.models.libraries import LIBRARIES

    if kind is Kind.data:
        for name, source in KINDS.items():
            yield f"{name}:{PATHS[name]}", (source.__doc__ or "").split("\n")[0]
    if kind is Kind.models:
        for name in LIBRARIES:
            yield f"{name}:NAME", f"A network of {name}, untrained, if that is installed."
    if kind in (Kind.data, Kind.models):
        yield "FILE.py:NAME", "A function or class of your own; of a module, PACKAGE.MODULE:NAME."


def main() -> None:
    """Enter here."""
    log = logging.getLogger("sgdscope")
    log.addHandler(RichHandler(console=errors, show_time=False, show_level=False, show_path=False))
    log.setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # whatever the terminal's encoding lacks
    app()
