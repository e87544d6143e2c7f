"""A study's claims with their verdicts: the informative ones first, everything else folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from html import escape

from sgdscope.claims import Verdict
from sgdscope.claims.answers import SHARE, interval
from sgdscope.claims.evidence import heading
from sgdscope.claims.in_short import Pair, in_short, parts
from sgdscope.claims.record import telling
from sgdscope.claims.statistics import Estimate
from sgdscope.claims.verdicts import SMALL
from sgdscope.report import markup
from sgdscope.report.matrix import matrix

SHORT = 4  # statements of a claim that are spelt out; more are first shown as a matrix
Statements = dict[str, list[Verdict]]  # each at its eps, with its verdicts at both moments


def verdicts(found: Sequence[Verdict], *, places: Collection[str]) -> str:
    """Every verdict, claim by claim.

    Args:
        found: as judged.
        places: ids of the page's sections and cards.
    """
    pairs: dict[str, list[Pair]] = {}
    for pair in telling(found):
        pairs.setdefault(pair[0].claim, []).append(pair)
    shown = {verdict.statement_at_eps for own in pairs.values() for verdict, _ in own}
    claims: dict[str, Statements] = {}
    for verdict in found:
        own = claims.setdefault(verdict.claim, {})
        own.setdefault(verdict.statement_at_eps, []).append(verdict)
    cards, untold = [], []
    for claim, statements in claims.items():
        first = {
            said: some
            for said, some in statements.items()
            if said in shown and any(one.tested for one in some)
        }
        rest = {said: some for said, some in statements.items() if said not in first}
        named = heading(next(iter(statements.values()))[0])
        if first:
            cards.append(_claim(named, _answer(pairs[claim]), first, rest, places))
        else:
            untold.append(_folded(named, rest, places))
    if untold:
        head = "<header><h3>Not testable on these runs</h3></header>"
        cards.append(f'<article class="card claim">{head}{"".join(untold)}</article>')
    return "".join(cards)


def _claim(
    name: str, answer: str, first: Statements, rest: Statements, places: Collection[str]
) -> str:
    """A claim that could be tested: its answer, then its statements."""
    html = "".join(_statement(said, own, places) for said, own in first.items())
    if len(first) > SHORT:
        html = matrix(first.values(), places=places) + markup.fold(
            f"{len(first)} statements", html, kind="panel"
        )
    if rest:
        html += _folded("At other eps, or without information", rest, places)
    head = f"<h3>{escape(name)}</h3>{_tally(first)}"
    return f'<article class="card claim"><header>{head}</header>{answer}{html}</article>'


def _answer(pairs: Sequence[Pair]) -> str:
    """A claim's answer, and that of each of its parts."""
    items = "".join(
        f"<li>{escape(_sentence(said))}: {escape(answer)}</li>" for said, answer in parts(pairs)
    )
    said = f'<p class="answer">{escape(in_short(pairs))}</p>'
    return said + (f'<ul class="parts">{items}</ul>' if items else "")


def _folded(summary: str, found: Statements, places: Collection[str]) -> str:
    html = "".join(_statement(said, own, places) for said, own in found.items())
    count = f"{len(found)} statement{'s' * (len(found) > 1)}"
    return markup.fold(f"{escape(summary)} ({count})", html, kind="panel")


def _tally(found: Statements) -> str:
    counts = Counter((one.verdict, one.word == SMALL) for one, *_ in found.values())
    return " ".join(
        f'<span class="verdict {word}">{counts[word, small]} {SMALL if small else word}</span>'
        for word in ("supported", "contradicted", "inconclusive")
        for small in (True, False)
        if counts[word, small]
    )


def _statement(said: str, moments: Sequence[Verdict], places: Collection[str]) -> str:
    rows = "".join(_moment(verdict, places) for verdict in moments)
    return f'<div class="statement"><p>{escape(_sentence(said))}</p>{rows}</div>'


def _moment(verdict: Verdict, places: Collection[str]) -> str:
    place = markup.place(verdict.figure, places)
    link = f' <a href="#{escape(place)}">figure</a>' if place else ""
    word = verdict.word
    kind = verdict.verdict if verdict.tested else "untold"
    counted = ""
    if verdict.runs:
        counted = f" {verdict.runs} run{'s' * (verdict.runs != 1)}"
        counted += f", {verdict.seeds} seed{'s' * (verdict.seeds != 1)}."
    if verdict.informative and verdict.doubtful:
        word += " !"
    number, reason = _value_and_reason(verdict)
    said = f"{_sentence(reason.removeprefix('was '))}.{counted}"
    return (
        f'<div class="moment {kind}"><span>{escape(verdict.when)}{link}</span>'
        f'<b class="verdict {kind}">{escape(word)}</b>'
        f'<div>{number}<small title="{escape(said)}">{escape(said)}</small></div></div>'
    )


def _value_and_reason(verdict: Verdict) -> tuple[str, str]:
    """The value with interval and margin as HTML, and the reason without them."""
    if verdict.value is None or verdict.low is None or verdict.high is None:
        return "", verdict.reason
    text = interval(Estimate(verdict.value, verdict.low, verdict.high), verdict.unit)
    known = verdict.margin is not None and verdict.unit != SHARE  # the reason says that of a share
    margin = f"; margin {verdict.margin:g}" if known else ""
    title = escape(f"{verdict.statistic}, 95% interval")
    number = f'<span title="{title}">{escape(text + margin)}</span>'
    return number, verdict.reason.replace(f": {text}", "")


def _sentence(text: str) -> str:
    """With a capital, unless it begins with a symbol."""
    return text[:1].upper() + text[1:] if text[:1].isascii() else text
