"""A study's results arranged for display: which rows a figure, a table or the page shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import pandas as pd

from sgdscope import references
from sgdscope.data import DATA
from sgdscope.measuring import card_of
from sgdscope.models import MODELS
from sgdscope.results import style
from sgdscope.results.axis import BATCH, Axis, along
from sgdscope.results.style import DrawnLine
from sgdscope.results.tables import Results
from sgdscope.results.trajectories import at_eps, progress, trajectories

LOST = ("diverged", "collapsed")  # runs drawn with their own symbol


class View:
    """The tables of a study's results, each row with its ``line`` (a key), ``label`` and ``panel``.

    A panel is one model on one data set, each by a short name; ``x`` is a run's value along the
    axis. ``reading`` is a row's place in its table, or −1 − place in ``runs``, so that a selection
    can be traced back.
    """

    def __init__(self, results: Results, *, axis: str | None = None) -> None:
        self.arrays = results.arrays
        runs = results.runs
        self._along: dict[tuple[str, float | None], pd.DataFrame] = {}
        if runs.empty:
            self.axis, self.lines = Axis(BATCH, [], log=True), style.lines(results.lines)
            self.runs, self.history, self.table = pd.DataFrame(), pd.DataFrame(), NO_ROWS
            return
        self.axis, x, lines = along(axis or results.axis, runs, results.lines)
        prefix = "" if self.axis.knob == results.axis else f"{self.axis.knob}-"
        self.lines = style.lines(dict.fromkeys(lines), prefix=prefix)
        drawn = {one.line: one for one in self.lines}
        named = {
            kind: runs[kind].map(references.labels(runs[kind].unique(), taken=registry))
            for kind, registry in (("model", MODELS), ("data", DATA))
        }
        self.runs = runs.assign(
            x=x,
            line=[drawn[line].key for line in lines],
            label=[drawn[line].label for line in lines],
            **named,
            panel=named["model"] + " on " + named["data"],
            reading=range(-1, -1 - len(runs), -1),
        )
        self.table = NO_ROWS
        if not results.table.empty:
            shown = ["x", "line", "label", "panel", "model", "data"]
            self.table = self._joined(results.table, shown)
        beside = ["x", "line", "panel", "status", "model", "data"]
        self.history = self._joined(results.history, beside)

    def _joined(self, frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
        if frame.empty:
            return frame
        of_run = self.runs.set_index("run")
        new = {column: frame["run"].map(of_run[column]) for column in columns}
        return frame.assign(**new, reading=range(len(frame)))

    @cached_property
    def panels(self) -> list[str]:
        """Every model on its data set."""
        return [] if self.runs.empty else list(self.runs["panel"].unique())

    @cached_property
    def measures(self) -> list[str]:
        """Every measure: the main ones in their order, then the others in alphabetical order."""
        return sorted(self._ends, key=_measure_order)

    @cached_property
    def radii(self) -> dict[str, list[float]]:
        """The measures that are taken at several eps, each with these in rising order."""
        found = {m: sorted(self._ends[m]["eps"].dropna().unique()) for m in self.measures}
        return {measure: eps for measure, eps in found.items() if eps}

    @cached_property
    def attacks(self) -> dict[str, list[float]]:
        """The accuracies under attack, each with its eps in rising order."""
        return {m: eps for m, eps in self.radii.items() if style.is_accuracy(m)}

    @cached_property
    def main_attacks(self) -> list[str]:
        """The attacks that a summary shows, the most trusted last."""
        main = [attack for attack in self.attacks if card_of(attack).order is not None]
        return main or list(self.attacks)[:1]

    @cached_property
    def main(self) -> list[str]:
        """The main measures except attacks."""
        others = [measure for measure in self.measures if measure not in self.attacks]
        return [measure for measure in others if card_of(measure).order is not None]

    @cached_property
    def other_robustness(self) -> list[str]:
        """Measures of robustness without an eps, which could be too large; most trusted first."""
        trust = {name: card_of(name).trust for name in self.measures if name not in self.attacks}
        known = {name: value for name, value in trust.items() if value is not None}
        return sorted(known, key=lambda name: -known[name])

    def _main_with(self, robustness: list[str]) -> list[str]:
        """The main accuracies, then these measures of robustness, then the other main measures."""
        accuracies = [measure for measure in self.main if style.is_accuracy(measure)]
        return list(dict.fromkeys([*accuracies, *robustness, *self.main]))

    @cached_property
    def along_training(self) -> list[str]:
        """The measures, except attacks, that were taken at more than one epoch of some run."""
        if self.table.empty:
            return []
        single = self.table[self.table["eps"].isna()]
        times = single.groupby(["measure", "run"])["epoch"].nunique()
        several = set(times[times > 1].index.get_level_values("measure"))
        return [name for name in self.measures if name in several and name not in self.attacks]

    def followed(self, panel: str) -> dict[str, float | None]:
        """The measures taken on a panel's runs during training; of several eps at one."""
        if self.table.empty:
            return {}
        own = self.table[(self.table["panel"] == panel) & (self.table["status"] == "done")]
        found: dict[str, float | None] = {}
        for name in self._main_with([*self.main_attacks, *self.other_robustness]):
            rows = own[own["measure"] == name]
            if rows.groupby("run")["epoch"].nunique().max() > 1:
                ends = rows[rows["epoch"] == rows.groupby("run")["epoch"].transform("max")]
                found[name] = most_informative_eps(ends) if name in self.radii else None
        return found

    @cached_property
    def seeds(self) -> pd.Series:
        """The number of successful runs at each point of a line."""
        done = self.runs[self.runs["status"] == "done"]
        return done.groupby(["panel", "line", "x"])["seed"].count()

    @cached_property
    def _ends(self) -> dict[str, pd.DataFrame]:
        if self.table.empty:
            return {}
        last = self.table.groupby(["run", "measure"])["epoch"].transform("max")
        ends = self.table[self.table["epoch"] == last]
        return {str(measure): _with_own_evidence(rows) for measure, rows in ends.groupby("measure")}

    @cached_property
    def _by_measure(self) -> dict[str, pd.DataFrame]:
        return {
            str(measure): _with_own_evidence(rows)
            for measure, rows in self.table.groupby("measure")
        }

    @cached_property
    def _progress(self) -> pd.DataFrame:
        return progress(self.history, self.table)

    @cached_property
    def _chances(self) -> dict[str, float]:
        if "chance" not in self.table:
            return {}
        return dict(self.table.dropna(subset="chance").groupby("panel")["chance"].first())

    def at_end(self, measure: str, *, eps: float | None = None) -> pd.DataFrame:
        """A measure's rows at the end of training (at one eps, if it has several)."""
        rows = self._ends.get(measure)
        if rows is None:
            return self.table.iloc[:0]
        return rows if eps is None else rows[rows["eps"] == eps]

    def headline(self, panel: str) -> Iterator[tuple[str, float | None, pd.DataFrame]]:
        """What a summary shows of a panel: measures, one of their eps if any, and rows."""
        for measure in self._main_with(self.main_attacks):
            rows = self.at_end(measure)
            rows, eps = rows[rows["panel"] == panel], None
            if measure in self.radii and not rows.empty:
                eps = most_informative_eps(rows)
                rows = rows[rows["eps"] == eps]
            if not rows.empty:
                yield measure, eps, rows

    def chance(self, panel: str) -> float | None:
        """The accuracy of guessing, if some run reported it."""
        return self._chances.get(panel)

    def by_line(self, rows: pd.DataFrame) -> Iterator[tuple[DrawnLine, pd.DataFrame]]:
        """The rows of each line that has any."""
        parts = dict(list(rows.groupby("line", sort=False)))
        for line in self.lines:
            if line.key in parts:
                yield line, parts[line.key]

    def by_panel(self, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        """The rows of each panel that has any."""
        parts = dict(list(rows.groupby("panel", sort=False)))
        return [(panel, parts[panel]) for panel in self.panels if panel in parts]

    def lost(self, rows: pd.DataFrame, *, above: float | None = None) -> pd.DataFrame:
        """The diverged and collapsed runs: with a value if ``rows`` have one.

        Values below ``above``, such as a collapsed run's λ₁ of nearly zero, are dropped, so that
        they do not stretch a logarithmic axis over empty decades.
        """
        valued = rows[rows["status"].isin(LOST)]
        if above is not None:
            valued = valued.assign(value=valued["value"].where(valued["value"] >= above))
        runs = self.runs[self.runs["status"].isin(LOST)]
        without = runs[~runs["run"].isin(valued["run"])]
        without = without[without["panel"].isin(rows["panel"])]
        if without.empty:
            return valued
        without = without.assign(value=float("nan"), flags="")
        return without if valued.empty else pd.concat([valued, without], ignore_index=True)

    def extremes(self, rows: pd.DataFrame) -> pd.DataFrame:
        """For each line, a successful run at either end of the axis."""
        done = rows[rows["status"] == "done"].sort_values(["x", "seed"])
        first = done.drop_duplicates(["panel", "line", "x"])
        values = first.groupby(["panel", "line"])["x"]
        smallest, largest = (first["x"] == values.transform(end) for end in ("min", "max"))
        return first[smallest | largest].sort_values(["line", "x"])

    def paired(self, attack: str, *, eps: float) -> pd.DataFrame:
        """Accuracies under an attack, each with its run's λ₁ in ``top_eigenvalue``.

        A doubtful λ₁ adds a flag.
        """
        curvature = self.at_end("top_eigenvalue").dropna(subset="value")
        flags = doubtful(curvature).map({True: "; λ₁ is doubtful", False: ""})
        curvature = curvature.assign(top_eigenvalue=curvature["value"], doubt=flags)
        rows = self.at_end(attack, eps=eps)
        rows = rows.merge(curvature[["run", "top_eigenvalue", "doubt"]], on="run")
        return rows.assign(flags=(rows["flags"].fillna("") + rows["doubt"]).str.removeprefix("; "))

    def by_eps(self, attack: str) -> pd.DataFrame:
        """Accuracies at every eps; those without attack are at eps = 0."""
        rows = self.at_end(attack)
        clean = self.at_end("test_accuracy").assign(eps=0.0)
        if (rows["eps"] == 0).any():
            return rows
        return pd.concat([clean[clean["run"].isin(rows["run"])], rows], ignore_index=True)

    def trajectory(self, measure: str, *, eps: float | None = None) -> pd.DataFrame:
        """A measure at every epoch it was taken, with the progress of training then."""
        if (measure, eps) not in self._along:
            rows = self._by_measure.get(measure, self.table.iloc[:0])
            self._along[measure, eps] = trajectories(at_eps(rows, eps), self._progress)
        return self._along[measure, eps]


NO_ROWS = pd.DataFrame(
    columns=["run", "panel", "line", "status", "batch_size", "x", "eps", "value"]
)


def _measure_order(name: str) -> tuple[float, str]:
    order = card_of(name).order
    return math.inf if order is None else order, name


def _with_own_evidence(rows: pd.DataFrame) -> pd.DataFrame:
    """A measure's rows without other measures' evidence, which makes up most of the columns."""
    if rows.empty:
        return rows
    others = rows.columns[rows.isna().all()].difference(["eps", "value", "flags", "momentum", "x"])
    return rows.drop(columns=others).copy()


def doubtful(rows: pd.DataFrame) -> pd.Series:
    """Whether each value is flagged or did not converge."""
    return (rows["flags"].fillna("") != "") | unconverged(rows)


def unconverged(rows: pd.DataFrame) -> pd.Series:
    """Whether each value is marked as not converged."""
    if "converged" not in rows:
        return pd.Series(False, index=rows.index)
    return rows["converged"].map(lambda said: not pd.isna(said) and not said).astype(bool)


def good(rows: pd.DataFrame) -> pd.Series:
    """The values of successful runs."""
    return rows.loc[rows["status"] == "done", "value"].dropna()


def most_informative_eps(rows: pd.DataFrame) -> float:
    """The eps above zero at which successful runs differ most; the largest if none stands out."""
    rows = rows[rows["eps"] > 0] if (rows["eps"] > 0).any() else rows
    spread = rows[rows["status"] == "done"].groupby("eps")["value"].std().dropna()
    if spread.empty:
        return float(rows["eps"].max())
    return float(spread.index[::-1][int(spread.to_numpy()[::-1].argmax())])
