"""Any optimizer class by its import path, such as ``torch.optim.RMSprop``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, cast

import torch
from pydantic import ConfigDict, create_model
from torch import nn

from sgdscope.errors import RequestError
from sgdscope.optimizers.base import OPTIMIZERS, Optimizer, Updates
from sgdscope.references import find_class, is_path, option_fields

UNUSED = 1e-3  # a learning rate to be built with, replaced before each update; some refuse zero


def find(name: str) -> type[Optimizer]:
    """A registered optimizer, or one that wraps the class at an import path.

    Raises:
        RequestError: there is neither, or the class is not an optimizer that steps without a
            closure.
    """
    if not is_path(name):
        return OPTIMIZERS[name]
    return _imported(name, cast(Hashable, _class(name)))


@cache
def _imported(path: str, rule: type[torch.optim.Optimizer]) -> type[Optimizer]:
    build = cast(Callable[..., torch.optim.Optimizer], rule)
    fields = option_fields(rule, given=("params", "lr"))
    for option, field in fields.items():
        if field[1] is ...:
            raise RequestError(
                f"optimizer.{path}: needs {option!r}, which a study file cannot give; expected a "
                "class that is made from parameters and plain options"
            )

    def bind(self: Optimizer, parameters: Sequence[nn.Parameter]) -> Updates:
        chosen = {name: getattr(self, name) for name in self.model_fields_set}
        return Updates(build(_grouped(rule, parameters), lr=UNUSED, **chosen))

    made = create_model(
        rule.__name__,
        __base__=Optimizer,
        __doc__=f"{rule.__name__} of {rule.__module__.partition('.')[0]}.",
        **fields,
    )
    namespace = {"bind": bind, "model_config": ConfigDict(protected_namespaces=())}
    return cast(type[Optimizer], type(rule.__name__, (made,), namespace))


def _grouped(rule: type[torch.optim.Optimizer], parameters: Sequence[nn.Parameter]) -> list[Any]:
    """The parameters; for a Muon, matrices and the rest in two groups."""
    try:
        source = inspect.getsource(rule)
    except (OSError, TypeError):  # there is none at hand
        source = ""
    if "use_muon" not in source:
        return list(parameters)
    by_kind = {
        matrix: [p for p in parameters if (p.ndim >= 2) == matrix] for matrix in (True, False)
    }
    return [{"params": own, "use_muon": matrix} for matrix, own in by_kind.items() if own]


def _class(path: str) -> type[torch.optim.Optimizer]:
    base = torch.optim.Optimizer
    rule = find_class(
        path, base, kind="optimizer", example="torch.optim.RMSprop", others=OPTIMIZERS
    )
    closure = inspect.signature(rule.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise RequestError(
            f"optimizer.{path}: its updates evaluate the loss several times, through a closure; "
            "expected an optimizer that steps along the gradients it is given"
        )
    return rule
