"""A folder with one sub-folder per network, as studies and audits have it."""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from sgdscope.errors import RequestError
from sgdscope.files import remove_leftovers, write_bytes
from sgdscope.results.record import Audited, Measured, Result

RESULT = "result.json"
WEIGHTS = "weights.safetensors"  # the network as trained
ARRAYS = "arrays.safetensors"  # what measures keep beside their numbers
REPLACED = "replaced.safetensors"  # the previous arrays, until the result is written
DIGEST_SIZE = 32

Array = npt.NDArray[np.generic]
Record = TypeVar("Record", bound=Measured)

_log = logging.getLogger(__name__)


class KeptFiles:
    """Each network's result and arrays, written so that no reader sees a partial state."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.csv = self.path / "results.csv"
        self.parquet = self.path / "results.parquet"
        self.report = self.path / "report.html"

    def run_file(self, run_id: str, name: str) -> Path:
        """One of a run's files."""
        return self.path / "runs" / run_id / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and keep other processes from running a study in it.

        Raises:
            RequestError: it cannot be created or written to, or another process uses it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except FileExistsError:
            raise RequestError(f"--out {self.path}: a file; expected a folder") from None
        except OSError as error:
            raise RequestError(f"--out {self.path}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RequestError(
                    f"--out {self.path}: another sgdscope is running a study there"
                ) from None
            remove_leftovers(self.path)
            yield

    def _keep(self, result: Result | Audited, files: Mapping[str, bytes | None]) -> None:
        """Write files, then the result: a network is finished once its result exists."""
        there = {name: content for name, content in files.items() if content is not None}
        digests = {name: digest(content) for name, content in there.items()}
        arrays, replaced = self.run_file(result.id, ARRAYS), self.run_file(result.id, REPLACED)
        if arrays.is_file():  # until the new result is written, the old arrays belong to it
            arrays.replace(replaced)
        for name, content in there.items():
            self._write(result.id, name, content)
        self._write_result(result.model_copy(update={"digests": digests}))
        self._forget(result.id, REPLACED)

    def _write_result(self, result: Result | Audited) -> None:
        self._write(result.id, RESULT, result.model_dump_json().encode())

    def _write(self, run_id: str, name: str, content: bytes) -> None:
        try:
            write_bytes(self.run_file(run_id, name), content)
        except OSError as error:
            raise RequestError(
                f"{self.path}: run {run_id} cannot be written: {error.strerror}; "
                "every run finished before it is kept"
            ) from error

    def _forget(self, run_id: str, *names: str) -> None:
        for name in names:
            self.run_file(run_id, name).unlink(missing_ok=True)

    def _settle_arrays(self, run_id: str, result: Result | Audited) -> None:
        """Go back to the old arrays if a save was interrupted before its result was written."""
        replaced = self.run_file(run_id, REPLACED)
        if replaced.is_file():
            if digest(replaced.read_bytes()) == result.digests.get(ARRAYS):
                replaced.replace(self.run_file(run_id, ARRAYS))
            self._forget(run_id, REPLACED)

    def _read(self, run_id: str, kind: type[Record]) -> Record | None:
        """A network's result; None if there is none, or it cannot be read."""
        file = self.run_file(run_id, RESULT)
        try:
            return kind.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            _log.warning("%s cannot be read: %s: %s", file, where, first["msg"])
            return None

    def arrays(self, run_id: str, prefix: str) -> dict[str, Array]:
        """A run's arrays under a prefix, by the rest of their names; none if damaged."""
        file = self.run_file(run_id, ARRAYS)
        if not file.is_file():
            return {}
        try:
            with safe_open(file, framework="numpy") as kept:
                names = [name for name in kept.keys() if name.startswith(prefix)]  # noqa: SIM118
                return {name.removeprefix(prefix): kept.get_tensor(name) for name in names}
        except SafetensorError as error:
            _log.warning("%s is damaged (%s) and ignored", file, error)
            return {}

    def tensors(self, record: Result | Audited) -> dict[str, Tensor] | None:
        """All arrays of a network, to be continued with; None if they are lost or damaged."""
        self._settle_arrays(record.id, record)
        if ARRAYS not in record.digests:
            return {}
        file = self.run_file(record.id, ARRAYS)
        content = file.read_bytes() if file.is_file() else b""
        return load(content) if digest(content) == record.digests[ARRAYS] else None

    def _ids(self) -> list[str]:
        return sorted(file.parent.name for file in self.path.glob("runs/*/result.json"))


def digest(content: bytes) -> str:
    """The digest of a file's content, as kept in results."""
    return hashlib.blake2b(content, digest_size=DIGEST_SIZE // 2).hexdigest()
