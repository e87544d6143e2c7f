"""A callback for Lightning that watches a training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sgdscope.watching.watch import Watch

_log = logging.getLogger(__name__)


class WatchCallback(Callback):  # type: ignore[misc]
    """Calls a :class:`Watch` after every training epoch, on the first process only.

    The network is the module itself, called with pixels in [0, 1]. The training loss is the mean
    of what ``training_step`` returned, over the batches with a loss; the learning rate is that at
    which the epoch began. An epoch without a loss is not measured, which is logged.

    Args:
        watch: the one to call.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch
        self._losses: list[Tensor] = []
        self._rate: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the learning rate: schedulers will have moved on when the epoch ends."""
        groups = trainer.optimizers[0].param_groups if trainer.optimizers else []
        self._rate = float(groups[0]["lr"]) if groups else None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *batch: Any
    ) -> None:
        """Remember the batch's loss."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            # Lightning has divided it by the number of batches whose gradients make one update.
            self._losses.append(loss.detach() * trainer.accumulate_grad_batches)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure."""
        losses, self._losses = self._losses, []
        epoch = trainer.current_epoch + 1
        if not trainer.is_global_zero:
            return
        if not losses:
            _log.warning("epoch %d is not measured: training_step returned no loss", epoch)
            return
        self.watch(
            pl_module,
            epoch=epoch,
            train_loss=torch.stack(losses).mean().item(),
            steps=trainer.global_step,
            learning_rate=self._rate,
        )
