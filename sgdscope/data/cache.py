"""Decoded images, cached between sessions."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sgdscope.files import write_atomically

DECODED = 2  # incremented when the same files decode to different tensors
UNREAD = 30 * 86_400  # seconds after which cached images are removed
_log = logging.getLogger(__name__)


def stamps(files: Iterable[Path]) -> list[object]:
    """What identifies the state of files without reading them: path, size and timestamp of each."""
    found = [file.resolve() for file in files]
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in found]


def file(name: str, stamp: Sequence[object]) -> Path:
    """The file of cached tensors; its name depends on how they are decoded."""
    text = repr([DECODED, *stamp]).encode()
    digest = hashlib.blake2b(text, digest_size=6).hexdigest()
    return _home() / "sgdscope" / f"{name}-{digest}.safetensors"


def kept(file: Path) -> dict[str, Tensor] | None:
    """The cached tensors; None if there are none, or they are damaged."""
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError):
        return None
    with suppress(OSError):
        os.utime(file)
    return tensors


def keep(tensors: dict[str, Tensor], file: Path) -> None:
    """Cache them for the next time, if possible, and remove what has long not been read."""
    try:
        write_atomically(file, lambda aside: save_file(tensors, aside))
    except (OSError, SafetensorError) as error:
        _log.warning("decoded images are not cached: %s", error)
    for other in file.parent.glob("*.safetensors"):
        with suppress(OSError):  # another process removed it, or it is somebody else's
            if time.time() - other.stat().st_mtime > UNREAD:
                other.unlink()


def _home() -> Path:
    """The user's cache; a temporary folder where there is no home, as in some containers."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cache-of-{os.getuid()}"
