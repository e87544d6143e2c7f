"""Training one network by SGD, as its run says."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import models, streams
from sgdscope.data import Dataset, Images, as_inputs, augment
from sgdscope.measuring.fit import accuracy, logits
from sgdscope.result import Epoch
from sgdscope.runs import Run


def initialise(run: Run, data: Dataset) -> nn.Module:
    """The run's network before its first step, on the data's device, channels last."""
    moments = {"mean": data.mean, "std": data.std} if run.normalise else {}
    model = models.build(
        run.model, shape=data.shape, classes=data.classes, seed=run.seed, **moments
    )
    return model.to(data.train.pixels.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Training:
    """A network on its way, an epoch at a time.

    SGD is torch's heavy ball, v ← m·v + g, w ← w − lr·v; no weight decay. The last partial batch of
    an epoch is dropped. Everything random follows from the run's seed and the place in training, so
    that weights, velocities and history are the whole state.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        self.run = run
        self.data = data.subset(run.train_size)
        self.model = initialise(run, data)
        self.history: list[Epoch] = []
        self.diverged = False  # a loss or a weight became NaN or infinite
        self._step = torch.zeros((), dtype=torch.int64, device=data.train.pixels.device)
        models.bind_dropout(self.model, seed=run.seed, step=self._step)
        self._sgd = torch.optim.SGD(
            self.model.parameters(), lr=0.0, momentum=run.momentum, fused=True
        )

    @property
    def steps(self) -> int:
        """Updates made so far."""
        return self.history[-1].steps if self.history else 0

    @property
    def finished(self) -> bool:
        """Whether the run's duration or target is reached, or going on makes no sense."""
        run, epochs = self.run, len(self.history)
        if self.diverged or (run.epochs is not None and epochs >= run.epochs):
            return True
        if run.steps is not None and self.steps >= run.steps:
            return True
        reached = run.until_train_loss is not None and epochs > 0
        return reached and self.history[-1].train_loss <= run.until_train_loss  # type: ignore[operator]

    def advance(self) -> None:
        """Train one epoch (its part that is left, where the run counts steps)."""
        start = time.perf_counter()
        epoch = len(self.history) + 1
        rate = self.run.rate(epoch)
        for group in self._sgd.param_groups:
            group["lr"] = rate
        steps = len(self.data.train) // self.run.batch_size
        if self.run.steps is not None:
            steps = min(steps, self.run.steps - self.steps)
        losses, hits = self._train_epoch(epoch, steps)
        seen = steps * self.run.batch_size
        self.model.eval()
        self.history.append(
            Epoch(
                epoch=epoch,
                steps=self.steps + steps,
                learning_rate=rate,
                train_loss=losses / seen,
                train_accuracy=hits / seen,
                validation_accuracy=_score(self.model, self.data.validation),
                seconds=time.perf_counter() - start,
            )
        )
        self.diverged = not self._sound()

    def _train_epoch(self, epoch: int, steps: int) -> tuple[float, int]:
        """Make ``steps`` updates; the sum of the losses and the count of hits over their images."""
        self.model.train()
        device = self._step.device
        losses = torch.zeros((), dtype=torch.float64, device=device)
        hits = torch.zeros((), dtype=torch.int64, device=device)
        for inputs, labels in self._batches(epoch, steps):
            scores = self.model(inputs)
            loss = F.cross_entropy(scores, labels)
            self._sgd.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._sgd.step()
            self._step += 1
            losses += loss.detach() * len(labels)
            hits += (scores.detach().argmax(1) == labels).sum()
        return losses.item(), int(hits)

    def _batches(self, epoch: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        run, images = self.run, self.data.train
        order = torch.randperm(len(images), generator=streams.generator(run.seed, "order", epoch))
        order = order[: steps * run.batch_size].to(self._step.device)
        for index in order.view(steps, run.batch_size):
            pixels = images.pixels[index]
            if self.data.augmented:
                pixels = augment(pixels, index, seed=run.seed, epoch=epoch)
            yield as_inputs(pixels), images.labels[index]

    def state(self) -> dict[str, Tensor]:
        """Weights and velocities; with the history, all that training goes on from."""
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        for number, parameter in enumerate(self.model.parameters()):
            velocity = self._sgd.state[parameter].get("momentum_buffer")
            if velocity is not None:
                tensors[f"velocity.{number}"] = velocity
        return {key: value.contiguous().cpu() for key, value in tensors.items()}

    def restore(self, state: Mapping[str, Tensor], history: Sequence[Epoch]) -> None:
        """Go on from a state: what follows is bit for bit what would have followed."""
        self.history = list(history)
        self._step.fill_(self.steps)
        prefix = "model."
        self.model.load_state_dict(
            {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        )
        self.model.eval()
        self.diverged = not self._sound()
        for number, parameter in enumerate(self.model.parameters()):
            if (velocity := state.get(f"velocity.{number}")) is not None:
                buffer = torch.empty_like(parameter, requires_grad=False).copy_(velocity)
                self._sgd.state[parameter]["momentum_buffer"] = buffer

    def _sound(self) -> bool:
        """Whether the last epoch's loss and every weight are finite."""
        return math.isfinite(self.history[-1].train_loss) and all(
            bool(parameter.isfinite().all()) for parameter in self.model.parameters()
        )


def _score(model: nn.Module, images: Images) -> float:
    return accuracy(logits(model, images), images.labels)
