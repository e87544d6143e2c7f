"""How a measure is presented: its name in print, its scale, its margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sgdscope.errors import RequestError

Kind = Literal["accuracy", "share", "positive", "signed"]


@dataclass(frozen=True)
class Card:
    """How the readings of a measure are named, drawn, ordered and judged.

    A class variable of the measure, ``card``. What is left out follows from the measure's name; a
    subclass without a card of its own inherits everything but ``label``, ``short`` and ``order``.

    Attributes:
        label: the name in print; by default the registered name with spaces.
        short: the name where there is room for a word or two.
        unit: of a value, beside its axis.
        kind: ``"accuracy"``: a share of points classified correctly, so that chance level matters,
            judged in percentage points; ``"share"``: of something else, also judged in points;
            ``"positive"``: judged by its logarithm; ``"signed"``: by its differences, in ``unit``.
            By default an accuracy if the name ends in ``_accuracy``, else positive.
        log: whether its axis is logarithmic; None: where the values span more than a factor of 8.
        order: the place among the main measures, which come first and have a figure of their own on
            the page, a column in the terminal and, unless they are attacks, findings; those of
            sgdscope are 10 to 50. None: not a main measure.
        trust: of a measure of robustness, how far it is trusted beside others, most first; those of
            sgdscope are 10 to 80. None: it does not measure robustness.
        floor: values this near to 0, or of an accuracy to chance, tell runs apart by noise. None:
            0.01 of an accuracy at an eps, and no floor of anything else.
        margin: a trend smaller than this per doubling of the batch size counts as none, in points,
            doublings of the value, or ``unit``. None: 1 point, or 0.1 doublings; a signed measure
            needs one.
        difference_margin: likewise of a difference; None: twice ``margin``.
        source: the paper that introduced it.
        caveat: what a reader should know before trusting it, one sentence.

    Raises:
        RequestError: there is no margin, and none is usual for measures of its kind.
    """

    label: str = ""
    short: str = ""
    unit: str = ""
    kind: Kind | None = None
    log: bool | None = None
    order: int | None = None
    trust: int | None = None
    floor: float | None = None
    margin: float | None = None
    difference_margin: float | None = None
    source: str = ""
    caveat: str = ""

    def __post_init__(self) -> None:
        if self.kind == "signed" and self.margin is None:
            raise RequestError(f"card of {self.label!r}: kind 'signed' needs a margin")

    @property
    def in_points(self) -> bool:
        """Whether differences are counted in percentage points."""
        return self.kind in ("accuracy", "share")

    @property
    def least_trend(self) -> float:
        """``margin``, or its default."""
        return (1.0 if self.in_points else 0.1) if self.margin is None else self.margin

    @property
    def least_difference(self) -> float:
        """``difference_margin``, or its default."""
        return 2 * self.least_trend if self.difference_margin is None else self.difference_margin

    @property
    def remarks(self) -> str:
        """Caveat and source, as sentences."""
        return " ".join(filter(None, (self.caveat, self.source and f"Source: {self.source}.")))
