"""The sections of the page, in their order of interest, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from sgdscope.figures import paper
from sgdscope.figures.paper import Numbered
from sgdscope.findings import Judged
from sgdscope.report import attention, markup, overview
from sgdscope.report.cards import Card
from sgdscope.report.first_screen import first_screen
from sgdscope.report.verdicts import verdicts

PLOTTED = {
    "batch": (
        "By batch size",
        "Each measure at the end of training. × diverged and ▽ collapsed, in no line or band; "
        "hollow: flagged or not converged. Point at anything to see its run; click to find it in "
        "the table.",
    ),
    "progress": (
        "At equal progress",
        "Runs of different batch sizes while they trained. Curves that fall on each other say that "
        "batch size acts through how far training got, and through nothing else.",
    ),
    "why": (
        "Why",
        "What else differs with batch size: progress (training loss, updates), noise and stability "
        "of SGD, confidence. A difference in robustness may be no more than one of these.",
    ),
    "relation": ("λ₁ and robustness", "Does λ₁ tell how robust a network is?"),
    "eps": ("By eps", "How fast accuracy falls as the attack grows."),
    "spectrum": (
        "Spectrum of the Hessian",
        "Most directions are flat and a few are steep: how many eigenvalues lie where, for each "
        "line at its smallest and at its largest batch size.",
    ),
    "examples": (
        "Adversarial examples",
        "What the attacks found, for each line at its smallest and at its largest batch size.",
    ),
    "learning": ("Learning curves", "A difference means little until training got equally far."),
    "along": ("Along training", "Measures taken while training went on."),
}


@dataclass(frozen=True)
class Section:
    """A part of the page, with its place in the contents."""

    id: str
    title: str
    html: str


def build(judged: Judged, cards: Sequence[Card], *, examples: bool) -> list[Section]:
    """Every section that has something to say; ``examples``: whether the gallery does."""
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
    if finished and (warnings := attention.warnings(view, missing=judged.planned - finished)):
        made.append(Section("attention", "What to distrust", _folded(warnings)))
    for id_, (title, lead) in PLOTTED.items():
        holes = "".join(map(_hole, (card for card in cards if card.section == id_)))
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
    made.append(Section("files", "Files", _files(paper.numbered(results))))
    if finished:
        made.append(Section("versions", "Versions", _versions(results.environments)))
    return made


_SHORT = (
    "What each line does from the smallest batch to the largest, means over seeds. Training loss "
    "and lr · steps say whether the runs compared got equally far."
)


_CLAIMS = (
    "What has been said of SGD’s knobs, tested on these runs: at the end of training, and where "
    "all runs had the same training loss. Each value with its 95 % interval; differences within "
    "the margin count as none."
)


def _folded(warnings: Sequence[str]) -> str:
    """One line that opens."""
    count = f"{len(warnings)} warning{'s' * (len(warnings) > 1)}"
    return markup.fold(count, "".join(warnings), kind="panel")


def _lead(html: str, lead: str) -> str:
    return f'<p class="lead">{escape(lead)}</p>{html}'


def _hole(card: Card) -> str:
    """Where the page's script puts a card."""
    id_ = escape(card.id)
    return f'<article class="card" id="card-{id_}" data-card="{id_}"></article>'


def _files(plates: Sequence[Numbered]) -> str:
    rows = [
        ("data", _link("results.csv") + _link("study.toml")),
        ("figures for print", "<code>sgdscope figures</code> with this folder, as SVG and PDF"),
    ]
    if plates:
        rows.append(("the paper’s figures", _plates(plates)))
    return markup.facts(rows)


def _plates(plates: Sequence[Numbered]) -> str:
    """The numbered figures, with what each lacks; those of which there is nothing folded."""
    html = f'<ul class="plates">{"".join(_plate(one) for one in plates if one.there)}</ul>'
    absent = [plate for plate in plates if not plate.there]
    if absent:
        items = "".join(map(_plate, absent))
        summary = f"{len(absent)} more of which this study has nothing"
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
