"""Networks of timm and transformers, untrained, for the images and classes at hand."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from sgdscope import references
from sgdscope.errors import RequestError, reason
from sgdscope.models.base import ModelBuilder


def _library(name: str, model: str, *, needs: str) -> ModuleType:
    try:
        return import_module(name)
    except Exception as error:  # of versions that do not go together: whatever they raise
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        why = "is not installed" if missing else f"cannot be imported: {reason(error)}"
        raise RequestError(f"model '{name}:{model}': {name} {why}; {needs}") from error


def load_timm(name: str) -> ModuleType:
    """The library, checked to have a network of that name.

    Raises:
        RequestError: it cannot be imported, or has no such network.
    """
    timm = _library(
        "timm", name, needs="pip install timm, with a torchvision of the same release as torch"
    )
    if not timm.is_model(name):
        raise RequestError(f"model 'timm:{name}': timm has none of that name{_near(timm, name)}")
    return timm


def _timm(name: str) -> ModelBuilder:
    timm = load_timm(name)

    def build(*, shape: tuple[int, int, int], classes: int) -> nn.Module:
        """Build a network of timm's, with those arguments about image size that it accepts."""
        wanted: dict[str, Any] = {"num_classes": classes, "in_chans": shape[0]}
        try:
            return _made(timm, name, **wanted, img_size=shape[1:])
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            return _made(timm, name, **wanted)

    return build


def _made(timm: ModuleType, name: str, **options: Any) -> nn.Module:
    network: nn.Module = timm.create_model(name, pretrained=False, **options)
    return network


def _near(timm: ModuleType, name: str) -> str:
    close = get_close_matches(name, timm.list_models(), n=1, cutoff=0.5)
    return f"; did you mean 'timm:{close[0]}'?" if close else "; timm.list_models() has them all"


def load_transformers(name: str) -> ModuleType:
    """The library.

    Raises:
        RequestError: it cannot be imported.
    """
    return _library("transformers", name, needs="pip install transformers")


def _transformers(name: str) -> ModelBuilder:
    transformers = load_transformers(name)
    return lambda *, shape, classes: _from_config(transformers, name, shape, classes)


def _from_config(
    transformers: ModuleType, name: str, shape: tuple[int, int, int], classes: int
) -> nn.Module:
    config = _config(transformers, name)
    channels, height, width = shape
    wanted = {"num_channels": channels, "image_size": height if height == width else shape[1:]}
    for key, value in wanted.items():
        if hasattr(config, key):
            setattr(config, key, value)
    config.num_labels = classes
    config.architectures = config.architectures or []
    network: nn.Module = transformers.AutoModelForImageClassification.from_config(config)
    return network


def _config(transformers: ModuleType, name: str) -> Any:
    """The configuration of a folder's config.json, an architecture's defaults, or a hub model."""
    known = transformers.CONFIG_MAPPING
    folder = references.source(f"transformers:{name}").path or name
    if not Path(folder).is_dir() and name in known:
        return transformers.AutoConfig.for_model(name)
    try:
        return transformers.AutoConfig.from_pretrained(folder)
    except Exception as error:  # whatever the hub, the network or the file says
        close = get_close_matches(name, list(known), n=1, cutoff=0.5)
        hint = f"; did you mean 'transformers:{close[0]}'?" if close else ""
        raise RequestError(
            f"model 'transformers:{name}': no folder with a config.json, no architecture and no "
            f"model on the hub that can be reached{hint}"
        ) from error


LIBRARIES: dict[str, Callable[[str], ModelBuilder]] = {
    "timm": _timm,
    "transformers": _transformers,
}
