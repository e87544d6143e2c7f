"""Networks that benchmarks work on: trained by sgdscope itself, kept between calls where asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_model, save_model
from torch import nn

from sgdscope.data import Dataset, load
from sgdscope.study.run import Run
from sgdscope.training.loop import Training


@dataclass(frozen=True)
class Case:
    """How a network is trained, at a fixed learning rate."""

    model: str
    data: str
    batch: int
    rate: float
    momentum: float
    epochs: int
    seed: int = 0
    train_size: int | None = None
    method: str = "plain"
    method_options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.model} {self.data} B={self.batch} lr={self.rate} m={self.momentum}"

    @property
    def run(self) -> Run:
        """What sgdscope calls it."""
        return Run(
            model=self.model, data=self.data, train_size=self.train_size, schedule="fixed",
            schedule_options={"learning_rate": self.rate}, batch_size=self.batch,
            momentum=self.momentum, epochs=self.epochs, seed=self.seed,
            method=self.method, method_options=self.method_options,
        )  # fmt: skip

    def trained(self, keep: Path | None) -> tuple[nn.Module, Dataset]:
        """The network in evaluation mode and its data; weights lie in ``keep``, if given."""
        data = load(self.data)
        training = Training(self.run, data)
        kept = keep / f"{self.run.id}.safetensors" if keep else None
        if kept and kept.exists():
            load_model(training.model, kept)
            return training.model.eval(), data
        while not training.finished:
            training.advance()
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            save_model(training.model, kept)
        return training.model.eval(), data
