"""A network's answers to many images, a chunk at a time."""

import torch
from torch import Tensor, nn

from sgdscope.data.images import Images
from sgdscope.network import Network, answers

CPU = 100  # images per pass, whose activations nearly fit into the cache of one core
ELSEWHERE = 4096


def chunk_size(device: torch.device) -> int:
    """Images per pass, if no graph is kept."""
    return CPU if device.type == "cpu" else ELSEWHERE


@torch.no_grad()
def logits(model: nn.Module, images: Images) -> Tensor:
    """(N, classes), in chunks."""
    chunk = chunk_size(images.pixels.device)
    starts = range(0, len(images), chunk)
    network = Network(model)
    return torch.cat([network.logits(images[start : start + chunk].inputs()) for start in starts])


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of points whose largest logit is finite and their label's."""
    return (answers(logits) == labels).double().mean().item()
