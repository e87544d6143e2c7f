"""Whether decoded images fit into this machine's memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

from sgdscope.errors import RequestError

_LIMIT, _USED = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))


def free() -> float:
    """Available memory in bytes: of the machine, or of the container if that is less."""
    machine = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        machine = next(
            1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")
        )
    except (OSError, StopIteration):
        pass  # not Linux: what the C library says
    try:
        return min(machine, int(_LIMIT.read_text()) - int(_USED.read_text()))
    except (OSError, ValueError):
        return machine


def must_hold(count: int, shape: tuple[int, int, int]) -> None:
    """Refuse images that do not fit, at one byte per value.

    Raises:
        RequestError: they do not.
    """
    needed, there = count * math.prod(shape), free()
    if needed > there:
        channels, height, width = shape
        side = int(math.sqrt(there / 4 / count / channels))
        raise RequestError(
            f"{count:,} images × {channels}×{height}×{width} bytes = {needed / 1e9:,.3g} GB; this "
            f"machine has {there / 1e9:,.3g} GB of memory free, and images are kept in memory; "
            "expected fewer or smaller ones" + (f", as with ?resize={side}" if side >= 8 else "")
        )
