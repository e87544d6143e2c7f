"""Requirements on a network, its inputs, labels and outputs that can be checked at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Level = Literal["note", "flag", "refuse"]

ROUNDING = 16  # units in the last place by which pixels may lie outside [0, 1]


@dataclass(frozen=True)
class Finding:
    """One fact about a network or its data that affects the numbers measured on it."""

    name: str  # of its kind, such as "random" or "batch"
    seen: str
    advice: str  # what was expected, or what to do
    level: Level = "flag"  # a note changes no number; a refused network gets none

    def __str__(self) -> str:
        return f"{self.seen}; {self.advice}"


def _refused(name: str, seen: str, advice: str) -> Finding:
    return Finding(name, seen, advice, "refuse")


def of_model(model: nn.Module) -> Iterator[Finding]:
    """Whether it can be called as it is."""
    if not isinstance(model, nn.Module):
        yield _refused("module", f"the network is {type(model).__name__}", "expected an nn.Module")
        return
    for name, module in in_training(model):
        yield _refused(
            "training",
            f"the network is in training mode ({name or 'the whole'}: "
            f"{type(module).__name__}), where its answer is not a function of one input",
            "expected evaluation mode: call model.eval() first",
        )
        break
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer)):
            yield _refused(
                "lazy", f"the network's {name!r} has no shape yet", "expected it to be called once"
            )
            return
        if tensor.is_inference():
            yield _refused(
                "inference",
                f"the network's {name!r} was made under torch.inference_mode()",
                "expected one made outside of it, such as a copy.deepcopy made there",
            )
            return


def in_training(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules in training mode, by name.

    A program of torch.export is in none of them: its mode was fixed when it was exported, and its
    ``training`` is always true.
    """
    programs = [module for module in model.modules() if _is_program(module)]
    fixed = {inner for program in programs for inner in program.modules()}
    for name, module in model.named_modules():
        if module.training and module not in fixed:
            yield name, module


def _is_program(module: nn.Module) -> bool:
    """Whether torch.export made it, which replaces the method of each program."""
    return isinstance(module, torch.fx.GraphModule) and "eval" in vars(module)


def of_inputs(model: nn.Module, inputs: Tensor, *, pixels: bool) -> Iterator[Finding]:
    """Whether they are what the network takes."""
    if not isinstance(inputs, Tensor):
        yield _refused("inputs", f"inputs are {type(inputs).__name__}", "expected a torch.Tensor")
        return
    if pixels and not inputs.is_floating_point():
        yield _refused(
            "inputs", f"inputs are {inputs.dtype}",
            "expected floating point in [0, 1], such as pixels / 255",
        )  # fmt: skip
        return
    if not inputs.numel() or (pixels and inputs.dim() < 2):
        yield _refused(
            "inputs", f"inputs have shape {tuple(inputs.shape)}",
            "expected (N, …) with at least one point",
        )  # fmt: skip
        return
    parameter = next(iter(model.parameters()), None)
    if parameter is not None and parameter.device != inputs.device:
        yield _refused(
            "device",
            f"inputs are on {inputs.device}, the network on {parameter.device}",
            "expected one device",
        )
        return
    yield from _of_range(inputs, pixels)


def _of_range(inputs: Tensor, pixels: bool) -> Iterator[Finding]:
    if not inputs.is_floating_point():
        return
    if pixels and bool(inputs.isnan().any()):
        yield _refused("inputs", f"inputs hold {int(inputs.isnan().sum())} NaN", "expected none")
        return
    low, high = float(inputs.min()), float(inputs.max())
    beyond = ROUNDING * torch.finfo(inputs.dtype).eps
    bytes_ = low >= 0 and 2 < high <= 255
    if pixels and (low < -beyond or high > 1 + beyond):
        yield _refused(
            "range", f"inputs lie in [{low:.8g}, {high:.8g}]",
            "expected [0, 1], with any normalisation inside the model"
            + (": pixels of 0 … 255 are divided by 255" if bytes_ else ""),
        )  # fmt: skip
    elif not pixels and inputs.dim() == 4 and bytes_ and torch.equal(inputs, inputs.round()):
        yield Finding(
            "range", f"inputs are whole numbers in [{low:g}, {high:g}]",
            "if they are pixels, expected them divided by 255",
        )  # fmt: skip


def of_labels(
    name: str, labels: Tensor, count: int, *, classes: int | None = None
) -> Iterator[Finding]:
    """Whether they name classes, and each point has one."""
    whole = isinstance(labels, Tensor) and not (
        labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool
    )
    if not whole or labels.shape != (count,):
        found, one_hot = type(labels).__name__, False
        if isinstance(labels, Tensor):
            found = f"{labels.dtype} of shape {tuple(labels.shape)}"
            one_hot = labels.dim() == 2 and labels.shape[1] > 1
        yield _refused(
            "labels", f"{name} are {found}",
            f"expected torch.int64 of shape ({count},)"
            + (f": of one-hot rows, {name}.argmax(1)" if one_hot else ""),
        )  # fmt: skip
        return
    if labels.is_meta:
        yield _refused("labels", f"{name} are on meta", "expected numbers")
        return
    labels = labels.to(torch.int64)  # torch finds no least one of most unsigned types
    low, high = int(labels.min()), int(labels.max())
    if classes is not None and not 0 <= low <= high < classes:
        yield _refused(
            "labels", f"{name} lie in {low} … {high}",
            f"expected 0 … {classes - 1}, the model's {classes} classes",
        )  # fmt: skip


def of_outputs(inputs: Tensor, logits: Tensor) -> Iterator[Finding]:
    """Whether they are logits."""
    if logits.dim() != 2 or len(logits) != len(inputs):
        yield _refused(
            "outputs", f"the model's output for {len(inputs)} points is {tuple(logits.shape)}",
            f"expected logits of shape ({len(inputs)}, classes)",
        )  # fmt: skip
        return
    if logits.shape[1] < 2:
        yield _refused("outputs", "the model has one class", "expected at least 2")
        return
    if not logits.is_floating_point():
        yield _refused(
            "outputs", f"the model's outputs are {logits.dtype}", "expected floating-point logits"
        )
        return
    silent = int((~logits.amax(1).isfinite()).sum())
    if silent == len(logits):
        yield _refused(
            "finite", "the model's logits are not finite", "expected a network that can answer"
        )
        return
    if silent:
        yield Finding(
            "finite", f"the model's logits are not finite at {silent} of {len(logits)} points",
            "they count as wrong",
        )  # fmt: skip
    yield from _of_scale(inputs, logits[logits.amax(1).isfinite()].double())


def of_answers(given: Tensor, advice: str = "they count as wrong") -> Iterator[Finding]:
    """Whether a network answered (N,) points; an answer below 0 is none."""
    if silent := int((given < 0).sum()):
        seen = f"the model's logits are not finite at {silent:,} of {len(given):,} points"
        yield Finding("silent", seen, advice)


def _of_scale(inputs: Tensor, logits: Tensor) -> Iterator[Finding]:
    """Whether finite outputs look like something other than logits."""
    within = bool((logits >= 0).all()) and bool((logits <= 1 + 1e-3).all())
    if within and bool(((logits.sum(1) - 1).abs() < 1e-3).all()):
        yield Finding(
            "probabilities", "the outputs are probabilities, not logits: gradients vanish",
            "expected the numbers before the softmax",
        )  # fmt: skip
    elif within and bool(logits.any()):
        yield Finding(
            "probabilities", "the outputs all lie in [0, 1], as a sigmoid's do",
            "expected logits, the numbers before it",
        )  # fmt: skip
    elif bool((logits <= 1e-6).all()) and bool((logits.logsumexp(1).abs() < 1e-3).all()):
        yield Finding(
            "log-probabilities", "the outputs are log-probabilities",
            "cross-entropy, margins and predictions are the same as from logits", "note",
        )  # fmt: skip
    different = bool((inputs != inputs[:1]).any())
    if different and len(logits) > 1 and bool((logits == logits[:1]).all()):
        yield Finding(
            "constant", f"the network gives {len(logits)} different points bit-identical outputs",
            "expected outputs that depend on the input",
        )  # fmt: skip
