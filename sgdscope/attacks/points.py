"""What is attacked, and with what result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from torch import Tensor

from sgdscope.attacks.losses import margin
from sgdscope.network import Finding, answers

Radius: TypeAlias = float | str  # "8/255" is a number
Radii: TypeAlias = Radius | Sequence[Radius] | Tensor
Norm = Literal["linf", "l2"]
NORMS: tuple[str, ...] = get_args(Norm)


@dataclass(frozen=True)
class Points:
    """Points under attack; any subset of them draws the same random numbers as the whole."""

    inputs: Tensor  # (N, …) in [0, 1]
    labels: Tensor  # (N,) int64
    index: Tensor  # (N,) int64: which of all attacked points each one is
    slope: Tensor  # (N, …): the loss's gradient at ``inputs``
    targets: Tensor | None = None  # (N,) int64: the class that a targeted loss leads to
    exact: bool = False  # only the target counts, not any wrong answer

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, choice: Tensor) -> Points:
        return replace(
            self,
            inputs=self.inputs[choice],
            labels=self.labels[choice],
            index=self.index[choice],
            slope=self.slope[choice],
            targets=None if self.targets is None else self.targets[choice],
        )

    def fooled(self, logits: Tensor) -> Tensor:
        """(N,) bool: whether the answer is what the attack wants."""
        if self.exact and self.targets is not None:
            return answers(logits) == self.targets
        return answers(logits) != self.labels

    def margins(self, logits: Tensor) -> Tensor:
        """(N,): how far logits are past the boundary to what the attack wants; negative before."""
        return margin(logits, self.labels, self.targets if self.exact else None)


@dataclass(frozen=True)
class Tries:
    """What one tactic achieved on some points."""

    inputs: Tensor  # (N, …): what fooled the network, or the last try where nothing did
    fooled: Tensor  # (N,) bool
    given_up: Tensor  # (N,) bool: left before the last step, the boundary out of reach


@dataclass(frozen=True)
class Attacked:
    """What an attack at one eps did to each point."""

    eps: float
    inputs: Tensor  # (N, …): what fooled the network, or the last try where nothing did
    fooled: Tensor  # (N,) bool; untargeted, a point that is wrong unperturbed counts as fooled
    by: Tensor  # (N,) int64: place in ``tactics`` of what fooled the point; −1 for none needed, −2
    tactics: tuple[str, ...]  # in the order they were run, each on what those before left
    given_up: Tensor  # (N,) bool: the last tactic stopped early, the boundary out of its reach
    clean: Tensor  # (N,) bool: right when unperturbed
    confidence: Tensor  # (N,): largest probability when unperturbed
    saturated: Tensor  # (N,) bool: right, and cross-entropy's gradient of the label's logit is 0
    zero_gradient: Tensor  # (N,) bool: right, and the loss's gradient of the input is exactly 0
    findings: tuple[Finding, ...] = ()  # about the network, before it was attacked

    @property
    def flags(self) -> tuple[str, ...]:
        """Reasons in the network not to trust the accuracy; ``gather`` finds more."""
        return tuple(str(found) for found in self.findings if found.level != "note")

    @property
    def accuracy(self) -> float:
        """Share of all points that the attack did not fool."""
        return (~self.fooled).double().mean().item()


def spread(values: Tensor, like: Tensor) -> Tensor:
    """(N,) shaped to multiply (N, …)."""
    return values.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
