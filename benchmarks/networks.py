"""Networks that benchmarks attack: trained by sgdscope itself, kept between calls where asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_model, save_model
from torch import nn

from sgdscope.data import Dataset, load
from sgdscope.runs import Run
from sgdscope.training import Training


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

    def __str__(self) -> str:
        return f"{self.model} {self.data} B={self.batch} lr={self.rate} m={self.momentum}"

    def trained(self, keep: Path | None) -> tuple[nn.Module, Dataset]:
        """The network in evaluation mode and its data; weights lie in ``keep``, if given."""
        data = load(self.data)
        run = Run(
            model=self.model, data=self.data, schedule="fixed", batch_size=self.batch,
            schedule_options={"learning_rate": self.rate}, momentum=self.momentum,
            epochs=self.epochs, seed=self.seed,
        )  # fmt: skip
        training = Training(run, data)
        kept = keep / f"{run.id}.safetensors" if keep else None
        if kept and kept.exists():
            load_model(training.model, kept)
            return training.model.eval(), data
        while not training.finished:
            training.advance()
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            save_model(training.model, kept)
        return training.model.eval(), data
