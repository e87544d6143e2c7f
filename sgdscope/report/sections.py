"""The sections of the page, in their order of interest, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sgdscope.figures import paper
from sgdscope.figures.paper import Numbered
from sgdscope.findings import Judged
from sgdscope.report import attention, markup, overview
from sgdscope.report.card import Card
from sgdscope.report.first_screen import first_screen
from sgdscope.report.verdicts import verdicts
from sgdscope.results.folders import Folders

PLOTTED = {
    "batch": (
        "By batch size",
        "Each measure at the end of training. Diverged (×) and collapsed (▽) runs are in no line "
        "or band; hollow marks are flagged or did not converge. Hover over a mark to see its "
        "run; click it to find the run in the table.",
    ),
    "progress": (
        "At equal progress",
        "Runs of different batch sizes during training. If their curves coincide, batch size "
        "matters only through how far training has progressed.",
    ),
    "why": (
        "Confounders",
        "What else changes with batch size: progress (training loss, steps), noise and stability "
        "of SGD, confidence. Any of these may explain a difference in robustness.",
    ),
    "relation": ("λ₁ and robustness", "Does λ₁ predict how robust a network is?"),
    "eps": ("By eps", "How fast accuracy falls as the attack gets stronger."),
    "spectrum": (
        "Spectrum of the Hessian",
        "Most directions are flat and a few are steep. The density of eigenvalues, for each line "
        "at its smallest and its largest batch size.",
    ),
    "examples": (
        "Adversarial examples",
        "Images that fooled the networks, for each line at its smallest and largest batch size.",
    ),
    "learning": (
        "Learning curves",
        "Differences mean little unless training has progressed equally far.",
    ),
    "along": ("During training", "Measures taken while the networks trained."),
}


@dataclass(frozen=True)
class Section:
    """A part of the page, with its place in the contents."""

    id: str
    title: str
    html: str


def build(
    judged: Judged, cards: Sequence[Card], *, examples: bool, home: Path | None = None
) -> list[Section]:
    """Every section that has content.

    Args:
        judged: the study.
        cards: its plots.
        examples: whether the gallery has content.
        home: the folder that the page is written to, if any.
    """
    view, results = judged.view, judged.results
    finished = len(results.runs)
    made = [Section("overview", "Findings", first_screen(judged, byline=overview.byline(judged)))]
    if finished and (trends := overview.trends(view)):
        made.append(Section("trends", "In short", _lead(trends, view.axis.reworded(_SHORT))))
    if judged.verdicts:
        html = verdicts(
            judged.verdicts, places={one.section for one in cards} | {c.id for c in cards}
        )
        made.append(Section("claims", "Claims", _lead(html, _CLAIMS)))
    warnings = attention.warnings(view, missing=judged.planned - finished) if finished else []
    if warnings := [*warnings, *map(attention.note, judged.notes[1:])]:
        made.append(Section("attention", "Warnings", _folded(warnings)))
    for id_, (title, lead) in PLOTTED.items():
        holes = "".join(map(_placeholder, (card for card in cards if card.section == id_)))
        if id_ == "examples" and examples:
            holes = '<article class="card" id="gallery"></article>'
        if holes:
            words = view.axis.reworded
            made.append(Section(id_, words(title), _lead(holes, words(lead))))
    made.append(Section("study", "Study", overview.study(judged)))
    if finished:
        made.append(Section("runs", "Runs", '<div id="run-table"></div>'))
    if failures := attention.failures(view):
        made.append(Section("failures", "Failures", failures))
    made.append(Section("files", "Files", _files(judged, paper.numbered(results), home)))
    if finished:
        made.append(Section("versions", "Versions", _versions(results.environments)))
    return made


_SHORT = (
    "How each line changes from the smallest batch to the largest, as means over seeds. Training "
    "loss and lr · steps show whether the runs have trained equally far."
)


_CLAIMS = (
    "Published claims about SGD’s knobs, tested on these runs: at the end of training, and at "
    "equal training loss. LR stands for a fixed learning rate, LR/BS for a constant ratio of "
    "learning rate to batch size. Every value has its 95% interval; the margin is the largest "
    "change that still counts as none."
)


def _folded(warnings: Sequence[str]) -> str:
    """One line that unfolds."""
    count = f"{len(warnings)} warning{'s' * (len(warnings) > 1)}"
    return markup.fold(count, "".join(warnings), kind="panel")


def _lead(html: str, lead: str) -> str:
    return f'<p class="lead">{escape(lead)}</p>{html}'


def _placeholder(card: Card) -> str:
    """Where the page's script puts a card."""
    id_ = escape(card.id)
    return f'<article class="card" id="card-{id_}" data-card="{id_}"></article>'


def _files(judged: Judged, plates: Sequence[Numbered], home: Path | None) -> str:
    folder = judged.results.folder
    settings = _link("study.toml")
    if isinstance(folder, Folders):
        settings = "".join(markup.chip(str(one.study_file)) for one in folder.each.values())
    elif folder and home and home.resolve() != folder.path.resolve():
        settings = markup.chip(str(folder.study_file))
    rows = [
        ("data", _link("results.csv") + settings),
        (
            "figures for print",
            "<code>sgdscope figures</code> writes those of this folder as SVG and PDF",
        ),
    ]
    if plates:
        rows.append(("the paper’s figures", _plates(plates)))
    return markup.facts(rows)


def _plates(plates: Sequence[Numbered]) -> str:
    """The numbered figures, with what each lacks; those that cannot be drawn are folded."""
    html = f'<ul class="plates">{"".join(_plate(one) for one in plates if one.there)}</ul>'
    absent = [plate for plate in plates if not plate.there]
    if absent:
        items = "".join(map(_plate, absent))
        summary = f"{len(absent)} more, for which this study has no data"
        html += markup.fold(summary, f'<ul class="plates">{items}</ul>', kind="panel")
    return html


def _plate(plate: Numbered) -> str:
    lacks = f"<small>Missing: {escape('; '.join(plate.missing))}.</small>" if plate.missing else ""
    return f"<li><b>{plate.number}</b> {escape(plate.caption)}{lacks}</li>"


def _link(path: str, text: str = "") -> str:
    return f'<a href="{escape(path)}">{escape(text or path)}</a>'


def _versions(environments: Sequence[dict[str, str]]) -> str:
    names = list(dict.fromkeys(name for found in environments for name in found))
    return markup.facts(
        (name, "".join(map(markup.chip, dict.fromkeys(e[name] for e in environments if name in e))))
        for name in names
    )
