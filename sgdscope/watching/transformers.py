"""A callback for the transformers Trainer that watches a training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sgdscope.errors import RequestError
from sgdscope.watching.watch import Watch


class WatchCallback(TrainerCallback):  # type: ignore[misc]
    """Calls a :class:`Watch` after every epoch; needs ``logging_strategy="epoch"``.

    The network is an image classifier, called with pixels in [0, 1] as its first argument; the
    training loss is what the Trainer logs for the epoch, the learning rate that at which it began.

    Args:
        watch: the one to call.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._rate: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Check that the loss of an epoch will be reported.

        Raises:
            RequestError: it will not be.
        """
        if args.logging_strategy != "epoch":
            raise RequestError(
                f"logging_strategy = {args.logging_strategy}: expected 'epoch', which tells the "
                "training loss of every epoch"
            )

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: torch.optim.Optimizer | None = None,
        **_: Any,
    ) -> None:
        """Record the learning rate: schedulers will have moved on when the epoch ends."""
        self._rate = None if optimizer is None else float(optimizer.param_groups[0]["lr"])

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        model: nn.Module | None = None,
        **_: Any,
    ) -> None:
        """Measure when the loss of an epoch is reported."""
        if model is None or not state.is_world_process_zero or "loss" not in (logs or {}):
            return
        # The Trainer counts in parts of an epoch; a training in steps may end within one.
        self.watch(
            model,
            epoch=math.ceil(round(state.epoch or 0, 6)),
            train_loss=(logs or {})["loss"],
            steps=state.global_step,
            learning_rate=self._rate,
        )
