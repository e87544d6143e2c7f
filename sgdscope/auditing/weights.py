"""Weights in files, read without executing any code in them."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sgdscope.errors import RequestError, reason

NESTED = ("state_dict", "model_state_dict", "model", "net", "network")  # keys of it in checkpoints
PREFIXES = ("module.", "_orig_mod.", "model.")  # what wrappers prepend to every name


def load_weights(model: nn.Module, file: Path) -> None:
    """Load a file's weights into a network.

    Raises:
        RequestError: the file cannot be read, would execute code, or is from another network.
    """
    weights = read_weights(file)
    own = model.state_dict(keep_vars=True)
    weights = _unwrapped(weights, own)
    _fill_tied(file, weights, own)
    if missing := [name for name in own if name not in weights]:
        raise RequestError(f"{file}: {_named('lacks', missing)}; expected this network's weights")
    if strange := [name for name in weights if name not in own]:
        raise RequestError(
            f"{file}: {_named('holds', strange)}, which the network lacks; expected its own weights"
        )
    for name, value in weights.items():
        _check_fit(file, name, value, own[name])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        line = str(error).strip().splitlines()[-1].strip()
        raise RequestError(f"{file}: {line}; expected this network's weights") from error


def _unwrapped(weights: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the network's own names, without what wrappers prepend and count."""
    if "n_averaged" not in own:  # of torch's AveragedModel
        weights = {name: value for name, value in weights.items() if name != "n_averaged"}
    while weights and not weights.keys() <= own.keys():
        prefix = next((one for one in PREFIXES if all(k.startswith(one) for k in weights)), None)
        if prefix is None:
            break
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _fill_tied(file: Path, weights: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Give every name of a tied weight its value; files often keep it under one of them."""
    names: dict[int, list[str]] = {}
    for name, value in own.items():
        names.setdefault(id(value), []).append(name)
    for alike in names.values():
        there = [name for name in alike if name in weights]
        for name in there[1:]:
            if not torch.equal(weights[name], weights[there[0]]):
                raise RequestError(
                    f"{file}: {there[0]!r} and {name!r} differ, but are one tensor in the network; "
                    "expected its own weights"
                )
        weights.update({name: weights[there[0]] for name in alike if there})


def _check_fit(file: Path, name: str, value: Tensor, own: Tensor) -> None:
    """Whether a tensor can stand where the network has its own, without loss."""
    if value.shape != own.shape:
        raise RequestError(
            f"{file}: {name!r} has shape {tuple(value.shape)}; expected {tuple(own.shape)}, as in "
            "the network"
        )
    if own.is_floating_point() and not value.is_floating_point():
        raise RequestError(
            f"{file}: {name!r} holds {str(value.dtype).removeprefix('torch.')}; expected "
            "floating-point numbers, as in the network"
        )


def _named(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{what} {names[0]!r}{more}"


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of a state dict that torch saved, by name.

    Raises:
        RequestError: there is no such file, it holds something else, or reading it would execute
            code.
    """
    if not file.is_file():
        raise RequestError(f"{file}: no such file; expected weights")
    with file.open("rb") as content:
        start = content.read(9)
    if file.suffix == ".safetensors" or start.endswith(b"{"):
        try:
            return load_file(file)
        except SafetensorError as error:
            raise RequestError(f"{file}: not a valid safetensors file: {reason(error)}") from error
    if not start.startswith((b"PK", b"\x80")):  # an archive, or torch's earlier form, a pickle
        raise RequestError(
            f"{file}: not a file of weights; expected what torch.save or safetensors wrote"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles in other protocols
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise RequestError(f"{file}: {_why(error)}") from error
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            if other := _other_set(found, key):
                raise RequestError(
                    f"{file}: holds two sets of weights, {key!r} and {other!r}; expected the one "
                    f"that is meant, as from torch.save(checkpoint[{other!r}], …)"
                )
            found = found[key]
            break
    return _tensors(file, found)


def _other_set(found: Mapping[Any, Any], key: str) -> str | None:
    """The key of further weights of the same shapes, such as their moving average."""
    wanted = _shapes(found[key])
    others = (other for other in found if other != key and isinstance(found[other], Mapping))
    return next(
        (str(other) for other in others if wanted and _shapes(found[other]) == wanted), None
    )


def _shapes(weights: Mapping[Any, Any]) -> list[tuple[int, ...]]:
    """Of all that are no single numbers, which may count something."""
    return sorted(tuple(v.shape) for v in weights.values() if isinstance(v, Tensor) and v.ndim)


def _why(error: Exception) -> str:
    """Why torch refuses to read a file."""
    said = str(error)
    if "TorchScript" in said:
        return (
            "a TorchScript archive, which is a program; expected weights, or the network exported "
            "by torch.export to a .pt2 file"
        )
    if "Unsupported" in said or "GLOBAL" in said:
        name = said.partition("GLOBAL ")[2].split()[:1] or ["an object"]
        return (
            f"holds {name[0]}, which cannot be read without executing code; expected only a "
            "state dict: "
            "torch.save(model.state_dict(), …)"
        )
    return f"cannot be read: {reason(error).split('. ')[0]}"


def _tensors(file: Path, found: Any) -> dict[str, Tensor]:
    if not isinstance(found, Mapping):
        raise RequestError(f"{file}: holds a {type(found).__name__}; expected a state dict")
    if others := [str(key) for key, value in found.items() if not isinstance(value, Tensor)]:
        raise RequestError(
            f"{file}: {others[0]!r} is not a tensor; expected a state dict, by itself or under "
            f"one of {', '.join(NESTED)}"
        )
    return {str(name): value for name, value in found.items()}


def fingerprint(model: nn.Module) -> tuple[str, str]:
    """A digest of weights and buffers with their names, and one of names and shapes alone."""
    whole, shapes = (hashlib.blake2b(digest_size=16) for _ in range(2))
    for name, value in sorted(model.state_dict().items()):
        described = f"{name} {value.dtype} {tuple(value.shape)};".encode()
        shapes.update(described)
        whole.update(described)
        whole.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest(), shapes.hexdigest()
