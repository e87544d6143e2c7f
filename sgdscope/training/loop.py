"""Training one network, as its run says."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import models, streams
from sgdscope.data import Dataset, as_inputs, augment
from sgdscope.data.inference import accuracy, logits
from sgdscope.errors import RequestError
from sgdscope.methods import Batch
from sgdscope.network import Network, logits_of
from sgdscope.results.record import Epoch
from sgdscope.study.run import Run
from sgdscope.training.precision import autocast, require_bfloat16, tiny_as_zero


def initialise(run: Run, data: Dataset) -> nn.Module:
    """The run's network before its first step, on the data's device.

    Raises:
        RequestError: its state holds something that cannot be saved.
    """
    moments = {"mean": data.mean, "std": data.std} if run.normalise else {}
    model = models.build(
        run.model, shape=data.shape, classes=data.classes, seed=run.seed, **moments
    )
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            raise RequestError(
                f"model {run.model!r}: {name!r} of its state is {type(value).__name__}; expected "
                "dense tensors, which can be saved"
            )
    return model.to(data.train.pixels.device)


class Training:
    """One network being trained, an epoch at a time.

    The last partial batch of an epoch is dropped. Everything random follows from the run's seed and
    the place in training, so that weights, the optimizer's state and history are the whole state.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        if run.precision == "bf16":
            require_bfloat16(data.train.pixels.device)
        self.run = run
        self.data = data.subset(run.train_size)
        self.model = initialise(run, data)
        self.method = run.procedure()  # None: plain training
        if self.method is not None:
            self.method.prepare(self.model)
        self._growth = 1  # of batch size and learning rate, by the method
        self._layout = Network(self.model).layout
        self.history: list[Epoch] = []
        self.diverged = False  # a loss or a weight became NaN or infinite
        self._step = torch.zeros((), dtype=torch.int64, device=data.train.pixels.device)
        models.bind_dropout(self.model, seed=run.seed, step=self._step)
        self.updates = run.rule().bind(list(self.model.parameters()))

    @property
    def steps(self) -> int:
        """Updates made so far."""
        return self.history[-1].steps if self.history else 0

    @property
    def finished(self) -> bool:
        """Whether the run's duration or target is reached, or it has diverged."""
        run, epochs = self.run, len(self.history)
        if self.diverged or (run.epochs is not None and epochs >= run.epochs):
            return True
        if run.steps is not None and self.steps >= run.steps:
            return True
        reached = run.until_train_loss is not None and epochs > 0
        return reached and self.history[-1].train_loss <= run.until_train_loss  # type: ignore[operator]

    @property
    def next_steps(self) -> int:
        """Updates in the next epoch; for a run counted in steps, only those that are left."""
        steps = len(self.data.train) // self.next_size
        return steps if self.run.steps is None else min(steps, self.run.steps - self.steps)

    @property
    def next_size(self) -> int:
        """The batch size of the next epoch."""
        return self.run.size(len(self.history) + 1) * self._growth

    def next_rates(self) -> list[float]:
        """Learning rate of each update of the next epoch; a single one if they are equal."""
        images = len(self.data.train)
        rates = self.run.rates(self.run.stretch(len(self.history) + 1, images=images))
        if self._growth == 1:
            return rates
        return [self._growth * rate for rate in rates[:: self._growth][: self.next_steps]]

    def next_batches(self) -> Tensor:
        """(steps, batch size), the images of each batch of the next epoch; on the CPU."""
        stream = streams.generator(self.run.seed, "order", len(self.history) + 1)
        order = torch.randperm(len(self.data.train), generator=stream)
        size = self.next_size
        return order[: self.next_steps * size].view(self.next_steps, size)

    def advance(self) -> None:
        """Train one epoch."""
        start = time.perf_counter()
        with self._layers_seeded():
            with tiny_as_zero():
                self.updates.switch(training=True)
                losses, hits = self._train_epoch()
                self.updates.switch(training=False)
            self.model.eval()
            if self.method is not None:
                epoch, images = len(self.history) + 1, self._all_images()
                self.method.after_epoch(self.model, epoch=epoch, images=images)
            score = accuracy(
                logits(self.network, self.data.validation), self.data.validation.labels
            )
        self.record(losses, hits, score, seconds=time.perf_counter() - start)

    @contextmanager
    def _layers_seeded(self) -> Iterator[None]:
        """A context in which layers' random draws in the next epoch follow from the run's seed."""
        seed, epoch = self.run.seed, len(self.history) + 1
        owned = [value for layer in self.model.modules() for value in vars(layer).values()]
        for number, value in enumerate(owned):
            streams.restart(value, seed, "layers", epoch, number)
        with streams.seeded(seed, "layers", epoch):
            yield

    def record(
        self, losses: float, hits: int, validation_accuracy: float, *, seconds: float
    ) -> None:
        """Complete the epoch after its updates.

        Args:
            losses: summed over the epoch's images, as ``hits``.
            hits: images whose largest logit was their label's.
            validation_accuracy: at the epoch's end.
            seconds: that it took.
        """
        epoch, steps = len(self.history) + 1, self.next_steps
        seen, rates = steps * self.next_size, self.next_rates()
        self.history.append(
            Epoch(
                epoch=epoch,
                steps=self.steps + steps,
                learning_rate=math.fsum(rates) / len(rates),
                train_loss=losses / seen,
                train_accuracy=hits / seen,
                validation_accuracy=validation_accuracy,
                seconds=seconds,
            )
        )
        self._step.fill_(self.steps)
        self.diverged = not self._sound()
        self._growth = 1 if self.method is None else self.method.growth

    def _train_epoch(self) -> tuple[float, int]:
        """Make the updates; returns the summed losses and the hits over their images."""
        self.model.train()
        device = self._step.device
        losses = torch.zeros((), dtype=torch.float64, device=device)
        hits = torch.zeros((), dtype=torch.int64, device=device)
        gradients = self._gradients if self.method is None else self._gradients_by_method
        for number, (inputs, labels) in enumerate(self._batches()):
            loss, scores = gradients(inputs, labels, number)
            self.updates.step()
            if self.method is not None:
                self.method.after_step(self.model, epoch=len(self.history) + 1)
            self._step += 1
            losses += loss.detach() * len(labels)
            hits += (scores.detach().argmax(1) == labels).sum()
        return losses.item(), int(hits)

    def _gradients(self, inputs: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Leave the gradients of one update in the parameters; returns its loss and scores."""
        with autocast(self.run, self._step.device):
            scores = logits_of(self.model(inputs))
            loss = F.cross_entropy(scores, labels)
        self.updates.zero_gradients()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss, scores

    def _gradients_by_method(
        self, inputs: Tensor, labels: Tensor, number: int
    ) -> tuple[Tensor, Tensor]:
        """The same by the method, for the update with this number within the epoch."""

        def scores(images: Tensor) -> Tensor:
            with autocast(self.run, self._step.device):
                return logits_of(self.model(images)).to(images.dtype)

        assert self.method is not None
        epoch, step = len(self.history) + 1, self.steps + number
        batch = Batch(self.model, scores, inputs, labels, self.run.seed, epoch, step)
        self.updates.zero_gradients()
        found = self.method.gradients(batch)
        return found.recorded, found.scores

    def _all_images(self) -> Iterator[Tensor]:
        """Every training image, in order and unaugmented, in batches of the run's size."""
        pixels, size = self.data.train.pixels, self.run.batch_size
        for start in range(0, len(pixels) - size + 1, size):
            yield as_inputs(pixels[start : start + size], self._layout)

    @property
    def network(self) -> nn.Module:
        """The network to be measured and kept; a method may return another one than it trains."""
        return self.model if self.method is None else self.method.outcome(self.model)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, epoch = self.data.train, len(self.history) + 1
        rates = self.next_rates()
        self.updates.set_learning_rate(rates[0])
        for number, index in enumerate(self.next_batches().to(self._step.device)):
            if len(rates) > 1:
                self.updates.set_learning_rate(rates[number])
            pixels = images.pixels.index_select(0, index)
            if self.method is not None:
                pixels = self.method.augment(
                    pixels, index, seed=self.run.seed, epoch=epoch, own=self.data.augmented
                )
            elif self.data.augmented:
                pixels = augment(pixels, index, seed=self.run.seed, epoch=epoch)
            yield as_inputs(pixels, self._layout), images.labels[index]

    def weights(self) -> dict[str, Tensor]:
        """Of the network to be kept."""
        state = self.network.state_dict()
        return apart({key: value.contiguous().cpu() for key, value in state.items()})

    def state(self) -> dict[str, Tensor]:
        """The state of network, optimizer and method; all that resuming needs but the history."""
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{key}": value for key, value in self.updates.state().items()}
        if self.method is not None:
            tensors |= {f"method.{key}": value for key, value in self.method.state().items()}
        return apart({key: value.contiguous().cpu() for key, value in tensors.items()})

    def restore(self, state: Mapping[str, Tensor], history: Sequence[Epoch]) -> None:
        """Resume from a state; all that follows is bit-identical to an uninterrupted training."""
        self.history = list(history)
        self._step.fill_(self.steps)
        self.model.load_state_dict(_under("model.", state))
        self.model.eval()
        self.diverged = not self._sound()
        self.updates.restore(_under("optimizer.", state))
        if self.method is not None:
            self.method.restore(_under("method.", state), self.model)
            self._growth = self.method.growth

    def _sound(self) -> bool:
        """Whether the last epoch's loss and every weight are finite."""
        return math.isfinite(self.history[-1].train_loss) and all(
            bool(parameter.isfinite().all()) for parameter in self.model.parameters()
        )


class Steady(Training):
    """A training of one batch size and learning rate, its first, to be timed for a while."""

    @property
    def next_size(self) -> int:
        """That of the run, whatever schedule and method say."""
        return self.run.batch_size

    def next_rates(self) -> list[float]:
        """The first update's rate."""
        return self.run.rates(self.run.stretch(1, images=len(self.data.train)))[:1]


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without shared memory, as between tied weights."""
    storages: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in storages else tensor
        storages.add(place)
    return found


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
