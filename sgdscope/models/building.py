"""Networks by name: the built-in ones, and those in the user's own code."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from sgdscope import references, streams
from sgdscope.errors import RequestError, reason, unknown
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
        _complete(network, shape)
    if builder.__module__ == paper.__name__:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if mean is None or std is None:
        return network
    return normalised(network, mean, std)


def normalised(network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """A network after the standardisation of its inputs by these moments of each channel."""
    return nn.Sequential(OrderedDict(normalise=Normalise(mean, std), network=network))


def _complete(network: Any, shape: tuple[int, int, int]) -> None:
    """Give lazy layers their sizes and weights, by a first call on an image."""
    if not isinstance(network, nn.Module) or not any(map(is_lazy, _tensors(network))):
        return
    modes = [(module, module.training) for module in network.modules()]
    with torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    for module, training in modes:
        module.training = training


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def check(name: str, *, shape: tuple[int, int, int], classes: int) -> None:
    """Build a network and try it on two images, then train it on four.

    Raises:
        RequestError: it cannot be built, called or trained, or its answer does not fit the classes.
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
    _check_parameters(name, network, build(name, shape=shape, classes=classes, seed=1))
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

    with torch.enable_grad(), streams.seeded(0, "check"):
        _tried(name, f"trained on {images}", lambda: _train(name, network, shape))


def _check_parameters(name: str, network: nn.Module, other: nn.Module) -> None:
    """Whether a network can be trained, and two of them each for itself."""
    if odd := [key for key, value in network.named_parameters() if value.is_complex()]:
        raise RequestError(f"model {name!r}: {odd[0]!r} is complex; expected real parameters")
    if {id(one) for one in network.parameters()} & {id(one) for one in other.parameters()}:
        raise RequestError(
            f"model {name!r}: returns the same weights each time it is called; expected a new "
            "network"
        )


def _train(name: str, network: nn.Module, shape: tuple[int, int, int]) -> None:
    """Gradients of a small batch, in training mode."""
    logits = Network(network.train()).logits(torch.rand(4, *shape))
    if not logits.requires_grad:
        raise RequestError(
            f"model {name!r}: no gradient of its answer reaches its parameters; expected an answer "
            "that is not detached from them"
        )
    F.cross_entropy(logits, torch.zeros(4, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]


def _tried(name: str, what: str, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except RequestError as error:
        said = str(error)
        raise RequestError(said if name in said else f"model {name!r}: {said}") from error
    except (Exception, SystemExit) as error:  # whatever a user's own network says
        raise RequestError(f"model {name!r}: cannot be {what}: {reason(error)}") from error
