"""The arithmetic of training: in bfloat16 if that works, without denormal numbers."""

from __future__ import annotations

import faulthandler
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch

from sgdscope.errors import RequestError
from sgdscope.study.run import Run

WITHOUT_AMX = "AVX512_CORE_BF16"


@cache
def bfloat16_works() -> bool:
    """Whether the CPU multiplies in bfloat16.

    Some virtual machines announce AMX and then refuse its instructions, which kills the process
    that tries. So if AMX is announced, a child process tries first; if it dies, oneDNN is told not
    to use AMX, which works in a process that has not used oneDNN yet.
    """
    if not torch.cpu.get_capabilities().get("amx_bf16"):
        return True
    if _survives(_multiply):
        return True
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", WITHOUT_AMX)
    return _survives(_multiply)


def require_bfloat16(device: torch.device) -> None:
    """Raise RequestError if a pass in bfloat16 would kill the process."""
    if device.type == "cpu" and not bfloat16_works():
        raise RequestError(
            "bfloat16 was asked for: this machine announces AMX instructions and refuses them; "
            f"expected ONEDNN_MAX_CPU_ISA={WITHOUT_AMX} in the environment before Python starts"
        )


def _multiply() -> None:
    torch.set_num_threads(1)  # a child has none of its parent's threads
    square = torch.ones(32, 32, dtype=torch.bfloat16)
    torch.nn.functional.linear(square, square, square[0])


def _survives(attempt: Callable[[], None]) -> bool:
    """Whether a child process lives through it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        child = os.fork()
    if child == 0:
        faulthandler.disable()  # its death is an answer, not news
        try:
            attempt()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def autocast(run: Run, device: torch.device) -> torch.autocast:
    """The context of a forward pass in training, in the run's precision."""
    # A captured step may not cache casts, and nothing is cast twice in one pass.
    return torch.autocast(
        device.type, torch.bfloat16, enabled=run.precision == "bf16", cache_enabled=False
    )


@contextmanager
def tiny_as_zero() -> Iterator[None]:
    """A context in which the CPU treats numbers below 1e-38, with which it is slow, as zero.

    Velocities of dead units become that small: an update of M1 took five times as long. An attack
    needs such numbers, since the gradient of a confident network can be that small.
    """
    already = not (torch.tensor([4e-38]) / 8).item()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)
