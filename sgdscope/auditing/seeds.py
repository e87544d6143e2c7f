"""Networks trained from several seeds each, ``NAME:SEED``: how they differ over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy import stats

from sgdscope.auditing.comparison import LEVEL
from sgdscope.measuring import card_of
from sgdscope.results import style
from sgdscope.results.record import Audited
from sgdscope.settings import written

Kind = Literal["difference", "ratio"]


@dataclass(frozen=True)
class SeedComparison:
    """A measure's mean over one network's seeds, compared with that over another's."""

    network: str
    other: str  # the one it is compared with
    measure: str
    eps: float | None
    kind: Kind  # accuracies: the difference of means; other measures: the ratio of geometric means
    value: float
    low: float | None  # its 95% interval over seeds (Welch 1947); None where neither network
    high: float | None  # differs between its seeds: how far others would differ is not known
    seeds: int
    other_seeds: int
    flagged: bool

    def record(self) -> dict[str, object]:
        """All fields by name, with its sentence."""
        return asdict(self) | {"differs": self.differs, "sentence": self.sentence}

    @property
    def sentence(self) -> str:
        """The result in words, with its interval."""
        accuracy = style.is_accuracy(self.measure)
        what = style.label(self.measure) if accuracy else style.short(self.measure)
        if self.eps is not None:
            what += f" at eps {written(self.eps)}"
        over = f"over {self.seeds} seeds each"
        if self.seeds != self.other_seeds:
            over = f"over {self.seeds} and {self.other_seeds} seeds"
        if not self.differs:
            unlike = f"{what} does not distinguish {self.network} from {self.other}"
            return f"{unlike}: {self._size} ({self._span}), {over}"
        than = "" if self.kind == "ratio" else "than "
        one, other = f"{what} of {self.network}", f"that of {self.other}"
        return f"{one} is {self._size} {than}{other} ({self._span}), {over}"

    @property
    def _size(self) -> str:
        if self.kind == "ratio":
            return f"{self.value:.3g} times"
        towards = "higher" if self.value > 0 else "lower"
        if card_of(self.measure).in_points:
            return f"{abs(100 * self.value):.1f} points {towards}"
        return " ".join(filter(None, (f"{abs(self.value):.3g}", style.unit(self.measure), towards)))

    @property
    def _span(self) -> str:
        """Its interval in print."""
        if self.low is None or self.high is None:
            return "no interval: the seeds of neither differ"
        if self.kind == "ratio":
            return f"{self.low:.3g} to {self.high:.3g}"
        ends = (self.low, self.high)
        if card_of(self.measure).in_points:
            return " to ".join(map(style.points, ends))
        return " to ".join(f"{end:+.3g}".replace("-", "−") for end in ends)

    @property
    def differs(self) -> bool:
        """Whether the interval leaves out equality."""
        if self.low is None or self.high is None:
            return False
        same = 1.0 if self.kind == "ratio" else 0.0
        return self.low > same or self.high < same


def seeds_of(networks: Sequence[Audited]) -> dict[str, list[Audited]]:
    """By name, the networks named ``NAME:SEED`` that have two seeds or more.

    Empty unless there are two such names to compare.
    """
    groups: dict[str, list[Audited]] = {}
    for one in networks:
        name, seed = _name_and_seed(one)
        if seed:
            groups.setdefault(name, []).append(one)
    several = {name: seeds for name, seeds in groups.items() if len(seeds) > 1}
    return several if len(several) > 1 else {}


def pairs(networks: Sequence[Audited]) -> list[tuple[Audited, Audited]]:
    """The networks to compare on the same points: each with the first.

    Where the first has several seeds, others that have them too are compared seed by seed.
    """
    if not networks:  # stopped before the first number
        return []
    several = seeds_of(networks)
    first, _ = _name_and_seed(networks[0])
    of_seed = {_name_and_seed(one)[1]: one for one in several.get(first, [])}
    found = []
    for one in networks[1:]:
        name, seed = _name_and_seed(one)
        if not of_seed or name not in several:
            found.append((one, networks[0]))
        elif name != first and seed in of_seed:
            found.append((one, of_seed[seed]))
    return found


def _name_and_seed(one: Audited) -> tuple[str, str]:
    """Of a network's name; the seed is empty where it has none."""
    name, _, seed = one.network.name.partition(":")
    return name, seed


def compare_seeds(networks: Sequence[Audited]) -> list[SeedComparison]:
    """Every network against the first, given at least two seeds of each."""
    if not (several := seeds_of(networks)):
        return []
    first, *others = several
    keys = {(m.measure, m.eps): None for m in several[first][0].measurements}
    found = []
    for name in others:
        for measure, eps in keys:
            mine, theirs = (_values(several[one], measure, eps) for one in (name, first))
            if len(mine) == len(several[name]) and len(theirs) == len(several[first]):
                flagged = any(
                    m.flags
                    for one in (*several[name], *several[first])
                    for m in one.measurements
                    if (m.measure, m.eps) == (measure, eps)
                )
                found.append(_compared(name, first, measure, eps, mine, theirs, flagged=flagged))
    return found


def _values(networks: Sequence[Audited], measure: str, eps: float | None) -> list[float]:
    return [
        m.value
        for one in networks
        for m in one.measurements
        if (m.measure, m.eps) == (measure, eps) and math.isfinite(m.value)
    ]


def _compared(
    name: str, other: str, measure: str, eps: float | None, mine: list[float],
    theirs: list[float], *, flagged: bool,
) -> SeedComparison:  # fmt: skip
    """Welch's interval, which allows for different spreads; none where there is no spread."""
    kind: Kind = "difference"
    left, right = np.array(mine), np.array(theirs)
    if not style.is_accuracy(measure) and (left > 0).all() and (right > 0).all():
        kind, left, right = "ratio", np.log(left), np.log(right)
    value = float(left.mean() - right.mean())
    low, high = None, None
    if np.ptp(left) > 0 or np.ptp(right) > 0:
        span = stats.ttest_ind(left, right, equal_var=False).confidence_interval(LEVEL)
        low, high = float(span.low), float(span.high)
    if kind == "ratio":
        value = math.exp(value)
        low, high = (None if end is None else math.exp(end) for end in (low, high))
    return SeedComparison(
        name, other, measure, eps, kind, value, low, high, len(mine), len(theirs), flagged
    )
