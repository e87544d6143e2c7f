"""The table of claims: what each comes to, in miniature and in full."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from docs.tables.kept import ACCURACY, CURVATURE, FASHION, MARGIN, MEDIAN, Kept, Rows
from sgdscope.claims import Verdict
from sgdscope.claims.markdown import answer
from sgdscope.claims.overall import ALL
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.record import telling
from sgdscope.claims.verdicts import SMALL

SIGNS = "✓✗≈?–"
WORDS = ("supported", "contradicted", SMALL, "inconclusive", "no information")
RATIOS = re.compile(r"ratio=[\d.]+, ")
Moments = tuple[Verdict, Verdict | None]  # at the end and at equal training loss


@dataclass(frozen=True)
class Asked:
    """A statement of a claim, on one measure and one kind of line."""

    claim: str
    says: str  # in print
    holds: str  # what its statements have in them, a pattern
    measure: str
    line: str = ".*"  # a pattern

    def of(self, source: Kept) -> list[Moments]:
        """Its verdicts on each panel and line, at the end and at equal training loss."""
        own = [
            one
            for one in source.verdicts
            if one.claim == self.claim
            and re.search(self.holds, one.statement)
            and one.measure == self.measure
            and re.fullmatch(self.line, one.line)
        ]
        return telling(own)


ROBUSTNESS = (MARGIN, MEDIAN)
MOST = "at most batch|in most cases"  # of one panel, or of all
LR, RATIO, BENCHMARK = "fixed, m = 0", "constant-ratio,.* m = 0", "step-decay,.*"


def asked() -> Iterator[Asked]:
    """The rows of the table of claims."""
    for measure in (ACCURACY, *ROBUSTNESS, CURVATURE):
        yield Asked("a-ratio", "(a) barely varies under LR/BS", " barely varies", measure, RATIO)
    for line, name in ((LR, "LR"), (BENCHMARK, "the Benchmark")):
        for measure in (ACCURACY, *ROBUSTNESS):
            yield Asked("a-ratio", f"(a) falls under {name}", " falls with", measure, line)
    for measure in ROBUSTNESS:
        yield Asked("b-curvature", "(b) rises with λ₁ under LR", "rise with batch size: ", measure)
    yield Asked("c-momentum-curvature", "(c) falls with momentum", MOST, CURVATURE)
    for measure in (ACCURACY, *ROBUSTNESS):
        says = "(d) rises with momentum under LR"
        yield Asked("d-momentum-robustness", says, MOST, measure)
    for measure in ROBUSTNESS:
        says = "(d) unmoved by momentum under LR/BS"
        yield Asked("d-momentum-robustness", says, "does not change", measure)
    yield Asked("e-higher-ratio", "(e) rises with lr/B", "rises with", ACCURACY)
    yield Asked("robust-by-ratio", "ours: rises with lr/B", "", MARGIN)
    yield Asked("flat-by-ratio", "ours: falls with lr/B", "", CURVATURE)
    for measure in ROBUSTNESS:
        says = "(f) barely varies under LR/BS on every line"
        yield Asked("f-steady-robustness", says, "everywhere", measure)
    for measure in (ACCURACY, *ROBUSTNESS):
        says = "(g) momentum adds more under LR than under LR/BS"
        yield Asked("g-momentum-fixed", says, "momentum raises", measure)
    for line, name in ((LR, "LR"), (BENCHMARK, "the Benchmark")):
        yield Asked("yao-2018", f"Yao et al.: rises under {name}", " rises", CURVATURE, line)
    says = "Kaur et al.: moves under LR/BS, test accuracy does not"
    yield Asked("kaur-2022", says, "", CURVATURE, RATIO)
    for line, name in ((LR, "LR"), (RATIO, "LR/BS")):
        says = f"edge of stability: capped under {name}"
        yield Asked("edge-of-stability", says, "capped", CURVATURE, line)
    says = "edge of stability: falls under LR/BS"
    yield Asked("edge-of-stability", says, " falls", CURVATURE, RATIO)


def verdict_rows(there: Mapping[str, Kept]) -> Rows:
    """Claim by claim: all miniatures counted, one panel in miniature and in full, and another."""
    panel, other = "StdCNN on Fashion-MNIST in", "StdCNN on MNIST in full"
    yield ["claim", "measure", "all miniatures", f"{panel} miniature", f"{panel} full", other]
    for one in asked():
        small, full, mnist, own = (one.of(there[n]) for n in ("small", "full", "mnist", "extended"))
        cells = [_counted([*small, *own]), *map(_cell, (_on_fashion(small) or own, full, mnist))]
        yield [one.says, Quantity(one.measure).label, *cells]


def _on_fashion(found: Sequence[Moments]) -> list[Moments]:
    return [pair for pair in found if (pair[0].model, pair[0].data) == FASHION]


def _counted(found: Sequence[Moments]) -> str:
    """How many verdicts have each sign, at the end and at equal training loss; or that on all."""
    if overall := [pair for pair in found if pair[0].model == ALL and pair[0].value is not None]:
        return _cell(overall)
    signs = [
        Counter(pair[place].sign for pair in found if pair[place] is not None) for place in (0, 1)
    ]
    lines = [
        " ".join(f"{counts[sign]} {sign}" for sign in SIGNS if counts[sign]) for counts in signs
    ]
    return "<br>".join(lines) if any(lines) else "not run"


def _cell(found: Sequence[Moments]) -> str:
    """The verdicts with their intervals, and how many seeds they rest on."""
    parts = []
    for end, equal in found:
        parts += [answer(one) for one in (end, equal) if one is not None]
        eps = "" if end.eps is None else f"eps {end.eps:g}, "
        parts.append(f"{eps}{end.seeds} seed{'s' * (end.seeds != 1)}")
    return "<br>".join(parts) or "not run"


def agreement_rows(small: Kept, full: Kept, *, data: str) -> Rows:
    """What StdCNN on a data set says in miniature against what it says in full."""
    first, other = (_by_statement(source, data=data) for source in (small, full))
    pairs = [(first[key], other[key]) for key in first if key in other]
    counts = Counter((one.word, another.word) for one, another in pairs)
    heads = [word for word in WORDS if any(word in pair for pair in counts)]
    yield ["in miniature ↓, in full →", *heads]
    for row in heads:
        yield [row, *(str(counts[row, column]) for column in heads)]


def _by_statement(source: Kept, *, data: str) -> dict[tuple[object, ...], Verdict]:
    """Verdicts on that panel by what they are on; a miniature's ratio is not the paper's."""
    return {
        (one.claim, one.said, one.measure, one.eps, one.when, RATIOS.sub("", one.line)): one
        for one in source.verdicts
        if (one.model, one.data) == ("stdcnn", data)
    }
