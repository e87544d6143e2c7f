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

from sgdscope.errors import RequestError

NESTED = ("state_dict", "model_state_dict", "model", "net", "network")  # keys of it in checkpoints
PREFIXES = ("module.", "_orig_mod.", "model.")  # what wrappers prepend to every name


def load_weights(model: nn.Module, file: Path) -> None:
    """Load a file's weights into a network.

    Raises:
        RequestError: the file cannot be read, would execute code, or is from another network.
    """
    weights = read_weights(file)
    own = model.state_dict().keys()
    for prefix in PREFIXES:
        if not weights.keys() <= own and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    if missing := [name for name in own if name not in weights]:
        raise RequestError(f"{file}: {_named('lacks', missing)}; expected this network's weights")
    if strange := [name for name in weights if name not in own]:
        raise RequestError(
            f"{file}: {_named('holds', strange)}, which the network lacks; expected its own weights"
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        line = str(error).strip().splitlines()[-1].strip()
        raise RequestError(f"{file}: {line}; expected this network's weights") from error


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
    if file.suffix == ".safetensors":
        try:
            return load_file(file)
        except SafetensorError as error:
            raise RequestError(f"{file}: not a valid safetensors file: {error}") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles in other protocols
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise RequestError(f"{file}: {_why(error)}") from error
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    return _tensors(file, found)


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
    return f"cannot be read: {(said.strip().splitlines() or [type(error).__name__])[0]}"


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
