"""What may be done around an operation, so that a replacement of it would be seen or refused."""

from __future__ import annotations

import torch


def transforming() -> bool:
    """Whether torch.func transforms what is done, such as by vmap: no kernel has a rule for it."""
    return bool(torch._C._are_functorch_transforms_active())


def hooked() -> bool:
    """Whether hooks take what a graph saves, as checkpoints do, which compute it again later."""
    return torch._C._autograd._top_saved_tensors_default_hooks(False) is not None
