"""Claims in a study file: a measure that falls, rises or stays the same as a knob grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sgdscope.errors import RequestError, unknown
from sgdscope.settings import Options, Positive, Radius, Settings, checked

if TYPE_CHECKING:
    from sgdscope.measuring import Measure
    from sgdscope.study.run import Run

Course = Literal["falls", "rises", "stays"]
COURSES: dict[str, Course] = {"falls_with": "falls", "rises_with": "rises", "unmoved_by": "stays"}
NUMBER = int | float
PLACES = ("model", "data")  # what ``under`` may name beside knobs


class Hypothesis(Settings):
    """What is expected of one measure as one knob grows."""

    words = frozenset({"name", "says", "measure", *COURSES})
    internal = frozenset({"name", "stated_first"})

    name: str
    says: Annotated[str, Field(min_length=1)]
    measure: str
    falls_with: str | None = None
    rises_with: str | None = None
    unmoved_by: str | None = None
    margin: Positive | None = None  # changes smaller than this count as none
    eps: Radius | None = None  # of an attack; by default each that was measured
    under: Options = {}  # runs that it is about: knobs, model or data, each with its value
    stated_first: bool = False  # whether it was in the study before the first result

    @model_validator(mode="after")
    def _one_course(self) -> Self:
        if sum(getattr(self, key) is not None for key in COURSES) != 1:
            raise ValueError(f"expected one of {', '.join(COURSES)}, with the name of a knob")
        return self

    @property
    def course(self) -> Course:
        """What the measure does as the knob grows."""
        return next(value for key, value in COURSES.items() if getattr(self, key) is not None)

    @property
    def knob(self) -> str:
        """By its name in the study file."""
        return next(str(found) for key in COURSES if (found := getattr(self, key)) is not None)

    @property
    def when(self) -> str:
        """When it was stated, in print."""
        return "stated before the first result" if self.stated_first else "added later"

    def check(self, measures: Mapping[str, Measure], knobs: Mapping[str, Any]) -> None:
        """Raise RequestError if the study lacks the measure, its eps, or a knob."""
        where = f"claim.{self.name}"
        if self.measure not in measures:
            raise unknown("measure", self.measure, measures, where=f"{where}.measure")
        radii = getattr(measures[self.measure], "eps", None)
        if self.eps is not None and self.eps not in (radii or []):
            raise RequestError(
                f"{where}.eps = {self.eps:g}: expected an eps at which {self.measure} is measured"
                + (f": {', '.join(f'{eps:g}' for eps in radii)}" if radii else "; it has none")
            )
        check_knob(self.knob, knobs, where=where)
        for name in self.under:
            if name not in (*knobs, *PLACES):
                raise unknown("knob", name, [*knobs, *PLACES], where=f"{where}.under")


def read(tables: Mapping[str, Options]) -> list[Hypothesis]:
    """The claims of a study file's ``[claim.NAME]`` tables.

    Raises:
        RequestError: a key or a value is not valid.
    """
    return [
        checked(Hypothesis, {**table, "name": name}, where=f"claim.{name}")
        for name, table in tables.items()
    ]


def knobs_of(runs: Iterable[Run]) -> dict[str, Any]:
    """Every knob of some runs, with one of its values, a number if it has one."""
    found: dict[str, Any] = {"batch_size": 1}
    for line in dict.fromkeys(run.line for run in runs):
        found |= {k: v for k, v in line.knobs.items() if k not in found or isinstance(v, NUMBER)}
    return found


def check_knob(name: str, knobs: Mapping[str, Any], *, where: str) -> None:
    """Raise RequestError if no run has the knob, or it is not a number."""
    if name not in knobs:
        raise unknown("knob", name, knobs, where=where)
    if not isinstance(knobs[name], NUMBER):
        raise RequestError(f"{where}: {name} is not a number; expected a numeric knob")


def mark(
    tables: Mapping[str, Options], *, before: Mapping[str, Options], first: bool
) -> dict[str, Options]:
    """The tables, with whether each claim was there before the first result.

    Args:
        tables: as they are now.
        before: as the study's folder had them.
        first: whether there are no results yet.
    """
    marked = {}
    for name, table in tables.items():
        plain = {key: value for key, value in table.items() if key != "stated_first"}
        kept = first or before.get(name) == plain | {"stated_first": True}
        marked[name] = plain | ({"stated_first": True} if kept else {})
    return marked
