"""The command ``sgdscope audit``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import progress

from sgdscope.commands.terminal import Device, Log, Out, complaints, console, stoppable
from sgdscope.errors import RequestError
from sgdscope.settings import plain
from sgdscope.study import overrides

if TYPE_CHECKING:
    from sgdscope.auditing import Audit
    from sgdscope.auditing.requirement import Judgement, Requirement
    from sgdscope.measuring import Measure
    from sgdscope.results.record import Audited


def audit(
    networks: Annotated[
        list[str],
        typer.Argument(
            help="file.py:function@weights.safetensors (or .pt), MODEL@weights, exported.pt2, or "
            "the folder of a study's run; prefix NAME= to name it."
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="Data set; default: that of the study's run.")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option(help="A measure to take; default: a dozen.")
    ] = None,
    eps: Annotated[
        list[str] | None,
        typer.Option(metavar="EPS[,EPS…]", help="Radii of attacks; default: 1/255 to 8/255."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="MEASURE.KEY=V[,V…]", help="An option of a measure."),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=1, help="How many images to use for attacks and for curvature."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Images to measure on: test, validation or train.")
    ] = "test",
    out: Out = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BOUND",
            help="Such as 'pgd_accuracy@8/255 >= 0.45'; exit 1 if it fails, 3 if the interval "
            "contains the bound or the number is flagged.",
        ),
    ] = None,
    log: Log = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    device: Annotated[Device, typer.Option(help="Where to measure.")] = Device.auto,
) -> None:
    """Check, measure and compare networks that are already trained."""
    with complaints():
        from sgdscope import auditing
        from sgdscope.auditing.requirement import Requirement, exit_code
        from sgdscope.report import loggers

        loggers.check(log)
        required = [Requirement.parse(text) for text in require or []]
        measures = _measures(measure or [], eps or [], examples, settings or [], required)
        folder = out or _folder(networks)
        kept = f"what was measured is kept in {folder}"
        with stoppable(kept), AuditProgress(quiet=as_json) as progress:
            found = auditing.audit(
                networks, data=data, out=folder, measures=measures, split=split,
                device=str(device), watcher=progress,
            )  # fmt: skip
        judged = [
            one.judge(network, found.folder) for network in found.networks for one in required
        ]
        _print_results(found, judged, as_json=as_json, log=log)
        if code := exit_code(judged) or int(any(one.error for one in found.networks)):
            raise typer.Exit(code)


def _print_results(
    found: Audit, judged: list[Judgement], *, as_json: bool, log: str | None
) -> None:
    """Print the results and whether they meet the requirements."""
    from sgdscope.report import audit_terminal

    if as_json:
        told = found.record() | {"requirements": audit_terminal.requirements(judged)}
        typer.echo(json.dumps(told, indent=1))
        return
    show(found, log)
    for one in judged:
        colour = {"met": "green", "failed": "red"}.get(one.answer, "yellow")
        console.print(one.sentence, style=colour, markup=False, highlight=False)


def redraw(folder: Path, log: str | None) -> None:
    """Rewrite the tables and page of an audit's folder, and log them if a logger is named."""
    from sgdscope.auditing import Audit
    from sgdscope.auditing.driver import save_tables

    found = Audit.load(folder)
    found.require_results()
    save_tables(found)
    show(found, log)


def show(found: Audit, log: str | None) -> None:
    """Write the page; print the table, the comparisons, and where the page is."""
    from sgdscope.report import audit_page, audit_terminal, loggers

    page = audit_page.write(type(found).load(found.folder.path))
    console.print(audit_terminal.table(found))
    for line in audit_terminal.warnings(found):
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for line, style in audit_terminal.compared(found):
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
    console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)
    if log is not None:
        path = found.folder.path
        written = loggers.of_audit(found)
        told = loggers.write(log, written, folder=path, project=path.resolve().name)
        console.print(told, markup=False)


def _folder(networks: list[str]) -> Path:
    """The default folder for results, named after the networks."""
    first = re.sub(r"[^\w-]+", "-", Path(networks[0]).name.rpartition("@")[2]).strip("-")
    more = f"-and-{len(networks) - 1}-more" if len(networks) > 1 else ""
    return Path("out") / f"audit-{first}{more}"


def _measures(
    names: list[str],
    eps: list[str],
    examples: int | None,
    settings: list[str],
    required: list[Requirement],
) -> dict[str, Measure]:
    """The measures to take, including those that a requirement needs."""
    from sgdscope.auditing.measures import DEFAULT, EPS, chosen_measures

    options: dict[str, dict[str, Any]] = {}
    for key, value in overrides.read(settings).items():
        name, dot, option = key.partition(".")
        if not dot:
            raise RequestError(f"--set {key}: expected MEASURE.KEY, such as pgd_accuracy.steps")
        options.setdefault(name, {})[option] = value
    radii = [_radius(part) for text in eps or [",".join(EPS)] for part in text.split(",")]
    extra = {one.measure: one.eps for one in required}
    for radius in dict.fromkeys(one.eps for one in required if one.eps is not None):
        if not any(abs(radius - other) < 1e-9 for other in radii):
            radii.append(radius)
    wanted = [*(names or DEFAULT), *extra] if (names or extra) else []
    shared = {} if examples is None else {"examples": examples}
    return chosen_measures(wanted, eps=radii, options=options, **shared)


def _radius(text: str) -> float:
    try:
        return float(plain(text.strip()))
    except ValueError:
        raise RequestError(f"--eps {text!r}: expected a number, such as 8/255 or 0.1") from None


class AuditProgress:
    """The pre-flight report, then a bar over all measures with the one being taken."""

    def __init__(self, *, quiet: bool) -> None:
        from sgdscope.execution.progress_bar import bar

        self.quiet = quiet
        self._bar = bar(console, done=progress.MofNCompleteColumn(), quiet=quiet)
        self._id = self._bar.add_task("opening", total=None)

    def __enter__(self) -> AuditProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, measures: int) -> None:
        """Called once, with the number of measures to take on all networks."""
        self._bar.update(self._id, total=measures)

    def looked(self, audited: Audited) -> None:
        """Called with the findings about a network, before it is measured."""
        from sgdscope.report import audit_terminal

        if not self.quiet:
            for line, style in audit_terminal.preflight(audited):
                console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def taking(self, network: str, measure: str) -> None:
        """Called before a measure is taken."""
        self._bar.update(self._id, description=f"{network}: {measure}")

    def took(self, network: str, measure: str) -> None:
        """Called after a measure was taken, or found to be done."""
        self._bar.advance(self._id)
