"""Small networks to attack, their images, and every attack with settings that are quick."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sgdscope.attacks import Attacked, apgd, apgd_targeted, bim, fgsm, pgd, square, strong

ATTACKS: dict[str, Callable[..., list[Attacked]]] = {
    "fgsm": fgsm, "bim": bim, "pgd": pgd, "apgd": apgd, "apgd_targeted": apgd_targeted,
    "square": square, "strong": strong,
}  # fmt: skip
QUICK: dict[str, dict[str, int]] = {
    "fgsm": {}, "bim": {}, "pgd": {"steps": 20}, "apgd": {"steps": 20},
    "apgd_targeted": {"steps": 10}, "square": {"queries": 60},
    "strong": {"steps": 10, "queries": 60},
}  # fmt: skip


def linear(classes: int = 4, dtype: torch.dtype = torch.float64) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, classes, dtype=dtype)).eval()


def curved(classes: int = 5, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A small network whose answers vary and which an attack has to search."""
    layers = nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, classes)
    network = nn.Sequential(*layers).to(dtype).eval()
    for parameter in network.parameters():
        parameter.data.mul_(2.5)
    return network


def images(count: int = 24, dtype: torch.dtype = torch.float64, low: float = 0.0) -> Tensor:
    return torch.rand(count, 1, 6, 6, dtype=dtype) * (1 - 2 * low) + low


def answers(network: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return network(inputs).argmax(1)
