"""A study: a declared grid of runs and what to measure on each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from sgdscope.data import registered
from sgdscope.errors import RequestError
from sgdscope.measuring import MEASURES
from sgdscope.references import Source
from sgdscope.settings import (
    Momentum,
    Options,
    Positive,
    Seed,
    Settings,
    Whole,
    checked,
)
from sgdscope.study import budgets, consistency, grid, hypotheses, names, studyfile
from sgdscope.study.code import imported_files, parts
from sgdscope.study.hypotheses import Hypothesis
from sgdscope.study.overrides import describe
from sgdscope.study.plugins import Plugin, adopt, make_absolute
from sgdscope.study.run import Precision, Run
from sgdscope.study.schedules import SCHEDULES

if TYPE_CHECKING:
    from sgdscope.measuring import Measure


Axis = BeforeValidator(grid.axis)
Tables = Annotated[dict[str, Options], BeforeValidator(grid.tables), Field(min_length=1)]


def _studies(value: Any) -> Any:
    """The settings of studies, as stored in a study's folder, turned into studies."""
    return [checked(Study, one, where="part") if isinstance(one, dict) else one for one in value]


class Study(Settings):
    """A grid of runs (every combination of its axes) and the measures to take on each.

    Axes take one value or a list. ``schedule``, ``optimizer`` and ``method`` hold a table for each,
    whose options are axes too: each combination is one line of a figure. ``momentum`` is SGD's.
    A study that includes others has their runs, each with the measures of its own ``part``, and no
    axes.
    """

    words = frozenset({"name", "description", "plugins", "model", "data", "axis"})
    internal = frozenset({"sources", "part"})

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    plugins: list[str] = []  # Python files with the user's own parts
    sources: dict[str, Source] = {}  # what names of networks and data refer to
    part: Annotated[list[Study], BeforeValidator(_studies)] = []
    model: Annotated[list[str], Axis] = []
    data: Annotated[list[str], Axis] = []
    batch_size: Annotated[list[Whole], Axis] = []
    momentum: Annotated[list[Momentum], Axis] = [0.0]
    seed: Annotated[list[Seed], Axis] = [0]
    train_size: Whole | None = None
    normalise: bool = True
    precision: Precision = "float32"
    epochs: Whole | None = None
    steps: Whole | None = None
    until_train_loss: Positive | None = None
    schedule: Tables = {}
    optimizer: Tables = {"sgd": {}}
    method: Tables = {"plain": {}}
    measure: Tables = {}
    claim: dict[str, Options] = {}
    axis: str | None = None  # the knob to draw along; None: batch size, or else the most varied

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        consistency.check(self)
        return self

    def images(self, data: str) -> int:
        """Training images of a data set."""
        own = self.sources.get(data)
        if own is None or own.train_size is None:
            return registered(data).train_size
        return own.train_size

    @cached_property
    def every_source(self) -> dict[str, Source]:
        """Those of the study and of its parts."""
        return {name: one for part in [self, *self.part] for name, one in part.sources.items()}

    @cached_property
    def runs(self) -> list[Run]:
        """Every run of the grid, in the order declared."""
        if self.part:
            return [run for part in self.part for run in part.runs]
        return list(grid.runs(self))

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """The measures by name, with their options; those of the last part that has each."""
        if self.part:
            return {k: v for part in self.part for k, v in part.measures.items()}
        return {
            name: checked(MEASURES[name], options, where=f"measure.{name}")
            for name, options in self.measure.items()
        }

    @cached_property
    def hypotheses(self) -> list[Hypothesis]:
        """The claims that the study states itself."""
        found = hypotheses.read(self.claim)
        knobs = hypotheses.knobs_of(self.runs) if found else {}
        for one in found:
            one.check(self.measures, knobs)
        return [*found, *(one for part in self.part for one in part.hypotheses)]

    def measures_of(self, run: Run) -> dict[str, Measure]:
        """The measures to take on one of the study's runs."""
        return self._owners[run.id].measures

    def unreached(self) -> list[str]:
        """Epochs at which measures are requested but that no run reaches, one line each."""
        if self.part:
            return list(dict.fromkeys(line for part in self.part for line in part.unreached()))
        asked: defaultdict[str, list[str]] = defaultdict(list)
        end = max(run.most_epochs for run in self.runs)
        for name, measure in self.measures.items():
            late = [str(epoch) for epoch in measure.at if epoch > end]
            if late:
                asked[", ".join(late)].append(name)
        return [
            f"not taken, since runs end after epoch {end}: {', '.join(names)} at {epochs}"
            for epochs, names in asked.items()
        ]

    def _repr_html_(self) -> str:
        from sgdscope import notebook

        return notebook.of_study(self)

    @cached_property
    def _owners(self) -> dict[str, Study]:
        return {run.id: part for part in self.part or [self] for run in part.runs}

    @classmethod
    def parse(
        cls, settings: Mapping[str, Any], *, where: str = "study", kept: bool = False
    ) -> Self:
        """Check settings as read from a study file.

        Args:
            settings: the file's keys; plugins, networks and data by paths that lead there from
                here.
            where: what to call the file in an error.
            kept: they come from a study's folder, whose plugins are loaded; other names in them
                are not looked up.

        Raises:
            RequestError: a key, a name or a value is not valid.
        """
        try:
            settings = settings if kept else names.located(settings, homes=[Path()])
        except RequestError as error:
            raise RequestError(f"{where}: {error}") from None
        named = [] if kept else list(settings.get("plugins", []))
        named += [file for file in imported_files(settings) if file not in named]
        for file in named:
            Plugin.read(Path(file)).load()
        try:
            named += [file for file in adopt(parts(settings)) if file not in named]
            settings = {**settings, "plugins": named}
            if not kept:
                settings["sources"] = names.described(settings)
            return cls._of(settings, kept=kept)
        except RequestError as error:
            raise RequestError(f"{where}: {error}") from None

    @classmethod
    def _of(cls, settings: Mapping[str, Any], *, kept: bool) -> Self:
        beside = ["include", "budget"]  # keys of study files that are no longer there by now
        study = checked(cls, settings, where="", also_allowed=beside, elsewhere=_of_schedules())
        if not kept:
            consistency.check_effects(study)
        return study

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        budget: str | None = None,
    ) -> Self:
        """Read a built-in study by name or a TOML file by path, with some keys replaced.

        Args:
            source: name or path.
            overrides: values by key, applied to each included study if there are any. Plugins are
                looked for here, not beside the file.
            budget: one of its budgets, instead of the whole.

        Raises:
            RequestError: no such study, malformed TOML, or something in it is not valid.
        """
        return cls._load(source, cls.plain(overrides or {}), budget, within=())

    @classmethod
    def _load(
        cls,
        source: str | Path,
        overrides: Mapping[str, Any],
        budget: str | None,
        *,
        within: tuple[Path, ...],
    ) -> Self:
        file = studyfile.find(source)
        settings = cls.plain(studyfile.read(file))
        settings.setdefault("name", str(source) if source in studyfile.shipped() else file.stem)
        where = f"study {source}" + (" with --set" if overrides else "")
        try:
            if file.resolve() in within:
                raise RequestError("includes itself")
            make_absolute(settings, file.parent)
            if "include" in settings:
                within = (*within, file.resolve())
                cls._include(settings, file.parent, overrides, budget, within=within)
            else:
                for key in settings.keys() & set(studyfile.TABLES):
                    settings[key] = grid.named_tables(key, settings[key])
                replaced = dict(overrides)
                make_absolute(replaced, Path())
                budgets.apply(settings, budget, replaced)
                settings = names.located(settings, homes=[file.parent, Path()])
        except (RequestError, ValueError) as error:
            raise RequestError(f"{where}: {error}") from None
        if budget is None and "description" not in overrides:
            describe(settings, overrides)
        return cls.parse(settings, where=where)

    @classmethod
    def _include(
        cls,
        settings: dict[str, Any],
        home: Path,
        overrides: Mapping[str, Any],
        budget: str | None,
        *,
        within: tuple[Path, ...],
    ) -> None:
        """Replace ``include`` by the studies that it names, built in or beside the file."""
        names, parts = settings.pop("include"), []
        if not isinstance(names, list):
            raise RequestError(f"include = {names!r}: expected a list of studies")
        for name in map(str, names):
            source = home / name if (home / name).is_file() else name
            part = cls._load(source, overrides, budget, within=within)
            settings.setdefault("plugins", []).extend(part.plugins)
            parts.append(part.model_copy(update={"plugins": []}))
        settings["part"] = parts
        if budget is not None:
            settings["name"] = f"{settings['name']}-{budget}"
            settings["description"] = "\n".join(
                [
                    f"MINIATURES (--budget {budget}), each described by its part.",
                    settings.get("description", ""),
                ]
            )


def _of_schedules() -> dict[str, str]:
    """Options of schedules, each with a hint where it belongs, for those set at the top level."""
    return {
        option: f"it is one of a schedule: schedule.{name}.{option}"
        for name in reversed(list(SCHEDULES))
        for option in SCHEDULES[name].model_fields
    }
