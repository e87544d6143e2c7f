"""An audit's folder: laid out like a study's, with its settings in ``audit.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from sgdscope.errors import RequestError
from sgdscope.files import require_own, write_text
from sgdscope.results.files import ARRAYS, KeptFiles
from sgdscope.results.record import Audited
from sgdscope.study import studyfile

FIXED = ("data", "split")  # what all networks of a folder share


class AuditFolder(KeptFiles):
    """An audit's output: a sub-folder per network, tables, page."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.audit_file = self.path / "audit.toml"
        self.json = self.path / "audit.json"

    def settings(self) -> dict[str, Any]:
        """The settings of the audit.

        Raises:
            RequestError: the folder holds no audit.
        """
        if not self.audit_file.is_file():
            raise RequestError(f"{self.path}: holds no audit; expected a folder with an audit.toml")
        return studyfile.read(self.audit_file)

    def prepare(self, settings: dict[str, Any]) -> None:
        """Write the settings, or check that the folder is for the same images.

        A network whose name is already there replaces the other in the tables and the page.

        Raises:
            RequestError: it holds something else, or cannot be written to.
        """
        if self.audit_file.is_file():
            before = self.settings()
            for key in FIXED:
                if before.get(key) != settings[key]:
                    raise RequestError(
                        f"--out {self.path}: an audit with {key} {before.get(key)!r}; expected an "
                        f"empty folder, or --{key} {before.get(key)}"
                    )
            new = {one[key] for one in settings["networks"] for key in ("id", "name")}
            others = [
                one
                for one in before.get("networks", [])
                if new.isdisjoint((one["id"], one["name"]))
            ]
            settings = settings | {"networks": others + settings["networks"]}
        else:
            require_own(self.path, shown=f"--out {self.path}", record=self.audit_file.name)
        write_text(self.audit_file, tomli_w.dumps(settings))

    def audited(self, network: str) -> Audited | None:
        """The results for a network, by its id; None if there is nothing readable."""
        found = self._read(network, Audited)
        if found is not None:
            self._settle_arrays(network, found)
        return found

    def every(self) -> list[Audited]:
        """Every network checked, in the order of their names."""
        found = [one for network in self._ids() if (one := self.audited(network)) is not None]
        return sorted(found, key=lambda one: one.network.name)

    def save(self, audited: Audited, arrays: bytes | None) -> None:
        """Save the results so far.

        Raises:
            RequestError: the disk is full, or the folder cannot be written to any more.
        """
        self._keep(audited, {ARRAYS: arrays})
