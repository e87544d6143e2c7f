"""What a network answers to many images, a chunk at a time."""

import torch
from torch import Tensor, nn

from sgdscope.data.images import Images

CPU = 100  # images a pass: what their activations take stays near the cache of one core
ELSEWHERE = 4096


def chunk_size(device: torch.device) -> int:
    """Images a pass, where nothing is kept of them."""
    return CPU if device.type == "cpu" else ELSEWHERE


@torch.no_grad()
def logits(model: nn.Module, images: Images) -> Tensor:
    """(N, classes), in chunks."""
    chunk = chunk_size(images.pixels.device)
    starts = range(0, len(images), chunk)
    return torch.cat([model(images[start : start + chunk].inputs()) for start in starts])


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of points whose largest logit is their label's."""
    return (logits.argmax(1) == labels).double().mean().item()
