"""Random streams that depend only on a seed, a purpose and a position.

Nothing here keeps a state: a stream is a function of the position in it. So a run draws the
same numbers alone, among others, after a crash, or on another device, and a checkpoint has no
random state to save.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
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
    import torch  # here, since code that only needs a key should not pay for it

    return torch.Generator().manual_seed(key(seed, purpose, *position))


@contextmanager
def seeded(seed: int, purpose: str, *position: int) -> Iterator[None]:
    """A context in which torch's, numpy's and Python's generators begin at the start of the stream.

    For code that draws from them itself: a user's own layers, initialisations. Afterwards their
    states are restored.
    """
    import random

    import numpy as np
    import torch

    start = key(seed, purpose, *position)
    others = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(start)
        random.seed(start)
        np.random.seed(start)
        try:
            yield
        finally:
            random.setstate(others[0])
            np.random.set_state(others[1])


def restart(generator: object, seed: int, purpose: str, *position: int) -> None:
    """Put a generator of torch, numpy or Python at the start of the stream."""
    import random

    import numpy as np
    import torch

    if isinstance(generator, torch.Generator):
        generator.manual_seed(key(seed, purpose, *position))
    elif isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        bits.state = type(bits)(key(seed, purpose, *position)).state
    elif isinstance(generator, random.Random):
        generator.seed(key(seed, purpose, *position))


def uniform(keys: Tensor, *positions: Tensor) -> Tensor:
    """Numbers uniform in [0, 1), one for each element of the broadcast arguments.

    The same arguments give the same bits on every device.

    Args:
        keys: int64, values below 2³².
        positions: int64, one at least, mixed in one after another.
    """
    *before, last = positions
    return draw(place(keys, *before), _hashed(last))


def draw(places: Tensor, positions: Tensor) -> Tensor:
    """What :func:`uniform` draws, from a :func:`place` and the last positions, hashed."""
    return (_scramble(places ^ positions) >> 8).float() * 2.0**-24


def place(keys: Tensor, *positions: Tensor) -> Tensor:
    """The hashes of streams before their last positions are mixed in."""
    state = _scramble(keys)
    for position in positions:
        state = _scramble(state ^ _hashed(position))
    return state


@cache  # half the work of a mask, and the same at every step
def elements(shape: torch.Size, device: torch.device) -> Tensor:
    """The hashed positions of a tensor's elements, 0, 1, … in order."""
    import torch

    return _hashed(torch.arange(shape.numel(), device=device).view(shape))


def _hashed(positions: Tensor) -> Tensor:
    return _scramble(positions & _MASK)


def _scramble(value: Tensor) -> Tensor:
    """A bijection of 32-bit integers whose output bits each depend on every input bit.

    The multipliers and shifts are Chris Wellons' "lowbias32" (hash-prospector).
    """
    value = (value + 0x9E3779B9) & _MASK
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & _MASK
    value = ((value ^ (value >> 15)) * 0x846CA68B) & _MASK
    return value ^ (value >> 16)
