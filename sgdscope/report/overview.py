"""The head of the page: the question, the grid, the machine, and the short answer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from sgdscope.findings import Judged
from sgdscope.report import markup
from sgdscope.results import intervals, style
from sgdscope.results.folders import Folders
from sgdscope.results.style import DrawnLine
from sgdscope.results.tables import Results
from sgdscope.results.view import View, good
from sgdscope.settings import written

OPTIONS = {
    "at": "at epochs {}",
    "every": "every {} epochs",
    "examples": "{} examples",
    "along_examples": "{} examples during training",
}
LENGTHS = {"epochs": "epochs", "steps": "steps", "until_train_loss": "until training loss"}


def study(judged: Judged) -> str:
    """The question, headline numbers, grid, machine."""
    question = escape(str(judged.settings.get("description", "")))
    return (
        f'<p class="question">{question}</p>{_notes(judged.notes)}'
        f'<div class="tiles">{"".join(_tiles(judged))}</div>' + _grids(judged)
    )


def _notes(notes: Sequence[str]) -> str:
    """How several folders were combined."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def byline(judged: Judged) -> str:
    """What was run, on one line."""
    view = judged.view
    said = [str(judged.settings.get("name", "study")), *_networks(view)]
    if isinstance(folder := judged.results.folder, Folders):
        said.insert(0, " + ".join(folder.each))
    if len(view.runs):
        seeds = view.runs["seed"].nunique()
        said.append(f"{len(view.runs)} of {judged.planned} runs")
        ends = [view.axis.text(value) for value in view.axis.values]
        said.append(f"{view.axis.plural} {ends[0]} to {ends[-1]}")
        said.append(f"{seeds} seed{'s' * (seeds > 1)}")
        said.append(f"{style.duration(view.runs['seconds'].sum())} of compute")
    return " · ".join(said)


def _networks(view: View) -> list[str]:
    return view.panels if len(view.panels) <= 2 else [f"{len(view.panels)} networks"]


def _grids(judged: Judged) -> str:
    """The grid, or that of each part, and the machine."""
    view, machine, parts = judged.view, _machine(judged.results), judged.parts
    if len(parts) <= 1 and all(part.alone for part in parts):
        return markup.facts([*_grid(judged.settings, view), *machine])
    folds = "".join(
        markup.fold(
            f"<b>{escape(part.name)}</b> {len(part.runs) + part.watched} runs",
            f"<p>{escape(part.settings.get('description', ''))}</p>"
            + markup.facts(_grid(part.settings, view)),
            kind="panel",
        )
        for part in parts
    )
    return markup.facts(machine) + folds


def _axis(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _tables(value: Any) -> dict[str, dict[str, Any]]:
    return value if isinstance(value, dict) else {name: {} for name in _axis(value)}


def _tiles(judged: Judged) -> list[str]:
    view, runs = judged.view, judged.view.runs
    statuses = [] if runs.empty else runs["status"].tolist()
    done = f"{statuses.count('done')} / {judged.planned}"
    tiles = [markup.tile(done, "runs trained", _mishaps(statuses))]
    if runs.empty:
        return tiles
    spent = style.duration(runs["seconds"].sum())
    tiles.append(markup.tile(spent, "of compute", "summed over runs"))
    panels = view.panels
    for measure, eps, rows in view.headline(panels[0]) if len(panels) == 1 else []:
        rows = rows[(rows["status"] == "done") & rows["value"].notna()]
        if style.is_accuracy(measure) and len(rows):
            best = rows.sort_values("value").to_dict("records")[-1]
            note = f"{best['label']}, batch {best['batch_size']}"
            tiles.append(markup.tile(f"{best['value']:.3f}", f"best {_short(measure, eps)}", note))
    for measure in view.main:
        values = good(view.at_end(measure))
        if not style.is_accuracy(measure) and len(values):
            span = f"{markup.number(values.min())} – {markup.number(values.max())}"
            tiles.append(markup.tile(span, style.short(measure), "smallest and largest"))
    return tiles


def _short(measure: str, eps: float | None) -> str:
    name = style.label(measure).replace("Test", "test")
    return name if eps is None else f"{name}, eps {written(eps)}"


def _brief(measure: str, eps: float | None) -> str:
    """As narrow as a column can be."""
    return _short(measure, eps) if style.is_accuracy(measure) else style.short(measure)


def _mishaps(statuses: Sequence[str]) -> str:
    found = {status: statuses.count(status) for status in ("diverged", "collapsed", "failed")}
    return ", ".join(f"{count} {status}" for status, count in found.items() if count)


def _grid(settings: dict[str, Any], view: View) -> list[tuple[str, str]]:
    """The grid: each axis with its values, and the measures."""
    rows = [
        (name, "".join(map(markup.chip, _axis(settings[key]))))
        for key, name in (("model", "model"), ("data", "data"), ("batch_size", "batch size"))
    ]
    rows.append(("schedule", _schedules(settings, view)))
    seeds = len(_axis(settings.get("seed", [0])))
    length = [f"{settings[key]} {name}" for key, name in LENGTHS.items() if key in settings]
    if "until_train_loss" in settings:
        length[-1] = f"until training loss < {settings['until_train_loss']:g}"
    length.append(f"{seeds} seed{'s' * (seeds > 1)}")
    if "train_size" in settings:
        length.append(f"{settings['train_size']:,} training images")
    rows.append(("each run", "".join(map(markup.chip, length))))
    chips = [markup.chip(_measure(*item)) for item in _tables(settings["measure"]).items()]
    rows.append(("measures", "".join(chips)))
    return rows


def _schedules(settings: dict[str, Any], view: View) -> str:
    lines = view.lines
    shared = settings.get("momentum", [0.0])
    parts = []
    for name, options in _tables(settings["schedule"]).items():
        own = [drawn for drawn in lines if drawn.line.settings["schedule"] == name]
        said = [_option(*item) for item in options.items() if item[0] != "momentum"]
        said.append(f"momentum {_format(options.get('momentum', shared))}")
        paper = f" <em>called {style.PAPER[name]} in the paper</em>" if name in style.PAPER else ""
        swatches = "".join(map(markup.swatch, own))
        details = escape(", ".join(said))
        parts.append(
            f'<div class="schedule">{swatches}<b>{escape(name)}</b>{paper} '
            f"<span>{details}</span></div>"
        )
    return "".join(parts)


def _format(value: Any) -> str:
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in _axis(value))


def _measure(name: str, options: dict[str, Any]) -> str:
    said = "; ".join(_option(*item) for item in options.items())
    return style.label(name) + (f" ({said})" if said else "")


def _option(key: str, value: Any) -> str:
    """An option in words."""
    return OPTIONS.get(key, f"{key.replace('_', ' ')} {{}}").format(_format(value))


def _machine(results: Results) -> list[tuple[str, str]]:
    if results.runs.empty:
        return []
    found = results.environments
    processors = sorted({env["processor"] for env in found if "processor" in env})
    cores = sorted({env["cores"] for env in found if "cores" in env}, key=len)
    devices = sorted(results.runs["device"].unique())
    said = [", ".join(processors), "/".join(cores) + " cores" if cores else "", *devices]
    return [("machine", "".join(markup.chip(text) for text in said if text))]


def trends(view: View) -> str:
    """The change from one end of the axis to the other, line by line: one table per panel."""
    if len(view.axis.values) < 2:
        return ""
    parts: list[str] = []
    for panel, runs in view.by_panel(view.runs):
        columns = _columns(view, panel)
        places = sorted(runs["x"].dropna().unique())
        lines = [line for line, _ in view.by_line(runs)]
        header = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
        body = "".join(_followed(line, list(columns.values()), places) for line in lines)
        if not places:
            continue
        span = f"{view.axis.named(places[0])} to {view.axis.text(places[-1])}"
        title = f"<b>{escape(panel)}</b> from {escape(span)}"
        table = markup.table(header, body, name=f"{panel} from {span}")
        if columns:
            parts.append(markup.fold(title, table, kind="panel", unfolded=len(parts) < 2))
    return "".join(parts)


def _followed(line: DrawnLine, columns: Sequence[pd.DataFrame], places: Sequence[float]) -> str:
    cells = [_trend(rows[rows["line"] == line.key], line, places) for rows in columns]
    name = f"{markup.swatch(line)}{escape(line.label)}"
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _columns(view: View, panel: str) -> dict[str, pd.DataFrame]:
    """The measures to show along the axis, attacks at the panel's own eps."""
    columns = {_brief(measure, eps): rows for measure, eps, rows in view.headline(panel)}
    runs = view.runs[view.runs["panel"] == panel]
    columns["loss while training"] = runs.assign(value=runs["final_train_loss"])
    columns["lr · steps"] = runs.assign(value=runs["lr_steps"])
    return columns


def _trend(rows: pd.DataFrame, line: DrawnLine, places: Sequence[float]) -> str:
    spread = intervals.over_seeds(rows, ["x"]).set_index("x")
    middles = spread["middle"].reindex(list(places))
    if middles.isna().all():
        return "<td>–</td>"
    first, last = (_end(rows, middles, place) for place in (places[0], places[-1]))
    colours = f"--light:{line.colour};--dark:{line.dark}"
    curve = markup.sparkline([float(value) for value in middles])
    return (
        f'<td><span class="ends">{first}<i>→</i>{last}</span>'
        f'<span class="inked" style="{colours}">{curve}</span></td>'
    )


def _end(rows: pd.DataFrame, middles: pd.Series, place: float) -> str:
    """A mean, or the status of the runs if there is none."""
    if middles.notna()[place]:
        return markup.number(float(middles[place]))
    statuses = sorted(rows.loc[rows["x"] == place, "status"].unique())
    return f"<em>{escape(', '.join(statuses) or '–')}</em>"
