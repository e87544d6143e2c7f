"""What claims are tested on, in the units that a reader thinks in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgdscope.results import style
from sgdscope.results.view import NO_FLOOR, View

FLOOR = 0.01  # accuracies this near to 0, or to chance, tell runs apart by noise


@dataclass(frozen=True)
class Quantity:
    """A measure, at one eps where it has several."""

    measure: str
    eps: float | None = None
    counts: float | None = None  # a margin that a study states, in place of the usual ones

    @property
    def is_accuracy(self) -> bool:
        """Counted in points; anything else as a power of what it depends on."""
        return style.is_accuracy(self.measure) or self.measure == "robustness_area"

    @property
    def label(self) -> str:
        """In print."""
        name, *_ = style.label(self.measure).split(",")
        return name if self.eps is None else f"{name} at eps {self.eps:g}"

    @property
    def unit(self) -> str:
        """Of a difference."""
        return "points" if self.is_accuracy else "doublings"

    @property
    def slope_unit(self) -> str:
        """Of a trend over batch sizes; a doubling per doubling is a power of the batch size."""
        return "points per doubling" if self.is_accuracy else "power of the batch size"

    @property
    def margin(self) -> float:
        """Trends smaller than this count as none.

        Over the paper's five doublings of the batch size: 2.5 points of test accuracy, 5 points of
        accuracy under attack, a factor of 1.4 in λ₁ or in the size of a perturbation.
        """
        if self.counts is not None:
            return self.counts
        if not self.is_accuracy:
            return 0.1
        return 0.5 if self.measure == "test_accuracy" else 1.0

    @property
    def difference_margin(self) -> float:
        """Differences smaller than this count as none: 2 points, or 15 % (0.2 doublings)."""
        if self.counts is not None:
            return self.counts
        return 2.0 if self.is_accuracy else 0.2

    @property
    def figure(self) -> str:
        """The figure that shows it against batch size."""
        return self.measure if self.eps is None else f"{self.measure}-eps{self.eps:g}"

    @property
    def relation(self) -> str:
        """The figure that shows it against λ₁, where there is one."""
        return self.figure if self.eps is None else f"{self.figure}-by-top_eigenvalue"

    def scaled(self, values: pd.Series) -> pd.Series:
        """In points, or in powers of two (NaN where that is not possible)."""
        if self.is_accuracy:
            return values * 100
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
    others = [Quantity(measure) for measure in view.measures if measure in NO_FLOOR]
    return attacked + others


def at_floor(quantity: Quantity, values: pd.Series, chance: float | None) -> str:
    """Why the values carry no information, where they do not.

    Most accuracies are where runs cannot be told apart; or a value is none on a logarithmic scale,
    and a trend of the others alone would not be that of all.
    """
    if not quantity.is_accuracy:
        outside = int(((values <= 0) | np.isinf(values)).sum())
        reason = f"{outside} of {len(values)} values are 0 or infinite, on no logarithmic scale"
        return reason if outside else ""
    if quantity.eps is None or values.empty:
        return ""
    levels = {"the floor": 0.0} | ({} if chance is None else {"chance level": chance})
    for name, level in levels.items():
        count = int(((values - level).abs() <= FLOOR).sum())
        if count > len(values) / 2:
            return f"{count} of {len(values)} runs are at {name} ({level:.0%}), ± {FLOOR:.0%}"
    return ""
