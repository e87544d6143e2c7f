"""Trainings of one shape in lockstep: one stacked computation, one update of all at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sgdscope.data import augmentation_key, crop_and_flip
from sgdscope.data.inference import chunk_size
from sgdscope.errors import RequestError
from sgdscope.network import answers
from sgdscope.optimizers import StackedUpdates
from sgdscope.training.cuda_graph import WARM_UP, captured
from sgdscope.training.layouts import Variant
from sgdscope.training.loop import Training
from sgdscope.training.precision import autocast
from sgdscope.training.stacking import stack, unstack


class StackedTraining:
    """Trainings of runs of one shape, advanced together an epoch at a time.

    Each member stays independent: its network, history and state are up to date after every epoch,
    as if it had trained alone, up to rounding. Members that are finished or diverged are left out
    of the next epoch; any that are behind, as after a crash, catch up first.
    """

    def __init__(self, members: Sequence[Training], *, variant: Variant) -> None:
        self.members = list(members)
        self.variant = variant
        self._lockstep: _Lockstep | None = None

    @property
    def finished(self) -> bool:
        """Whether every member is."""
        return all(member.finished for member in self.members)

    def advance(self) -> list[Training]:
        """Train one epoch of the members that are furthest behind; return them."""
        start = time.perf_counter()
        going = [member for member in self.members if not member.finished]
        behind = min(len(member.history) for member in going)
        moving = [member for member in going if len(member.history) == behind]
        if self._lockstep is None or self._lockstep.members != moving:
            self._lockstep = None  # its memory first
            self._lockstep = _Lockstep(moving, self.variant)
        self._lockstep.advance(start)
        return moving


class _Lockstep:
    """Members at the same epoch, as tensors with a slice for each.

    Every tensor stays where it is, so that a captured step can be replayed: weights, the
    optimizer's state, rates, order, keys and counters are filled in place.
    """

    def __init__(self, members: list[Training], variant: Variant) -> None:
        self.members = members
        self.data, size = members[0].data, members[0].run.batch_size
        device, count = self.data.train.pixels.device, len(members)
        self.stack = stack([member.model for member in members], variant=variant)
        self.parameters = list(self.stack.parameters())
        self.weights = torch.cat([p.detach().flatten(1) for p in self.parameters], 1)  # (K, P)
        for parameter, part in zip(self.parameters, self._parts(self.weights), strict=True):
            parameter.data = part
        self.updates = _stacked_updates(members)

        def counter(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=device)

        steps = len(self.data.train) // size
        self.order = counter(count, max(steps, WARM_UP), size)
        self.place = counter(1)  # the step within the epoch
        self.stepped = any(member.run.stepped for member in members)  # rates change at every update
        self.rates = self._column([0.0] * count)
        if self.stepped:
            self.rates = self.rates.repeat(1, self.order.shape[1])  # one for each step
        self.step = counter().fill_(members[0].steps)  # since the start
        self.keys = counter(count, 1)
        self.hits = counter(count)
        self.losses = torch.zeros(count, dtype=torch.float64, device=device)
        self.stack.bind_dropout(self.step)
        changed = [self.weights, self.place, self.step, self.hits, self.losses]
        changed += [*self.updates.state, *self.stack.buffers()]
        self.stack.train()
        self._update = captured(self._eager_update, state=changed)

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.weights.dtype, device=self.weights.device)[:, None]

    def _parts(self, whole: Tensor) -> list[Tensor]:
        """(K, P) as one view for each parameter."""
        sizes = [parameter[0].numel() for parameter in self.parameters]
        shapes = [parameter.shape for parameter in self.parameters]
        return [
            part.view(shape)
            for part, shape in zip(torch.split(whole, sizes, 1), shapes, strict=True)
        ]

    def advance(self, start: float) -> None:
        """Train one epoch and record it in every member.

        Args:
            start: when it began, by the performance counter.
        """
        epoch, steps = len(self.members[0].history) + 1, self.members[0].next_steps
        runs = [member.run for member in self.members]
        order = torch.stack([member.next_batches() for member in self.members])
        self.order[:, :steps].copy_(order)
        self.keys.copy_(torch.tensor([[augmentation_key(run.seed, epoch)] for run in runs]))
        rates = [member.next_rates() for member in self.members]
        if self.stepped:
            rates = [one * steps if len(one) == 1 else one for one in rates]
        self.rates[:, : len(rates[0])] = torch.tensor(rates, dtype=self.rates.dtype)
        for counter in (self.place, self.hits, self.losses):
            counter.zero_()
        self.stack.train()
        for _ in range(steps):
            self._update()
        self._hand_back(start)

    def _eager_update(self) -> None:
        """One update of every member, in place and without waiting for the device."""
        index = self.order.index_select(1, self.place)[:, 0]  # (K, B)
        count, size = index.shape
        pixels = self.data.train.pixels[index.flatten()]
        if self.data.augmented:
            keys = self.keys.expand(-1, size).flatten()
            pixels = crop_and_flip(pixels, index.flatten(), keys=keys)
        images = pixels.view(count, size, *pixels.shape[1:]).to(torch.float32).div_(255)
        labels = self.data.train.labels[index]
        with autocast(self.members[0].run, images.device):
            scores = self.stack(images)
            losses = F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
        losses = losses.view(count, size).mean(1)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        gradient = torch.cat([g.flatten(1) for g in gradients], 1)
        rates = self.rates.index_select(1, self.place) if self.stepped else self.rates
        self.updates.step(self.weights, gradient, rates=rates)
        self.step += 1
        self.place += 1
        self.losses += losses.detach() * size
        self.hits += (scores.detach().argmax(2) == labels).sum(1)

    def _hand_back(self, start: float) -> None:
        """Bring networks, updates and histories up to date; the epoch's time is shared."""
        unstack(self.stack, [member.model for member in self.members])
        self.updates.hand_back()
        scores = self._validate()
        losses, hits = self.losses.tolist(), self.hits.tolist()
        seconds = (time.perf_counter() - start) / len(self.members)
        for number, member in enumerate(self.members):
            member.model.eval()
            member.record(losses[number], hits[number], scores[number], seconds=seconds)

    @torch.no_grad()
    def _validate(self) -> list[float]:
        """Each member's accuracy on the validation images."""
        self.stack.eval()
        images, count = self.data.validation, len(self.members)
        hits = torch.zeros_like(self.hits)
        chunk = chunk_size(images.pixels.device)
        for start in range(0, len(images), chunk):
            part = images[start : start + chunk]
            inputs = part.inputs()
            scores = self.stack(inputs.expand(count, *inputs.shape))
            hits += (answers(scores.flatten(0, 1)).view(count, -1) == part.labels).sum(1)
        return (hits.double() / len(images)).tolist()


def _stacked_updates(members: Sequence[Training]) -> StackedUpdates:
    """Updates of all members as one.

    Raises:
        RequestError: their optimizer has no stacked rule, their batch size grows, or they have a
            method.
    """
    if any(member.run.grows for member in members):
        raise RequestError("runs whose batch size grows cannot be trained in step")
    if any(member.method is not None for member in members):
        raise RequestError("runs with a method other than plain cannot be trained in step")
    rule = type(members[0].run.rule())
    updates = rule.stack([member.updates for member in members])
    if updates is None:
        raise RequestError(f"{rule.__name__} with these options cannot update several runs in step")
    return updates
