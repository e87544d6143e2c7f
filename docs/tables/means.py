"""Tables of what was measured: means over the seeds, at the end of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from docs.tables.kept import ACCURACY, CURVATURE, FASHION, MARGIN, MEDIAN, Kept, Rows, settled
from sgdscope.claims import Sample
from sgdscope.claims.quantities import Quantity

ROBUST = [("fgsm_accuracy", 0.3), ("fgsm_margin_accuracy", 0.3), ("pgd_accuracy", 0.3)]
FLOORLESS = [(MEDIAN, None), (CURVATURE, None)]
BODY = [("pgd_accuracy", 0.1), (MARGIN, 0.1), *FLOORLESS]
FIRST = [("train_loss", None), (ACCURACY, None)]
COLOURS = [("fgsm_accuracy", 0.02), ("pgd_accuracy", 0.02), (MARGIN, 0.005), (CURVATURE, None)]
EXTENDED = [(MARGIN, 0.02), (MARGIN, 0.05), *FLOORLESS]


def line(schedule: str, momentum: float = 0.0, **under: float) -> dict[str, Any]:
    """What the runs of a line have in common."""
    return {"schedule": schedule, "momentum": momentum, **under}


FIXED, SCALED = line("fixed"), line("constant-ratio")
DECAYED = line("step-decay", 0.9)
RATIOS = {"1/8": 0.0003125, "1/4": 0.000625, "1/2": 0.00125, "the paper's": 0.0025}
FOUR = {"LR": FIXED, "LR, m = 0.9": line("fixed", 0.9), "Benchmark": DECAYED, "LR/BS": SCALED}


@dataclass(frozen=True)
class Means:
    """A table of means over the seeds, at the end of training."""

    kept: str
    model: str
    data: str
    lines: Mapping[str, Mapping[str, Any]]  # by name in print
    rows: Sequence[tuple[str, float | None]]  # measure and eps
    factor: int = 1  # by which a miniature's batch sizes were divided
    beside: str = ""  # other results whose trends stand beside its own

    def table(self, there: Mapping[str, Kept]) -> Rows:
        """One line with a column for each batch size, or several with all sizes in a cell."""
        source = there[self.kept]
        if len(self.lines) == 1:
            ((name, settings),) = self.lines.items()
            yield from self._one(source, name, settings, beside=there.get(self.beside))
            return
        sizes = self._found(source, next(iter(self.lines.values())), *self.rows[0]).index
        places = ", ".join(str(size * self.factor) for size in sizes)
        yield [f"at B = {places}", *self.lines]
        counts = [self._counts(source, settings) for settings in self.lines.values()]
        yield ["seeds", *(", ".join(str(one.get(size, 0)) for size in sizes) for one in counts)]
        for measure, eps in self.rows:
            cells = []
            for settings in self.lines.values():
                found = self._found(source, settings, measure, eps)
                cells.append(", ".join(self._numbers(source, settings, measure, found)))
            yield [Quantity(measure, eps).label, *cells]

    def _one(
        self, source: Kept, name: str, settings: Mapping[str, Any], *, beside: Kept | None
    ) -> Rows:
        sizes = self._found(source, settings, *self.rows[0]).index
        heads = ["per doubling, 95%"] if beside is None else ["all runs", self.beside]
        yield [name, *(f"B = {size * self.factor}" for size in sizes), *heads]
        counts = self._counts(source, settings)
        sources = [source] if beside is None else [source, beside]
        yield ["seeds", *(str(counts.get(size, 0)) for size in sizes), *("" for _ in sources)]
        for measure, eps in self.rows:
            found = self._found(source, settings, measure, eps)
            trends = [self._trend(one, settings, Quantity(measure, eps)) for one in sources]
            values = self._numbers(source, settings, measure, found.reindex(sizes))
            yield [Quantity(measure, eps).label, *values, *trends]

    def _numbers(
        self, source: Kept, settings: Mapping[str, Any], measure: str, found: pd.Series
    ) -> list[str]:
        """In print; where there is none, whether a run was lost or not made yet."""
        made = set(self._every_run(source, settings)["batch_size"])
        return [
            _number(measure, value) if pd.notna(value) else "lost" if size in made else "not run"
            for size, value in found.items()
        ]

    def _every_run(self, source: Kept, settings: Mapping[str, Any]) -> pd.DataFrame:
        names = {one.name for one in source.results.lines if one.matches(settings)}
        every = source.results.runs
        mine = every[(every["model"] == self.model) & (every["data"] == self.data)]
        return mine[mine["line"].isin(names)]

    def _counts(self, source: Kept, settings: Mapping[str, Any]) -> pd.Series:
        """How many seeds each batch size has."""
        return self._runs(source, settings).groupby("batch_size")["seed"].nunique()

    def _runs(self, source: Kept, settings: Mapping[str, Any]) -> pd.DataFrame:
        """The runs of a line that trained properly."""
        every = self._every_run(source, settings)
        return every[every["status"] == "done"]

    def _found(
        self, source: Kept, settings: Mapping[str, Any], measure: str, eps: float | None
    ) -> pd.Series:
        """Mean over seeds by batch size; NaN where every run is lost."""
        own = self._runs(source, settings)
        rows = source.results.at_end(measure, eps=eps)
        means = rows[rows["run"].isin(own["run"])].groupby("batch_size")["value"].mean()
        every = source.results.runs
        panel = every[(every["model"] == self.model) & (every["data"] == self.data)]
        return means.reindex(sorted(panel["batch_size"].unique()))

    def _trend(self, source: Kept, settings: Mapping[str, Any], quantity: Quantity) -> str:
        if quantity.measure == "train_loss":
            return ""
        found = source.ends.samples([quantity], **settings)
        return next((_trend(one) for one in found if one.panel == (self.model, self.data)), "")


TABLES = {
    "fashion-small": Means(
        "small", *FASHION, {"LR, m = 0": FIXED}, [*FIRST, *ROBUST, *BODY], factor=16
    ),
    "fashion-small-ratio": Means(
        "small",
        *FASHION,
        {"LR/BS, m = 0": SCALED},
        [*FIRST, (MARGIN, 0.02), (MARGIN, 0.05), *FLOORLESS],
        factor=16,
    ),
    "fashion-full": Means(
        "full", *FASHION, {"LR, m = 0": FIXED}, [*FIRST, *ROBUST, *BODY], beside="seed 0"
    ),
    "fashion-full-ratio": Means(
        "full",
        *FASHION,
        {"LR/BS, m = 0": SCALED},
        [*FIRST, (MARGIN, 0.02), (MARGIN, 0.05), *FLOORLESS],
        beside="seed 0",
    ),
    "fashion-full-benchmark": Means(
        "full", *FASHION, {"Benchmark": DECAYED}, [*FIRST, *ROBUST, (MARGIN, 0.05), *BODY]
    ),
    "m1-fashion": Means(
        "small", "m1", "fashion_mnist", {"LR, m = 0": FIXED}, [*FIRST, *ROBUST, *BODY], factor=64
    ),
    "stdcnn-mnist": Means(
        "small", "stdcnn", "mnist", {"LR, m = 0": FIXED}, [*FIRST, *ROBUST, *BODY], factor=16
    ),
    "mnist-full": Means("mnist", "stdcnn", "mnist", {"LR, m = 0": FIXED}, [*FIRST, *ROBUST, *BODY]),
    "mnist-full-ratio": Means(
        "mnist",
        "stdcnn",
        "mnist",
        {"LR/BS, m = 0": SCALED},
        [*FIRST, *ROBUST, *BODY],
    ),
    "mnist-full-momentum": Means(
        "mnist", "stdcnn", "mnist", {"LR, m = 0.9": line("fixed", 0.9)}, [*FIRST, *ROBUST, *BODY]
    ),
    "mnist-full-ratio-momentum": Means(
        "mnist",
        "stdcnn",
        "mnist",
        {"LR/BS, m = 0.9": line("constant-ratio", 0.9)},
        [*FIRST, *ROBUST, *BODY],
    ),
    "mnist-full-benchmark": Means(
        "mnist", "stdcnn", "mnist", {"Benchmark": DECAYED}, [*FIRST, *ROBUST, *BODY]
    ),
    "m1-mnist": Means("small", "m1", "mnist", FOUR, [*FIRST, *ROBUST, *BODY], factor=64),
    "c1": Means("small", "c1", "cifar10", FOUR, [*FIRST, *COLOURS], factor=32),
    "resnet18": Means(
        "small",
        "resnet18-narrow",
        "cifar10",
        FOUR | {"LR/BS, m = 0.9": line("constant-ratio", 0.9)},
        [*FIRST, *COLOURS],
        factor=32,
    ),
    "ratios": Means(
        "extended",
        *FASHION,
        {name: line("constant-ratio", ratio=ratio) for name, ratio in RATIOS.items()},
        [*FIRST, *EXTENDED],
        factor=16,
    ),
    "momenta": Means(
        "extended",
        *FASHION,
        {
            "LR": FIXED,
            "LR, m = 0.9": line("fixed", 0.9),
            "LR/BS, 1/8": line("constant-ratio", ratio=0.0003125),
            "LR/BS, 1/8, m = 0.9": line("constant-ratio", 0.9, ratio=0.0003125),
        },
        [*FIRST, ("fgsm_accuracy", 0.3), *EXTENDED],
        factor=16,
    ),
}


def _number(measure: str, value: float) -> str:
    if measure.endswith("accuracy") or measure == MEDIAN:
        return f"{settled(value):.3f}"
    return f"{float(f'{settled(value):.2g}'):g}"


def _trend(sample: Sample) -> str:
    """A slope with its interval, in print."""
    if (short := sample.enough()) is not None:
        return "too few" if short.informative else "no information"
    slope = sample.slope
    value, low, high = map(settled, (slope.value, slope.low, slope.high))
    if sample.quantity.in_doublings:
        text = f"∝ B^{value:.2f} ({low:.2f} to {high:.2f})"
    else:
        text = f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"
    return text.replace("-", "−")
