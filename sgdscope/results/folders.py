"""Several studies' folders read as one: other seeds, another machine, other settings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sgdscope.errors import RequestError
from sgdscope.measuring import card_of
from sgdscope.results import differing, style
from sgdscope.results.differing import Difference
from sgdscope.results.files import Array
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Measurement, Result
from sgdscope.study.hypotheses import Hypothesis
from sgdscope.study.line import Choice
from sgdscope.study.plugins import Plugin

TRAINED = ("done", "collapsed", "diverged")
ROUNDING = 1e-5  # relative; two machines that compute the same differ by less


class Folders:
    """The interface of a study's folder for several: settings, claims, arrays, each run once."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        """Take folders by their paths.

        Raises:
            RequestError: one is given twice, or is not a study's folder.
        """
        places = [Path(path).resolve() for path in paths]
        if twice := [path for path, count in Counter(places).items() if count > 1]:
            raise RequestError(f"{twice[0]}: given twice; expected different folders")
        self.each = dict(zip(names(places), map(StudyFolder, paths), strict=True))
        self._settings = {name: folder.settings() for name, folder in self.each.items()}

    def load_plugins(self) -> None:
        """Load the studies' plugins.

        Raises:
            RequestError: one is missing or fails, or two of a name are not the same.
        """
        known: dict[str, tuple[str, Plugin]] = {}
        for name, folder in self.each.items():
            for file in self._settings[name].get("plugins", []):
                plugin = Plugin.read(folder.path / file)
                other, first = known.setdefault(plugin.name, (name, plugin))
                if first.digest != plugin.digest:
                    raise RequestError(
                        f"{other} and {name} cannot be compared: {plugin.name} has different "
                        "code in each; expected the same"
                    )
        for folder in self.each.values():
            folder.load_plugins()

    def settings(self) -> dict[str, Any]:
        """The studies' names and descriptions, without duplicates."""
        titles = dict.fromkeys(str(own.get("name", "study")) for own in self._settings.values())
        said = dict.fromkeys(str(own.get("description", "")) for own in self._settings.values())
        return {"name": style.enumerated(titles), "description": "\n".join(filter(None, said))}

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The claims that the studies state, without duplicates."""
        different: list[Hypothesis] = []
        for folder in self.each.values():
            different += [one for one in folder.hypotheses() if one not in different]
        return tuple(different)

    def axis(self) -> str | None:
        """The knob that they chose to be drawn along.

        Raises:
            RequestError: they chose different ones.
        """
        asked = {name: axis for name, folder in self.each.items() if (axis := folder.axis())}
        if len(set(asked.values())) > 1:
            (one, its), (other, theirs) = list({v: (k, v) for k, v in asked.items()}.values())[:2]
            raise RequestError(
                f"{one} and {other} cannot be compared: one is drawn along {its}, the other along "
                f"{theirs}; expected one axis"
            )
        return next(iter(asked.values()), None)

    def results(self) -> list[Result]:
        """Every finished run once: the fuller result, or else that of the folder named first.

        Raises:
            RequestError: a folder has none, one cannot be read, or they cannot be compared.
        """
        return [result for result, _ in self._chosen.values()]

    every_result = results

    def arrays(self, run_id: str, prefix: str) -> dict[str, Array]:
        """A run's arrays whose names begin so, from the folder whose result counts."""
        return self.each[self._chosen[run_id][1]].arrays(run_id, prefix)

    def apart(self, result: Result) -> tuple[Choice, ...]:
        """What distinguishes a run's line, if folders differ in the settings of runs."""
        if not self._differences:
            return ()
        folder = self._chosen[result.id][1]
        return (differing.choice(result, self._differences, folder=folder),)

    @cached_property
    def together(self) -> str:
        """Which folders these are, and whether all seeds are at every batch size."""
        runs = [result.run for result in self.results()]
        seeds = sorted({run.seed for run in runs})
        places = Counter((run.model, run.data, run.line, run.batch_size) for run in runs)
        uneven = ", not each at every batch size" if len(set(places.values())) > 1 else ""
        listed = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        return f"Runs of {style.enumerated(self.each)} together: {listed}{uneven}."

    @property
    def notes(self) -> list[str]:
        """Notes on how the folders were combined, one sentence each."""
        return [*differing.sentences(self._differences), *self._shared()]

    @cached_property
    def _found(self) -> dict[str, list[Result]]:
        found = {name: folder.every_result() for name, folder in self.each.items()}
        for name, results in found.items():
            if not results:
                raise RequestError(
                    f"{self.each[name].path}: holds no results; expected a folder in which a run "
                    "has finished"
                )
        differing.check(found)
        return found

    @cached_property
    def _differences(self) -> list[Difference]:
        return differing.differences(self._found)

    @cached_property
    def _chosen(self) -> dict[str, tuple[Result, str]]:
        chosen: dict[str, tuple[Result, str]] = {}
        for name, results in self._found.items():
            for result in results:
                if result.id not in chosen or _fuller(result, chosen[result.id][0]):
                    chosen[result.id] = result, name
        return chosen

    def _shared(self) -> list[str]:
        """How many runs are in several folders, and how far apart their values are."""
        pairs = [
            (self._chosen[result.id][0], result)
            for results in self._found.values()
            for result in results
            if self._chosen[result.id][0] is not result
        ]
        if not pairs:
            return []
        said = f"{_runs(len(pairs))} in more than one folder, counted once"
        apart = {one.id: found for one, other in pairs if (found := _furthest(one, other))}
        if not apart:
            return [f"{said}: their values are equal."]
        distance, mine, theirs = max(apart.values(), key=lambda found: found[0])
        return [
            f"{said}: in {len(apart)} of them values differ, by at most {100 * distance:.2g}% "
            f"({card_of(mine.measure).label} {mine.value:.4g} and {theirs.value:.4g}); of each "
            "the result with more measurements counts, or else the one in the folder named first."
        ]


def names(paths: Sequence[Path]) -> list[str]:
    """Names of folders: the shortest ends of their paths that distinguish them.

    >>> names([Path("/a/out/quick"), Path("/a/out/seeds")])
    ['quick', 'seeds']
    >>> names([Path("/a/quick"), Path("/b/quick")])
    ['a/quick', 'b/quick']
    """
    for depth in range(1, max(len(path.parts) for path in paths)):
        short = [Path(*path.parts[-depth:]).as_posix() for path in paths]
        if len(set(short)) == len(paths):
            return short
    return list(map(str, paths))


def _fuller(one: Result, other: Result) -> bool:
    def rank(result: Result) -> tuple[bool, int]:
        return result.status in TRAINED, len(result.measurements)

    return rank(one) > rank(other)


def _furthest(one: Result, other: Result) -> tuple[float, Measurement, Measurement] | None:
    """The two values furthest apart, by relative distance; None if all agree."""
    there = {(m.measure, m.epoch, m.eps): m for m in other.measurements}
    pairs = [
        (mine, theirs)
        for mine in one.measurements
        if (theirs := there.get((mine.measure, mine.epoch, mine.eps))) is not None
        and not math.isclose(mine.value, theirs.value, rel_tol=ROUNDING, abs_tol=1e-8)
        and math.isfinite(mine.value - theirs.value)
    ]
    distances = [(abs(a.value - b.value) / max(abs(a.value), abs(b.value)), a, b) for a, b in pairs]
    return max(distances, key=lambda found: found[0], default=None)


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count > 1)} {'are' if count > 1 else 'is'}"
