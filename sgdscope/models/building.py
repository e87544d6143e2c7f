"""Networks by name: the built-in ones, and those in the user's own code."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from sgdscope import references, streams
from sgdscope.errors import RequestError, unknown
from sgdscope.models import paper
from sgdscope.models.base import MODELS, ModelBuilder, Normalise
from sgdscope.models.libraries import LIBRARIES
from sgdscope.network import Network

FORMS = "FILE.py:NAME, PACKAGE.MODULE:NAME, " + ", ".join(f"{name}:NAME" for name in LIBRARIES)


def find(name: str) -> ModelBuilder:
    """The builder of the network of that name.

    Args:
        name: a registered one, ``file.py:function``, ``package.module:function``, ``timm:NAME`` or
            ``transformers:NAME``.

    Raises:
        RequestError: there is no such network, or its library is not installed.
    """
    if name in MODELS:
        return MODELS[name]
    place, colon, target = name.partition(":")
    if not (place and colon and target):
        raise RequestError(f"{unknown('model', name, MODELS)}, {FORMS}")
    if place in LIBRARIES:
        return LIBRARIES[place](target)
    return _Called(name, references.resolve("model", name, forms=FORMS))


class _Called:
    """A user's function or class, called with those of shape and classes that it accepts."""

    def __init__(self, name: str, make: Any) -> None:
        if isinstance(make, nn.Module) or not callable(make):
            raise RequestError(
                f"model {name!r}: a {type(make).__name__}; expected a function or a class that "
                "makes a new network each time it is called"
            )
        self.name, self.make = name, make

    def __call__(self, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
        network: nn.Module = self.make(**self._arguments(shape, classes))
        return network

    def _arguments(self, shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
        known = common_arguments(shape, classes)
        accepted = inspect.signature(self.make).parameters
        for name, one in accepted.items():
            optional = one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
            if name not in known and one.default is one.empty and not optional:
                raise RequestError(
                    f"model {self.name!r}: needs {name!r}, which a study does not provide; "
                    f"expected a default value, or one of {', '.join(known)}"
                )
        return {name: value for name, value in known.items() if name in accepted}


def common_arguments(shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
    """Arguments for a network from its images, under the usual names."""
    channels, height, width = shape
    side = height if height == width else (height, width)
    return {
        "shape": shape, "classes": classes, "num_classes": classes, "n_classes": classes,
        "in_chans": channels, "in_channels": channels, "img_size": side, "image_size": side,
    }  # fmt: skip


def build(
    name: str,
    *,
    shape: tuple[int, int, int],
    classes: int,
    seed: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> nn.Module:
    """A network by name, initialised from ``seed`` alone; with ``mean`` and ``std``, normalised.

    The paper's networks compute with channels last. All others keep the layout they were built
    with, since they may depend on the strides of activations.

    Raises:
        RequestError: no model has that name.
    """
    builder = find(name)
    with streams.seeded(seed, "initialisation"):
        network = builder(shape=shape, classes=classes)
    if builder.__module__ == paper.__name__:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if mean is None or std is None:
        return network
    return nn.Sequential(OrderedDict(normalise=Normalise(mean, std), network=network))


def check(name: str, *, shape: tuple[int, int, int], classes: int) -> None:
    """Build a network and try it on two images.

    Raises:
        RequestError: it cannot be built or called, or its answer does not fit the classes.
    """
    images = f"images of {'×'.join(map(str, shape))} and {classes} classes"
    network = _tried(name, f"built for {images}", lambda: build(
        name, shape=shape, classes=classes, seed=0
    ))  # fmt: skip
    if not isinstance(network, nn.Module):
        raise RequestError(
            f"model {name!r}: returns {type(network).__name__}; expected a torch.nn.Module"
        )
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise RequestError(f"model {name!r}: has no parameters to train; expected some")
    with torch.no_grad(), streams.seeded(0, "check"):
        answer = _tried(
            name,
            f"called on {images}",
            lambda: Network(network.eval()).logits(torch.rand(2, *shape)),
        )
    if answer.shape != (2, classes):
        raise RequestError(
            f"model {name!r}: answers two {images} with shape {tuple(answer.shape)}; expected "
            f"(2, {classes}), one logit per class"
        )


def _tried(name: str, what: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except RequestError as error:
        said = str(error)
        raise RequestError(said if name in said else f"model {name!r}: {said}") from error
    except Exception as error:  # whatever a user's own network says
        said = (str(error).splitlines() or ["no details"])[0]
        raise RequestError(
            f"model {name!r}: cannot be {what}: {type(error).__name__}: {said}"
        ) from error
