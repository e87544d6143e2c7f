"""The losses an attack increases: one number per point, from logits and labels.

Cross-entropy saturates: where a network is very confident in float32, the gradient with respect to
the label's own logit rounds to zero, and soon the whole of it. The other two do not.
"""

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Literal["cross_entropy", "margin", "dlr"]


class LossFunction(Protocol):
    """Maps logits (N, classes) to (N,), larger the nearer the attack is to its goal."""

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
        """Untargeted: away from ``labels`` (N,). Targeted: towards ``targets`` (N,)."""


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """−log p_label; targeted: log p_target."""
    if targets is not None:
        return -F.cross_entropy(logits, targets, reduction="none")
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Best other logit − label's (Carlini and Wagner 2017); targeted: target's − best other."""
    if targets is not None:
        return _logit(logits, targets) - _best_other(logits, targets)
    return _best_other(logits, labels) - _logit(logits, labels)


def lead(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """The target's logit − the label's, whatever the other classes; untargeted: the margin."""
    if targets is not None:
        return _logit(logits, targets) - _logit(logits, labels)
    return margin(logits, labels)


def dlr(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Difference of logits ratio (Croce and Hein 2020, eq. 6; targeted: eq. 7).

    Unchanged when logits are scaled or shifted. Needs three classes, targeted four: where a mask
    puts so many of them out of reach that fewer are left, it is the difference alone.
    """
    top = logits.topk(3 if targets is None else 4, dim=1).values
    lowest = top[:, 2] if targets is None else (top[:, 2] + top[:, 3]) / 2
    spread, least = top[:, 0] - lowest, torch.finfo(logits.dtype).tiny ** 0.5
    unit = torch.where(spread < 1 / least, spread.clamp_min(least), 1)
    return lead(logits, labels, targets) / unit


LOSSES: dict[Loss, LossFunction] = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}


def steepness(logits: Tensor, labels: Tensor, loss: Loss, targets: Tensor | None = None) -> Tensor:
    """How much the loss grows with the margin, (N,): half the ℓ1 length of its slope in logits."""
    with torch.enable_grad():
        ends = logits.detach().requires_grad_()
        (slope,) = torch.autograd.grad(LOSSES[loss](ends, labels, targets).sum(), ends)
    return slope.abs().sum(1) / 2


def _logit(logits: Tensor, classes: Tensor) -> Tensor:
    """(N,): each point's logit of its own class in ``classes`` (N,)."""
    return logits.gather(1, classes[:, None]).squeeze(1)


def _best_other(logits: Tensor, classes: Tensor) -> Tensor:
    """(N,): the largest logit of any class but the one in ``classes`` (N,)."""
    return logits.scatter(1, classes[:, None], -torch.inf).amax(1)
