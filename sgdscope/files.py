"""Files: written so that a reader sees the old one or the new one, never half of one."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from sgdscope.errors import RequestError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to disk, put it in place.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(aside)
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
        _flush(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote in ``folder``."""
    for aside in folder.rglob(".*.tmp"):
        *_, process, _ = aside.name.split(".")
        if not _running(process):
            aside.unlink(missing_ok=True)


def _running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _flush(folder: Path) -> None:
    """Flush a folder's entries to disk: before that, a renamed file can be lost in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write text atomically, in UTF-8."""
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    write_atomically(path, lambda aside: aside.write_bytes(content))


def require_own(folder: Path, *, shown: str, record: str, ours: Collection[str] = ()) -> None:
    """Check that a folder without its record holds nothing else that can be seen.

    Args:
        folder: that exists.
        shown: how a message names it.
        record: the name of the file that says what the folder holds.
        ours: names that may be there before the record is.

    Raises:
        RequestError: it holds other files.
    """
    there = (file.name for file in folder.iterdir())
    if any(not name.startswith(".") and name not in ours for name in there):
        raise RequestError(f"{shown}: holds other files and no {record}; expected an empty folder")
