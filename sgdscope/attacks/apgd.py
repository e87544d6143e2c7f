"""APGD: projected steps with momentum whose size halves by itself (Croce and Hein 2020)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from sgdscope.attacks import ball
from sgdscope.attacks.active import ActivePoints
from sgdscope.attacks.checks import check_tactic
from sgdscope.attacks.evaluation import Tactic, evaluate
from sgdscope.attacks.losses import LOSSES, Loss
from sgdscope.attacks.points import Attacked, Norm, Points, Radii, Tries, spread
from sgdscope.attacks.reach import Reach, promised
from sgdscope.attacks.victim import Victim

MOMENTUM = 0.75  # α of Algorithm 1
ENOUGH = 0.75  # ρ: the share of steps since the last check that must have raised the loss


@dataclass
class _State:
    """The state of each point still under attack; every field begins with N."""

    eps: Tensor  # (N,)
    size: Tensor  # (N,) of the next step
    now: Tensor  # (N, …)
    before: Tensor  # (N, …) one step earlier
    slope: Tensor  # (N, …) at ``now``
    loss: Tensor  # (N,) at ``now``
    best: Tensor  # (N, …) where the loss was largest
    best_slope: Tensor  # (N, …)
    best_loss: Tensor  # (N,)
    rises: Tensor  # (N,) steps since the last check that raised the loss
    checked_loss: Tensor  # (N,) ``best_loss`` at the last check
    halved: Tensor  # (N,) bool: the last check halved the step

    def __getitem__(self, choice: Tensor) -> _State:
        return _State(**{field.name: getattr(self, field.name)[choice] for field in fields(self)})


@dataclass(frozen=True)
class Apgd:
    """One run of APGD from a random start."""

    steps: int = 100
    loss: Loss = "cross_entropy"
    norm: Norm = "linf"
    seed: int = 0
    start: int = 0  # number of the random start
    give_up: bool = True

    def __post_init__(self) -> None:
        check_tactic(norm=self.norm, loss=self.loss, steps=self.steps)

    def __call__(self, victim: Victim, points: Points, eps: Tensor) -> Tries:
        """Attack (Algorithm 1 of the paper, all points at once)."""
        start = ball.start(points, eps, self.norm, seed=self.seed, number=self.start)
        reach = Reach(self.steps, self.norm) if self.give_up else None
        active, lost = ActivePoints(points, reach), None
        state, checks = self._begin(start, eps), checkpoints(self.steps)
        for taken in range(self.steps + 1):
            logits, state.slope = victim.gradients(state.now, points, LOSSES[self.loss])
            loss = LOSSES[self.loss](logits, points.labels, points.targets)
            state.rises = state.rises + (loss > state.loss) * (taken > 0)
            state.loss = loss
            if reach is not None:
                gains = promised(
                    points, state.now, state.eps, logits, state.slope, self.loss, self.norm
                )
                lost = reach.lost(points.margins(logits), gains)
            left = active.settle(state.now, points.fooled(logits), lost)
            if left is not None:
                points, state = points[left], state[left]
            if not len(points) or taken == self.steps:
                break
            _record(state)
            if taken in checks:
                _check(state, since=taken - max((c for c in checks if c < taken), default=0))
            self._move(state, points, first=taken == 0)
        return active.tries(state.now)

    def _begin(self, inputs: Tensor, eps: Tensor) -> _State:
        zero, low = torch.zeros_like(eps), torch.full_like(eps, -torch.inf)
        return _State(
            eps=eps, size=2 * eps,
            now=inputs.clone(), before=inputs, slope=inputs, loss=low,
            best=inputs.clone(), best_slope=torch.zeros_like(inputs), best_loss=low.clone(),
            rises=zero, checked_loss=low.clone(), halved=zero.bool(),
        )  # fmt: skip

    def _move(self, state: _State, points: Points, *, first: bool) -> None:
        """One projected step, mixed with the step before."""
        ahead = glide(
            state.now, state.before, state.slope, state.size, points.inputs, state.eps, self.norm,
            first=first,
        )  # fmt: skip
        state.before, state.now = state.now, ahead


def glide(
    now: Tensor, before: Tensor, slope: Tensor, size: Tensor, origin: Tensor, eps: Tensor,
    norm: Norm, *, first: bool,
) -> Tensor:  # fmt: skip
    """One projected step of ``size`` (N,) from ``now`` (N, …), mixed with the step before."""
    ahead = ball.step(now, slope, size, origin, eps, norm)
    if first:
        return ahead
    mixed = now + MOMENTUM * (ahead - now) + (1 - MOMENTUM) * (now - before)
    return ball.clip(mixed, origin, eps, norm)


def _record(state: _State) -> None:
    """Record the largest loss so far and where it occurred."""
    better = state.loss > state.best_loss
    state.best = torch.where(spread(better, state.now).bool(), state.now, state.best)
    state.best_slope = torch.where(spread(better, state.now).bool(), state.slope, state.best_slope)
    state.best_loss = torch.where(better, state.loss, state.best_loss)


def _check(state: _State, *, since: int) -> None:
    """Halve the step of points that no longer rise, and send them back to their best place."""
    stuck = ~state.halved & (state.best_loss <= state.checked_loss)
    halve = (state.rises < ENOUGH * since) | stuck
    back = spread(halve, state.now).bool()
    state.size = torch.where(halve, state.size / 2, state.size)
    state.now = torch.where(back, state.best, state.now)
    state.slope = torch.where(back, state.best_slope, state.slope)
    state.rises = torch.zeros_like(state.rises)
    state.checked_loss, state.halved = state.best_loss.clone(), halve


def checkpoints(steps: int) -> list[int]:
    """The steps after which progress is checked: w_j = ⌈p_j · steps⌉ in the paper's section 3.1."""
    shares = [0, 22]  # in hundredths, so that rounding never skips a whole step
    while shares[-1] < 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return [-(-share * steps // 100) for share in shares[1:-1]]


@dataclass(frozen=True)
class Targeted:
    """One run towards each of the likeliest wrong classes, on the points that earlier runs left."""

    steps: int = 100
    norm: Norm = "linf"
    seed: int = 0
    classes: int = 9
    give_up: bool = True
    start: int = 0  # number of the random start

    def __post_init__(self) -> None:
        check_tactic(norm=self.norm, steps=self.steps, classes=self.classes)

    def __call__(self, victim: Victim, points: Points, eps: Tensor) -> Tries:
        """Attack; any wrong answer counts."""
        logits = victim.logits(points.inputs)
        loss: Loss = "dlr" if logits.shape[1] > 3 else "margin"
        others = logits.scatter(1, points.labels[:, None], -torch.inf).argsort(1, descending=True)
        inputs = points.inputs.clone()
        fooled = torch.zeros_like(points.labels, dtype=torch.bool)
        given_up = ~fooled
        rank, ranks = 0, min(self.classes, logits.shape[1] - 1)
        while rank < ranks and bool((~fooled).any()):
            left = (~fooled).nonzero().squeeze(1)
            # Few points: several targets at once, so that a pass is worth its overhead.
            together = min(max(victim.chunk // len(left), 1), ranks - rank)
            copies = left.repeat(together)
            aims = others[left][:, rank : rank + together].t().reshape(-1)
            run = Apgd(self.steps, loss, self.norm, self.seed, self.start, self.give_up)
            tries = run(victim, replace(points[copies], targets=aims), eps[copies])
            fell, first = tries.fooled.view(together, -1).max(0)  # of the targets that fooled it
            keep = fell if rank else torch.ones_like(fell)  # no target: the likeliest one's try
            copy = first * len(left) + torch.arange(len(left), device=left.device)
            inputs[left[keep]] = tries.inputs[copy[keep]]
            fooled[left] = fell
            given_up[copies[~tries.given_up]] = False
            rank += together
        return Tries(inputs, fooled, given_up & ~fooled)


def apgd(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    steps: int = 100,
    restarts: int = 1,
    loss: Loss = "cross_entropy",
    norm: Norm = "linf",
    targets: Tensor | None = None,
    seed: int = 0,
    give_up: bool = True,
) -> list[Attacked]:
    """APGD with one loss: steps of 2·eps at first, halved when they stop helping.

    Takes ``steps`` from each of ``restarts`` random starts, each on the points that earlier starts
    left.
    """
    check_tactic(restarts=restarts)
    tactics: dict[str, Tactic] = {
        f"apgd {start}": Apgd(steps, loss, norm, seed, start, give_up) for start in range(restarts)
    }
    return evaluate(
        model, inputs, labels, eps=eps, tactics=tactics, loss=loss, norm=norm, targets=targets
    )


def apgd_targeted(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    eps: Radii,
    steps: int = 100,
    classes: int = 9,
    norm: Norm = "linf",
    seed: int = 0,
    give_up: bool = True,
) -> list[Attacked]:
    """APGD-T: the targeted DLR loss, ``steps`` towards each of the likeliest wrong ``classes``."""
    tactics: dict[str, Tactic] = {"apgd-t": Targeted(steps, norm, seed, classes, give_up)}
    return evaluate(model, inputs, labels, eps=eps, tactics=tactics, loss="margin", norm=norm)
