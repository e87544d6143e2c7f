"""Files already verified against their digests, so that they need not be read again."""

from __future__ import annotations

import json
import time
from pathlib import Path

from sgdscope.files import write_text
from sgdscope.results.files import digest

RECENT = 2.0  # seconds within which a file may change again without a new timestamp


class KnownFiles:
    """Files that were verified against their digests, each with its size and timestamp then.

    A file that was written, replaced or moved since has another timestamp and is read again. Damage
    that leaves the timestamp alone is found when the content is used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[str | int]] = _read(path)
        self._changed = False

    def is_intact(self, file: Path, expected: str) -> bool:
        """Whether a file matches a digest; it is read only if that is not known yet."""
        name, there = file.relative_to(self._path.parent).as_posix(), file.stat()
        stamp: list[str | int] = [expected, there.st_size, there.st_ctime_ns]
        if self._known.get(name) == stamp:
            return True
        if digest(file.read_bytes()) != expected:
            return False
        if time.time() - there.st_ctime > RECENT:
            self._known[name], self._changed = stamp, True
        return True

    def save(self) -> None:
        """Keep what is known; it is derived and may be deleted.

        Raises:
            OSError: the folder cannot be written to.
        """
        if self._changed:
            write_text(self._path, json.dumps(self._known))


def _read(path: Path) -> dict[str, list[str | int]]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
