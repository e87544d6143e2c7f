"""The user's own code that a study and its runs depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sgdscope import references
from sgdscope.data import DATA
from sgdscope.measuring import MEASURES
from sgdscope.methods import METHODS
from sgdscope.models import MODELS
from sgdscope.optimizers import OPTIMIZERS
from sgdscope.registry import Registry
from sgdscope.study.plugins import code_of, file_of
from sgdscope.study.schedules import SCHEDULES


def code_of_run(model: str, data: str, schedule: str, optimizer: str, method: str) -> str | None:
    """The digests of the plugin code that a run depends on."""
    found = {
        MODELS.code(model), DATA.code(data), references.code(model), references.code(data),
        SCHEDULES.code(schedule), METHODS.code(method), OPTIMIZERS.code(optimizer),
        *(code_of(name.rpartition(".")[0]) for name in (schedule, optimizer)),
    }  # fmt: skip
    return " ".join(sorted(filter(None, found))) or None


def parts(settings: Mapping[str, Any]) -> Iterator[tuple[Registry[Any], str]]:
    """The registered parts that settings name."""
    kinds: dict[str, Registry[Any]] = {
        "model": MODELS, "data": DATA, "schedule": SCHEDULES, "optimizer": OPTIMIZERS,
        "method": METHODS, "measure": MEASURES,
    }  # fmt: skip
    for key, registry in kinds.items():
        names = settings.get(key, [])
        for name in names if isinstance(names, list | dict) else [names]:
            if name in list(registry):
                yield registry, name


def imported_files(settings: Mapping[str, Any]) -> Iterator[str]:
    """The user's own files among those that schedules and optimizers are imported from."""
    for name in (*settings.get("schedule", []), *settings.get("optimizer", [])):
        file = file_of(name.rpartition(".")[0]) if "." in name else None
        if file is not None:
            yield str(file)
