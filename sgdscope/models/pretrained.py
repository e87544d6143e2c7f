"""Networks of timm and transformers with their published or saved weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from sgdscope import references
from sgdscope.errors import RequestError, reason
from sgdscope.models.base import Normalise
from sgdscope.models.libraries import load_timm, load_transformers


class Pretrained(NamedTuple):
    """A network, and the moments by which its pixels are standardised, if any."""

    network: nn.Module
    classes: int
    mean: list[float] | None
    std: list[float] | None


def pretrained(name: str, *, classes: int) -> nn.Module | None:
    """A network on pixels in [0, 1], with its weights; None if the name is not a library's.

    Args:
        name: ``timm:NAME`` or ``transformers:NAME``, the latter also of a folder.
        classes: of the data.

    Raises:
        RequestError: the library is not installed, has no such weights, or they are for other
            classes.
    """
    place, _, target = name.partition(":")
    if place not in FROM:
        return None
    found = FROM[place](name, target)
    if found.classes != classes:
        raise RequestError(
            f"{name}: its weights tell {found.classes:,} classes apart; expected {classes}, as the "
            f"data have, or {name}@WEIGHTS with weights for them"
        )
    if found.mean is None or found.std is None:
        return found.network
    return nn.Sequential(Normalise(found.mean, found.std), found.network)


def _timm(name: str, target: str) -> Pretrained:
    timm = load_timm(target)
    network = _fetched(name, lambda: timm.create_model(target, pretrained=True))
    published = network.pretrained_cfg
    return Pretrained(network, network.num_classes, list(published["mean"]), list(published["std"]))


def _transformers(name: str, target: str) -> Pretrained:
    transformers = load_transformers(target)
    place = references.source(name).path or target
    network = _fetched(
        name,
        lambda: transformers.AutoModelForImageClassification.from_pretrained(
            place, use_safetensors=True
        ),
    )
    file = transformers.utils.cached_file(
        place, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False
    )
    pixels = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    mean, std = pixels.get("image_mean"), pixels.get("image_std")
    if not pixels.get("do_normalize", True):
        mean = std = None
    return Pretrained(network, network.config.num_labels, mean, std)


def _fetched(name: str, fetch: Callable[[], Any]) -> Any:
    try:
        return fetch()
    except Exception as error:  # whatever the hub, the network or a file says
        raise RequestError(
            f"{name}: no weights: {reason(error)}; expected {name}@WEIGHTS, or weights beside the "
            "network's configuration or on the hub"
        ) from error


FROM: dict[str, Callable[[str, str], Pretrained]] = {
    "timm": _timm,
    "transformers": _transformers,
}
