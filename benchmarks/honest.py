"""Networks that hide nothing, trained in seconds each: what no sign of masking may be seen in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import data

TRAINED_ON, TESTED_ON = 5000, 300


@dataclass(frozen=True)
class Images:
    """What networks are trained and attacked on."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @classmethod
    def load(cls, name: str) -> Images:
        """The first images of 28×28 data."""
        found = data.load(name)
        train, test = found.train[:TRAINED_ON], found.test[:TESTED_ON]
        return cls(train.inputs(), train.labels, test.inputs(), test.labels)


class Centre(nn.Module):
    """Roughly standardised pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) to the same."""
        return (x - 0.3) / 0.35


class Attention(nn.Module):
    """One block of self-attention over 49 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Conv2d(1, 24, 4, stride=4), nn.Parameter(torch.randn(49, 24))
        self.before, self.mix = nn.LayerNorm(24), nn.Linear(24, 72)
        self.after = nn.Sequential(
            nn.LayerNorm(24), nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24)
        )
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 10)."""
        patches = self.embed((x - 0.3) / 0.35).flatten(2).transpose(1, 2) + 0.1 * self.place
        query, key, value = self.mix(self.before(patches)).chunk(3, 2)
        patches = patches + F.scaled_dot_product_attention(query, key, value)
        return self.head((patches + self.after(patches)).mean(1))


def conv(
    act: type[nn.Module] = nn.ReLU, *, norm: bool = False, width: int = 8, dropout: float = 0
) -> nn.Module:
    """Two convolutions with strides."""
    first = [nn.Conv2d(1, width, 5, stride=2), *([nn.BatchNorm2d(width)] if norm else []), act()]
    second = [nn.Conv2d(width, 2 * width, 3, stride=2),
              *([nn.BatchNorm2d(2 * width)] if norm else []), act()]  # fmt: skip
    head = [nn.Flatten(), nn.Dropout(dropout), nn.Linear(50 * width, 10)]
    return nn.Sequential(Centre(), *first, *second, *head)


def pooled() -> nn.Module:
    """Two convolutions with maxima."""
    return nn.Sequential(
        Centre(), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(784, 10),
    )  # fmt: skip


def deep() -> nn.Module:
    """Six convolutions with batch norm."""
    layers: list[nn.Module] = [Centre(), nn.Conv2d(1, 12, 3, stride=2, padding=1)]
    for _ in range(5):
        layers += [nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1)]
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(588, 10))


def dense(act: type[nn.Module] = nn.ReLU, depth: int = 2) -> nn.Module:
    """Hidden layers of 64."""
    layers: list[nn.Module] = [Centre(), nn.Flatten(), nn.Linear(784, 64), act()]
    for _ in range(depth - 1):
        layers += [nn.Linear(64, 64), act()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def linear() -> nn.Module:
    """Softmax regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


@dataclass(frozen=True)
class Recipe:
    """How a network is made."""

    build: Callable[[], nn.Module]
    steps: int = 300
    rate: float = 0.02
    batch: int = 64
    decay: float = 0
    smoothing: float = 0
    noise: float = 0  # share of labels drawn at random
    eps: float = 0  # trained on adversarial images of that radius, ℓ∞
    held_out: bool = False  # had no part in choosing what is flagged

    def network(self, name: str, keep: Path | None, data: str, images: Images) -> nn.Module:
        """Trained, in evaluation mode; weights lie in ``keep``, if given."""
        torch.manual_seed(0)
        network = self.build()
        kept = keep / f"{data} {name}.pt" if keep else None
        if kept and kept.exists():
            network.load_state_dict(torch.load(kept))
            return network.eval()
        self._train(network, images)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.save(network.state_dict(), kept)
        return network.eval()

    def _train(self, network: nn.Module, images: Images) -> None:
        labels = images.train_labels.clone()
        wrong = torch.rand(len(labels)) < self.noise
        labels[wrong] = torch.randint(0, 10, (int(wrong.sum()),))
        sgd = torch.optim.SGD(network.parameters(), self.rate, 0.9, weight_decay=self.decay)
        for step in range(self.steps):
            chosen = torch.randint(0, len(labels), (self.batch,))
            x, y = images.train[chosen], labels[chosen]
            if self.eps:
                x = _attacked(network.eval(), x, y, self.eps * min(1.0, 2 * step / self.steps))
            loss = F.cross_entropy(network.train()(x), y, label_smoothing=self.smoothing)
            sgd.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            sgd.step()


def _attacked(network: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    moved = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(4):
        at = moved.detach().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(network(at), y), at)
        moved = (moved + eps / 2 * slope.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return moved


PLAIN = "two convolutions"  # which the masks are put on
HONEST = {
    PLAIN: Recipe(conv),
    "trained long, very sure": Recipe(conv, steps=2000, rate=0.05),
    "max pooling": Recipe(pooled),
    "batch norm": Recipe(lambda: conv(norm=True)),
    "six layers, batch norm": Recipe(deep),
    "adversarially trained, 0.1": Recipe(conv, steps=500, eps=0.1, rate=0.05),
    "adversarially trained, 0.2": Recipe(conv, steps=700, eps=0.2, rate=0.05),
    "adversarially trained, batch norm": Recipe(lambda: conv(norm=True), steps=400, eps=0.1),
    "large batch, hardly trained": Recipe(conv, steps=20, batch=512, rate=0.05),
    "small batch": Recipe(conv, steps=2000, batch=4, rate=0.005),
    "tanh": Recipe(lambda: conv(nn.Tanh)),
    "softplus": Recipe(lambda: conv(nn.Softplus)),
    "GELU, dense": Recipe(lambda: dense(nn.GELU)),
    "linear": Recipe(linear),
    "attention": Recipe(Attention, steps=800, rate=0.05),
    "dropout": Recipe(lambda: conv(dropout=0.5), held_out=True),
    "weight decay": Recipe(conv, steps=500, rate=0.05, decay=5e-3, held_out=True),
    "label smoothing": Recipe(pooled, steps=500, smoothing=0.1, held_out=True),
    "half the labels random": Recipe(lambda: conv(width=16), steps=3000, rate=0.05, noise=0.5),
    "six dense layers, tanh": Recipe(lambda: dense(nn.Tanh, 6), steps=600, held_out=True),
    "adversarially trained, pooling": Recipe(pooled, steps=300, eps=0.15, held_out=True),
}
