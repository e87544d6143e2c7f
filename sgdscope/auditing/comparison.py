"""Two networks on the same points, paired: how they differ, and how certain that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from sgdscope.auditing.folder import AuditFolder
from sgdscope.results import style
from sgdscope.results.record import Audited, Measurement, array_prefix
from sgdscope.settings import written

LEVEL = 0.95
PER_POINT = ("right", "robust")  # arrays that say which points were classified correctly
Bools = npt.NDArray[np.bool_]
SCALED = {"top_eigenvalue", "hessian_trace", "sam_sharpness"}  # by how the weights are scaled


@dataclass(frozen=True)
class Comparison:
    """The difference between two networks' accuracies on the same points."""

    network: str
    other: str  # the one it is compared with
    measure: str
    eps: float | None
    points: int
    difference: float  # of the two accuracies
    low: float  # its 95% interval, over points
    high: float
    only_network: int  # points that it alone classifies correctly
    only_other: int
    p: float  # that equal networks split these points at least as unevenly (exact McNemar test)
    flags: list[str]  # of either number

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0

    def record(self) -> dict[str, object]:
        """All fields by name, with its sentence."""
        return asdict(self) | {"differs": self.differs, "sentence": self.sentence}

    @property
    def sentence(self) -> str:
        """The result in words, with its interval and counts."""
        what = style.label(self.measure)
        if self.eps is not None:
            what += f" at eps {written(self.eps)}"
        span = f"({style.points(self.low)} to {style.points(self.high)})"
        counts = (
            f"only {self.network} is right on {self.only_network:,} of {self.points:,} points, "
            f"only {self.other} on {self.only_other:,}"
        )
        if not self.differs:
            unlike = f"{what} does not distinguish {self.network} from {self.other}"
            return f"{unlike}: {style.points(self.difference)} points {span}; {counts}"
        towards = "higher" if self.difference > 0 else "lower"
        size = f"{abs(100 * self.difference):.1f} points {towards}"
        return f"{what} of {self.network} is {size} than that of {self.other} {span}: {counts}"


def compare(pairs: Sequence[tuple[Audited, Audited]], folder: AuditFolder) -> list[Comparison]:
    """The first of each pair against the second, wherever both were measured alike.

    Args:
        pairs: of the networks of one audit.
        folder: it holds their answers to single points.
    """
    found = []
    for one, other in pairs:
        for mine in one.measurements:
            if (theirs := _same(mine, other)) is None:
                continue
            if one.measured.get(mine.measure) != other.measured.get(mine.measure):
                continue  # taken in different ways
            left, right = points(one, mine, folder), points(other, theirs, folder)
            if left is not None and right is not None and len(left) == len(right):
                found.append(paired(one, other, mine, left, right, theirs.flags))
    return found


def _same(mine: Measurement, other: Audited) -> Measurement | None:
    for theirs in other.measurements:
        if (theirs.measure, theirs.eps) == (mine.measure, mine.eps):
            return theirs
    return None


def points(audited: Audited, reading: Measurement, folder: AuditFolder) -> Bools | None:
    """(N,) bool, which points were classified correctly; None if a measure does not record it."""
    prefix = array_prefix(reading.measure, epoch=reading.epoch, eps=reading.eps)
    arrays = folder.arrays(audited.id, prefix)
    return next((arrays[name].astype(bool) for name in PER_POINT if name in arrays), None)


def paired(
    one: Audited, other: Audited, reading: Measurement, left: Bools, right: Bools, flags: list[str]
) -> Comparison:
    """Two networks' answers to the same points, (N,) each, compared pair by pair."""
    mine, theirs = int((left & ~right).sum()), int((right & ~left).sum())
    low, high = interval(mine, theirs, len(left))
    return Comparison(
        network=one.network.name, other=other.network.name, measure=reading.measure,
        eps=reading.eps, points=len(left), difference=(mine - theirs) / len(left),
        low=low, high=high, only_network=mine, only_other=theirs,
        p=float(stats.binomtest(mine, mine + theirs).pvalue) if mine + theirs else 1.0,
        flags=list(dict.fromkeys([*reading.flags, *flags])),
    )  # fmt: skip


def interval(mine: int, theirs: int, count: int) -> tuple[float, float]:
    """The 95% interval of a difference of paired shares, by Tango's score test (1998).

    Args:
        mine: points that only the first gets right.
        theirs: points that only the second gets right.
        count: all points.
    """
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    middle = (mine - theirs) / count

    def beyond(difference: float, sign: int) -> float:
        return sign * _score(mine, theirs, count, difference) - z

    low, high = -1.0, 1.0
    if beyond(-1 + 1e-12, 1) > 0:
        low = float(optimize.brentq(beyond, -1 + 1e-12, middle, args=(1,)))
    if beyond(1 - 1e-12, -1) > 0:
        high = float(optimize.brentq(beyond, middle, 1 - 1e-12, args=(-1,)))
    return low, high


def _score(mine: int, theirs: int, count: int, difference: float) -> float:
    """The score of a difference: deviations of the counts from it, at the likeliest split."""
    above = mine - theirs - count * difference
    half = -mine - theirs + (2 * count - mine + theirs) * difference
    last = -theirs * difference * (1 - difference)
    share = (math.sqrt(max(half**2 - 8 * count * last, 0.0)) - half) / (4 * count)
    variance = count * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if above == 0 else math.copysign(math.inf, above)
    return above / math.sqrt(variance)


def incomparable(networks: Sequence[Audited]) -> Iterator[str]:
    """Which measures of curvature cannot be compared across networks, and which can."""
    shapes = {one.network.architecture for one in networks}
    if SCALED.isdisjoint(m.measure for one in networks for m in one.measurements):
        return
    if len(shapes) > 1:
        yield (
            "λ₁, trace and SAM sharpness of networks with different layers cannot be compared: "
            "they are in the units of each network's own weights."
        )
    if len(networks) > 1:
        yield (
            "Rescaling the weights can change λ₁, trace and SAM sharpness without changing any "
            "prediction (Dinh et al. 2017); it does not change ASAM sharpness."
        )
