"""How many images go through a network at a time where nothing is kept of them."""

import torch

CPU = 100  # what a chunk's activations take stays near the cache of one core
ELSEWHERE = 4096


def chunk_size(device: torch.device) -> int:
    """Images a pass."""
    return CPU if device.type == "cpu" else ELSEWHERE
