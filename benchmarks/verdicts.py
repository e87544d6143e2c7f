"""How often verdicts and intervals are wrong on studies whose truth is known, by simulation.

    python benchmarks/verdicts.py               # a sixteenth of the studies, seconds
    python benchmarks/verdicts.py --full        # 1,000 intervals and 200 verdicts a cell, minutes
    python benchmarks/verdicts.py --full --save now.json --before then.json

Studies have six batch sizes. With --before, what another version saved stands before the arrow.
Needs sgdscope alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from sgdscope.claims import judging, statistics
from sgdscope.claims.quantities import Quantity
from sgdscope.claims.sample import Sample
from sgdscope.claims.verdicts import Finding
from sgdscope.results.axis import BATCH, Axis

Values = npt.NDArray[np.float64]  # (seeds, batch sizes)
Draw = Callable[[np.random.Generator, int], Values]  # of so many seeds
SIZES = 2 ** np.arange(6, 12)
STEPS = np.arange(6) - 2.5
SEEDS = (1, 2, 3, 5)
ERROR = 1 / np.sqrt(STEPS @ STEPS)  # of a seed's slope, at noise 1
MARGIN = 1.0  # points per doubling, of accuracy under attack
COUNTED = {"interval holds the slope": "95%", "falls, where nothing does": "≤ 2.5%"}
console = Console(width=130)


# What noise there is


def equal(g: np.random.Generator, seeds: int) -> Values:
    """The same at every batch size."""
    return g.normal(size=(seeds, 6))


def in_proportion(g: np.random.Generator, seeds: int) -> Values:
    """As large as the batch size."""
    return np.asarray(equal(g, seeds) * 2.0**STEPS)


def at_the_last(g: np.random.Generator, seeds: int) -> Values:
    """At the largest batch size alone."""
    return equal(g, seeds) * np.where(STEPS > 2, 1.0, 0.0)


def heavy(g: np.random.Generator, seeds: int) -> Values:
    """Student's t of three degrees of freedom."""
    return g.standard_t(3, size=(seeds, 6))


def own_slopes(times: float) -> Draw:
    """Equal, and each seed has a slope of its own: so many times a slope's error."""
    return lambda g, seeds: equal(g, seeds) + times * ERROR * g.normal(size=(seeds, 1)) * STEPS


def own_levels(times: float) -> Draw:
    """Equal, and each seed moves all its runs: so many times the noise of one."""
    return lambda g, seeds: equal(g, seeds) + times * g.normal(size=(seeds, 1))


def together(correlation: float) -> Draw:
    """Of variance one, batch sizes of a seed so much correlated."""
    common, own = np.sqrt(correlation), np.sqrt(1 - correlation)
    return lambda g, seeds: common * g.normal(size=(seeds, 1)) + own * equal(g, seeds)


NOISES: dict[str, Draw] = {
    "equal noise": equal,
    "noise in proportion to B": in_proportion,
    "noise at the last size alone": at_the_last,
    "heavy-tailed noise": heavy,
    "each seed a slope of its own": own_slopes(1),
    "… twice as much": own_slopes(2),
    "… three times": own_slopes(3),
    "… five times": own_slopes(5),
}


# What is asked of them


@cache
def slopes(draw: Draw, seeds: int, count: int, *, lost: int = 0) -> dict[str, float]:
    """How often the interval of a slope holds it, and lies below it; runs are lost at random."""
    g = np.random.default_rng(seeds)
    x, names = np.tile(STEPS, seeds), np.repeat(np.arange(seeds), 6)
    held, below = [], []
    for _ in range(count):
        kept = np.sort(g.permutation(len(x))[lost:])
        found = statistics.slope(x[kept], draw(g, seeds).ravel()[kept], names[kept])
        held.append(found.low <= 0 <= found.high)
        below.append(found.high < 0)
    rates = float(np.mean(held)), float(np.mean(below))
    return dict(zip(COUNTED, rates, strict=True))


def sample(values: Values, *, effects: bool = False) -> Sample:
    """Accuracy under attack, in points; or its change from momentum 0 to 0.9."""
    lines = [(0.0, 0 * values), (0.9, values)] if effects else [(0.0, values)]
    rows = pd.DataFrame(
        [
            {"run": f"{size}-{seed}-{m}", "batch_size": size, "x": size, "knob": m,
             "seed": seed, "value": those[seed, place], "limit": 1.0}
            for m, those in lines
            for seed in range(len(values))
            for place, size in enumerate(SIZES)
        ]
    )  # fmt: skip
    return Sample(
        quantity=Quantity("pgd_accuracy", 0.1), panel=("", ""), line="", when="", rows=rows,
        excluded=0, never_reached=0, valueless=0, places_without_runs=(), flagged=0, missing="",
        floor="",
        axis=Axis(BATCH, [float(size) for size in SIZES], log=True),
    )  # fmt: skip


def shifted(draw: Draw, shape: npt.ArrayLike, scale: float) -> Draw:
    """Around a curve."""
    return lambda g, seeds: np.asarray(shape) + scale * draw(g, seeds)


# The rows of the table: situation, what is counted, what is promised, by seeds

Row = tuple[str, str, str, Callable[[int, int], float | None]]


def rows() -> Iterator[Row]:
    """Every situation."""
    for counted, promised in COUNTED.items():
        for name, draw in NOISES.items():
            yield name, counted, promised, _slope(draw, counted)
        lossy = _slope(in_proportion, counted, lost=2)
        yield "noise ∝ B, two runs lost", counted, promised, lossy
    yield from _same()
    for level in (0.0, 3.0):
        name = f"last size 5 lower, two runs lost there, seeds move all sizes, {level:g} times"
        yield name, "interval holds the range", "95%", _range(level)
    yield from _small()
    yield from _most()
    for times in (0.0, 1.0, 3.0):
        name = f"mean change; seeds move all sizes, {times:g} times the noise"
        yield name, "interval holds the mean", "95%", _mean(own_levels(times))
    for rho in (0.0, 0.8, 0.97):
        name = f"two normal quantities, correlation {rho:g}, independent runs"
        yield name, "interval holds the rank correlation", "95%", _ranks(rho)


def _slope(draw: Draw, counted: str, *, lost: int = 0) -> Callable[[int, int], float]:
    return lambda seeds, count: slopes(draw, seeds, count, lost=lost if seeds > 1 else 0)[counted]


def _same() -> Iterator[Row]:
    bend = np.abs(STEPS) - np.abs(STEPS).min()
    shapes = {
        "V of 10 points, noise 0.3": shifted(equal, 5.0 * bend, 0.3),
        "V of 5 points, at the margin, noise 0.3": shifted(equal, 2.5 * bend, 0.3),
        "one size 5 points higher, noise 0.3": shifted(equal, 5.0 * (STEPS == 0.5), 0.3),
        "slope of 1, at the margin, noise 0.3": shifted(equal, MARGIN * STEPS, 0.3),
        "V of 5 points, own slopes twice": shifted(own_slopes(2), 2.5 * bend, 0.3),
        "V of 5 points, noise in proportion to B": shifted(in_proportion, 2.5 * bend, 0.1),
        "last size 5 points lower, noise 3 there alone": shifted(
            at_the_last, -5.0 * (STEPS > 2), 3.0
        ),
    }
    for name, draw in shapes.items():
        yield name, "barely varies", "≤ 2.5%", _verdict(judging.barely_varies, draw, "supported")
    flat = {
        "no change, noise 0.3": shifted(equal, 0.0, 0.3),
        "no change, noise 1": shifted(equal, 0.0, 1.0),
        "no change, own slopes twice, noise 0.3": shifted(own_slopes(2), 0.0, 0.3),
    }
    for name, draw in flat.items():
        yield name, "barely varies", "(power)", _verdict(judging.barely_varies, draw, "supported")
        yield name, "varies", "≤ 2.5%", _verdict(judging.varies, draw, "supported")


def _small() -> Iterator[Row]:
    for steep in (-0.2, -0.4, -0.7):
        for scale in (0.3, 1.0):
            draw = shifted(equal, steep * STEPS, scale)
            name = f"true fall of {-steep:g}, margin 1, noise {scale:g}"
            yield name, "falls: contradicted", "≤ 2.5%", _verdict(_falls, draw, "contradicted")
    draw = shifted(equal, -3.0 * STEPS, 1.0)
    yield (
        "true fall of 3, noise 1",
        "falls: supported",
        "(power)",
        _verdict(_falls, draw, "supported"),
    )


def _most() -> Iterator[Row]:
    for correlation in (0.0, 0.3, 0.6, 0.9):
        name = f"even odds, sizes correlated {correlation:g}"
        draw = shifted(together(correlation), 2.0, 1.0)
        yield name, "most cases higher", "≤ 2.5%", _verdict(_rises, draw, "supported", effects=True)
    draw = shifted(together(0.6), 6.0, 1.0)
    yield (
        "effect 4 beyond the margin, noise 1",
        "most cases higher",
        "(power)",
        _verdict(_rises, draw, "supported", effects=True),
    )
    draw = shifted(together(0.6), 1.0, 0.3)
    yield (
        "true rise of half the margin, noise 0.3",
        "most cases higher: contradicted",
        "≤ 2.5%",
        (_verdict(_rises, draw, "contradicted", effects=True)),
    )


def _falls(one: Sample) -> Finding:
    return judging.changes(one, "falls")


def _rises(one: Sample) -> Finding:
    return judging.mostly(one, "rises")


def _verdict(
    ask: Callable[[Sample], Finding], draw: Draw, answer: str, *, effects: bool = False
) -> Callable[[int, int], float]:
    def rate(seeds: int, count: int) -> float:
        g = np.random.default_rng(seeds)
        found = [ask(sample(draw(g, seeds), effects=effects)) for _ in range(max(count // 5, 20))]
        return float(np.mean([one.answer == answer for one in found]))

    return rate


def _mean(draw: Draw) -> Callable[[int, int], float | None]:
    def rate(seeds: int, count: int) -> float | None:
        g = np.random.default_rng(seeds)
        held = []
        for _ in range(max(count // 5, 20)):
            found = judging.no_difference(sample(draw(g, seeds), effects=True)).estimate
            if found is None:
                return None
            held.append(found.low <= 0 <= found.high)
        return float(np.mean(held))

    return rate


def _range(level: float) -> Callable[[int, int], float | None]:
    draw = shifted(own_levels(level), -5.0 * (STEPS > 2), 0.3)
    x = np.tile(STEPS, max(SEEDS))

    def rate(seeds: int, count: int) -> float | None:
        if seeds < 5:
            return None  # too few would be left there
        g = np.random.default_rng(seeds)
        names = np.repeat(np.arange(seeds), 6)
        kept = (names > 1) | (x < x.max())
        held = []
        for _ in range(max(count // 5, 20)):
            found = statistics.span(x[kept], draw(g, seeds).ravel()[kept], names[kept])
            held.append(found.low <= 5.0 <= found.high)
        return float(np.mean(held))

    return rate


def _ranks(rho: float) -> Callable[[int, int], float]:
    true = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's of two normal quantities: Pearson 1907

    def rate(seeds: int, count: int) -> float:
        g = np.random.default_rng(seeds)
        names, held = np.repeat(np.arange(seeds), 6), []
        for _ in range(count):
            x, own = g.normal(size=(2, 6 * seeds))
            y = rho * x + np.sqrt(1 - rho**2) * own
            found = statistics.rank_correlation(x, y, names)
            held.append(found.low <= true <= found.high)
        return float(np.mean(held))

    return rate


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="as many studies as the docs' rates")
    parser.add_argument("--save", type=Path, help="write the rates as JSON")
    parser.add_argument("--before", type=Path, help="rates that another version saved")
    given = parser.parse_args()
    count = 1_000 if given.full else 60
    before = json.loads(given.before.read_text()) if given.before else {}
    table = Table("situation", "counted", "promised", *(f"seeds {n}" for n in SEEDS))
    kept: dict[str, list[float | None]] = {}
    for situation, counted, promised, rate in rows():
        key = f"{situation}: {counted}"
        kept[key] = [rate(seeds, count) for seeds in SEEDS]
        cells = [_percent(one) for one in kept[key]]
        if key in before:
            cells = [f"{_percent(b)} → {a}" for b, a in zip(before[key], cells, strict=True)]
        table.add_row(situation, counted, promised, *cells)
    console.print(table)
    if given.save:
        given.save.write_text(json.dumps(kept, indent=1))


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f}"


if __name__ == "__main__":
    main()
