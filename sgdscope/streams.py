"""Random streams that depend on nothing but a seed, a purpose and a position.

Nothing here keeps a state: a stream is a function of where one stands in it. So a run draws the
same numbers alone, among others, after a crash, or on another device, and a checkpoint has no
random state to save.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MASK = 0xFFFFFFFF


def key(seed: int, purpose: str, *position: int) -> int:
    """A 32-bit key for one purpose ("order", "dropout", …) of one seed, at one position."""
    text = ":".join(map(str, (seed, purpose, *position)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def generator(seed: int, purpose: str, *position: int) -> torch.Generator:
    """A CPU generator at the start of the stream; for draws made once, such as initialisation."""
    import torch  # here, so that whoever only needs a key does not pay for it

    return torch.Generator().manual_seed(key(seed, purpose, *position))


def uniform(keys: Tensor, *positions: Tensor) -> Tensor:
    """Numbers uniform in [0, 1), one for each element of the broadcast arguments.

    The same arguments give the same bits on every device.

    Args:
        keys: int64, values below 2³².
        positions: int64, mixed in one after another.
    """
    state = _scramble(keys)
    for position in positions:
        state = _scramble(state ^ _scramble(position & _MASK))
    return (state >> 8).float() * 2.0**-24


def _scramble(value: Tensor) -> Tensor:
    """A bijection of 32-bit integers whose output bits each depend on every input bit.

    The multipliers and shifts are Chris Wellons' "lowbias32" (hash-prospector).
    """
    value = (value + 0x9E3779B9) & _MASK
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & _MASK
    value = ((value ^ (value >> 15)) * 0x846CA68B) & _MASK
    return value ^ (value >> 16)
