"""The quantities that claims are tested on, in readers' units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from sgdscope.measuring import Card, card_of
from sgdscope.results.view import View
from sgdscope.settings import written

FLOOR = 0.01  # of an accuracy at an eps, where its measure states none


@dataclass(frozen=True)
class Quantity:
    """A measure, at one eps where it has several."""

    measure: str
    eps: float | None = None
    counts: float | None = None  # a margin set by a study, instead of the default

    @cached_property
    def card(self) -> Card:
        """The card of its measure."""
        return card_of(self.measure)

    @property
    def in_points(self) -> bool:
        """Counted in points."""
        return self.card.in_points

    @property
    def in_doublings(self) -> bool:
        """Counted as a power of what it depends on."""
        return self.card.kind == "positive"

    @property
    def label(self) -> str:
        """In print."""
        name, *_ = self.card.label.split(",")
        return name if self.eps is None else f"{name} at eps {written(self.eps)}"

    @property
    def unit(self) -> str:
        """Of a difference."""
        if self.in_doublings:
            return "doublings"
        return "points" if self.in_points else self.card.unit or "units"

    @property
    def slope_unit(self) -> str:
        """Of a trend over batch sizes; a doubling per doubling is a power of the batch size."""
        return "power of the batch size" if self.in_doublings else f"{self.unit} per doubling"

    @property
    def margin(self) -> float:
        """Trends smaller than this count as no trend.

        Over the paper's five doublings of the batch size: 2.5 points of test accuracy, 5 points of
        accuracy under attack, a factor of 1.4 in λ₁ or in the size of a perturbation.
        """
        return self.card.least_trend if self.counts is None else self.counts

    @property
    def difference_margin(self) -> float:
        """Differences smaller than this count as none: 2 points, or 15 % (0.2 doublings)."""
        return self.card.least_difference if self.counts is None else self.counts

    @property
    def floor(self) -> float | None:
        """Values this near to 0, or of an accuracy to chance, tell runs apart by noise."""
        at_eps = self.card.kind == "accuracy" and self.eps is not None
        return FLOOR if self.card.floor is None and at_eps else self.card.floor

    @property
    def figure(self) -> str:
        """The figure that shows it against batch size."""
        return self.measure if self.eps is None else f"{self.measure}-eps{self.eps:g}"

    @property
    def relation(self) -> str:
        """The figure that shows it against λ₁, if there is one."""
        drawn = self.eps is not None and self.card.kind == "accuracy"
        return f"{self.figure}-by-top_eigenvalue" if drawn else self.figure

    def scaled(self, values: pd.Series) -> pd.Series:
        """In points, in powers of two (NaN where that is not possible), or as measured."""
        if not self.in_doublings:
            return values * 100 if self.in_points else values
        return pd.Series(np.log2(values.where(values > 0)), index=values.index)


TEST_ACCURACY = Quantity("test_accuracy")
CURVATURE = Quantity("top_eigenvalue")


def robustness(view: View) -> list[Quantity]:
    """Every accuracy under attack at every eps, then what has no floor."""
    attacked = [
        Quantity(measure, eps)
        for measure, radii in view.attacks.items()
        for eps in radii
        if eps > 0
    ]
    others = [measure for measure in view.measures if measure in view.other_robustness]
    return attacked + [Quantity(m, eps) for m in others for eps in view.radii.get(m, [None])]


def at_floor(quantity: Quantity, values: pd.Series, chance: float | None) -> str:
    """Why the values carry no information; empty if they do.

    Either most accuracies are at a floor, where runs cannot be distinguished; or some value has no
    logarithm, and a trend of the others alone would not be that of all.
    """
    if quantity.in_doublings and (outside := int(((values <= 0) | np.isinf(values)).sum())):
        return f"{outside} of {len(values)} values are 0 or infinite, on no logarithmic scale"
    floor = quantity.floor
    if floor is None or values.empty:
        return ""
    levels = {"the floor": 0.0}
    if quantity.card.kind == "accuracy" and chance is not None:
        levels["chance level"] = chance
    for name, level in levels.items():
        count = int(((values - level).abs() <= floor).sum())
        if count > len(values) / 2:
            where = (
                f"{level:.0%}), ± {floor:.0%}" if quantity.in_points else f"{level:g}), ± {floor:g}"
            )
            return f"{count} of {len(values)} runs are at {name} ({where}"
    return ""
