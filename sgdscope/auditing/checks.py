"""Checks before a network is measured: the preflight, and the scale of its pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import streams
from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.measuring import Subject
from sgdscope.network import Finding, Network, answers
from sgdscope.network.state import untouched

LOOKED = 200  # images on which other pixel scales are tried
CHUNK = 50
LOWER, CHANCE = 0.7, 1e-4  # ratio of the loss at another scale to that in [0, 1], and its p-value
SATURATED = 0.5  # share of the points whose cross-entropy gradient float32 rounds to zero
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # the usual moments for normalisation

CHECKS = {  # by description: the kinds of findings that fail it
    "can be called": (
        "module", "lazy", "inference", "inputs", "device", "labels", "fails", "batch size",
    ),
    "evaluation mode, and stays in it": ("training", "mode", "buffers"),
    "a fixed function of one input": ("random", "batch", "memory"),
    "outputs are logits": ("outputs", "finite", "probabilities", "log-probabilities", "constant"),
    "takes pixels in [0, 1], normalised inside": ("range", "scale"),
    "gradients reach pixels and weights": ("gradient", "parameters", "saturated"),
}  # fmt: skip


def check_network(subject: Subject) -> list[Finding]:
    """All findings about a network before it is measured; none is best."""
    found = list(subject.looked.findings)
    if any(finding.level == "refuse" for finding in found):
        return found
    with streams.seeded(subject.seed, "look"), untouched(subject.model):
        try:
            found += _of_scale(subject.model, subject.data)
        except RequestError as error:
            found.append(Finding("fails", str(error), "expected it to accept any pixels"))
    return found


def _of_scale(model: nn.Module, data: Dataset) -> Iterator[Finding]:
    images = data.test[:LOOKED]
    inputs, labels = images.inputs(), images.labels
    scores = _logits(model, inputs)
    yield from _of_saturation(scores, labels)
    loss, right = _losses(scores, labels), int((answers(scores) == labels).sum())
    tried = {way: _logits(model, change(inputs)) for way, change in _ways(data).items()}
    means = {way: _losses(each, labels).mean() for way, each in tried.items()}
    way = min(means, key=lambda one: float(means[one].nan_to_num(math.inf)))
    theirs = tried[way]
    lower, theirs_right = _losses(theirs, labels), int((answers(theirs) == labels).sum())
    if theirs_right < right or not lower.mean() < LOWER * loss.mean():
        return
    better = int((lower < loss).sum())
    if stats.binomtest(better, len(labels), alternative="greater").pvalue < CHANCE:
        yield Finding(
            "scale",
            f"the loss is {loss.mean():.3g} with pixels in [0, 1] ({right} of {len(labels)} right) "
            f"and {lower.mean():.3g} {way} ({theirs_right} right)",
            "if it was trained that way, make this scaling its first layer: every number here "
            "was taken with pixels in [0, 1]",
        )


def _losses(scores: Tensor, labels: Tensor) -> Tensor:
    """(N,) cross-entropies."""
    return F.cross_entropy(scores.double(), labels, reduction="none")


def _of_saturation(scores: Tensor, labels: Tensor) -> Iterator[Finding]:
    """Whether float32 rounds the label's probability to 1 at most correctly classified points."""
    right = answers(scores) == labels
    sure = F.softmax(scores.float(), 1).gather(1, labels[:, None]).squeeze(1) == 1
    count, of = int((sure & right).sum()), int(right.sum())
    if of and count > SATURATED * of:
        yield Finding(
            "saturated",
            f"the logits are so large that cross-entropy has no gradient at {count} of {of} points",
            "expected attacks with the margin loss, such as pgd_margin_accuracy",
        )


def _ways(data: Dataset) -> dict[str, Callable[[Tensor], Tensor]]:
    """Other pixel scales that networks are trained on, each as a function of pixels in [0, 1]."""

    def standardised(mean: Tensor, std: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda pixels: (pixels - mean) / std

    def moments(values: tuple[float, ...] | list[float]) -> Tensor:
        return torch.tensor(values, device=data.test.pixels.device).view(-1, 1, 1)

    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "with pixels of 0 … 255": lambda pixels: pixels * 255,
        "with pixels in [-1, 1]": lambda pixels: pixels * 2 - 1,
        "with pixels standardised by the training images' mean and deviation": standardised(
            moments(data.mean), moments(data.std)
        ),
    }
    if data.shape[0] == len(IMAGENET[0]):
        ways["with pixels standardised by ImageNet's mean and deviation"] = standardised(
            moments(IMAGENET[0]), moments(IMAGENET[1])
        )
    return ways


@torch.no_grad()
def _logits(model: nn.Module, inputs: Tensor) -> Tensor:
    network = Network(model)
    return torch.cat([network.logits(part) for part in torch.split(inputs, CHUNK)])
