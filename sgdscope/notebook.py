"""How a study, its results and its page look in a notebook."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from rich.console import Console

from sgdscope.findings import Judged
from sgdscope.report import page, terminal
from sgdscope.results.tables import Results
from sgdscope.study.line import labels
from sgdscope.study.study import Study

MANY = 12  # values of an axis; of more, the first and the last are shown


def of_study(study: Study) -> str:
    """What a study declares: its networks, axes, lines and measures, as HTML."""
    runs = study.runs
    lines = dict.fromkeys(run.line for run in runs)
    lengths = {run.epochs: f"{run.epochs} epochs" for run in runs if run.epochs}
    facts = {
        "networks": dict.fromkeys(f"{run.model} on {run.data}" for run in runs),
        "batch sizes": sorted({run.batch_size for run in runs}),
        "lines": labels(list(lines)),
        "seeds": sorted({run.seed for run in runs}),
        "each run": lengths.values(),
        "measures": study.measures,
    }
    rows = "".join(_row(name, values) for name, values in facts.items() if values)
    says = f"<p>{escape(study.description)}</p>" if study.description else ""
    return f"<b>{escape(study.name)}</b>: {len(runs)} runs{says}<table>{rows}</table>"


def _row(name: str, values: Iterable[object]) -> str:
    said = [escape(str(value)) for value in values]
    if len(said) > MANY:
        said = [*said[: MANY - 2], "…", said[-1]]
    return (
        f'<tr><th scope="row" style="text-align:left">{name}</th>'
        f'<td style="text-align:left">{", ".join(said)}</td></tr>'
    )


def of_results(results: Results) -> str:
    """The findings, and the short table that the terminal shows, as HTML."""
    judged = Judged(results)
    if results.runs.empty:
        return "<p>No run has finished yet.</p>"
    found = "".join(
        f"<li><b>{escape(one.headline)}</b> {escape(one.numbers)}</li>" for one in judged.findings
    )
    reasons = "".join(f"<p>{escape(reason)}</p>" for reason in terminal.reasons(results))
    table = f"<details><summary>{len(results.runs)} runs</summary>{_table(judged)}</details>"
    return f"<ul>{found}</ul>{reasons}{table}"


def _table(judged: Judged) -> str:
    console = Console(
        record=True, file=io.StringIO(), width=terminal.WIDE, force_jupyter=False, emoji=False
    )
    console.print(terminal.table(judged.view))
    drawn = console.export_html(inline_styles=True, code_format="{code}")
    return f'<pre style="line-height:1.3;white-space:pre;overflow-x:auto">{drawn}</pre>'


@dataclass(frozen=True)
class Page:
    """A study's page, to be shown below a cell."""

    html: str
    height: int  # pixels

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" title="the study\'s page" '
            f'style="width:100%;height:{self.height}px;border:0"></iframe>'
        )


def page_of(results: Results, *, height: int) -> Page:
    """The same page as ``report.html``, drawn from results in memory."""
    return Page(page.html(Judged(results)), height)
