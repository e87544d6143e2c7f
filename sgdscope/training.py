"""Training one network by SGD, as its run says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import models, streams
from sgdscope.data import Dataset, Images, as_inputs, augment
from sgdscope.measuring.fit import accuracy, logits
from sgdscope.result import Epoch
from sgdscope.runs import Run

AfterEpoch = Callable[[int, nn.Module], None]


@dataclass
class Trained:
    """A network at the end of its training."""

    model: nn.Module  # evaluation mode
    history: list[Epoch] = field(default_factory=list)
    diverged: bool = False  # a loss or a weight became NaN or infinite; training stopped there


def initialise(run: Run, data: Dataset) -> nn.Module:
    """The run's network before its first step, on the data's device, channels last."""
    moments = {"mean": data.mean, "std": data.std} if run.normalise else {}
    model = models.build(
        run.model, shape=data.shape, classes=data.classes, seed=run.seed, **moments
    )
    return model.to(data.train.pixels.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def train(run: Run, data: Dataset, *, after_epoch: AfterEpoch | None = None) -> Trained:
    """Train a run's network.

    SGD is torch's heavy ball, v ← m·v + g, w ← w − lr·v; no weight decay. The last partial batch
    of an epoch is dropped. Everything random follows from the run's seed.

    Args:
        run: the settings.
        data: all of its data set, on the device to train on.
        after_epoch: called with the epoch and the network in evaluation mode.
    """
    data = data.subset(run.train_size)
    trained = Trained(initialise(run, data))
    sgd = torch.optim.SGD(trained.model.parameters(), lr=0.0, momentum=run.momentum, fused=True)
    step = torch.zeros((), dtype=torch.int64, device=data.train.pixels.device)
    models.bind_dropout(trained.model, seed=run.seed, step=step)
    steps_per_epoch = len(data.train) // run.batch_size
    steps = run.steps or run.epochs * steps_per_epoch  # type: ignore[operator]
    while (done := int(step)) < steps and not _reached(run, trained):
        start = time.perf_counter()
        epoch = len(trained.history) + 1
        for group in sgd.param_groups:
            group["lr"] = run.rate(epoch)
        losses, hits = _train_epoch(
            trained.model, sgd, data, run, epoch, step, min(steps_per_epoch, steps - done)
        )
        seen = (int(step) - done) * run.batch_size
        trained.model.eval()
        trained.history.append(
            Epoch(
                epoch=epoch,
                steps=int(step),
                learning_rate=run.rate(epoch),
                train_loss=losses / seen,
                train_accuracy=hits / seen,
                validation_accuracy=_score(trained.model, data.validation),
                seconds=time.perf_counter() - start,
            )
        )
        trained.diverged = not (torch.tensor(losses).isfinite() and _finite(trained.model))
        if trained.diverged:
            break
        if after_epoch is not None:
            after_epoch(epoch, trained.model)
    return trained


def _train_epoch(
    model: nn.Module,
    sgd: torch.optim.SGD,
    data: Dataset,
    run: Run,
    epoch: int,
    step: Tensor,
    steps: int,
) -> tuple[float, int]:
    """Make ``steps`` updates; the sum of the losses and the count of hits over their images."""
    model.train()
    device = step.device
    order = torch.randperm(len(data.train), generator=streams.generator(run.seed, "order", epoch))
    losses = torch.zeros((), dtype=torch.float64, device=device)
    hits = torch.zeros((), dtype=torch.int64, device=device)
    for index in order[: steps * run.batch_size].to(device).view(steps, run.batch_size):
        pixels, labels = data.train.pixels[index], data.train.labels[index]
        if data.augmented:
            pixels = augment(pixels, index, seed=run.seed, epoch=epoch)
        scores = model(as_inputs(pixels))
        loss = F.cross_entropy(scores, labels)
        sgd.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        step += 1
        losses += loss.detach() * run.batch_size
        hits += (scores.detach().argmax(1) == labels).sum()
    return losses.item(), int(hits)


def _score(model: nn.Module, images: Images) -> float:
    return accuracy(logits(model, images), images.labels)


def _reached(run: Run, trained: Trained) -> bool:
    """Whether the training loss is as low as the run asks for."""
    if run.until_train_loss is None or not trained.history:
        return False
    return trained.history[-1].train_loss <= run.until_train_loss


def _finite(model: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())
