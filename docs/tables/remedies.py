"""Tables of the remedies: what each line has, what it gains, and whether the batch size matters."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from docs.tables.kept import ACCURACY, CURVATURE, Kept, Rows
from sgdscope.claims import statistics
from sgdscope.claims.markdown import answer
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.statistics import Estimate
from sgdscope.claims.verdicts import END
from sgdscope.study.line import Line, labels
from sgdscope.study.study import Study

WITHOUT = "fixed, m = 0"  # the line without a remedy


@dataclass(frozen=True)
class Remedies:
    """One measure of every line of a study of remedies."""

    kept: str
    quantity: Quantity
    claim: str  # that the measure does not move with batch size

    def table(self, source: Kept) -> Rows:
        """A row a line: means over the seeds by batch size, gain at the largest, verdict."""
        values = self._values(source)
        sizes = sorted(values["batch_size"].unique())
        yield [
            self.quantity.label,
            *(f"B = {size}" for size in sizes),
            f"gain at B = {sizes[-1]}",
            "with the batch size",
        ]
        lines = _lines(source)
        for label, line in lines.items():
            own = values[values["line"] == line.name]
            means = [self._cell(own[own["batch_size"] == size]) for size in sizes]
            base = values[values["line"] == lines[WITHOUT].name]
            gain = "" if label == WITHOUT else self._gain(own, base, sizes[-1])
            yield [label.replace(", m = 0", ""), *means, gain, self._verdict(source, label)]

    def _values(self, source: Kept) -> pd.DataFrame:
        """Of every run at its end; NaN where it is lost."""
        runs = source.results.runs[["run", "line", "batch_size", "seed", "status"]]
        rows = source.results.at_end(self.quantity.measure, eps=self.quantity.eps)
        both = runs.merge(rows[["run", "value"]], on="run", how="left")
        return both.assign(value=both["value"].where(both["status"] == "done"))

    def _cell(self, own: pd.DataFrame) -> str:
        """A mean over seeds, and how many of them it lacks."""
        if own.empty:
            return "not run"
        lost = int(own["value"].isna().sum())
        if lost == len(own):
            return "lost"
        mean = float(f"{own['value'].mean():.9g}")
        text = f"{mean:.3f}" if self.quantity.in_points else f"{float(f'{mean:.2g}'):g}"
        return text + (f" ({lost} lost)" if lost else "")

    def _gain(self, own: pd.DataFrame, base: pd.DataFrame, size: int) -> str:
        """Over the line without a remedy, seed by seed."""
        ours, theirs = (
            one[one["batch_size"] == size].set_index("seed")["value"].dropna()
            for one in (own, base)
        )
        change = (self.quantity.scaled(ours) - self.quantity.scaled(theirs)).dropna()
        if len(change) < 2:
            return "too few"
        return _interval(statistics.mean(change.to_numpy(), change.index.to_numpy()), self.quantity)

    def _verdict(self, source: Kept, label: str) -> str:
        own = [
            one
            for one in source.verdicts
            if (one.claim, one.line, one.when) == (self.claim, label, END)
            and (one.measure, one.eps) == (self.quantity.measure, self.quantity.eps)
        ]
        return answer(own[0]) if own else "not judged"


def _lines(source: Kept) -> dict[str, Line]:
    """By label, in the order of the study."""
    study = Study.parse(source.folders[0].settings())
    planned = list(dict.fromkeys(run.line for run in study.runs))
    return dict(zip(labels(planned), planned, strict=True))


def _interval(found: Estimate, quantity: Quantity) -> str:
    """In points, or as a factor."""
    numbers = [float(f"{one:.9g}") for one in (found.value, found.low, found.high)]
    if quantity.in_doublings:
        value, low, high = (f"{2**one:.2g}" for one in numbers)
        return f"× {value} ({low} to {high})"
    value, low, high = (f"{one:+.1f}" for one in numbers)
    return f"{value} ({low} to {high})".replace("-", "−")


def _tables(kept: str, eps: float) -> dict[str, Remedies]:
    return {
        f"{kept}-accuracy": Remedies(kept, Quantity(ACCURACY), "gives-back-accuracy"),
        f"{kept}-curvature": Remedies(kept, Quantity(CURVATURE), "gives-back-flatness"),
        f"{kept}-robustness": Remedies(
            kept, Quantity("pgd_accuracy", eps), "gives-back-robustness"
        ),
    }


TABLES = _tables("remedies-digits", 0.05) | _tables("remedies-cifar10", 0.005)
